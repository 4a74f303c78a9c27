package plan

import "slices"

// Inputs are what the key of a base, an artifact, a layer or an image is made
// of, by names that people know. They hold all of it but for long texts that
// Short has cut, so two of them tell why their keys differ; a store keeps them
// beside what was made, for when the plan is gone.
type Inputs struct {
	Key     string `json:"key"`
	Kind    Kind   `json:"kind"`
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Arch    string `json:"arch"`

	Base         *BaseImage    `json:"base,omitempty"` // Base: its own; else of what it stands on
	Below        []Below       `json:"below,omitempty"`
	Artifact     string        `json:"artifact,omitempty"` // key of the package's own
	Instructions []Instruction `json:"instructions,omitempty"`
	Dockerfile   string        `json:"dockerfile,omitempty"`
	Files        []File        `json:"files,omitempty"`
	Env          []Var         `json:"env,omitempty"`    // of a stacked layer, or of an image beside its layers
	Around       []Var         `json:"around,omitempty"` // of what it stands on, beside its layers
	Labels       *Labels       `json:"labels,omitempty"`
}

// Below is a layer that something stands on, or the base.
type Below struct {
	Key     string `json:"key"`
	Kind    Kind   `json:"kind"`
	Package string `json:"package,omitempty"` // empty: the base
	Version string `json:"version,omitempty"`
}

// Inputs tells what a node's key is made of; nil for what is no base, artifact,
// layer or image.
func (p *Plan) Inputs(n *Node) *Inputs {
	if n == nil || n.Kind == Source || n.Kind == Test {
		return nil
	}
	in := &Inputs{
		Key: n.Key, Kind: n.Kind, Package: n.Package, Version: n.Version, Arch: n.Arch, Base: n.Base,
		Artifact: n.Artifact, Instructions: n.Instructions, Dockerfile: n.Dockerfile, Files: n.Files, Env: n.Env, Labels: n.Labels,
	}
	switch n.Kind {
	case Image:
		in.stand(p, n)
	case Artifact, Linked:
		ground := p.Node(n.Ground)
		in.stand(p, ground)
		in.Around = ground.Env
	case Stacked:
		for at := p.Node(n.Parent); at != nil; at = p.Node(at.Parent) {
			in.Below = append(in.Below, belowOf(at))
			if at.Kind == Base {
				in.Base = at.Base
			}
		}
		slices.Reverse(in.Below)
	}
	return in
}

// stand notes the layers of an image.
func (in *Inputs) stand(p *Plan, img *Node) {
	for _, list := range [][]string{img.Chain, img.Linked} {
		for _, k := range list {
			n := p.Node(k)
			in.Below = append(in.Below, belowOf(n))
			if n.Kind == Base {
				in.Base = n.Base
			}
		}
	}
}

func belowOf(n *Node) Below {
	return Below{Key: n.Key, Kind: n.Kind, Package: n.Package, Version: n.Version}
}

// Valid reports whether they can be those of an artifact or a layer with a key:
// a store gives back what somebody wrote to it.
func (in *Inputs) Valid(key string) bool {
	ok := in.Key == key && (in.Kind == Artifact || in.Kind == Stacked || in.Kind == Linked) && (in.Artifact == "" || isHash(in.Artifact))
	for _, b := range in.Below {
		ok = ok && isHash(b.Key)
	}
	for _, f := range in.Files {
		ok = ok && isHash(f.SHA256)
	}
	return ok
}

func isHash(s string) bool { return sha256Hex.MatchString(s) }

// Title names it for people.
func (in *Inputs) Title() string {
	n := Node{Kind: in.Kind, Package: in.Package, Version: in.Version, Making: &Making{Base: in.Base, Labels: in.Labels}}
	return n.Title()
}

// Short is the same with long texts cut, so that a record can hold it.
func (in Inputs) Short() Inputs {
	const most = 4 << 10 // bytes of a text
	in.Instructions = slices.Clone(in.Instructions)
	for i, x := range in.Instructions {
		if len(x.Text) > most {
			in.Instructions[i].Text = cut(x.Text, most)
		}
	}
	in.Env = slices.Clone(in.Env)
	for i, v := range in.Env {
		if len(v.Value) > most {
			in.Env[i].Value = cut(v.Value, most)
		}
	}
	return in
}

// cut keeps the beginning of a text, with the hash of all of it: texts that
// differ still do.
func cut(s string, most int) string {
	at := most
	for at > 0 && s[at]&0xC0 == 0x80 { // inside a character
		at--
	}
	return s[:at] + "\n... SHA-256 of all: " + sum([]byte(s)) + "\n"
}

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Cause is one change in what people wrote or locked: all nodes whose keys moved
// for it share it.
type Cause struct {
	Packages []string `json:"packages,omitempty"` // whose change it is; empty: of the platform
	What     string   `json:"what"`               // version; step apt/install; file a.patch; variable PATH; base digest
	Old      string   `json:"old,omitempty"`      // of texts, the lines that changed
	New      string   `json:"new,omitempty"`
}

// same tells causes apart: a change of a step is one, whoever uses it.
func (c Cause) same() string {
	owner := ""
	if !strings.HasPrefix(c.What, "step ") {
		owner = strings.Join(c.Packages, " ")
	}
	return owner + "\x00" + c.What + "\x00" + c.Old + "\x00" + c.New
}

// Moved says why something has another key than before: what changed of its own,
// and what it stands on that has other keys too.
type Moved struct {
	Own   []Cause
	Pairs [][2]string // keys, old and new, of what is below on both sides or is its artifact
}

// Compare says what makes the key of now another than that of before. Both are
// of one package, or of the same cell.
func Compare(before, now *Inputs) Moved {
	var m Moved
	if before.Key == now.Key {
		return m
	}
	c := comparison{before: before, now: now, moved: &m}
	c.below()
	if before.Kind == Base {
		c.base()
	}
	if now.Kind != Image {
		c.content()
	}
	switch {
	case before.Artifact == now.Artifact:
	case before.Artifact == "" || now.Artifact == "":
		c.own("build phase", presence(before.Artifact), presence(now.Artifact))
	default:
		m.Pairs = append(m.Pairs, [2]string{before.Artifact, now.Artifact})
	}
	c.own("architecture", before.Arch, now.Arch)
	if now.Kind == Image {
		c.env(before.Env, now.Env)
	}
	c.env(before.Around, now.Around)
	c.labels()
	if len(m.Own) == 0 && len(m.Pairs) == 0 && !c.order() {
		c.own(unknown, before.Key, now.Key)
	}
	m.Own = distinctCauses(m.Own)
	return m
}

type comparison struct {
	before, now *Inputs
	moved       *Moved
}

func (c *comparison) add(x Cause) { c.moved.Own = append(c.moved.Own, x) }

// own adds a value of the package itself, if it changed.
func (c *comparison) own(what, old, new string) {
	if old == new {
		return
	}
	x := Cause{What: what, Old: old, New: new}
	if c.now.Package != "" && c.now.Kind != Image {
		x.Packages = []string{c.now.Package}
	}
	c.add(x)
}

func presence(key string) string {
	if key == "" {
		return "none"
	}
	return "one"
}

// content compares what the package itself brings. Another version, or another
// kind of layer, is the cause of all of that.
func (c *comparison) content() {
	var m Moved
	x := comparison{before: c.before, now: c.now, moved: &m}
	x.instructions()
	x.files()
	x.own("dockerfile", c.before.Dockerfile, c.now.Dockerfile)
	x.env(c.before.Env, c.now.Env)
	switch {
	case c.before.Kind != c.now.Kind:
		c.own(kindOfLayer, string(c.before.Kind), string(c.now.Kind))
	case len(m.Own) > 0 && c.before.Version != c.now.Version:
		c.own("version", c.before.Version, c.now.Version)
	default:
		c.moved.Own = append(c.moved.Own, m.Own...)
	}
}

// below compares what they stand on, by package. What a stacked layer stands on
// depends on the order of the chain too: there, more or fewer layers are no
// change of the package.
func (c *comparison) below() {
	was := map[string]Below{}
	for _, b := range c.before.Below {
		was[b.Package] = b
	}
	is := map[string]bool{}
	chain := false
	for _, b := range c.now.Below {
		is[b.Package] = true
		have, ok := was[b.Package]
		switch {
		case !ok && c.now.Kind == Stacked:
			chain = true
		case !ok:
			c.add(Cause{Packages: []string{b.Package}, What: layerBelow, New: b.Version})
		case have.Key != b.Key:
			c.moved.Pairs = append(c.moved.Pairs, [2]string{have.Key, b.Key})
		}
	}
	for _, b := range c.before.Below {
		switch {
		case is[b.Package]:
		case c.now.Kind == Stacked:
			chain = true
		default:
			c.add(Cause{Packages: []string{b.Package}, What: layerBelow, Old: b.Version})
		}
	}
	if chain {
		c.order()
	}
}

const (
	unknown       = "unknown" // a bug: a key has an input that is not compared
	layerBelow    = "layer"
	orderOfLayers = "order of the layers"
	kindOfLayer   = "kind of layer"
)

// order tells where the layers below are others, or the same in another order.
func (c *comparison) order() bool {
	names := func(list []Below) string {
		var out []string
		for _, b := range list {
			if b.Package != "" {
				out = append(out, b.Package)
			}
		}
		return strings.Join(out, " ")
	}
	old, new := names(c.before.Below), names(c.now.Below)
	if old != new {
		c.add(Cause{What: orderOfLayers, Old: old, New: new})
	}
	return old != new
}

func (c *comparison) base() {
	old, new := c.before.Base, c.now.Base
	at := func(what, a, b string) {
		if a != b {
			c.add(Cause{What: what, Old: a, New: b})
		}
	}
	at("base image", old.String(), new.String())
	if old.Image == new.Image {
		at("digest of base "+new.Image, old.Digest, new.Digest)
	}
	if old.Mmdebstrap != nil && new.Mmdebstrap != nil {
		at("variant of the base", old.Mmdebstrap.Variant, new.Mmdebstrap.Variant)
		at("packages of the base", strings.Join(old.Mmdebstrap.Include, " "), strings.Join(new.Mmdebstrap.Include, " "))
	}
}

// instructions compares steps; what is before and after all changes is no news.
func (c *comparison) instructions() {
	old, new := c.before.Instructions, c.now.Instructions
	same := func(a, b Instruction) bool { return a.Text == b.Text && slices.Equal(a.Sources, b.Sources) }
	first := 0
	for first < len(old) && first < len(new) && same(old[first], new[first]) {
		first++
	}
	old, new = old[first:], new[first:]
	for len(old) > 0 && len(new) > 0 && same(old[len(old)-1], new[len(new)-1]) {
		old, new = old[:len(old)-1], new[:len(new)-1]
	}
	for i := range max(len(old), len(new)) {
		switch {
		case i >= len(old):
			c.own(c.step(new[i], first+i), "", script(new[i].Text))
		case i >= len(new):
			c.own(c.step(old[i], first+i), script(old[i].Text), "")
		case old[i].Text == new[i].Text:
			c.own("source archive", strings.Join(old[i].Sources, " "), strings.Join(new[i].Sources, " "))
		default:
			c.text(c.step(new[i], first+i), old[i].Text, new[i].Text)
		}
	}
}

// step names an instruction: by what its step uses, which others may use too,
// or by its place.
func (c *comparison) step(i Instruction, at int) string {
	if strings.Contains(i.Step, "/") && !strings.Contains(i.Step, " ") {
		return "step " + i.Step
	}
	phase := "install"
	if c.now.Kind == Artifact {
		phase = "build"
	}
	s := fmt.Sprintf("%s step %d", phase, at+1)
	if i.Step != "" {
		s += " (" + i.Step + ")"
	}
	return s
}

// text adds the lines in which two texts differ; variables and the apt epoch by
// their names.
func (c *comparison) text(what, old, new string) {
	minus, plus := lines(body(old), body(new))
	var restOld, restNew []string
	was, is := map[string]string{}, map[string]string{}
	for _, l := range minus {
		if name, value, ok := setting(l); ok {
			was[name] = value
		} else {
			restOld = append(restOld, l)
		}
	}
	for _, l := range plus {
		if name, value, ok := setting(l); ok {
			is[name] = value
		} else {
			restNew = append(restNew, l)
		}
	}
	for _, name := range union(sortedKeys(was), sortedKeys(is)) {
		if name == aptEpoch {
			c.add(Cause{What: name, Old: was[name], New: is[name]})
			continue
		}
		c.own("variable "+name, was[name], is[name])
	}
	c.own(what, strings.Join(restOld, "\n"), strings.Join(restNew, "\n"))
}

func (c *comparison) files() {
	was, is := map[string]File{}, map[string]File{}
	for _, f := range c.before.Files {
		was[f.Path] = f
	}
	for _, f := range c.now.Files {
		is[f.Path] = f
	}
	for _, name := range union(sortedKeys(was), sortedKeys(is)) {
		c.own("file "+name, fileText(was, name), fileText(is, name))
	}
}

func fileText(files map[string]File, name string) string {
	f, ok := files[name]
	switch {
	case !ok:
		return ""
	case f.Exec:
		return "sha256:" + f.SHA256 + " executable"
	}
	return "sha256:" + f.SHA256
}

// env compares variables by owner. Those of a stacked layer stand in itself: a
// layer that became one takes them along.
func (c *comparison) env(old, new []Var) {
	kinds := map[string]Kind{}
	for _, b := range c.before.Below {
		kinds[b.Package] = b.Kind
	}
	moved := map[string]bool{}
	for _, b := range c.now.Below {
		moved[b.Package] = kinds[b.Package] != "" && kinds[b.Package] != b.Kind
	}
	type at struct{ owner, name string }
	was := map[at]string{}
	var order []at
	for _, v := range old {
		k := at{v.Owner, v.Name}
		was[k] = cmp.Or(v.Value, "''")
		order = append(order, k)
	}
	is := map[at]string{}
	for _, v := range new {
		k := at{v.Owner, v.Name}
		is[k] = cmp.Or(v.Value, "''")
		if _, ok := was[k]; !ok {
			order = append(order, k)
		}
	}
	for _, k := range order {
		if was[k] != is[k] && !moved[k.owner] {
			c.add(Cause{Packages: []string{k.owner}, What: "variable " + k.name, Old: was[k], New: is[k]})
		}
	}
}

// labels compares what an image says of itself.
func (c *comparison) labels() {
	old, new := c.before.Labels, c.now.Labels
	if old == nil || new == nil {
		return
	}
	was := map[string]PackageRef{}
	for _, r := range old.Packages {
		was[r.Name] = r
	}
	is := map[string]bool{}
	for _, r := range new.Packages {
		is[r.Name] = true
		have, ok := was[r.Name]
		switch {
		case !ok:
			c.add(Cause{Packages: []string{r.Name}, What: layerBelow, New: r.Version})
		case have.Version != r.Version:
			c.add(Cause{Packages: []string{r.Name}, What: "version", Old: have.Version, New: r.Version})
		case fmt.Sprint(have.Options) != fmt.Sprint(r.Options): // fmt sorts maps
			c.add(Cause{Packages: []string{r.Name}, What: "options", Old: optionsText(have.Options), New: optionsText(r.Options)})
		}
	}
	for _, r := range old.Packages {
		if !is[r.Name] {
			c.add(Cause{Packages: []string{r.Name}, What: layerBelow, Old: r.Version})
		}
	}
	a, b := old.Platform, new.Platform
	for _, f := range []struct{ what, old, new string }{
		{"L4T", a.L4T, b.L4T}, {"JetPack", a.JetPack, b.JetPack}, {"OS", a.OS.ID + " " + a.OS.Version, b.OS.ID + " " + b.OS.Version},
		{"CUDA", a.CUDA, b.CUDA}, {"cuDNN of CUDA " + b.CUDA, a.CuDNN, b.CuDNN}, {"TensorRT of CUDA " + b.CUDA, a.TensorRT, b.TensorRT}, {"Python", a.Python, b.Python},
		{"GPU", strings.Join(a.GPU, " "), strings.Join(b.GPU, " ")}, {"testbed", fmt.Sprint(a.Testbed), fmt.Sprint(b.Testbed)},
	} {
		if f.old != f.new {
			c.add(Cause{What: f.what + " on r" + b.L4T + strings.TrimSuffix(" "+b.Flavour, " tegra"), Old: f.old, New: f.new})
		}
	}
	if len(c.moved.Own) == 0 && len(c.moved.Pairs) == 0 { // else the tag follows from the rest
		if old.Tag != new.Tag {
			c.add(Cause{What: "tag", Old: old.Tag, New: new.Tag})
		}
		if a, b := strings.Join(old.Asked, " "), strings.Join(new.Asked, " "); a != b {
			c.add(Cause{What: "what is asked for", Old: a, New: b})
		}
	}
}

func optionsText(o map[string]string) string {
	var out []string
	for _, k := range sortedKeys(o) {
		out = append(out, k+"="+o[k])
	}
	if len(out) == 0 {
		return "defaults"
	}
	return strings.Join(out, " ")
}

// distinctCauses keeps each once; a step that several use has all their names.
func distinctCauses(list []Cause) []Cause {
	at := map[string]int{}
	var out []Cause
	for _, c := range list {
		i, ok := at[c.same()]
		if !ok {
			at[c.same()] = len(out)
			out = append(out, c)
			continue
		}
		out[i].Packages = union(out[i].Packages, c.Packages)
	}
	return out
}

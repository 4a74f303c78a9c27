package plan

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func tuple(p solve.Platform) Tuple {
	flavour := p.Flavour
	if flavour == "" {
		flavour = "tegra"
	}
	return Tuple{
		L4T: p.L4T, Flavour: flavour, JetPack: p.JetPack, OS: p.OS, Arch: p.Architecture(), Python: p.Python,
		CUDA: p.Stack.Version, CuDNN: p.Stack.CuDNN, TensorRT: p.Stack.TensorRT, GPU: p.GPU, Testbed: p.Testbed,
	}
}

func cellID(t Tuple, target string) string {
	parts := []string{t.L4T, t.Flavour}
	if t.CUDA != "" {
		parts = append(parts, "cu"+t.CUDA)
	}
	return strings.Join(append(parts, "py"+t.Python, target), "/")
}

// ref names a picked package, with the options that are not its defaults.
func ref(p *solve.Picked) PackageRef {
	r := PackageRef{Name: p.Package.Name, Version: p.Version.Version}
	for name, v := range p.Options {
		o := p.Package.Options[name]
		def := fmt.Sprint(o.Default)
		if o.Default == nil {
			def = map[bool]string{true: "", false: "false"}[o.Type == "string"]
		}
		if s := fmt.Sprint(v); s != def {
			if r.Options == nil {
				r.Options = map[string]string{}
			}
			r.Options[name] = s
		}
	}
	return r
}

func imageName(res *solve.Resolution) string {
	var parts []string
	for _, n := range res.Targets {
		s := n
		opts := ref(res.Packages[n]).Options
		for _, k := range sortedKeys(opts) {
			s += "-" + k
			if opts[k] != "true" {
				s += "-" + opts[k]
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "-")
}

var notTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// tag is the readable tag of a cell's image: pytorch-2.8.0-r36.4.0-cu126-py310.
// A tag holds at most 128 characters.
func tag(c *Cell, res *solve.Resolution) string {
	s := c.Name
	if len(res.Targets) == 1 {
		s += "-" + res.Packages[res.Targets[0]].Version.Version
	}
	if c.Platform.Flavour != "tegra" {
		s += "-" + c.Platform.Flavour
	}
	tail := "-r" + c.Platform.L4T
	if c.Platform.CUDA != "" {
		tail += "-cu" + strings.ReplaceAll(c.Platform.CUDA, ".", "")
	}
	tail += "-py" + strings.ReplaceAll(c.Platform.Python, ".", "")
	s = strings.Trim(notTag.ReplaceAllString(s, "_"), "-._")
	if len(s)+len(tail) > 128 {
		s = s[:128-len(tail)]
	}
	return s + tail
}

// filesOf lists a package's files: those that its phases see, and its tests'.
func (b *builder) filesOf(p *spec.Package) packageFiles {
	if f, ok := b.files[p.Name]; ok {
		return f
	}
	var f packageFiles
	listed, mistakes := spec.Files(b.fsys, p)
	b.list = append(b.list, mistakes...)
	for _, x := range listed {
		file := File{Path: x.Path, SHA256: x.SHA256, Exec: x.Exec}
		if x.Test {
			f.tests = append(f.tests, file)
		} else {
			f.visible = append(f.visible, file)
		}
	}
	b.files[p.Name] = f
	return f
}

// sorted puts nodes after what they need and what gates them; the order in
// which they were made decides the rest.
func sorted(made []*Node, nodes map[string]*Node) []*Node {
	var out []*Node
	done := map[string]bool{}
	var place func(*Node)
	place = func(n *Node) {
		if done[n.Key] {
			return
		}
		done[n.Key] = true
		for _, k := range append(append([]string(nil), n.Needs...), n.Gates...) {
			if below := nodes[k]; below != nil {
				place(below)
			}
		}
		out = append(out, n)
	}
	for _, n := range made {
		place(n)
	}
	return out
}

// Sizes counts nodes by kind, for summaries.
func (p *Plan) Sizes() map[Kind]int {
	out := map[Kind]int{}
	for _, n := range p.Nodes {
		out[n.Kind]++
	}
	return out
}

// Kinds lists the kinds in the order of the flow.
func Kinds() []Kind { return []Kind{Base, Source, Artifact, Stacked, Linked, Image, Test} }

// Possible lists the cells that resolved, as planned.
func (p *Plan) Possible() []*Cell {
	var out []*Cell
	for _, c := range p.Cells {
		if c.Impossible == nil {
			out = append(out, c)
		}
	}
	return out
}

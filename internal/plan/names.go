package plan

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
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

// ref names the package of a closure, with the options that are not its defaults.
func ref(p *solve.Closure) PackageRef {
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

func imageName(targets []*solve.Closure) string {
	var parts []string
	for _, c := range targets {
		s := c.Package.Name
		opts := ref(c).Options
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
func tag(c *Cell, targets []*solve.Closure) string {
	s := c.Name
	if len(targets) == 1 {
		s += "-" + targets[0].Version.Version
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

// sorted puts nodes after what they need and what gates them; the order in
// which they were made decides the rest.
func sorted(made []*Node, nodes map[string]*Node) []*Node {
	out := make([]*Node, 0, len(made))
	var place func(*Node)
	below := func(keys []string) {
		for _, k := range keys {
			if n := nodes[k]; n != nil && !n.placed {
				place(n)
			}
		}
	}
	place = func(n *Node) {
		n.placed = true
		below(n.Needs)
		below(n.Gates)
		out = append(out, n)
	}
	for _, n := range made {
		if !n.placed {
			place(n)
		}
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

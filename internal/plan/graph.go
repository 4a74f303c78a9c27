package plan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Graph is what stands on what, for people to look at.
type Graph struct {
	Name  string
	Boxes []Box
	Edges []Edge
}

// Box is a package, an artifact, a layer or an image.
type Box struct {
	ID    string
	Label []string // lines
	Shape string   // of Graphviz; "" is its box
	There bool     // the store has it
}

// Edge points from what is below to what is made of it.
type Edge struct {
	From, To string
	Label    string
	Dashed   bool // only to build it
}

// Dot writes the graph in the language of Graphviz.
func (g *Graph) Dot(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=BT;\n  node [shape=box, style=filled, fillcolor=white, fontname=\"sans-serif\"];\n", dotText(g.Name))
	for _, x := range g.Boxes {
		attributes := []string{"label=" + dotText(strings.Join(x.Label, "\n"))}
		if x.Shape != "" {
			attributes = append(attributes, "shape="+x.Shape)
		}
		if x.There {
			attributes = append(attributes, "fillcolor=lightgrey")
		}
		fmt.Fprintf(&b, "  %s [%s];\n", dotText(x.ID), strings.Join(attributes, ", "))
	}
	for _, e := range g.Edges {
		var attributes []string
		if e.Label != "" {
			attributes = append(attributes, "label="+dotText(e.Label))
		}
		if e.Dashed {
			attributes = append(attributes, "style=dashed")
		}
		tail := ""
		if len(attributes) > 0 {
			tail = " [" + strings.Join(attributes, ", ") + "]"
		}
		fmt.Fprintf(&b, "  %s -> %s%s;\n", dotText(e.From), dotText(e.To), tail)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotText is a quoted text of the language, in which a backslash means what it
// does in C but for what it does not know.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", " ").Replace(s) + `"`
}

// Declared is the packages that a catalog declares with what they depend on, as
// it is written: those of the names and all below, or all without names.
func Declared(cat *spec.Catalog, names []string) (*Graph, error) {
	g := &Graph{Name: "packages"}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(cat.Packages))
	}
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		p := cat.Packages[name]
		g.Boxes = append(g.Boxes, Box{ID: name, Label: []string{name}})
		edges := map[string]Edge{}
		var order []string
		add := func(list []spec.Dependency, build bool) error {
			for _, d := range list {
				ref, err := spec.ParseDependency(d.Target)
				if err != nil {
					return err
				}
				_, to, err := solve.Lookup(cat, spec.Target{Name: ref.Name, Version: ref.Version, Options: ref.Options})
				if err != nil {
					return fmt.Errorf("%s depends on %s: %w", name, d.Target, err)
				}
				what := strings.TrimPrefix(strings.TrimPrefix(ref.String(), ref.Name), ":")
				if d.If != "" {
					what = strings.TrimSpace(what + " if " + d.If)
				}
				have, twice := edges[to.Name]
				switch {
				case !twice:
					order = append(order, to.Name)
					edges[to.Name] = Edge{From: to.Name, To: name, Label: what, Dashed: build}
				case have.Label != what:
					have.Label = "by version or condition"
					fallthrough
				default:
					have.Dashed = have.Dashed && build
					edges[to.Name] = have
				}
			}
			return nil
		}
		if err := add(p.Depends, false); err != nil {
			return err
		}
		for _, v := range p.Versions {
			if err := add(v.Depends, false); err != nil {
				return err
			}
		}
		if p.Build != nil {
			if err := add(p.Build.Depends, true); err != nil {
				return err
			}
		}
		for _, to := range order {
			g.Edges = append(g.Edges, edges[to])
			if err := visit(to); err != nil {
				return err
			}
		}
		return nil
	}
	for _, n := range names {
		_, p, err := solve.Lookup(cat, spec.Target{Name: n})
		if err != nil {
			return nil, err
		}
		if err := visit(p.Name); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Resolved is the packages of a resolution with their versions.
func Resolved(r *solve.Resolution) *Graph {
	g := &Graph{Name: "packages of " + tuple(r.Platform).place()}
	for _, c := range solve.Packages(r.Targets, true) {
		label := []string{c.Package.Name + " " + c.Version.Version}
		if o := ref(c).Options; len(o) > 0 {
			label = append(label, optionsText(o))
		}
		b := Box{ID: c.Package.Name, Label: label}
		if slices.Contains(r.Targets, c) {
			b.Shape = "box3d"
		}
		g.Boxes = append(g.Boxes, b)
		for _, below := range c.Depends {
			g.Edges = append(g.Edges, Edge{From: below.Package.Name, To: c.Package.Name})
		}
		for _, below := range c.Build {
			g.Edges = append(g.Edges, Edge{From: below.Package.Name, To: c.Package.Name, Dashed: true})
		}
	}
	return g
}

func (t Tuple) place() string {
	s := "r" + t.L4T + strings.TrimSuffix(" "+t.Flavour, " tegra")
	if t.CUDA != "" {
		s += " CUDA " + t.CUDA
	}
	return s + " Python " + t.Python
}

// About is what somebody knows of a node, such as its size in a store.
type About struct {
	Note  string
	There bool
}

// Graph is the nodes that images of cells are made of. The images that builds
// run on are left out: what stands on one stands on the top of its chain and on
// its linked layers.
func (p *Plan) Graph(about func(*Node) About) *Graph {
	g := &Graph{Name: "plan"}
	tests := map[string]int{}
	for _, c := range p.Cells {
		tests[c.Image] = len(c.Tests) + len(c.Gates)
	}
	for _, n := range p.Nodes {
		if n.Kind == Test || n.Kind == Image && n.Labels == nil {
			continue
		}
		a := about(n)
		label := []string{n.Title(), n.Key[:12]}
		if t := tests[n.Key]; n.Kind == Image && t > 0 {
			label = append(label, count(t, "test", "tests"))
		}
		if a.Note != "" {
			label = append(label, a.Note)
		}
		shapes := map[Kind]string{Base: "cylinder", Source: "note", Artifact: "component", Linked: "box", Stacked: "box", Image: "box3d"}
		g.Boxes = append(g.Boxes, Box{ID: n.Key[:16], Label: label, Shape: shapes[n.Kind], There: a.There})
		for _, e := range p.edges(n) {
			g.Edges = append(g.Edges, Edge{From: e.From[:16], To: n.Key[:16], Dashed: e.Dashed})
		}
	}
	return g
}

// edges are what a node is made of.
func (p *Plan) edges(n *Node) []Edge {
	var out []Edge
	ground := func(img *Node, dashed bool) {
		for _, k := range append(img.Chain[len(img.Chain)-1:len(img.Chain):len(img.Chain)], p.tops(img.Linked)...) {
			out = append(out, Edge{From: k, Dashed: dashed})
		}
	}
	switch n.Kind {
	case Image:
		ground(n, false)
	case Stacked:
		out = append(out, Edge{From: n.Parent})
	case Linked, Artifact:
		ground(p.Node(n.Ground), true)
	case Source:
		out = append(out, Edge{From: n.Ground, Dashed: true})
	}
	if n.Artifact != "" {
		out = append(out, Edge{From: n.Artifact})
	}
	for _, i := range n.Instructions {
		for _, k := range i.Sources {
			out = append(out, Edge{From: k, Dashed: true})
		}
	}
	return out
}

// tops are the linked layers that no other of them was laid on.
func (p *Plan) tops(linked []string) []string {
	below := map[string]bool{}
	for _, k := range linked {
		for _, b := range p.Node(p.Node(k).Ground).Linked {
			below[b] = true
		}
	}
	var out []string
	for _, k := range linked {
		if !below[k] {
			out = append(out, k)
		}
	}
	return out
}

package plan

import (
	"fmt"
	"io"
	"strings"
)

// Tree writes what a cell's image is made of: its layers from the base up, below
// each its artifact, and below that what only its build stands on. What was
// written once is named only, with ^ for where that was.
func (p *Plan) Tree(w io.Writer, c *Cell, about func(*Node) About) {
	t := tree{p: p, w: w, about: about, seen: map[string]bool{}}
	fmt.Fprintln(w, c.ID)
	if c.Impossible != nil {
		fmt.Fprintf(w, "└─ impossible: %v\n", c.Impossible)
		return
	}
	img := p.Node(c.Image)
	t.line("", "└─ ", img, count(len(c.Tests)+len(c.Gates), "test", "tests"))
	t.layers(img, nil, "   ")
}

type tree struct {
	p     *Plan
	w     io.Writer
	about func(*Node) About
	seen  map[string]bool
}

// line writes a node, and reports whether it is there for the first time.
func (t *tree) line(indent, branch string, n *Node, more string) bool {
	fresh := !t.seen[n.Key]
	t.seen[n.Key] = true
	s := indent + branch + n.Title()
	if more != "" {
		s += ", " + more
	}
	if !fresh {
		fmt.Fprintf(t.w, "%s ^\n", s)
		return false
	}
	s += "  " + n.Key[:12]
	if a := t.about(n); a.Note != "" {
		s += "  " + a.Note
	}
	fmt.Fprintln(t.w, s)
	return true
}

// layers writes the layers of an image that another does not have.
func (t *tree) layers(img, without *Node, indent string) {
	had := map[string]bool{}
	if without != nil {
		for _, list := range [][]string{without.Chain, without.Linked} {
			for _, k := range list {
				had[k] = true
			}
		}
	}
	var list []*Node
	for _, keys := range [][]string{img.Chain, img.Linked} {
		for _, k := range keys {
			if !had[k] {
				list = append(list, t.p.Node(k))
			}
		}
	}
	for i, n := range list {
		branch, below := "├─ ", indent+"│  "
		if i == len(list)-1 {
			branch, below = "└─ ", indent+"   "
		}
		if t.line(indent, branch, n, "") {
			t.made(n, img, below)
		}
	}
}

// made writes what a layer's content comes from.
func (t *tree) made(n, img *Node, indent string) {
	if n.Artifact == "" {
		t.sources(n, indent)
		return
	}
	artifact := t.p.Node(n.Artifact)
	if !t.line(indent, "└─ ", artifact, "") {
		return
	}
	indent += "   "
	t.sources(artifact, indent)
	t.layers(t.p.Node(artifact.Ground), img, indent)
}

func (t *tree) sources(n *Node, indent string) {
	for _, i := range n.Instructions {
		for _, k := range i.Sources {
			src := t.p.Node(k)
			fmt.Fprintf(t.w, "%s◦ %s\n", indent, strings.TrimSpace(src.Title()+"  "+t.about(src).Note))
		}
	}
}

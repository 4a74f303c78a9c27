package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/plan"
)

const (
	shownNodes = 5  // of those that a change made again
	shownLines = 20 // of a text, on each side
)

// change is one cause, with the nodes that were made again because of it.
type change struct {
	plan.Cause
	nodes []string
}

// changes are the causes of all nodes, each once, in the order of the nodes.
func (r *Run) changes() []change {
	var out []change
	at := map[string]int{}
	for _, n := range r.Nodes {
		for _, c := range n.Causes {
			id := c.Title() + "\x00" + c.Old + "\x00" + c.New
			i, ok := at[id]
			if !ok {
				i = len(out)
				at[id], out = i, append(out, change{Cause: c})
			}
			name := n.Name
			if n.Line != "" {
				name += " on " + n.Line
			}
			if !slices.Contains(out[i].nodes, name) {
				out[i].nodes = append(out[i].nodes, name)
			}
		}
	}
	return out
}

// title is the change on one line, with what it made again.
func (c change) title() string {
	names := c.nodes[:min(len(c.nodes), shownNodes)]
	s := oneLine(c.Title()) + ": " + oneLine(strings.Join(names, ", "))
	if more := len(c.nodes) - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// lines are its texts, those that went and those that came.
func (c change) lines() []string {
	lines := c.Lines(shownLines)
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(diag.Clean(strings.Join(lines, "\n")), "\n")
}

// writeChanges writes them for a terminal.
func (r *Run) writeChanges(w io.Writer) error {
	changes := r.changes()
	if len(changes) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nmade again because of\n")
	for _, c := range changes {
		fmt.Fprintf(&b, "  %s\n", c.title())
		for _, l := range c.lines() {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// why is why a node was made, in a line.
func (n Node) why() string {
	if len(n.Causes) == 0 {
		return n.Why
	}
	var titles []string
	for _, c := range n.Causes {
		titles = append(titles, c.Title())
	}
	return strings.Join(titles, "; ")
}

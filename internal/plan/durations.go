package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Durations are how long nodes took, for estimates of how long others will: no
// part of any key, and wrong ones cost time alone. They go by what a node is
// (kind, package, version, test) and by the line of its L4T release, as a key
// that is to be made is mostly a new one.
type Durations struct {
	Schema int             `json:"schema"` // 1
	Took   map[string]Took `json:"took"`   // "artifact pytorch 2.8.0 36.4"

	means map[string]Took // by the beginnings of the names
}

// Took is a mean in which each new duration counts for half.
type Took struct {
	Seconds float64 `json:"seconds"`
	Times   int     `json:"times"`
}

// ReadDurations reads what Write wrote.
func ReadDurations(b []byte) (*Durations, error) {
	d := &Durations{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("reading durations: %w", err)
	}
	if d.Schema != 1 {
		return nil, fmt.Errorf("reading durations: they have the schema %d, this jetcrate knows 1", d.Schema)
	}
	for name, t := range d.Took {
		if t.Seconds < 0 || t.Times < 0 {
			return nil, fmt.Errorf("reading durations: %q took %g seconds", name, t.Seconds)
		}
	}
	return d, nil
}

// Write gives them in their one form, by name.
func (d *Durations) Write() ([]byte, error) {
	b, err := json.MarshalIndent(Durations{Schema: 1, Took: d.Took}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing durations: %w", err)
	}
	return append(b, '\n'), nil
}

// Note adds that a node of this name took so long.
func (d *Durations) Note(name string, took time.Duration) {
	if d.Took == nil {
		d.Took = map[string]Took{}
	}
	t, known := d.Took[name]
	if known {
		t.Seconds = (t.Seconds + took.Seconds()) / 2
	} else {
		t.Seconds = took.Seconds()
	}
	t.Seconds = float64(int64(t.Seconds*1000)) / 1000
	t.Times++
	d.Took[name], d.means = t, nil
}

// DurationName is what a node's durations go by; line is that of its platform.
func DurationName(n *Node, line string) string {
	name := string(n.Kind)
	switch n.Kind {
	case Base:
		name += " " + strings.ReplaceAll(n.Base.String(), " ", "-")
	case Source:
		name += " " + strings.ReplaceAll(n.Archive.Name(), " ", "-")
	default:
		name += " " + n.Package + " " + n.Version
	}
	if n.Kind == Test {
		name += " " + strings.ReplaceAll(n.Test.Name, " ", "-")
	}
	return name + " " + line
}

// usual is how long a node takes of which nothing is known. These are guesses.
func usual(n *Node) time.Duration {
	switch n.Kind {
	case Base:
		return 2 * time.Minute
	case Artifact:
		if n.Resources != nil { // it says that it needs much
			return 30 * time.Minute
		}
		return 3 * time.Minute
	case Source, Linked:
		return 10 * time.Second
	case Stacked:
		return 30 * time.Second
	case Image:
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

// Estimates gives how long each node of a plan will take, by key. A nil d knows
// nothing.
func (p *Plan) Estimates(d *Durations) map[string]time.Duration {
	out := make(map[string]time.Duration, len(p.Nodes))
	lines := p.Lines()
	for _, n := range p.Nodes {
		out[n.Key] = d.of(n, lines[n.Key])
	}
	return out
}

// of looks a node up with its line, without it, without its version, and by its
// kind at last.
func (d *Durations) of(n *Node, line string) time.Duration {
	if d == nil || len(d.Took) == 0 {
		return usual(n)
	}
	if d.means == nil {
		d.means = map[string]Took{}
		for name, t := range d.Took {
			for {
				at := strings.LastIndexByte(name, ' ')
				if at < 0 {
					break
				}
				name = name[:at]
				m := d.means[name]
				d.means[name] = Took{Seconds: m.Seconds + t.Seconds, Times: m.Times + 1}
			}
		}
	}
	name := DurationName(n, line)
	if t, ok := d.Took[name]; ok {
		return time.Duration(t.Seconds * float64(time.Second))
	}
	for {
		at := strings.LastIndexByte(name, ' ')
		if at < 0 {
			return usual(n)
		}
		name = name[:at]
		if m, ok := d.means[name]; ok && (strings.Contains(name, " ") || n.Kind == Image || n.Kind == Test) {
			return time.Duration(m.Seconds / float64(m.Times) * float64(time.Second))
		}
	}
}

// Lines gives the line of the L4T release of each node, by key; of one that
// serves several, the first.
func (p *Plan) Lines() map[string]string {
	out := make(map[string]string, len(p.Nodes))
	put := func(k, line string) {
		if have, ok := out[k]; !ok || line < have {
			out[k] = line
		}
	}
	for _, c := range p.Cells {
		if c.Impossible != nil {
			continue
		}
		line := lineOf(c.Platform.L4T)
		put(c.Image, line)
		for _, list := range [][]string{c.Tests, c.Gates} {
			for _, k := range list {
				put(k, line)
			}
		}
	}
	for i := len(p.Nodes) - 1; i >= 0; i-- {
		n := p.Nodes[i]
		for _, list := range [][]string{n.Needs, n.Gates} {
			for _, k := range list {
				put(k, out[n.Key])
			}
		}
	}
	return out
}

// lineOf is 36.4 of 36.4.0.
func lineOf(l4t string) string {
	parts := strings.SplitN(l4t, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

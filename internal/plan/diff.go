package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Changes say what another catalog makes of the same cells, and why. Causes are
// told once each; cells and nodes name them by their place.
type Changes struct {
	Removed []CellChange `json:"removed"` // fell out, or became impossible
	Added   []CellChange `json:"added"`
	Changed []CellChange `json:"changed"`
	Same    int          `json:"same"`
	Causes  []Reach      `json:"causes"` // those that reach most first
	Nodes   []NodeChange `json:"nodes"`  // artifacts and layers of changed cells that have to be made
	Make    map[Kind]int `json:"make"`   // nodes that the old plan has not
}

// CellChange is what becomes of a cell.
type CellChange struct {
	ID       string          `json:"id"`
	Reason   string          `json:"reason,omitempty"` // why it is removed, or impossible
	Chain    []string        `json:"chain,omitempty"`  // what led there: accelerate needs pytorch
	Old      string          `json:"old,omitempty"`    // key of its image
	New      string          `json:"new,omitempty"`
	Packages []PackageChange `json:"packages,omitempty"` // of the resolution
	Causes   []int           `json:"causes,omitempty"`
	Nodes    []int           `json:"nodes,omitempty"`
}

// PackageChange is a package that a resolution has in another version; "" is none.
type PackageChange struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// NodeChange is a node that has another key. Old is empty where there was none.
type NodeChange struct {
	Kind    Kind   `json:"kind"`
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new"`
	Causes  []int  `json:"causes"`
}

// Title names the node for people.
func (n NodeChange) Title() string {
	if n.Kind == Base {
		return "base"
	}
	return (&Node{Kind: n.Kind, Package: n.Package, Version: n.Version}).Title()
}

// Reach is a cause with how many it reaches.
type Reach struct {
	Cause
	Cells int `json:"cells"`
	Nodes int `json:"nodes"` // artifacts and layers
}

// Affected lists the cells of a plan that are new, or whose image or tests an
// older plan has not.
func Affected(old, new *Plan) []*Cell {
	before := cellsByID(old)
	var out []*Cell
	for _, c := range new.Cells {
		if c.Impossible == nil && !sameCell(before[c.ID], c) {
			out = append(out, c)
		}
	}
	return out
}

func cellsByID(p *Plan) map[string]*Cell {
	out := make(map[string]*Cell, len(p.Cells))
	for _, c := range p.Cells {
		if out[c.ID] == nil {
			out[c.ID] = c
		}
	}
	return out
}

func sameCell(old, new *Cell) bool {
	return old != nil && old.Impossible == nil && old.Image == new.Image && slices.Equal(old.Tests, new.Tests) && slices.Equal(old.Gates, new.Gates)
}

// Diff compares two plans, cell by cell.
func Diff(old, new *Plan) *Changes {
	d := newDiffer(old, new)
	c := &Changes{Removed: []CellChange{}, Added: []CellChange{}, Changed: []CellChange{}, Causes: []Reach{}, Nodes: []NodeChange{}, Make: map[Kind]int{}}
	before, after := cellsByID(old), cellsByID(new)
	for _, was := range old.Cells {
		switch is := after[was.ID]; {
		case was.Impossible != nil || before[was.ID] != was:
		case is == nil:
			c.Removed = append(c.Removed, CellChange{ID: was.ID, Old: was.Image, Reason: "no longer among the cells"})
		case is.Impossible != nil:
			c.Removed = append(c.Removed, CellChange{ID: was.ID, Old: was.Image, Reason: "impossible now: " + last(is.Impossible.Reasons), Chain: is.Impossible.Reasons})
		}
	}
	for _, is := range new.Cells {
		was := before[is.ID]
		switch {
		case after[is.ID] != is || is.Impossible != nil && was != nil:
		case is.Impossible != nil:
			c.Added = append(c.Added, CellChange{ID: is.ID, Reason: "impossible: " + last(is.Impossible.Reasons), Chain: is.Impossible.Reasons})
		case was == nil || was.Impossible != nil:
			c.Added = append(c.Added, CellChange{ID: is.ID, New: is.Image, Packages: packageChanges(nil, is.Packages)})
		case sameCell(was, is):
			c.Same++
		default:
			c.Changed = append(c.Changed, d.cell(was, is))
		}
	}
	for _, n := range new.Nodes {
		if old.Node(n.Key) == nil {
			c.Make[n.Kind]++
		}
	}
	d.finish(c)
	return c
}

// last is the cause at the end of a chain of reasons.
func last(reasons []string) string {
	if len(reasons) == 0 {
		return "for a reason that is not known"
	}
	return reasons[len(reasons)-1]
}

func packageChanges(old, new []PackageRef) []PackageChange {
	was, is := map[string]string{}, map[string]string{}
	for _, r := range old {
		was[r.Name] = r.Version
	}
	for _, r := range new {
		is[r.Name] = r.Version
	}
	var out []PackageChange
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != is[name] {
			out = append(out, PackageChange{Name: name, Old: was[name], New: is[name]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[name]; !ok {
			out = append(out, PackageChange{Name: name, Old: was[name]})
		}
	}
	return out
}

// finish sorts the causes, those that reach most first, and renames them.
func (d *differ) finish(c *Changes) {
	reach := make([]Reach, len(d.causes))
	for i, x := range d.causes {
		slices.Sort(x.Packages)
		reach[i].Cause = x
	}
	for _, x := range c.Changed {
		for _, i := range x.Causes {
			reach[i].Cells++
		}
	}
	for _, n := range d.nodes {
		for _, i := range n.Causes {
			if n.Kind != Base {
				reach[i].Nodes++
			}
		}
	}
	order := make([]int, 0, len(reach))
	for i := range reach {
		if reach[i].Cells > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(reach[b].Cells-reach[a].Cells, reach[b].Nodes-reach[a].Nodes, strings.Compare(reach[a].same(), reach[b].same()))
	})
	place := make([]int, len(reach))
	for at, i := range order {
		place[i] = at
		c.Causes = append(c.Causes, reach[i])
	}
	rename := func(list []int) []int {
		out := []int{}
		for _, i := range list {
			if reach[i].Cells > 0 {
				out = append(out, place[i])
			}
		}
		slices.Sort(out)
		return out
	}
	for i := range c.Changed {
		c.Changed[i].Causes = rename(c.Changed[i].Causes)
	}
	for _, n := range d.nodes {
		n.Causes = rename(n.Causes)
		c.Nodes = append(c.Nodes, n)
	}
}

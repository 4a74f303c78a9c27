package plan

import (
	"cmp"
	"slices"
	"strings"
)

// differ walks down two plans side by side and finds, for each pair of nodes
// with different keys, the changes that it comes from. A pair that many cells
// share is looked at once.
type differ struct {
	old, new *Plan
	causes   []Cause
	byCause  map[string]int
	pairs    map[[2]string]*moves
	nodes    []NodeChange
}

// moves are the causes of a pair, its own and those below, and the nodes of the
// new plan that have to be made for it.
type moves struct{ causes, nodes []int }

func newDiffer(old, new *Plan) *differ {
	return &differ{old: old, new: new, byCause: map[string]int{}, pairs: map[[2]string]*moves{}}
}

// cause numbers a cause; one that other packages have too gets their names.
func (d *differ) cause(c Cause) int {
	if c.What == orderOfLayers {
		c.Old, c.New = "", "" // one order for all of them
	}
	k := c.same()
	i, ok := d.byCause[k]
	if !ok {
		i = len(d.causes)
		d.byCause[k] = i
		c.Packages = slices.Clone(c.Packages)
		d.causes = append(d.causes, c)
		return i
	}
	d.causes[i].Packages = union(d.causes[i].Packages, c.Packages)
	return i
}

// pair finds what makes a node another than it was.
func (d *differ) pair(old, new string) *moves {
	at := [2]string{old, new}
	if m := d.pairs[at]; m != nil {
		return m
	}
	m := &moves{}
	d.pairs[at] = m
	if old == new {
		return m
	}
	n := d.new.Node(new)
	before, now := d.old.Inputs(d.old.Node(old)), d.new.Inputs(n)
	moved := Compare(before, now)
	for _, c := range moved.Own {
		i := d.cause(c)
		m.causes = append(m.causes, i)
		if c.What == layerBelow && c.New != "" {
			d.fresh(now, c.Packages[0], i, m)
		}
	}
	for _, p := range moved.Pairs {
		below := d.pair(p[0], p[1])
		m.causes = merged(m.causes, below.causes)
		m.nodes = merged(m.nodes, below.nodes)
	}
	m.causes = d.settled(merged(m.causes, nil))
	if n.Kind != Image {
		d.make(n, old, m.causes, m)
	}
	return m
}

// settled leaves out the order of layers where other layers explain it.
func (d *differ) settled(causes []int) []int {
	explained := slices.ContainsFunc(causes, func(i int) bool {
		return d.causes[i].What == layerBelow || d.causes[i].What == kindOfLayer
	})
	if !explained {
		return causes
	}
	return slices.DeleteFunc(slices.Clone(causes), func(i int) bool { return d.causes[i].What == orderOfLayers })
}

// make notes a node that the old plan has not.
func (d *differ) make(n *Node, old string, causes []int, m *moves) {
	if d.old.Node(n.Key) != nil {
		return
	}
	d.nodes = append(d.nodes, NodeChange{Kind: n.Kind, Package: n.Package, Version: n.Version, Old: old, New: n.Key, Causes: causes})
	m.nodes = merged(m.nodes, []int{len(d.nodes) - 1})
}

// fresh notes the layer of a package that was not there, with its artifact.
func (d *differ) fresh(now *Inputs, pkg string, cause int, m *moves) {
	for _, b := range now.Below {
		if b.Package != pkg {
			continue
		}
		at := [2]string{"", b.Key}
		made := d.pairs[at]
		if made == nil {
			made = &moves{}
			d.pairs[at] = made
			n := d.new.Node(b.Key)
			if n.Artifact != "" {
				d.make(d.new.Node(n.Artifact), "", []int{cause}, made)
			}
			d.make(n, "", []int{cause}, made)
		}
		m.nodes = merged(m.nodes, made.nodes)
	}
}

func merged(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// cell compares the image of a cell and its tests.
func (d *differ) cell(was, is *Cell) CellChange {
	m := d.pair(was.Image, is.Image)
	c := CellChange{ID: is.ID, Old: was.Image, New: is.Image, Packages: packageChanges(was.Packages, is.Packages)}
	c.Causes = merged(m.causes, d.tests(was, is))
	c.Nodes = m.nodes
	return c
}

// tests finds the tests that changed themselves.
func (d *differ) tests(was, is *Cell) []int {
	type at struct{ pkg, name string }
	read := func(p *Plan, c *Cell) (order []at, byName map[at]*TestRun) {
		byName = map[at]*TestRun{}
		for _, list := range [][]string{c.Gates, c.Tests} {
			for _, k := range list {
				n := p.Node(k)
				a := at{n.Package, n.Test.Name}
				if byName[a] == nil {
					order = append(order, a)
					byName[a] = n.Test
				}
			}
		}
		return order, byName
	}
	gone, old := read(d.old, was)
	order, new := read(d.new, is)
	inBoth := map[string]bool{} // the tests of a package that came or went did so with it
	for _, r := range was.Packages {
		inBoth[r.Name] = slices.ContainsFunc(is.Packages, func(x PackageRef) bool { return x.Name == r.Name && x.Version == r.Version })
	}
	var out []int
	files := map[string]bool{} // packages whose test files were compared
	for _, a := range append(order, gone...) {
		o, n := old[a], new[a]
		if o != nil && n != nil && o.Content == n.Content || !inBoth[a.pkg] {
			continue
		}
		if o != nil && n != nil && !files[a.pkg] {
			files[a.pkg] = true
			var m Moved
			c := comparison{before: &Inputs{Files: o.Files}, now: &Inputs{Package: a.pkg, Files: n.Files}, moved: &m}
			c.files()
			for _, x := range m.Own {
				out = append(out, d.cause(x))
			}
		}
		if o != nil && n != nil && testText(o) == testText(n) {
			continue // its files
		}
		x := Cause{Packages: []string{a.pkg}, What: "test " + a.name}
		minus, plus := lines(testText(o), testText(n))
		x.Old, x.New = strings.Join(minus, "\n"), strings.Join(plus, "\n")
		out = append(out, d.cause(x))
	}
	return merged(out, nil)
}

// testText is what decides on a test beside its files, for people; "" is none.
func testText(t *TestRun) string {
	if t == nil {
		return ""
	}
	var b strings.Builder
	if t.GPU {
		b.WriteString("gpu: true\n")
	}
	for _, e := range t.Env {
		b.WriteString(e + "\n")
	}
	for _, a := range t.Args {
		b.WriteString(strings.TrimRight(a, "\n") + "\n")
	}
	return cmp.Or(b.String(), "\n")
}

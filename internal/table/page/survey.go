package page

import (
	"errors"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// survey says where a package is possible.
type survey struct {
	columns []*column
	barred  []*column // where no version is possible, for one reason each
	answers []*answer // by site
}

// column is the sites on which all versions of a package fare alike.
type column struct {
	sites []int
	label string
	cells []string // by version
	notes []string // by version: what stands on others speaks against it
}

// answer is what a target without a version gets on a site.
type answer struct {
	site     *site
	stack    int            // the first on which it is possible; the default one where it is nowhere
	root     *solve.Closure // nil where it is possible with no stack
	reason   string         // why it is not, with the default stack
	possible [][]bool       // by version, by stack
	chosen   []int          // by stack: the version, -1 where there is none
}

// Row is where versions of a package are possible: the platforms on which all
// of them fare alike.
type Row struct {
	On     string   // r36.5, r36.4
	Cells  []string // by version: "yes", or the CUDA versions whose stacks have it; "" is no. What a target without a version gets has a *.
	Reason string   // where no version is possible: why not, with the first of the platforms and its first stack
}

// Stacked says whether a cell holds CUDA versions.
func (r Row) Stacked() bool {
	return slices.ContainsFunc(r.Cells, func(c string) bool { return c != "" && strings.TrimSuffix(c, "*") != "yes" })
}

// Grid says where a package is possible.
func Grid(cat *spec.Catalog, p *spec.Package) ([]Row, error) {
	w := &writer{cat: cat, sites: sites(cat)}
	s, err := w.survey(p)
	if err != nil {
		return nil, err
	}
	var out []Row
	for _, c := range s.columns {
		out = append(out, Row{On: c.label, Cells: c.cells})
	}
	for _, c := range s.barred {
		out = append(out, Row{On: c.label, Cells: c.cells, Reason: s.answers[c.sites[0]].reason})
	}
	return out, nil
}

func (w *writer) survey(p *spec.Package) (*survey, error) {
	s := &survey{}
	byCells := map[string]*column{}
	for i, at := range w.sites {
		a, err := ask(at, p)
		if err != nil {
			return nil, err
		}
		s.answers = append(s.answers, a)
		cells := a.cells(p)
		id := strings.Join(cells, "\x00")
		if a.root == nil { // what speaks against it on another platform may be something else
			id += "\x00" + strings.ReplaceAll(a.reason, at.stacks[0].Platform.String(), "")
		}
		c := byCells[id]
		if c == nil {
			c = &column{cells: cells}
			byCells[id] = c
			if a.root == nil {
				s.barred = append(s.barred, c)
			} else {
				s.columns = append(s.columns, c)
			}
		}
		c.sites = append(c.sites, i)
	}
	for _, c := range append(slices.Clone(s.columns), s.barred...) {
		on := make([]*spec.Platform, len(c.sites))
		for i, site := range c.sites {
			on[i] = w.sites[site].platform
		}
		c.label = solve.Label(w.cat.Matrix, on)
	}
	for _, c := range s.columns {
		c.notes = make([]string, len(p.Versions))
		for v, cell := range c.cells {
			if cell != "" {
				continue
			}
			reason, err := beyond(w.sites[c.sites[0]], p, v)
			if err != nil {
				return nil, err
			}
			c.notes[v] = reason
		}
	}
	return s, nil
}

// ask solves all versions of a package on a site, and none in particular.
func ask(at *site, p *spec.Package) (*answer, error) {
	a := &answer{site: at, possible: make([][]bool, len(p.Versions)), chosen: make([]int, len(at.stacks))}
	for i := range a.possible {
		a.possible[i] = make([]bool, len(at.stacks))
	}
	for k, on := range at.stacks {
		a.chosen[k] = -1
		res, reason, err := resolve(on, p.Name, "")
		if err != nil {
			return nil, err
		}
		if res == nil {
			if k == 0 {
				a.reason = reason
			}
			continue
		}
		if a.root == nil {
			a.root, a.stack = res, k
		}
		for v := range p.Versions {
			if res.Version == &p.Versions[v] {
				a.chosen[k], a.possible[v][k] = v, true
				continue
			}
			if !meets(on.Platform, &p.Versions[v]) {
				continue
			}
			other, _, err := resolve(on, p.Name, p.Versions[v].Version)
			if err != nil {
				return nil, err
			}
			a.possible[v][k] = other != nil && other.Version == &p.Versions[v]
		}
	}
	return a, nil
}

// resolve is a package's closure on a site, or why there is none.
func resolve(on *solve.Site, name, version string) (*solve.Closure, string, error) {
	res, err := on.Solve([]spec.Target{{Name: name, Version: version}}, nil)
	var impossible *solve.Impossible
	switch {
	case errors.As(err, &impossible):
		return nil, strings.Join(impossible.Reasons, "; "), nil
	case err != nil:
		return nil, "", err
	}
	return res.Targets[0], "", nil
}

func meets(on solve.Platform, v *spec.Version) bool {
	ok, _ := on.Meets(v.Requires)
	return ok
}

// cells say for each version of a package with which stacks it is possible:
// "" with none, "yes" with all, else their CUDA versions; what a target without
// a version gets has a *.
func (a *answer) cells(p *spec.Package) []string {
	out := make([]string, len(p.Versions))
	for v := range p.Versions {
		var names []string
		possible, chosen := 0, 0
		for k, on := range a.site.stacks {
			if !a.possible[v][k] {
				continue
			}
			possible++
			name := on.Platform.Stack.Version
			if a.chosen[k] == v {
				chosen++
				name += "*"
			}
			names = append(names, name)
		}
		switch {
		case possible == 0:
		case possible == len(a.site.stacks) && chosen == possible:
			out[v] = "yes*"
		case possible == len(a.site.stacks) && chosen == 0:
			out[v] = "yes"
		default:
			out[v] = strings.Join(names, ", ")
		}
	}
	return out
}

// beyond says why a version is impossible on a site where its own conditions
// hold: what it stands on speaks against it. It is empty where they do not hold.
func beyond(at *site, p *spec.Package, v int) (string, error) {
	for _, on := range at.stacks {
		if ok, _ := on.Platform.Meets(p.Requires); !ok || !meets(on.Platform, &p.Versions[v]) {
			continue
		}
		_, reason, err := resolve(on, p.Name, p.Versions[v].Version)
		if err != nil || reason != "" {
			return reason, err
		}
	}
	return "", nil
}

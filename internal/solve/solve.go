// Package solve picks one version of every package that a target needs on a
// platform, or explains why there is none.
//
// A resolution honours `requires` (AND within a condition, OR across a list),
// version pins and ranges of dependencies, conditional dependencies, options,
// conflicts, and pins from outside. What only a build needs is part of it, so
// that one version serves everywhere in a target. `default` is a preference,
// never a constraint: versions whose default holds come first, in file order,
// then the others, newest first; a package is decided after all that may depend
// on it. The same input gives the same answer. A failure is an *Impossible: the
// facts that exclude the target, and the nearest targets that work.
//
// A Solver is a catalog read once, a Site that catalog on one platform. Whatever
// resolves alike on a Site is the same *Closure.
package solve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// Query asks for a resolution.
type Query struct {
	Targets  []spec.Target
	Platform Platform
	Pins     map[string]string // package -> version pin that holds wherever the package occurs
}

// Closure is a package of a resolution with all that it stands on. On a Site,
// closures that resolve alike are the same pointer.
type Closure struct {
	Package *spec.Package
	Version *spec.Version
	Options map[string]any // every declared option, chosen or default
	Depends []*Closure     // what it stands on, sorted by name
	Build   []*Closure     // what only its build needs, sorted by name
	ID      int            // counts the closures of a Site from 0
}

// Resolution holds exactly one version per package.
type Resolution struct {
	Platform Platform
	Targets  []*Closure // of the packages asked for, in the order asked
}

// Packages lists the packages that closures hold, each once, sorted by name;
// with build also those that only builds need.
func Packages(roots []*Closure, build bool) []*Closure {
	seen := map[*Closure]bool{}
	var out []*Closure
	var walk func([]*Closure)
	walk = func(list []*Closure) {
		for _, c := range list {
			if seen[c] {
				continue
			}
			seen[c] = true
			out = append(out, c)
			walk(c.Depends)
			if build {
				walk(c.Build)
			}
		}
	}
	walk(roots)
	sort.Slice(out, func(i, j int) bool { return out[i].Package.Name < out[j].Package.Name })
	return out
}

// Impossible explains why there is no resolution. It is an answer, not a
// mistake: commands exit with 3.
type Impossible struct {
	Target   string   `json:"target"`
	Platform string   `json:"platform"`
	Reasons  []string `json:"reasons"`           // in the user's words, without a full stop
	Nearest  []string `json:"nearest,omitempty"` // targets that do resolve: "pytorch 2.1.0 on r35.4.1"
}

func (e *Impossible) Error() string {
	s := strings.Join(e.Reasons, "; ")
	if len(e.Nearest) > 0 {
		s += ". Nearest: " + strings.Join(e.Nearest, ", or ")
	}
	return s + "."
}

// Lookup follows aliases to the package that a target names.
func Lookup(cat *spec.Catalog, t spec.Target) (spec.Target, *spec.Package, error) {
	to, ok := cat.Canonical(t)
	if !ok {
		return t, nil, Check(cat, []spec.Target{t}).Err()
	}
	return to, cat.Packages[to.Name], nil
}

// Solve gives a resolution. The error is an *Impossible, diagnostics for a
// target that names what does not exist, or a failure of an expression.
func Solve(cat *spec.Catalog, q Query) (*Resolution, error) {
	return New(cat).Solve(q)
}

// Solve is the function of the same name, for a catalog that was read already.
func (s *Solver) Solve(q Query) (*Resolution, error) {
	r, err := s.At(q.Platform).Solve(q.Targets, q.Pins)
	var imp *Impossible
	if errors.As(err, &imp) {
		imp.Nearest = s.Nearest(q)
	}
	return r, err
}

// askedFor is a package as the target names it.
type askedFor struct {
	to     *pack
	ref    spec.DependencyRef
	option string // the clause is about one of its options
}

// Solve gives a resolution on the site's platform. Its error is as the
// function's, but an *Impossible names no nearest targets.
func (t *Site) Solve(targets []spec.Target, pins map[string]string) (*Resolution, error) {
	return t.solve(targets, pins)
}

func (t *Site) solve(targets []spec.Target, pins map[string]string, roots ...*clause) (*Resolution, error) {
	s := &t.search
	s.reset()
	if err := Check(t.solver.cat, targets).Err(); err != nil {
		return nil, err
	}
	var asked []*pack
	for _, target := range targets {
		to, _ := t.solver.cat.Canonical(target) // it was checked
		p := t.solver.byName[to.Name]
		asked = append(asked, p)
		more, err := t.roots(p, to)
		if err != nil {
			return nil, err
		}
		roots = append(roots, more...)
	}
	more, err := t.pins(pins)
	if err != nil {
		return nil, err
	}
	end, err := s.run(append(roots, more...))
	if end != nil || errors.Is(err, gaveUp{}) {
		imp := &Impossible{Target: words(targets), Platform: t.Platform.String()}
		if end != nil {
			imp.Reasons = t.reasons(end)
		} else {
			imp.Reasons = []string{"the search " + err.Error()}
		}
		return nil, imp
	}
	if err != nil {
		return nil, err
	}
	return t.resolution(asked)
}

func words(targets []spec.Target) string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.String()
	}
	return strings.Join(names, " ")
}

// roots are the clauses of a target.
func (t *Site) roots(p *pack, to spec.Target) ([]*clause, error) {
	if to.Version == "" && len(to.Options) == 0 {
		return p.asked, nil
	}
	in, err := p.matching(to.Version, "")
	if err != nil {
		return nil, err
	}
	ref := spec.DependencyRef{Name: p.Name, Version: to.Version, Options: to.Options}
	out := []*clause{{terms: []term{{p.index, t.solver.vars[p.index].full.minus(in)}}, asked: &askedFor{p, ref, ""}}}
	for _, c := range to.Options {
		for _, id := range p.options {
			if t.solver.vars[id].option != c.Name {
				continue
			}
			value, known := t.solver.value(id, c.Value)
			if !known {
				value = t.search.named(id, c.Value)
			}
			out = append(out, &clause{terms: []term{{id, t.solver.vars[id].full.minus(value)}}, asked: &askedFor{p, ref, c.Name}})
		}
	}
	return out, nil
}

// named is the value of an option that stands for a text of this query.
func (s *search) named(id int, text string) set {
	if s.texts == nil {
		s.texts = map[int][]string{}
	}
	first := len(s.site.solver.vars[id].values) - 2
	for i, have := range s.texts[id] {
		if have == text {
			return only(first + i)
		}
	}
	if n := len(s.texts[id]); n == 2 {
		return only(first) // two others were named before: there is no answer anyhow
	}
	s.texts[id] = append(s.texts[id], text)
	return only(first + len(s.texts[id]) - 1)
}

// pins are the clauses of the pins, by package.
func (t *Site) pins(pins map[string]string) ([]*clause, error) {
	if len(pins) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(pins))
	for n := range pins {
		names = append(names, n)
	}
	sort.Strings(names)
	var out []*clause
	for _, n := range names {
		p := t.solver.byName[n]
		if p == nil || pins[n] == "" {
			continue
		}
		in, err := p.matching(pins[n], "")
		if err != nil {
			return nil, err
		}
		if rest := p.present.minus(in); !rest.empty() {
			out = append(out, &clause{terms: []term{{p.index, rest}}, pinned: &askedFor{p, spec.DependencyRef{Name: n, Version: pins[n]}, ""}})
		}
	}
	return out, nil
}

// resolution reads the answer of the search.
func (t *Site) resolution(asked []*pack) (*Resolution, error) {
	s := &t.search
	held := s.open[:0]
	for _, p := range s.open {
		if x := &s.state[p.index]; x.decided && !x.now.has(absent) {
			held = append(held, p)
		}
	}
	slices.SortFunc(held, func(a, b *pack) int { return cmp.Compare(a.rank, b.rank) })
	var below []*Closure // of depends, then of build
	for _, p := range held {
		x := &s.state[p.index]
		below = below[:0]
		for _, list := range [2][]*pack{x.pick.depends, x.pick.build} {
			for _, d := range list {
				c := s.state[d.index].closure
				if c == nil {
					return nil, fmt.Errorf("%s and %s need each other", p.Name, d.Name) // lint reports the cycle
				}
				below = append(below, c)
			}
		}
		n := len(x.pick.depends)
		x.closure = t.closure(x.pick, below[:n], below[n:])
	}
	r := &Resolution{Platform: t.Platform}
	for _, p := range asked {
		r.Targets = append(r.Targets, s.state[p.index].closure)
	}
	return r, nil
}

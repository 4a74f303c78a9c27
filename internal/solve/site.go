package solve

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Site is a catalog on one platform. It remembers what it found out, so that a
// second target costs little. A Site serves one goroutine at a time.
type Site struct {
	Platform Platform

	solver   *Solver
	facts    facts
	siblings []place        // the platform with each of its stacks and Pythons; nil until asked for
	values   map[string]any // the platform, for expressions
	packages []local
	closures int
	search   search
}

// local is what a platform makes of a package.
type local struct {
	ready    bool
	domain   set     // absent, and the versions that are possible here
	barred   *clause // the others; nil: none
	order    []int   // versions in the order of preference
	clauses  []*clause
	versions []*picked          // by version, of a package without options
	chosen   map[string]*picked // by version and options
}

// picked is a version with its options on a platform: what it asks for, and
// the closures that it was found with.
type picked struct {
	pack     *pack
	version  *spec.Version
	options  map[string]any
	clauses  []*clause
	depends  []*pack
	build    []*pack
	closures []*Closure
}

// At is the catalog on a platform, the same Site for the same platform.
func (s *Solver) At(p Platform) *Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.sites[p]; have != nil {
		return have
	}
	t := &Site{Platform: p, solver: s, facts: p.facts(), packages: make([]local, len(s.packages))}
	t.values = map[string]any{"platform": p.Values()}
	t.search.site = t
	t.search.state = make([]state, len(s.vars))
	s.sites[p] = t
	return t
}

// local readies a package.
func (t *Site) local(p *pack) (*local, error) {
	l := &t.packages[p.index]
	if l.ready {
		return l, nil
	}
	l.ready = true
	l.domain = only(absent)
	if p.requires.holds(t.Platform, &t.facts) {
		for i := range p.versions {
			if p.versions[i].requires.holds(t.Platform, &t.facts) {
				l.domain = l.domain.or(only(i + 1))
			}
		}
	}
	if barred := p.present.minus(l.domain); !barred.empty() {
		l.barred = &clause{terms: []term{{p.index, barred}}, barred: p}
	}
	for i := range p.versions {
		if v := &p.versions[i]; v.Default != nil && v.prefers.holds(t.Platform, &t.facts) {
			l.order = append(l.order, i+1)
		}
	}
	preferred := len(l.order)
	for _, v := range p.newest {
		if !contains(l.order[:preferred], v) {
			l.order = append(l.order, v)
		}
	}
	l.versions = make([]*picked, len(p.versions))
	for _, n := range p.needs {
		if n.late() {
			continue
		}
		holds, err := t.holds(n, t.values)
		if err != nil {
			return nil, err
		}
		if holds {
			l.clauses = append(l.clauses, n.clauses...)
		}
	}
	return l, nil
}

// holds reports whether a need applies.
func (t *Site) holds(n *need, values map[string]any) (bool, error) {
	if n.err != nil {
		return false, n.err
	}
	if n.condition == nil {
		return true, nil
	}
	v, err := n.condition.Eval(values)
	if err != nil {
		return false, fmt.Errorf("condition of %s's dependency %s: %w", n.from.Name, n.ref, err)
	}
	return expr.Truthy(v), nil
}

// pick settles what a version with its options asks for. chosen are the values
// of the package's options.
func (t *Site) pick(p *pack, l *local, v int, chosen []int) (*picked, error) {
	key, lasting := "", true
	if len(p.options) == 0 {
		if have := l.versions[v-1]; have != nil {
			return have, nil
		}
	} else {
		key = fmt.Sprint(v, chosen)
		if have := l.chosen[key]; have != nil {
			return have, nil
		}
	}
	out := &picked{pack: p, version: p.versions[v-1].Version}
	for i, id := range p.options {
		if out.options == nil {
			out.options = map[string]any{}
		}
		out.options[t.solver.vars[id].option] = t.search.text(id, chosen[i])
		lasting = lasting && t.solver.vars[id].values[chosen[i]] != nil
	}
	values := t.values
	if p.dynamic {
		values = Values(t.Platform, p.Package, out.version, out.options)
	}
	for i, list := range [][]*need{p.needs, p.versions[v-1].needs} {
		for _, n := range list {
			holds, err := t.holds(n, values)
			if err != nil {
				return nil, err
			}
			if !holds {
				continue
			}
			switch {
			case n.late():
				out.clauses = append(out.clauses, n.clausesFor(t.solver, t.premise(n, v, chosen))...)
			case i == 1:
				out.clauses = append(out.clauses, n.clauses...)
			}
			switch {
			case n.conflict:
			case n.build:
				out.build = append(out.build, n.to)
			default:
				out.depends = append(out.depends, n.to)
			}
		}
	}
	out.depends, out.build = sortedPacks(out.depends), sortedPacks(out.build)
	if key == "" {
		l.versions[v-1] = out
		return out, nil
	}
	if l.chosen == nil {
		l.chosen = map[string]*picked{}
	}
	if lasting { // a text that only this query names means something else in the next
		l.chosen[key] = out
	}
	return out, nil
}

// premise is what a need with a condition was decided on.
func (t *Site) premise(n *need, v int, chosen []int) []term {
	when := n.when
	if n.onVersion {
		when = only(v)
	}
	out := []term{{n.from.index, when}}
	for _, id := range n.onOptions {
		for i, option := range n.from.options {
			if option == id {
				out = join(out, term{id, only(chosen[i])})
			}
		}
	}
	return out
}

func sortedPacks(list []*pack) []*pack {
	sort.Slice(list, func(i, j int) bool { return list[i].index < list[j].index })
	out := list[:0]
	for i, p := range list {
		if i == 0 || list[i-1] != p {
			out = append(out, p)
		}
	}
	return out
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// closure gives a version with its options and what it stands on one identity.
func (t *Site) closure(x *picked, depends, build []*Closure) *Closure {
	for _, c := range x.closures {
		if slices.Equal(c.Depends, depends) && slices.Equal(c.Build, build) {
			return c
		}
	}
	c := &Closure{Package: x.pack.Package, Version: x.version, Options: x.options, Depends: slices.Clone(depends), Build: slices.Clone(build), ID: t.closures}
	t.closures++
	x.closures = append(x.closures, c)
	return c
}

// Dependencies lists, for every package that is possible here, what it may stand
// on: the dependencies of all its versions that are possible, but for those whose
// condition the platform alone refuses.
func (t *Site) Dependencies() (map[string][]string, error) {
	out := map[string][]string{}
	for _, p := range t.solver.packages {
		l, err := t.local(p)
		if err != nil {
			return nil, err
		}
		if l.domain.equal(only(absent)) {
			continue
		}
		var below []*pack
		add := func(needs []*need) error {
			for _, n := range needs {
				if n.build || n.conflict {
					continue
				}
				if n.err != nil {
					return n.err
				}
				holds := n.late()
				if !holds {
					var err error
					if holds, err = t.holds(n, t.values); err != nil {
						return err
					}
				}
				to, err := t.local(n.to)
				if err != nil {
					return err
				}
				if holds && !to.domain.equal(only(absent)) {
					below = append(below, n.to)
				}
			}
			return nil
		}
		if err := add(p.needs); err != nil {
			return nil, err
		}
		for i := range p.versions {
			if l.domain.has(i + 1) {
				if err := add(p.versions[i].needs); err != nil {
					return nil, err
				}
			}
		}
		names := make([]string, 0, len(below))
		for _, d := range sortedPacks(below) {
			names = append(names, d.Name)
		}
		out[p.Name] = names
	}
	return out, nil
}

// Values are the contexts of expressions for a version of a package.
func Values(pl Platform, p *spec.Package, v *spec.Version, options map[string]any) map[string]any {
	pkg := map[string]any{"name": p.Name, "version": v.Version, "summary": p.Summary, "group": p.Group}
	if a := v.Archive; a != nil {
		urls := make([]any, len(a.URLs))
		for i, u := range a.URLs {
			urls[i] = u
		}
		pkg["archive"] = map[string]any{"sha256": a.SHA256, "urls": urls, "debian": a.Debian}
	}
	vals := map[string]any{}
	for k, v := range v.Values {
		vals[k] = v
	}
	pkg["values"] = vals
	if options == nil {
		options = map[string]any{}
	}
	return map[string]any{
		"package": pkg, "version": v.Version, "platform": pl.Values(), "options": options,
		"env": map[string]any{}, "inputs": map[string]any{},
	}
}

func dedupe(in []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range in {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func describe(ref spec.DependencyRef) string {
	s := ref.Name
	if ref.Version != "" {
		s += " " + ref.Version
	}
	if ref.Range != "" {
		s += " " + ref.Range
	}
	var b strings.Builder
	for _, o := range ref.Options {
		b.WriteString("+" + o.Name)
		if o.Value != "" {
			b.WriteString("=" + o.Value)
		}
	}
	return s + b.String()
}

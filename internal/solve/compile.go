package solve

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Solver is a catalog read for solving: names are followed, ranges are sets of
// versions, and conditions are parsed. It answers for many platforms.
type Solver struct {
	cat      *spec.Catalog
	packages []*pack
	byName   map[string]*pack
	vars     []variable // of the packages, in their order; then of the options

	mu      sync.Mutex
	sites   map[Platform]*Site
	near    map[string]*neighbours
	circles map[Platform][]Platform // what lies around a platform
}

// variable is what the search decides: the version of a package, or the value
// of an option.
type variable struct {
	pack   *pack
	option string // "" for a package
	values []any  // of an option: bool or string
	usual  int    // of an option: the default
	// free is set for an option that takes any text. Its last two values stand
	// for texts that only a query names; more than two contradict each other anyhow.
	free bool
	full set
}

// absent is the value of a package that the target does not hold; its versions
// come after it, in the order of the file.
const absent = 0

// pack is a package, read for solving.
type pack struct {
	*spec.Package
	index    int // its variable
	rank     int // higher than that of all it may depend on
	options  []int
	requires requirement
	versions []edition
	newest   []int // values, newest first
	present  set   // all but absent
	needs    []*need
	dynamic  bool      // a need of it or of a version has a condition
	asked    []*clause // for a target that is its name alone
}

type edition struct {
	*spec.Version
	requires, prefers requirement
	needs             []*need
}

// need is an entry of depends, build.depends or conflicts.
type need struct {
	from     *pack
	when     set // versions of from
	ref      spec.DependencyRef
	to       *pack
	in       set // versions of to
	options  []choice
	build    bool
	conflict bool
	err      error // it cannot be read; lint says so, and so does the search that comes across it

	condition *expr.Template // nil: always
	onVersion bool           // the condition reads more than platform and options
	onOptions []int          // variables that the condition reads
	clauses   []*clause      // without a condition on versions or options
}

type choice struct {
	variable int
	in       set
}

// New reads a catalog.
func New(cat *spec.Catalog) *Solver {
	s := &Solver{cat: cat, byName: map[string]*pack{}, sites: map[Platform]*Site{}, near: map[string]*neighbours{}, circles: map[Platform][]Platform{}}
	names := make([]string, 0, len(cat.Packages))
	for n := range cat.Packages {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		p := &pack{Package: cat.Packages[n], index: i}
		p.requires = read(p.Requires)
		p.present = upTo(1, len(p.Versions)+1)
		for j := range p.Versions {
			v := &p.Versions[j]
			p.versions = append(p.versions, edition{Version: v, requires: read(v.Requires), prefers: read(v.Default)})
		}
		p.newest = newestFirst(p.Versions)
		s.packages, s.byName[n] = append(s.packages, p), p
		s.vars = append(s.vars, variable{pack: p, full: p.present.or(only(absent))})
	}
	for _, p := range s.packages {
		s.addOptions(p)
	}
	r := reader{s: s, ranges: map[string]set{}}
	for _, p := range s.packages {
		p.needs = append(r.needs(p, p.Depends, p.present, false, false), r.conflicts(p, p.Conflicts, p.present)...)
		if p.Build != nil {
			p.needs = append(p.needs, r.needs(p, p.Build.Depends, p.present, true, false)...)
		}
		for i := range p.versions {
			v := &p.versions[i]
			v.needs = append(r.needs(p, v.Depends, only(i+1), false, false), r.conflicts(p, v.Conflicts, only(i+1))...)
		}
	}
	for i := range s.vars {
		if v := &s.vars[i]; v.option != "" {
			if v.free {
				v.values = append(v.values, nil, nil)
			}
			v.full = upTo(0, len(v.values))
		}
	}
	for _, p := range s.packages {
		p.asked = []*clause{{terms: []term{{p.index, only(absent)}}, asked: &askedFor{to: p, ref: spec.DependencyRef{Name: p.Name}}}}
		for _, n := range p.all() {
			p.dynamic = p.dynamic || n.condition != nil
			n.read(s)
		}
	}
	s.rank()
	return s
}

// all lists the needs of a package and of its versions.
func (p *pack) all() []*need {
	out := append([]*need(nil), p.needs...)
	for i := range p.versions {
		out = append(out, p.versions[i].needs...)
	}
	return out
}

func newestFirst(versions []spec.Version) []int {
	out := make([]int, len(versions))
	parsed := make([]*version.PEP440, len(versions))
	for i := range versions {
		out[i] = i + 1
		if v, err := version.ParsePEP440(versions[i].Version); err == nil {
			parsed[i] = &v
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := parsed[out[i]-1], parsed[out[j]-1]
		return a != nil && b != nil && a.Compare(*b) > 0
	})
	return out
}

func (s *Solver) addOptions(p *pack) {
	names := make([]string, 0, len(p.Options))
	for n := range p.Options {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		o := p.Options[n]
		v := variable{pack: p, option: n}
		switch {
		case o.Type != "string":
			v.values = []any{false, true}
			if fmt.Sprint(o.Default) == "true" {
				v.usual = 1
			}
		default:
			usual := ""
			if o.Default != nil {
				usual = fmt.Sprint(o.Default)
			}
			v.values = []any{usual}
			for _, c := range o.Choices {
				if c != usual {
					v.values = append(v.values, c)
				}
			}
			v.free = len(o.Choices) == 0
		}
		p.options = append(p.options, len(s.vars))
		s.vars = append(s.vars, v)
	}
}

// value finds the value of an option that a choice names; it is added to an
// option that takes any text.
func (s *Solver) value(id int, text string) (set, bool) {
	v := &s.vars[id]
	var want any = text
	if _, isBool := v.values[0].(bool); isBool {
		want = text == "" || text == "true"
	}
	for i, have := range v.values {
		if have == want {
			return only(i), true
		}
	}
	return set{}, false
}

// reader reads dependencies.
type reader struct {
	s      *Solver
	ranges map[string]set // by package and range: most are written many times
}

func (r *reader) conflicts(p *pack, deps []spec.Dependency, when set) []*need {
	return r.needs(p, deps, when, false, true)
}

func (r *reader) needs(p *pack, deps []spec.Dependency, when set, build, conflict bool) []*need {
	var out []*need
	for _, d := range deps {
		n := &need{from: p, when: when, build: build, conflict: conflict}
		n.err = r.read(n, d)
		out = append(out, n)
	}
	return out
}

func (r *reader) read(n *need, d spec.Dependency) error {
	ref, err := spec.ParseDependency(d.Target)
	if err != nil {
		return fmt.Errorf("dependency of %s: %w", n.from.Name, err)
	}
	to, ok := r.s.cat.Canonical(spec.Target{Name: ref.Name, Version: ref.Version, Options: ref.Options})
	if !ok {
		return fmt.Errorf("%s depends on the unknown package %s", n.from.Name, ref.Name)
	}
	ref.Name, ref.Version, ref.Options = to.Name, to.Version, to.Options
	n.ref, n.to = ref, r.s.byName[to.Name]
	if n.in, err = r.versions(n.to, ref); err != nil {
		return fmt.Errorf("dependency of %s: %w", n.from.Name, err)
	}
	for _, c := range ref.Options {
		for _, id := range n.to.options {
			if v := &r.s.vars[id]; v.option == c.Name {
				if _, known := r.s.value(id, c.Value); !known && v.free {
					v.values = append(v.values, c.Value)
				}
			}
		}
	}
	if d.If == "" {
		return nil
	}
	if n.condition, err = expr.ParseCondition(d.If); err != nil {
		return fmt.Errorf("condition of %s's dependency %s: %w", n.from.Name, d.Target, err)
	}
	for _, path := range n.condition.Refs() {
		root, rest, _ := strings.Cut(path, ".")
		switch strings.ToLower(root) {
		case "platform":
		case "options":
			for _, id := range n.from.options {
				if rest == "" || strings.EqualFold(rest, r.s.vars[id].option) {
					n.onOptions = append(n.onOptions, id)
				}
			}
		default:
			n.onVersion = true
		}
	}
	return nil
}

// versions are those that a reference allows.
func (r *reader) versions(p *pack, ref spec.DependencyRef) (set, error) {
	key := p.Name + "\n" + ref.Version + "\n" + ref.Range
	if have, ok := r.ranges[key]; ok {
		return have, nil
	}
	in, err := p.matching(ref.Version, ref.Range)
	r.ranges[key] = in
	return in, err
}

// matching are the versions that a pin and a range allow; "" allows all.
func (p *pack) matching(pin, specifier string) (set, error) {
	if pin == "" && specifier == "" {
		return p.present, nil
	}
	var sp version.Specifier
	if specifier != "" {
		var err error
		if sp, err = version.ParseSpecifier(specifier); err != nil {
			return set{}, err
		}
	}
	var in set
	for i := range p.versions {
		text := p.versions[i].Version.Version
		if (pin == "" || version.MatchesPin(text, pin)) && (specifier == "" || sp.Contains(text)) {
			in = in.or(only(i + 1))
		}
	}
	return in, nil
}

// read makes the clauses of a need, once all options are known.
func (n *need) read(s *Solver) {
	if n.err != nil {
		return
	}
	for _, c := range n.ref.Options {
		for _, id := range n.to.options {
			if s.vars[id].option == c.Name {
				in, _ := s.value(id, c.Value)
				n.options = append(n.options, choice{id, in})
			}
		}
	}
	if !n.late() {
		n.clauses = n.clausesFor(s, []term{{n.from.index, n.when}})
	}
}

// late reports whether it takes the version or its options to know if the need
// applies.
func (n *need) late() bool { return n.onVersion || len(n.onOptions) > 0 }

// clausesFor are what a need says where the terms before it hold.
func (n *need) clausesFor(s *Solver, premise []term) []*clause {
	with := func(v int, in set) *clause {
		terms := append(make([]term, 0, len(premise)+1), premise...)
		if !in.equal(s.vars[v].full) { // a term that always holds says nothing
			terms = join(terms, term{v, in})
		}
		return &clause{terms: terms, need: n}
	}
	if n.conflict {
		c := with(n.to.index, n.in)
		for _, o := range n.options {
			c.terms = join(c.terms, term(o))
		}
		return []*clause{c}
	}
	out := []*clause{with(n.to.index, s.vars[n.to.index].full.minus(n.in))}
	for _, o := range n.options {
		out = append(out, with(o.variable, s.vars[o.variable].full.minus(o.in)))
	}
	return out
}

// rank orders packages so that each comes after all that it may depend on, and
// gives the options their sets.
func (s *Solver) rank() {
	next, state := 0, make([]int, len(s.packages))
	var place func(p *pack)
	place = func(p *pack) {
		if state[p.index] != 0 {
			return // placed, or a cycle, which lint reports
		}
		state[p.index] = 1
		for _, n := range p.all() {
			if n.err == nil && !n.conflict {
				place(n.to)
			}
		}
		p.rank, next = next, next+1
	}
	for _, p := range s.packages {
		place(p)
	}
}

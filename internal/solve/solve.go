// Package solve picks one version of every package that a target needs on a
// platform, or explains why there is none.
//
// A resolution honours `requires` (ranges over the platform and its stack),
// version pins and ranges of dependencies, conditional dependencies, options,
// and pins from outside. `default` is a preference, never a constraint:
// versions whose default holds come first, in file order, then the others,
// newest first. The search backtracks, in a fixed order: the same input gives
// the same answer. What only a build needs is part of the resolution, so that
// one version serves everywhere in a target.
package solve

import (
	"fmt"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Query asks for a resolution.
type Query struct {
	Targets  []spec.Target
	Platform Platform
	Pins     map[string]string // package -> version pin that holds wherever the package occurs
}

// Picked is one package of a resolution.
type Picked struct {
	Package *spec.Package
	Version *spec.Version
	Options map[string]any // every declared option, chosen or default
	Depends []string       // names of what it stands on, sorted
	Build   []string       // names of what only its build needs, sorted
}

// Resolution holds exactly one version per package.
type Resolution struct {
	Platform Platform
	Targets  []string // names of the packages asked for, in the order asked
	Packages map[string]*Picked
}

// Closure lists the packages that name stands on and itself, sorted by name;
// build-only packages are not part of it.
func (r *Resolution) Closure(names ...string) []string {
	seen := map[string]bool{}
	var walk func(string)
	walk = func(n string) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, d := range r.Packages[n].Depends {
			walk(d)
		}
	}
	for _, n := range names {
		walk(n)
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Strings(out)
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
		var list diag.List
		list.Errorf("unknown-package", diag.Position{}, "the catalog has no package %q", t.Name).Hint = diag.DidYouMean(t.Name, cat.Names())
		return t, nil, list.Err()
	}
	return to, cat.Packages[to.Name], nil
}

// Solve gives a resolution. The error is an *Impossible, diagnostics for a
// target that names what does not exist, or a failure of an expression.
func Solve(cat *spec.Catalog, q Query) (*Resolution, error) {
	r, err := attempt(cat, q)
	if imp, ok := err.(*Impossible); ok {
		imp.Nearest = nearest(cat, q)
	}
	return r, err
}

func attempt(cat *spec.Catalog, q Query) (*Resolution, error) {
	s := &search{cat: cat, q: q, picked: map[string]*Picked{}}
	var todo []demand
	res := &Resolution{Platform: q.Platform}
	for _, t := range q.Targets {
		to, p, err := Lookup(cat, t)
		if err != nil {
			return nil, err
		}
		res.Targets = append(res.Targets, p.Name)
		ref := spec.DependencyRef{Name: p.Name, Version: to.Version, Options: to.Options}
		if err := checkOptions(p, to.Options); err != nil {
			return nil, err
		}
		if err := knownVersion(p, to.Version); err != nil {
			return nil, err
		}
		todo = append(todo, demand{ref: ref})
	}
	ok, err := s.run(todo)
	if err != nil {
		return nil, err
	}
	if !ok {
		var names []string
		for _, t := range q.Targets {
			names = append(names, t.String())
		}
		return nil, &Impossible{Target: strings.Join(names, " "), Platform: q.Platform.String(), Reasons: s.reasons}
	}
	res.Packages = s.picked
	return res, nil
}

// demand is one dependency that waits to be met.
type demand struct {
	ref  spec.DependencyRef
	from string // the package that asks; "" is the user
}

type search struct {
	cat     *spec.Catalog
	q       Query
	picked  map[string]*Picked
	asked   []demand // demands met so far on the current path
	reasons []string // of the first dead end: the one nearest to what was asked
	steps   int
}

// maxSteps bounds the search; a real catalog needs a few steps per package.
const maxSteps = 200_000

func (s *search) run(todo []demand) (bool, error) {
	if len(todo) == 0 {
		return true, nil
	}
	if s.steps++; s.steps > maxSteps {
		return false, fmt.Errorf("solving: gave up after %d steps", maxSteps)
	}
	d, rest := todo[0], todo[1:]
	s.asked = append(s.asked, d)
	defer func() { s.asked = s.asked[:len(s.asked)-1] }()

	if have := s.picked[d.ref.Name]; have != nil {
		if why := s.refuses(have.Package, have.Version, d.ref); why != "" {
			s.dead(fmt.Sprintf("%s needs %s, and %s was already chosen as %s", s.who(d.from), describe(d.ref), d.ref.Name, have.Version.Version))
			return false, nil
		}
		if !sameOptions(have, d.ref.Options) {
			s.dead(fmt.Sprintf("%s needs %s, whose options differ from what the target already holds", s.who(d.from), describe(d.ref)))
			return false, nil
		}
		return s.run(rest)
	}

	p := s.cat.Packages[d.ref.Name]
	if p == nil {
		return false, fmt.Errorf("%s depends on the unknown package %s", s.who(d.from), d.ref.Name)
	}
	if ok, why := s.q.Platform.Meets(p.Requires); !ok {
		s.dead(fmt.Sprintf("%s is not possible on %s: %s%s", p.Name, s.q.Platform, why, s.because(d)))
		return false, nil
	}
	var refused []string
	for _, v := range s.candidates(p) {
		if why := s.refuses(p, v, d.ref); why != "" {
			refused = append(refused, why)
			continue
		}
		pick, next, err := s.pick(p, v, d.ref.Options)
		if err != nil {
			return false, err
		}
		s.picked[p.Name] = pick
		ok, err := s.run(append(append([]demand(nil), rest...), next...))
		if ok || err != nil {
			return ok, err
		}
		delete(s.picked, p.Name)
	}
	if len(refused) == len(p.Versions) {
		s.dead(fmt.Sprintf("%s%s", strings.Join(dedupe(refused), "; "), s.because(d)))
	}
	return false, nil
}

// dead records why a path ended; the first one is kept, because the search
// tries what is preferred first.
func (s *search) dead(reason string) {
	if len(s.reasons) == 0 {
		s.reasons = append(s.reasons, reason)
	}
}

func (s *search) who(from string) string {
	if from == "" {
		return "the target"
	}
	if p := s.picked[from]; p != nil {
		return from + " " + p.Version.Version
	}
	return from
}

func (s *search) because(d demand) string {
	if d.from == "" {
		return ""
	}
	return fmt.Sprintf(" (%s depends on it)", s.who(d.from))
}

// candidates lists the versions in the order of preference.
func (s *search) candidates(p *spec.Package) []*spec.Version {
	var preferred, others []*spec.Version
	for i := range p.Versions {
		v := &p.Versions[i]
		if v.Default != nil {
			if ok, _ := s.q.Platform.Meets(v.Default); ok {
				preferred = append(preferred, v)
				continue
			}
		}
		others = append(others, v)
	}
	sort.SliceStable(others, func(i, j int) bool {
		a, errA := version.ParsePEP440(others[i].Version)
		b, errB := version.ParsePEP440(others[j].Version)
		return errA == nil && errB == nil && a.Compare(b) > 0
	})
	return append(preferred, others...)
}

// refuses says why a version does not meet a demand, or "".
func (s *search) refuses(p *spec.Package, v *spec.Version, ref spec.DependencyRef) string {
	if ref.Version != "" && !version.MatchesPin(v.Version, ref.Version) {
		return fmt.Sprintf("%s %s is not the version asked for (%s)", p.Name, v.Version, ref.Version)
	}
	if ref.Range != "" {
		sp, err := version.ParseSpecifier(ref.Range)
		if err != nil || !sp.Contains(v.Version) {
			return fmt.Sprintf("%s %s is not in the range %s", p.Name, v.Version, ref.Range)
		}
	}
	if pin := s.q.Pins[p.Name]; pin != "" && !version.MatchesPin(v.Version, pin) {
		return fmt.Sprintf("%s %s is not the version pinned (%s)", p.Name, v.Version, pin)
	}
	if ok, why := s.q.Platform.Meets(v.Requires); !ok {
		return fmt.Sprintf("%s %s has no build for %s: %s", p.Name, v.Version, s.q.Platform, why)
	}
	return ""
}

// pick settles options and dependencies of a version.
func (s *search) pick(p *spec.Package, v *spec.Version, chosen []spec.OptionChoice) (*Picked, []demand, error) {
	pick := &Picked{Package: p, Version: v, Options: options(p, chosen)}
	values := Values(s.q.Platform, pick)
	var next []demand
	collect := func(deps []spec.Dependency, names *[]string) error {
		for _, dep := range deps {
			if dep.If != "" {
				holds, err := expr.Holds(dep.If, values)
				if err != nil {
					return fmt.Errorf("condition of %s's dependency %s: %w", p.Name, dep.Target, err)
				}
				if !holds {
					continue
				}
			}
			ref, err := spec.ParseDependency(dep.Target)
			if err != nil {
				return fmt.Errorf("dependency of %s: %w", p.Name, err)
			}
			to, q, err := Lookup(s.cat, spec.Target{Name: ref.Name, Version: ref.Version, Options: ref.Options})
			if err != nil {
				return err
			}
			ref.Name, ref.Version, ref.Options = q.Name, to.Version, to.Options
			*names = append(*names, ref.Name)
			next = append(next, demand{ref: ref, from: p.Name})
		}
		sort.Strings(*names)
		*names = dedupe(*names)
		return nil
	}
	if err := collect(append(append([]spec.Dependency(nil), p.Depends...), v.Depends...), &pick.Depends); err != nil {
		return nil, nil, err
	}
	if p.Build != nil {
		if err := collect(p.Build.Depends, &pick.Build); err != nil {
			return nil, nil, err
		}
	}
	return pick, next, nil
}

// Values are the contexts of expressions for a picked package.
func Values(pl Platform, p *Picked) map[string]any {
	pkg := map[string]any{"name": p.Package.Name, "version": p.Version.Version, "summary": p.Package.Summary, "group": p.Package.Group}
	if a := p.Version.Archive; a != nil {
		urls := make([]any, len(a.URLs))
		for i, u := range a.URLs {
			urls[i] = u
		}
		pkg["archive"] = map[string]any{"sha256": a.SHA256, "urls": urls, "debian": a.Debian}
	}
	vals := map[string]any{}
	for k, v := range p.Version.Values {
		vals[k] = v
	}
	pkg["values"] = vals
	return map[string]any{
		"package": pkg, "version": p.Version.Version, "platform": pl.Values(), "options": p.Options,
		"env": map[string]any{}, "inputs": map[string]any{},
	}
}

func describe(ref spec.DependencyRef) string {
	s := ref.Name
	if ref.Version != "" {
		s += " " + ref.Version
	}
	if ref.Range != "" {
		s += " " + ref.Range
	}
	for _, o := range ref.Options {
		s += "+" + o.Name
		if o.Value != "" {
			s += "=" + o.Value
		}
	}
	return s
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

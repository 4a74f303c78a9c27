package solve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// Why says why a package of a resolution has its version.
type Why struct {
	Package string   `json:"package"`
	Version string   `json:"version"`
	Reason  string   `json:"reason"`
	Refused []string `json:"refused,omitempty"` // preferred versions, each with what speaks against it
}

// Explain solves a query and gives the reasons: of what was asked for first, then
// of the others, each sorted by package. The error is as Solve's.
func (s *Solver) Explain(q Query) ([]Why, error) {
	r, err := s.Solve(q)
	if err != nil {
		return nil, err
	}
	t := s.At(q.Platform)
	asked := map[string]bool{}
	for _, c := range r.Targets {
		asked[c.Package.Name] = true
	}
	packages := Packages(r.Targets, true)
	slices.SortStableFunc(packages, func(a, b *Closure) int {
		return differ(asked[b.Package.Name]) - differ(asked[a.Package.Name])
	})
	askers := map[*Closure][]string{}
	for _, c := range packages {
		for _, d := range c.Depends {
			askers[d] = append(askers[d], c.Package.Name)
		}
		for _, d := range c.Build {
			askers[d] = append(askers[d], c.Package.Name+" to be built")
		}
	}
	var out []Why
	for _, c := range packages {
		w := Why{Package: c.Package.Name, Version: c.Version.Version}
		var reasons []string
		if asked[c.Package.Name] {
			reasons = append(reasons, "asked for")
		}
		if len(askers[c]) > 0 {
			reasons = append(reasons, "needed by "+strings.Join(askers[c], ", "))
		}
		w.Reason = strings.Join(reasons, " and ")
		p := s.byName[c.Package.Name]
		w.Refused = t.refused(q, p, c.Version, asked[p.Name])
		switch pin := q.Pins[p.Name]; {
		case pin != "":
			w.Reason += "; pinned to " + pin
		case len(w.Refused) > 0:
			w.Reason += "; the first version in the order of preference that fits"
		case c.Version.Default != nil:
			w.Reason += "; the default here"
		case len(c.Package.Versions) > 1:
			w.Reason += "; the newest"
		}
		out = append(out, w)
	}
	return out, nil
}

// refused are the versions that would have been preferred to the one taken,
// those with the same against them together. What is not asked for by name is
// told in short.
func (t *Site) refused(q Query, p *pack, taken *spec.Version, asked bool) []string {
	against, order := map[string]set{}, []string{}
	var elsewhere set
	for _, v := range t.packages[p.index].order {
		if p.versions[v-1].Version == taken {
			break
		}
		if !asked && !p.versions[v-1].requires.holds(t.Platform, &t.facts) {
			elsewhere = elsewhere.or(only(v))
			continue
		}
		why := t.whyNot(q, p, v)
		if against[why].empty() {
			order = append(order, why)
		}
		against[why] = against[why].or(only(v))
	}
	var out []string
	switch n := elsewhere.count(); {
	case n == 1:
		out = append(out, p.some(elsewhere)+": "+t.lacks(p, elsewhere.first()))
	case n > 1:
		out = append(out, p.some(elsewhere)+": they are for other platforms or stacks")
	}
	for _, why := range order {
		text := why
		if against[why].count() > 1 {
			text = strings.Replace(why, "it needs", "they need", 1)
		}
		out = append(out, p.some(against[why])+": "+text)
	}
	return out
}

// lacks says what a version needs that the platform does not have.
func (t *Site) lacks(p *pack, v int) string {
	return p.versions[v-1].requires.lacks(t.Platform, &t.facts)
}

// whyNot says what speaks against a version that would have been preferred, by
// asking for it.
func (t *Site) whyNot(q Query, p *pack, v int) string {
	if !p.versions[v-1].requires.holds(t.Platform, &t.facts) {
		return t.lacks(p, v)
	}
	if in, err := p.matching(q.Pins[p.Name], ""); err == nil && q.Pins[p.Name] != "" && !in.has(v) {
		return fmt.Sprintf("%s is pinned to %s", p.Name, q.Pins[p.Name])
	}
	for _, target := range q.Targets {
		if to, ok := t.solver.cat.Canonical(target); ok && to.Name == p.Name && to.Version != "" {
			if in, err := p.matching(to.Version, ""); err == nil && !in.has(v) {
				return to.Version + " was asked for"
			}
		}
	}
	exactly := &clause{terms: []term{{p.index, t.solver.vars[p.index].full.minus(only(v))}}, supposed: p}
	_, err := t.solve(q.Targets, q.Pins, exactly)
	var imp *Impossible
	if errors.As(err, &imp) {
		text := strings.Join(imp.Reasons, "; ")
		if needs, ok := strings.CutPrefix(text, p.some(only(v))+" needs "); ok {
			return "it needs " + needs
		}
		return text
	}
	return "what was decided before, by its own preference, does not go together with it"
}

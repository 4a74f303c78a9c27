package solve

import (
	"errors"
	"fmt"
	"strings"
)

// Why says why a package of a resolution has its version.
type Why struct {
	Package string   `json:"package"`
	Version string   `json:"version"`
	Reason  string   `json:"reason"`
	Refused []string `json:"refused,omitempty"` // preferred versions, each with what speaks against it
}

// Explain solves a query and gives the reasons, sorted by package. The error is
// as Solve's.
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
		var barred set
		for _, v := range t.packages[p.index].order {
			if p.versions[v-1].Version == c.Version {
				break
			}
			if !asked[p.Name] && !p.versions[v-1].requires.holds(t.Platform, &t.facts) {
				barred = barred.or(only(v))
				continue
			}
			w.Refused = append(w.Refused, t.whyNot(q, p, v))
		}
		switch n := barred.count(); {
		case n == 1:
			w.Refused = append([]string{t.bars(p, barred.first())}, w.Refused...)
		case n > 1:
			w.Refused = append([]string{p.some(barred) + ": they are for other platforms or stacks"}, w.Refused...)
		}
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

// whyNot says what speaks against a version that would have been preferred, by
// asking for it.
func (t *Site) whyNot(q Query, p *pack, v int) string {
	e := &p.versions[v-1]
	if !e.requires.holds(t.Platform, &t.facts) {
		return t.bars(p, v)
	}
	name := p.Name + " " + e.Version.Version
	if in, err := p.matching(q.Pins[p.Name], ""); err == nil && q.Pins[p.Name] != "" && !in.has(v) {
		return fmt.Sprintf("%s: it is pinned to %s", name, q.Pins[p.Name])
	}
	for _, target := range q.Targets {
		if to, ok := t.solver.cat.Canonical(target); ok && to.Name == p.Name && to.Version != "" {
			if in, err := p.matching(to.Version, ""); err == nil && !in.has(v) {
				return fmt.Sprintf("%s: %s was asked for", name, to.Version)
			}
		}
	}
	exactly := &clause{terms: []term{{p.index, t.solver.vars[p.index].full.minus(only(v))}}, supposed: p}
	_, err := t.solve(q.Targets, q.Pins, exactly)
	var imp *Impossible
	if errors.As(err, &imp) {
		return name + ": " + strings.Join(imp.Reasons, "; ")
	}
	return name + ": what was decided before it, by its own preference, does not go together with it"
}

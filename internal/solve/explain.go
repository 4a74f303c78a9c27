package solve

import (
	"sort"
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

// Explain solves a query and gives the reasons, sorted by package. The error is
// as Solve's.
func Explain(cat *spec.Catalog, q Query) ([]Why, error) {
	r, err := Solve(cat, q)
	if err != nil {
		return nil, err
	}
	s := &search{cat: cat, q: q}
	wanted, askers := demands(cat, q, r)
	var out []Why
	for name, p := range r.Packages {
		w := Why{Package: name, Version: p.Version.Version, Reason: "asked for"}
		if len(askers[name]) > 0 {
			w.Reason = "needed by " + strings.Join(askers[name], ", ")
		}
		for _, v := range s.candidates(p.Package) {
			if v == p.Version {
				break
			}
			w.Refused = append(w.Refused, s.against(p.Package, v, wanted[name]))
		}
		switch {
		case len(w.Refused) > 0:
			w.Reason += "; the first version in the order of preference that fits"
		case p.Version.Default != nil:
			w.Reason += "; the default here"
		case len(p.Package.Versions) > 1:
			w.Reason += "; the newest"
		}
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Package < out[j].Package })
	return out, nil
}

// against says what speaks against a version.
func (s *search) against(p *spec.Package, v *spec.Version, wanted []spec.DependencyRef) string {
	for _, ref := range append([]spec.DependencyRef{{Name: p.Name}}, wanted...) {
		if why := s.refuses(p, v, ref); why != "" {
			return why
		}
	}
	return p.Name + " " + v.Version + " does not go together with the other packages"
}

// demands lists what is asked of each package, and by whom.
func demands(cat *spec.Catalog, q Query, r *Resolution) (map[string][]spec.DependencyRef, map[string][]string) {
	wanted, askers := map[string][]spec.DependencyRef{}, map[string][]string{}
	for _, t := range q.Targets {
		if to, p, err := Lookup(cat, t); err == nil {
			wanted[p.Name] = append(wanted[p.Name], spec.DependencyRef{Name: p.Name, Version: to.Version})
		}
	}
	names := make([]string, 0, len(r.Packages))
	for n := range r.Packages {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		p := r.Packages[n]
		deps := append(append([]spec.Dependency(nil), p.Package.Depends...), p.Version.Depends...)
		if p.Package.Build != nil {
			deps = append(deps, p.Package.Build.Depends...)
		}
		for _, d := range deps {
			ref, err := spec.ParseDependency(d.Target)
			if err != nil {
				continue
			}
			to, dep, err := Lookup(cat, spec.Target{Name: ref.Name, Version: ref.Version})
			if err != nil || r.Packages[dep.Name] == nil {
				continue
			}
			ref.Version = to.Version
			wanted[dep.Name] = append(wanted[dep.Name], ref)
			askers[dep.Name] = append(askers[dep.Name], n)
		}
	}
	return wanted, askers
}

package resolve

import (
	"slices"

	"github.com/jetcrate/jetcrate/internal/table"
)

// Compose looks for images that run on the host and together hold packages that
// no single image does. They are for one platform, and where two of them hold a
// package they hold one version of it. It gives the first such set in the order
// of the candidates, or none.
func Compose(src Source, q Query) ([]Candidate, error) {
	if len(q.Packages) < 2 {
		return nil, nil
	}
	wanted, err := newWeigher(src, q).catalog.expand(q.Packages)
	if err != nil {
		return nil, err
	}
	q.Packages = wanted
	lists := make([][]Candidate, len(q.Packages))
	for i, want := range q.Packages {
		alone := q
		alone.Packages, alone.Local, alone.All = []Wanted{want}, nil, true
		a, err := Choose(src, alone)
		if err != nil {
			return nil, err
		}
		for _, c := range a.Candidates {
			if c.Verdict == Yes && c.Row.Image != nil {
				lists[i] = append(lists[i], c)
			}
		}
		if len(lists[i]) == 0 {
			return nil, nil
		}
	}
	for _, first := range lists[0] {
		if set := complete([]Candidate{first}, lists); set != nil {
			return set, nil
		}
	}
	return nil, nil
}

// complete adds the first candidate for each package that the set lacks.
func complete(set []Candidate, lists [][]Candidate) []Candidate {
	for _, list := range lists {
		has := func(c Candidate) bool {
			return slices.ContainsFunc(list, func(x Candidate) bool { return x.Digest == c.Digest })
		}
		if slices.ContainsFunc(set, has) {
			continue
		}
		at := slices.IndexFunc(list, func(c Candidate) bool { return fits(set, c.Row) })
		if at < 0 {
			return nil
		}
		set = append(set, list[at])
	}
	if len(set) < 2 {
		return nil // a single image has them all: that is Choose's answer
	}
	return set
}

// fits reports whether an image goes with all of a set.
func fits(set []Candidate, r *table.Row) bool {
	for _, c := range set {
		if c.Row.Platform.String() != r.Platform.String() || c.Row.Platform.Testbed != r.Platform.Testbed {
			return false
		}
		for _, p := range r.Packages {
			if q, ok := c.Row.Package(p.Name); ok && q.Version != p.Version {
				return false
			}
		}
	}
	return true
}

package plan

import (
	"sort"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// order gives every package of the catalog its place in all chains:
// dependencies first, then what most packages stand on, then the name. It reads
// every dependency of every version, whatever its condition, so that it does
// not depend on the target.
func order(cat *spec.Catalog) map[string]int {
	names := make([]string, 0, len(cat.Packages))
	for n := range cat.Packages {
		names = append(names, n)
	}
	sort.Strings(names)

	deps := map[string][]string{}
	for _, n := range names {
		p := cat.Packages[n]
		all := append([]spec.Dependency(nil), p.Depends...)
		for _, v := range p.Versions {
			all = append(all, v.Depends...)
		}
		seen := map[string]bool{}
		for _, d := range all {
			ref, err := spec.ParseDependency(d.Target)
			if err != nil {
				continue // the catalog was checked; an unreadable one orders nothing
			}
			_, q, err := solve.Lookup(cat, spec.Target{Name: ref.Name, Version: ref.Version})
			if err != nil || q.Name == n || seen[q.Name] {
				continue
			}
			seen[q.Name] = true
			deps[n] = append(deps[n], q.Name)
		}
	}

	shared := map[string]int{} // how many packages stand on it
	for _, n := range names {
		seen := map[string]bool{}
		var walk func(string)
		walk = func(m string) {
			for _, d := range deps[m] {
				if !seen[d] {
					seen[d] = true
					shared[d]++
					walk(d)
				}
			}
		}
		walk(n)
	}

	sort.SliceStable(names, func(i, j int) bool { return shared[names[i]] > shared[names[j]] })
	rank := map[string]int{}
	open := map[string]bool{}
	var place func(string)
	place = func(n string) {
		if _, done := rank[n]; done || open[n] {
			return
		}
		open[n] = true
		below := append([]string(nil), deps[n]...)
		sort.Slice(below, func(i, j int) bool {
			if a, b := shared[below[i]], shared[below[j]]; a != b {
				return a > b
			}
			return below[i] < below[j]
		})
		for _, d := range below {
			place(d)
		}
		rank[n] = len(rank)
	}
	for _, n := range names {
		place(n)
	}
	return rank
}

package plan

import (
	"cmp"
	"slices"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// order gives every package that is possible on a platform its place in all
// chains there: dependencies first, then what most packages stand on, then the
// name; then stacked packages move to where the fewest layers are laid. It reads
// the dependencies of every version that is possible, so that it does not depend
// on the target.
func order(cat *spec.Catalog, t *solve.Site) (map[string]int, error) {
	deps, err := t.Dependencies()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(deps))
	for n := range deps {
		names = append(names, n)
	}
	slices.Sort(names)

	index := make(map[string]int, len(names))
	for i, n := range names {
		index[n] = i
	}
	below := make([][]int, len(names))
	for i, n := range names {
		for _, d := range deps[n] {
			below[i] = append(below[i], index[d])
		}
	}
	stacks := make([]bool, len(names))
	for i, n := range names {
		stacks[i] = mayStack(cat, cat.Packages[n])
	}
	shared := make([]int, len(names))     // how many packages stand on it
	closures := make([][]int, len(names)) // the stacked ones
	seen := make([]int, len(names))
	var walk func(from, i int)
	walk = func(from, i int) {
		seen[i] = from + 1
		if stacks[i] {
			closures[from] = append(closures[from], i)
		}
		for _, d := range below[i] {
			if seen[d] != from+1 {
				shared[d]++
				walk(from, d)
			}
		}
	}
	for i := range names {
		walk(i, i)
	}

	more := func(a, b int) int { return cmp.Or(cmp.Compare(shared[b], shared[a]), cmp.Compare(a, b)) }
	sorted := make([]int, len(names))
	for i := range sorted {
		sorted[i] = i
		slices.SortFunc(below[i], more)
	}
	slices.SortFunc(sorted, more)
	first := topological(sorted, below)
	var chain []int
	for _, i := range first {
		if stacks[i] {
			chain = append(chain, i)
		}
	}
	chain = newChains(chain, len(names), closures).improve()
	rank := make(map[string]int, len(names))
	for _, i := range topological(append(chain, first...), below) {
		rank[names[i]] = len(rank)
	}
	return rank, nil
}

// topological puts packages after what they stand on; the order given decides
// the rest.
func topological(given []int, below [][]int) []int {
	out := make([]int, 0, len(below))
	open := make([]bool, len(below))
	var place func(int)
	place = func(i int) {
		if open[i] {
			return
		}
		open[i] = true
		for _, d := range below[i] {
			place(d)
		}
		out = append(out, i)
	}
	for _, i := range given {
		place(i)
	}
	return out
}

// mayStack reports whether some target may get a stacked layer of a package.
func mayStack(cat *spec.Catalog, p *spec.Package) bool {
	if p.Dockerfile != "" {
		return true
	}
	if p.Install == nil {
		return false
	}
	for _, st := range p.Install.Steps {
		if def := cat.Steps[st.Uses]; def == nil || !def.Linked {
			return true
		}
	}
	return false
}

package plan

import "slices"

// chains improves an order of stacked packages: it moves one at a time to where
// the fewest layers have to be laid for every package alone.
//
// A layer is laid once for each set of packages below it, so only packages that
// closures mix matter: of two neighbours x, y that do not depend on each other,
// x first costs the sets below x, wherever x is, and those below y apart from
// closures with and without x; y first costs the same the other way round.
type chains struct {
	closures [][]int // the stacked packages of each package's closure
	members  [][]int // by package: the closures that hold it
	order    []int   // packages
	place    []int   // by package
	budget   int     // looks at a closure that are left
}

// chainBudget bounds the work for a platform; a catalog of a hundred packages
// needs a tenth of it.
const chainBudget = 40_000

func newChains(order []int, packages int, closures [][]int) *chains {
	c := &chains{closures: closures, order: order, members: make([][]int, packages), place: make([]int, packages), budget: chainBudget}
	for i, list := range closures {
		for _, p := range list {
			c.members[p] = append(c.members[p], i)
		}
	}
	for i, p := range order {
		c.place[p] = i
	}
	return c
}

// improve moves each package once, those that most stand on first.
func (c *chains) improve() []int {
	for _, x := range slices.Clone(c.order) {
		if c.budget <= 0 {
			break
		}
		start := c.place[x]
		best, at := 0, start
		for _, step := range []int{1, -1} {
			cost := 0
			for c.budget > 0 {
				k := c.place[x]
				if k+step < 0 || k+step >= len(c.order) {
					break
				}
				low, high := x, c.order[k+step]
				if step < 0 {
					low, high = high, low
				}
				if c.standsOn(high, low) {
					break
				}
				cost += c.gain(low, high)
				c.swap(k, k+step)
				if cost < best {
					best, at = cost, c.place[x]
				}
			}
			c.move(x, start)
		}
		c.move(x, at)
	}
	return c.order
}

func (c *chains) swap(i, j int) {
	c.order[i], c.order[j] = c.order[j], c.order[i]
	c.place[c.order[i]], c.place[c.order[j]] = i, j
}

func (c *chains) move(x, to int) {
	for c.place[x] < to {
		c.swap(c.place[x], c.place[x]+1)
	}
	for c.place[x] > to {
		c.swap(c.place[x], c.place[x]-1)
	}
}

// standsOn reports whether a package has another in its closure. The closure of
// a package is the one that it ends in; every closure that holds it holds all
// of that one.
func (c *chains) standsOn(p, below int) bool {
	for _, i := range c.members[p] {
		if !slices.Contains(c.closures[i], below) {
			return false
		}
	}
	return true
}

// gain is how many layers more it takes if two neighbours change places.
func (c *chains) gain(low, high int) int {
	k := c.place[low]
	var both, onlyLow, onlyHigh []uint64
	for _, i := range c.members[low] {
		if slices.Contains(c.closures[i], high) {
			both = append(both, c.below(i, k))
		} else {
			onlyLow = append(onlyLow, c.below(i, k))
		}
	}
	for _, i := range c.members[high] {
		if !slices.Contains(c.closures[i], low) {
			onlyHigh = append(onlyHigh, c.below(i, k))
		}
	}
	before := distinct(onlyLow, both) + distinct(onlyHigh)
	after := distinct(onlyHigh, both) + distinct(onlyLow)
	return after - before
}

// below names the set of a closure's packages whose place is before k.
func (c *chains) below(closure, k int) uint64 {
	c.budget--
	var name uint64
	for _, p := range c.closures[closure] {
		if c.place[p] < k {
			name ^= scatter(uint64(p) + 1)
		}
	}
	return name
}

// scatter is the finalizer of splitmix64: sets whose elements' values differ in
// all bits have different sums.
func scatter(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func distinct(lists ...[]uint64) int {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return len(slices.Compact(all))
}

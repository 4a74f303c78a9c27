// Package matrix turns the axes of a matrix into its cells, as GitHub Actions
// does (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrix).
//
// Expand is that rule alone. All combinations of the axes come first, the first
// axis varying slowest; a combination goes if it has every value of an exclude
// entry. Then each include entry, in order, is added to every combination of the
// axes whose axis values it does not change, though it may change what an
// earlier entry added; an entry that fits none is a combination of its own,
// which no later entry is added to.
// Cells applies it to matrix.yaml: every cell names one L4T release, flavour,
// CUDA and Python that a platform of the matrix offers, and each cell is there once.
package matrix

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	// MaxCombinations bounds the combinations of the axes, before exclude.
	MaxCombinations = 100_000
	// maxComparisons bounds combinations times entries of include and exclude.
	maxComparisons = 50_000_000
)

// AxisOf is a name and the values that it takes.
type AxisOf[V any] struct {
	Name   string
	Values []V
}

// Axis is an axis of texts.
type Axis = AxisOf[string]

// ValueOf is the value of one name in a combination.
type ValueOf[V any] struct {
	Name  string
	Value V
}

// Value is a text of a combination.
type Value = ValueOf[string]

// Combination is one cell of a matrix: the axes in their order, then what
// include added, in the order of its entries and of the names in each.
type Combination []Value

// Get returns the value of a name.
func (c Combination) Get(name string) (string, bool) {
	for _, v := range c {
		if v.Name == name {
			return v.Value, true
		}
	}
	return "", false
}

// has reports whether a combination has every value of an entry.
func (c Combination) has(entry map[string]string) bool {
	for name, value := range entry {
		if got, ok := c.Get(name); !ok || got != value {
			return false
		}
	}
	return true
}

// ID names a combination for people and for files: fruit=apple,animal=cat. Two
// combinations of a matrix have the same ID only if they are the same.
func (c Combination) ID() string {
	texts := make([]string, len(c))
	for i, v := range c {
		texts[i] = quoted(v.Name) + "=" + quoted(v.Value)
	}
	return strings.Join(texts, ",")
}

// quoted leaves a text alone unless it could be read in two ways.
func quoted(s string) string {
	if q := strconv.Quote(s); strings.ContainsAny(s, `,="`) || len(q) != len(s)+2 {
		return q
	}
	return s
}

// Expand returns the combinations of a matrix. An error means that the matrix is
// too large, has two axes of one name or an axis without values, or that
// exclude names what is no axis.
func Expand(axes []Axis, include, exclude []map[string]string) ([]Combination, error) {
	all, err := ExpandAny(axes, ordered(include), ordered(exclude), func(want, have string) bool { return want == have })
	combinations := make([]Combination, len(all))
	for i := range all {
		combinations[i] = all[i]
	}
	return combinations, err
}

// ordered gives the entries of include and exclude an order: their names'.
func ordered(entries []map[string]string) [][]Value {
	out := make([][]Value, len(entries))
	for i, entry := range entries {
		for _, name := range slices.Sorted(maps.Keys(entry)) {
			out[i] = append(out[i], Value{name, entry[name]})
		}
	}
	return out
}

// ExpandAny is Expand for values of any type. fits says whether what an entry of
// include or exclude wants is what a combination has.
func ExpandAny[V any](axes []AxisOf[V], include, exclude [][]ValueOf[V], fits func(want, have V) bool) ([][]ValueOf[V], error) {
	total, err := count(axes)
	if err != nil {
		return nil, err
	}
	if n := len(include) + len(exclude); n > 0 && total > maxComparisons/n {
		return nil, fmt.Errorf("the matrix has %d combinations and %d entries of include and exclude; leave out some of either", total, n)
	}
	for i, entry := range exclude {
		for _, v := range entry {
			if !isAxis(axes, v.Name) {
				return nil, fmt.Errorf("exclude[%d] names %q, which is no axis of the matrix", i, v.Name)
			}
		}
	}
	combinations := product(axes, total)
	combinations = slices.DeleteFunc(combinations, func(c []ValueOf[V]) bool {
		return slices.ContainsFunc(exclude, func(entry []ValueOf[V]) bool {
			return len(entry) > 0 && fitsAxes(c, entry, fits) // one without values names no combination
		})
	})
	var added [][]ValueOf[V]
	for _, entry := range include {
		found := false
		for i, c := range combinations {
			if !fitsAxes(c[:len(axes)], entry, fits) {
				continue
			}
			found = true
			for _, v := range entry {
				if !isAxis(axes, v.Name) {
					set(&c, v)
				}
			}
			combinations[i] = c
		}
		if !found {
			added = append(added, alone(axes, entry))
		}
	}
	return append(combinations, added...), nil
}

// set replaces or adds a value.
func set[V any](c *[]ValueOf[V], v ValueOf[V]) {
	for i := range *c {
		if (*c)[i].Name == v.Name {
			(*c)[i] = v
			return
		}
	}
	*c = append(*c, v)
}

// count returns the number of combinations before exclude.
func count[V any](axes []AxisOf[V]) (int, error) {
	if len(axes) == 0 {
		return 0, nil
	}
	total := 1
	for i, a := range axes {
		if isAxis(axes[:i], a.Name) {
			return 0, fmt.Errorf("the matrix has the axis %q twice", a.Name)
		}
		if len(a.Values) == 0 {
			return 0, fmt.Errorf("the axis %q has no values", a.Name)
		}
		if len(a.Values) > MaxCombinations/total {
			return 0, fmt.Errorf("the matrix has more than %d combinations", MaxCombinations)
		}
		total *= len(a.Values)
	}
	return total, nil
}

func isAxis[V any](axes []AxisOf[V], name string) bool {
	return slices.ContainsFunc(axes, func(a AxisOf[V]) bool { return a.Name == name })
}

// product is every combination of the axes, the last varying fastest.
func product[V any](axes []AxisOf[V], total int) [][]ValueOf[V] {
	combinations := make([][]ValueOf[V], 0, total)
	for n := range total {
		c := make([]ValueOf[V], len(axes))
		rest := n
		for i := len(axes) - 1; i >= 0; i-- {
			values := axes[i].Values
			c[i] = ValueOf[V]{axes[i].Name, values[rest%len(values)]}
			rest /= len(values)
		}
		combinations = append(combinations, c)
	}
	return combinations
}

// fitsAxes reports whether a combination of the axes has every value that an
// entry gives to one of them.
func fitsAxes[V any](axes, entry []ValueOf[V], fits func(want, have V) bool) bool {
	for _, want := range entry {
		for _, have := range axes {
			if have.Name == want.Name && !fits(want.Value, have.Value) {
				return false
			}
		}
	}
	return true
}

// alone is an include entry as a combination: axes first, in their order.
func alone[V any](axes []AxisOf[V], entry []ValueOf[V]) []ValueOf[V] {
	var c []ValueOf[V]
	for _, a := range axes {
		for _, v := range entry {
			if v.Name == a.Name {
				c = append(c, v)
			}
		}
	}
	for _, v := range entry {
		if !isAxis(axes, v.Name) {
			set(&c, v)
		}
	}
	return c
}

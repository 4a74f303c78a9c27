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

// Axis is a name and the values that it takes.
type Axis struct {
	Name   string
	Values []string
}

// Value is the value of one name in a combination.
type Value struct{ Name, Value string }

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

// set replaces or adds a value.
func (c *Combination) set(name, value string) {
	for i := range *c {
		if (*c)[i].Name == name {
			(*c)[i].Value = value
			return
		}
	}
	*c = append(*c, Value{name, value})
}

// Expand returns the combinations of a matrix. An error means that the matrix is
// too large, has two axes of one name or an axis without values, or that
// exclude names what is no axis.
func Expand(axes []Axis, include, exclude []map[string]string) ([]Combination, error) {
	total, err := count(axes)
	if err != nil {
		return nil, err
	}
	if n := len(include) + len(exclude); n > 0 && total > maxComparisons/n {
		return nil, fmt.Errorf("the matrix has %d combinations and %d entries of include and exclude; leave out some of either", total, n)
	}
	for i, entry := range exclude {
		for _, name := range slices.Sorted(maps.Keys(entry)) {
			if !isAxis(axes, name) {
				return nil, fmt.Errorf("exclude[%d] names %q, which is no axis of the matrix", i, name)
			}
		}
	}
	combinations := product(axes, total)
	combinations = slices.DeleteFunc(combinations, func(c Combination) bool {
		return slices.ContainsFunc(exclude, func(entry map[string]string) bool { return matches(c, entry) })
	})
	var added []Combination
	for _, entry := range include {
		names := slices.Sorted(maps.Keys(entry))
		fits := false
		for i, c := range combinations {
			if !keepsAxes(c[:len(axes)], entry) {
				continue
			}
			fits = true
			for _, name := range names {
				c.set(name, entry[name])
			}
			combinations[i] = c
		}
		if !fits {
			added = append(added, ordered(axes, entry, names))
		}
	}
	return append(combinations, added...), nil
}

// count returns the number of combinations before exclude.
func count(axes []Axis) (int, error) {
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

func isAxis(axes []Axis, name string) bool {
	return slices.ContainsFunc(axes, func(a Axis) bool { return a.Name == name })
}

// product is every combination of the axes, the last varying fastest.
func product(axes []Axis, total int) []Combination {
	combinations := make([]Combination, 0, total)
	for n := range total {
		c := make(Combination, len(axes))
		rest := n
		for i := len(axes) - 1; i >= 0; i-- {
			values := axes[i].Values
			c[i] = Value{axes[i].Name, values[rest%len(values)]}
			rest /= len(values)
		}
		combinations = append(combinations, c)
	}
	return combinations
}

// matches reports whether a combination has every value of an entry. An entry
// without values matches nothing: it names no combination.
func matches(c Combination, entry map[string]string) bool {
	for name, value := range entry {
		if got, ok := c.Get(name); !ok || got != value {
			return false
		}
	}
	return len(entry) > 0
}

// keepsAxes reports whether an include entry changes none of the axis values.
func keepsAxes(axes []Value, entry map[string]string) bool {
	for _, a := range axes {
		if value, ok := entry[a.Name]; ok && value != a.Value {
			return false
		}
	}
	return true
}

// ordered is an include entry as a combination: axes first, in their order.
func ordered(axes []Axis, entry map[string]string, names []string) Combination {
	var c Combination
	for _, a := range axes {
		if value, ok := entry[a.Name]; ok {
			c.set(a.Name, value)
		}
	}
	for _, name := range names {
		c.set(name, entry[name])
	}
	return c
}

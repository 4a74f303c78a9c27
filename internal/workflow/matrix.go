package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/matrix"
)

// maxMatrix is GitHub's limit of jobs of one matrix.
const maxMatrix = 256

// Matrix is strategy.matrix. Any of its values may hold expressions; the whole,
// an axis, include and exclude may be one.
type Matrix struct {
	Expr    string // the whole
	Axes    []Vector
	Include *Vector
	Exclude *Vector
}

// Vector is an axis, or the entries of include or exclude.
type Vector struct {
	Name   string
	Expr   string // gives all values
	Values []any  // nil, bool, float64, string, []any, and Object for a map
}

// Object is a map in the order of its keys in the file.
type Object []matrix.ValueOf[any]

// UnmarshalJSON takes nothing: the order of keys matters, which fill reads.
func (*Matrix) UnmarshalJSON([]byte) error { return nil }

// cell is one job of a matrix.
type cell struct {
	values []matrix.ValueOf[any]
	label  string // the values that GitHub puts behind the job's name
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func keys(n *yaml.Node) []string {
	var out []string
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, n.Content[i].Value)
		}
	}
	return out
}

func readMatrix(n *yaml.Node) *Matrix {
	if n.Kind == yaml.ScalarNode {
		return &Matrix{Expr: n.Value}
	}
	m := &Matrix{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := Vector{Name: n.Content[i].Value}
		value := n.Content[i+1]
		if value.Kind == yaml.ScalarNode {
			v.Expr = value.Value
		} else {
			v.Values, _ = plainValue(value).([]any)
		}
		switch v.Name {
		case "include":
			m.Include = &v
		case "exclude":
			m.Exclude = &v
		default:
			m.Axes = append(m.Axes, v)
		}
	}
	return m
}

// plainValue is a YAML value as GitHub types it.
func plainValue(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		o := Object{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			o = append(o, matrix.ValueOf[any]{Name: n.Content[i].Value, Value: plainValue(n.Content[i+1])})
		}
		return o
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, plainValue(c))
		}
		return l
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return f
		}
		if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return float64(i)
		}
	}
	return n.Value
}

// evaluate replaces the expressions in a value.
func evaluate(v any, c *contexts) (any, error) {
	switch v := v.(type) {
	case string:
		return c.value(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = evaluate(v[i], c); err != nil {
				return nil, err
			}
		}
		return out, nil
	case Object:
		out := make(Object, len(v))
		for i := range v {
			value, err := evaluate(v[i].Value, c)
			if err != nil {
				return nil, err
			}
			out[i] = matrix.ValueOf[any]{Name: v[i].Name, Value: value}
		}
		return out, nil
	}
	return v, nil
}

// ordered gives maps that came out of an expression an order: their keys'.
func ordered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		o := Object{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			o = append(o, matrix.ValueOf[any]{Name: k, Value: ordered(v[k])})
		}
		return o
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = ordered(v[i])
		}
		return out
	}
	return v
}

// native is a value as expressions know it.
func native(v any) any {
	switch v := v.(type) {
	case Object:
		m := map[string]any{}
		for _, e := range v {
			m[e.Name] = native(e.Value)
		}
		return m
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = native(v[i])
		}
		return out
	}
	return v
}

// fits is how GitHub compares what include and exclude want with what a
// combination has: every scalar of it with ==, so that a part of a map fits.
func fits(want, have any) bool {
	switch want := want.(type) {
	case Object:
		o, _ := have.(Object)
		for _, w := range want {
			i := slices.IndexFunc(o, func(h matrix.ValueOf[any]) bool { return strings.EqualFold(h.Name, w.Name) })
			if i < 0 {
				if !fits(w.Value, nil) {
					return false
				}
			} else if !fits(w.Value, o[i].Value) {
				return false
			}
		}
		return true
	case []any:
		l, _ := have.([]any)
		for i := range want {
			var h any
			if i < len(l) {
				h = l[i]
			}
			if !fits(want[i], h) {
				return false
			}
		}
		return true
	}
	return expr.Equal(want, native(have))
}

// expand returns the combinations of a matrix, in GitHub's order.
func (m *Matrix) expand(c *contexts) ([]cell, error) {
	if m.Expr != "" {
		v, err := c.value(m.Expr)
		if err != nil {
			return nil, err
		}
		o, ok := ordered(v).(Object)
		if !ok {
			return nil, fmt.Errorf("matrix: the expression gives %s, not a map", kindOf(v))
		}
		fixed := &Matrix{}
		for _, e := range o {
			values, ok := e.Value.([]any)
			if !ok {
				return nil, fmt.Errorf("matrix: %s is %s, not a list", e.Name, kindOf(native(e.Value)))
			}
			vector := Vector{Name: e.Name, Values: values}
			switch e.Name {
			case "include":
				fixed.Include = &vector
			case "exclude":
				fixed.Exclude = &vector
			default:
				fixed.Axes = append(fixed.Axes, vector)
			}
		}
		return fixed.combine()
	}
	fixed := &Matrix{}
	for _, axis := range m.Axes {
		v, err := axis.evaluate(c)
		if err != nil {
			return nil, err
		}
		fixed.Axes = append(fixed.Axes, *v)
	}
	for _, e := range []struct{ from, to **Vector }{{&m.Include, &fixed.Include}, {&m.Exclude, &fixed.Exclude}} {
		if *e.from == nil {
			continue
		}
		v, err := (*e.from).evaluate(c)
		if err != nil {
			return nil, err
		}
		*e.to = v
	}
	return fixed.combine()
}

func (v Vector) evaluate(c *contexts) (*Vector, error) {
	var raw any = v.Values
	if v.Expr != "" {
		raw = v.Expr
	}
	value, err := evaluate(raw, c)
	if err != nil {
		return nil, fmt.Errorf("matrix: %s: %w", v.Name, err)
	}
	values, ok := ordered(value).([]any)
	if !ok {
		return nil, fmt.Errorf("matrix: %s is %s, not a list", v.Name, kindOf(value))
	}
	for i := range values {
		values[i] = ordered(values[i])
	}
	return &Vector{Name: v.Name, Values: values}, nil
}

// combine expands a matrix without expressions.
func (m *Matrix) combine() ([]cell, error) {
	var axes []matrix.AxisOf[any]
	for _, a := range m.Axes {
		axes = append(axes, matrix.AxisOf[any]{Name: a.Name, Values: a.Values})
	}
	entries := func(v *Vector) ([][]matrix.ValueOf[any], error) {
		if v == nil {
			return nil, nil
		}
		var out [][]matrix.ValueOf[any]
		for i, value := range v.Values {
			o, ok := value.(Object)
			if !ok || len(o) == 0 {
				return nil, fmt.Errorf("matrix: %s[%d] must be a map with at least one value", v.Name, i)
			}
			entry := slices.Clone(o)
			for j := range entry { // keys are the same whatever their case
				for _, a := range axes {
					if strings.EqualFold(entry[j].Name, a.Name) {
						entry[j].Name = a.Name
					}
				}
			}
			out = append(out, entry)
		}
		return out, nil
	}
	include, err := entries(m.Include)
	if err != nil {
		return nil, err
	}
	exclude, err := entries(m.Exclude)
	if err != nil {
		return nil, err
	}
	all, err := matrix.ExpandAny(axes, include, exclude, fits)
	if err != nil {
		return nil, fmt.Errorf("matrix: %w", err)
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("matrix: no combination is left")
	case len(all) > maxMatrix:
		return nil, fmt.Errorf("matrix: it makes %d jobs; GitHub's limit is %d", len(all), maxMatrix)
	}
	// What include adds to a combination of the axes is not in its name; a
	// combination of its own is named whole.
	axed, err := matrix.ExpandAny(axes, nil, exclude, fits)
	if err != nil {
		return nil, fmt.Errorf("matrix: %w", err)
	}
	cells := make([]cell, len(all))
	for i, values := range all {
		cells[i] = cell{values: values, label: label(values)}
		if i < len(axed) {
			cells[i].label = label(values[:len(axes)])
		}
	}
	return cells, nil
}

// label is the scalars of a combination as GitHub writes them behind a job's name.
func label(values []matrix.ValueOf[any]) string {
	var parts []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case nil:
		case Object:
			for _, e := range v {
				walk(e.Value)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		default:
			if s, err := expr.Text(v); err == nil && s != "" {
				parts = append(parts, s)
			}
		}
	}
	for _, v := range values {
		walk(v.Value)
	}
	return strings.Join(parts, ", ")
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "true or false"
	case float64:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	}
	return "a map"
}

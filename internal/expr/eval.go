package expr

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// evaluator computes one expression.
type evaluator struct {
	values    map[string]any
	functions []function
	read      map[string]any // normalised contexts by lower-case name, so that a list stays the same list
}

func (e *evaluator) eval(n node) (any, error) {
	switch n := n.(type) {
	case *literal:
		return n.value, nil
	case *name:
		return e.context(n.text)
	case *index:
		of, err := e.eval(n.of)
		if err != nil {
			return nil, err
		}
		key, err := e.eval(n.key)
		if err != nil {
			return nil, err
		}
		return element(of, key), nil
	case *filter:
		of, err := e.eval(n.of)
		if err != nil {
			return nil, err
		}
		return filterOf(of), nil
	case *not:
		v, err := e.eval(n.operand)
		return !Truthy(v), err
	case *compare:
		left, err := e.eval(n.left)
		if err != nil {
			return nil, err
		}
		right, err := e.eval(n.right)
		if err != nil {
			return nil, err
		}
		return compareValues(n.op, left, right), nil
	case *logical:
		var v any
		for _, operand := range n.operands {
			var err error
			if v, err = e.eval(operand); err != nil || Truthy(v) == n.or {
				return v, err
			}
		}
		return v, nil
	case *call:
		return e.call(n)
	}
	return nil, nil
}

func (e *evaluator) context(text string) (any, error) {
	key := strings.ToLower(text)
	if v, ok := e.read[key]; ok {
		return v, nil
	}
	raw, _ := lookup(e.values, text)
	v, err := normalise(raw, 0)
	if err != nil {
		return nil, err
	}
	e.read[key] = v
	return v, nil
}

func compareValues(op actionlint.CompareOpNodeKind, a, b any) bool {
	switch op {
	case actionlint.CompareOpNodeKindEq:
		return equal(a, b)
	case actionlint.CompareOpNodeKindNotEq:
		return !equal(a, b)
	case actionlint.CompareOpNodeKindLess:
		return greater(b, a)
	case actionlint.CompareOpNodeKindLessEq:
		return greater(b, a) || equal(a, b)
	case actionlint.CompareOpNodeKindGreater:
		return greater(a, b)
	default:
		return greater(a, b) || equal(a, b)
	}
}

// element is of[key]; null where there is none.
func element(of, key any) any {
	if list, ok := of.(filtered); ok {
		out := filtered{}
		for _, v := range list {
			if e, ok := find(v, key); ok {
				out = append(out, e)
			}
		}
		return out
	}
	v, _ := find(of, key)
	return v
}

func find(of, key any) (any, bool) {
	switch of := of.(type) {
	case []any:
		i := math.Floor(toNumber(key))
		if i >= 0 && i < float64(len(of)) {
			return of[int(i)], true
		}
	case map[string]any:
		if text, err := toText(key); err == nil {
			return lookup(of, text)
		}
	}
	return nil, false
}

// filterOf is of.* : the elements of a list, or the values of a map in the
// order of its keys.
func filterOf(of any) filtered {
	out := filtered{}
	if list, ok := of.(filtered); ok {
		for _, v := range list {
			out = append(out, filterOf(v)...)
		}
		return out
	}
	switch of := of.(type) {
	case []any:
		out = append(out, of...)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(of)) {
			out = append(out, of[k])
		}
	}
	return out
}

package expr

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// filtered is the result of .* : a property or index behind it applies to each
// element.
type filtered []any

// plain turns a filtered list into an ordinary one.
func plain(v any) any {
	if f, ok := v.(filtered); ok {
		return []any(f)
	}
	return v
}

// normalise copies a value into the types that expressions know.
func normalise(v any, deep int) (any, error) {
	if deep > maxDepth {
		return nil, fmt.Errorf("a value is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, float64, string:
		return v, nil
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = v[k]
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			e, err := normalise(v[i], deep+1)
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			e, err := normalise(v[k], deep+1)
			if err != nil {
				return nil, err
			}
			out[k] = e
		}
		return out, nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be used in an expression", v)
}

// lookup finds a key whatever its case. The exact key wins, then the first in
// alphabetical order.
func lookup[V any](m map[string]V, key string) (V, bool) {
	if v, ok := m[key]; ok {
		return v, true
	}
	best, found := "", false
	for k := range m {
		if strings.EqualFold(k, key) && (!found || k < best) {
			best, found = k, true
		}
	}
	return m[best], found
}

// Truthy reports whether a value counts as true: everything but null, false, 0,
// NaN and the empty string.
func Truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && !math.IsNaN(v)
	case string:
		return v != ""
	}
	return true
}

// isPrimitive reports whether a value can be text.
func isPrimitive(v any) bool {
	switch v.(type) {
	case nil, bool, float64, string:
		return true
	}
	return false
}

func toText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return numberText(v), nil
	case string:
		return v, nil
	case map[string]any:
		return "", fmt.Errorf("a map cannot be text; use toJSON(...), or one of its properties")
	}
	return "", fmt.Errorf("a list cannot be text; use join(...) or toJSON(...)")
}

// numberText writes a number as GitHub does, with up to 15 digits.
func numberText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return "0" // also -0
	}
	return strconv.FormatFloat(f, 'G', 15, 64)
}

// toNumber coerces for a comparison of values of different types.
func toNumber(v any) float64 {
	switch v := v.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 1
		}
		return 0
	case float64:
		return v
	case string:
		return parseNumber(strings.TrimSpace(v))
	}
	return math.NaN()
}

func parseNumber(s string) float64 {
	if s == "" {
		return 0
	}
	unsigned := strings.TrimLeft(s, "+-")
	if strings.HasPrefix(unsigned, "Infinity") {
		switch s {
		case "Infinity", "+Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		}
		return math.NaN()
	}
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0o") {
		n, err := strconv.ParseUint(s[2:], map[byte]int{'x': 16, 'o': 8}[s[1]], 32)
		if err != nil {
			return math.NaN()
		}
		return float64(int32(n)) // GitHub reads 32 bits with a sign
	}
	// ParseFloat also reads inf, nan, hexadecimal floats and underscores.
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return math.NaN()
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// equal is ==: strings without regard to case, other types as numbers when
// they differ, lists and maps only when they are the same one.
func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		if b == nil {
			return true
		}
	case bool:
		if b, ok := b.(bool); ok {
			return a == b
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a == b
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.EqualFold(a, b)
		}
	default:
		return same(a, b)
	}
	return toNumber(a) == toNumber(b) // NaN, which lists and maps are, equals nothing
}

// same reports whether two lists or two maps are one and the same.
func same(a, b any) bool {
	x, y := reflect.ValueOf(plain(a)), reflect.ValueOf(plain(b))
	if x.Kind() != y.Kind() || (x.Kind() != reflect.Slice && x.Kind() != reflect.Map) {
		return false
	}
	return x.Len() == y.Len() && x.Pointer() == y.Pointer()
}

// greater is >.
func greater(a, b any) bool {
	if a, ok := a.(string); ok {
		if b, ok := b.(string); ok {
			return strings.ToUpper(a) > strings.ToUpper(b)
		}
	}
	return toNumber(a) > toNumber(b)
}

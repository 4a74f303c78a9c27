package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// function is a function of expressions.
type function struct {
	name     string // as it is written
	min, max int    // arguments
	result   Kind
	// lists says which arguments may be lists or maps.
	lists func(arg int) bool
	run   func(args []any) (any, error)
}

const maxArgs = 255 // GitHub's limit for format

// Function is one that only a running workflow can answer, such as hashFiles.
// Its arguments are texts, numbers, booleans and null.
type Function struct {
	Name     string
	Min, Max int // arguments
	Result   Kind
	Run      func(args []any) (any, error) // may be nil where nothing is evaluated
}

// allFunctions are those of every expression, and more.
func allFunctions(more []Function) []function {
	all := functions()
	for _, f := range more {
		all = append(all, function{f.Name, f.Min, f.Max, f.Result, func(int) bool { return false }, f.Run})
	}
	return all
}

// findFunction finds a function whatever the case of its name.
func findFunction(all []function, name string) (function, bool) {
	for _, f := range all {
		if strings.EqualFold(f.name, name) {
			return f, true
		}
	}
	return function{}, false
}

func functions() []function {
	firstArg := func(arg int) bool { return arg == 0 }
	none := func(int) bool { return false }
	return []function{
		{"contains", 2, 2, Bool, firstArg, contains},
		{"startsWith", 2, 2, Bool, none, textTest(strings.HasPrefix)},
		{"endsWith", 2, 2, Bool, none, textTest(strings.HasSuffix)},
		{"format", 1, maxArgs, String, none, format},
		{"join", 1, 2, String, firstArg, join},
		{"toJSON", 1, 1, String, firstArg, toJSON},
		{"fromJSON", 1, 1, Any, none, fromJSON},
	}
}

// workflowFunction reports whether GitHub has a function that only a running
// workflow can answer.
func workflowFunction(name string) bool {
	return slices.Contains([]string{"hashfiles", "success", "failure", "always", "cancelled"}, strings.ToLower(name))
}

func (e *evaluator) call(n *call) (any, error) {
	f, ok := findFunction(e.functions, n.function)
	if !ok {
		return nil, fmt.Errorf("there is no function %s", n.function)
	}
	if len(n.args) < f.min || len(n.args) > f.max {
		return nil, errors.New(f.wrongCount(len(n.args)))
	}
	args := make([]any, len(n.args))
	for i, a := range n.args {
		v, err := e.eval(a)
		if err != nil {
			return nil, err
		}
		args[i] = plain(v)
	}
	v, err := f.run(args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if s, ok := v.(string); ok && len(s) > maxResult {
		return nil, fmt.Errorf("%s: the result is longer than %d bytes", f.name, maxResult)
	}
	return v, nil
}

func (f function) wrongCount(got int) string {
	want := fmt.Sprintf("%d", f.min)
	switch {
	case f.max == maxArgs:
		want = fmt.Sprintf("%d or more", f.min)
	case f.max > f.min:
		want = fmt.Sprintf("%d or %d", f.min, f.max)
	}
	unit := "arguments"
	if want == "1" {
		unit = "argument"
	}
	return fmt.Sprintf("%s takes %s %s, not %d", f.name, want, unit, got)
}

func contains(args []any) (any, error) {
	switch in := args[0].(type) {
	case []any:
		return slices.ContainsFunc(in, func(v any) bool { return equal(v, args[1]) }), nil
	case map[string]any:
		return false, nil
	}
	return textTest(strings.Contains)(args)
}

// textTest makes a function of two texts that ignores case.
func textTest(test func(s, part string) bool) func([]any) (any, error) {
	return func(args []any) (any, error) {
		if !isPrimitive(args[0]) || !isPrimitive(args[1]) {
			return false, nil
		}
		s, _ := toText(args[0])
		part, _ := toText(args[1])
		return test(strings.ToUpper(s), strings.ToUpper(part)), nil
	}
}

func join(args []any) (any, error) {
	separator := ","
	if len(args) == 2 {
		s, err := toText(args[1])
		if err != nil {
			return nil, err
		}
		separator = s
	}
	list, ok := args[0].([]any)
	if !ok {
		return toText(args[0])
	}
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteString(separator)
		}
		s, err := toText(v)
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
		if b.Len() > maxResult {
			break
		}
	}
	return b.String(), nil
}

func format(args []any) (any, error) {
	pattern, err := toText(args[0])
	if err != nil {
		return nil, err
	}
	pieces, err := parseFormat(pattern)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range pieces {
		if p.arg < 0 {
			b.WriteString(p.text)
			continue
		}
		if p.arg >= len(args)-1 {
			return nil, fmt.Errorf("{%d} has no argument: there are %d behind the text", p.arg, len(args)-1)
		}
		s, err := toText(args[p.arg+1])
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
		if b.Len() > maxResult {
			break
		}
	}
	return b.String(), nil
}

// formatPiece is text, or the number of an argument (-1 for text).
type formatPiece struct {
	text string
	arg  int
}

// parseFormat reads {0} as an argument, and {{ and }} as braces.
func parseFormat(s string) ([]formatPiece, error) {
	var pieces []formatPiece
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			return append(pieces, formatPiece{s, -1}), nil
		}
		pieces = append(pieces, formatPiece{s[:i], -1})
		brace := s[i : i+1]
		if strings.HasPrefix(s[i+1:], brace) {
			pieces = append(pieces, formatPiece{brace, -1})
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if brace == "}" || end < 0 {
			return nil, fmt.Errorf("a single %s: write %s%s for the character", brace, brace, brace)
		}
		digits := s[i+1 : i+end]
		n, err := strconv.ParseUint(digits, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("{%s} is not the number of an argument", digits)
		}
		pieces = append(pieces, formatPiece{"", int(n)})
		s = s[i+end+1:]
	}
	return pieces, nil
}

func toJSON(args []any) (any, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(jsonValue(args[0])); err != nil {
		return nil, err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// jsonValue writes numbers as expressions do, and nil lists as [].
func jsonValue(v any) any {
	switch v := v.(type) {
	case float64:
		if text := numberText(v); json.Valid([]byte(text)) {
			return json.Number(text)
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = jsonValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[k] = jsonValue(v[k])
		}
		return out
	}
	return v
}

func fromJSON(args []any) (any, error) {
	text, err := toText(args[0])
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	var v any
	if err := decoder.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("the JSON ends too early")
		}
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is text behind the JSON value")
	}
	return normalise(v, 0) // for its limit of depth
}

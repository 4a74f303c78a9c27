// Package expr reads, checks and evaluates the ${{ }} expressions of a catalog.
//
// A Template is text with any number of ${{ }}. Check finds what a Scope (the
// types of the contexts) does not have: unknown names and functions, wrong
// arguments, values that cannot be text. Eval computes with values. Syntax,
// precedence, coercion and comparison are those of GitHub Actions
// (https://docs.github.com/en/actions/reference/workflows-and-actions/expressions),
// with three differences: a list or map inside text is an error instead of the
// word "Array" or "Object"; maps are walked in the order of their keys; and
// functions that only a running workflow can answer exist where it gives them.
// No input makes this package panic, and its results are bounded in size.
// docs/expressions.md is the user's description; a test runs its examples.
package expr

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxExpression and maxDepth are GitHub's own limits.
	maxExpression = 21000 // bytes between ${{ and }}
	maxDepth      = 50    // nested calls, indexes, properties and operators
	maxResult     = 1 << 20
)

// SyntaxError says where a text is no template. Offset counts bytes.
type SyntaxError struct {
	Offset  int
	Message string
}

func (e *SyntaxError) Error() string { return e.Message }

// Template is a text with any number of ${{ }}.
type Template struct {
	parts []part
}

type part struct {
	text   string // literal text, or the source of the expression
	offset int    // of text in the template
	start  int    // where nodes count from: the place behind ${{
	root   node   // nil for literal text
}

// Part is a piece of a template, as written: literal text, or the source of an
// expression without ${{ and }}.
type Part struct {
	Text   string
	Expr   bool
	Offset int // of Text, in bytes
}

// PartValue is a piece of an evaluated template: literal text, or the text of
// a value.
type PartValue struct {
	Text    string
	IsValue bool
}

const open = "${{"

// Parse reads a template. Its error is a *SyntaxError.
func Parse(src string) (*Template, error) {
	t := &Template{}
	at := 0
	for {
		i := strings.Index(src[at:], open)
		if i < 0 {
			break
		}
		if i > 0 {
			t.parts = append(t.parts, part{text: src[at : at+i], offset: at})
		}
		at += i + len(open)
		root, n, err := parseExpression(src[at:])
		if err != nil {
			err.Offset += at
			return nil, err
		}
		t.parts = append(t.parts, expressionPart(src[at:at+n-len("}}")], at, root))
		at += n
	}
	if at < len(src) {
		t.parts = append(t.parts, part{text: src[at:], offset: at})
	}
	return t, nil
}

// ParseCondition reads the value of an `if:`, one expression with or without
// ${{ }} around it. Its error is a *SyntaxError.
func ParseCondition(src string) (*Template, error) {
	trimmed := strings.TrimSpace(src)
	start := strings.Index(src, trimmed)
	switch {
	case trimmed == "":
		return nil, &SyntaxError{Message: "the condition is empty"}
	case !strings.HasPrefix(trimmed, open):
		if i := strings.Index(src, open); i >= 0 && !insideString(src[:i]) {
			return nil, &SyntaxError{Offset: i, Message: "a condition is one expression: write all of it inside ${{ }}, or none of it"}
		}
		root, n, err := parseExpression(trimmed + "}}")
		if err != nil {
			err.Offset = start + min(err.Offset, len(trimmed))
			return nil, err
		}
		if n != len(trimmed)+len("}}") {
			return nil, &SyntaxError{Offset: start + n - len("}}"), Message: `the condition has "}}" without "${{"`}
		}
		return &Template{parts: []part{expressionPart(trimmed, start, root)}}, nil
	}
	t, err := Parse(src[:start+len(trimmed)])
	if err != nil {
		return nil, err
	}
	t.parts = slices.DeleteFunc(t.parts, func(p part) bool { return p.root == nil && strings.TrimSpace(p.text) == "" })
	if len(t.parts) != 1 {
		// "${{ a }} && b" would be a text that is never empty, so always true.
		return nil, &SyntaxError{Offset: t.parts[1].offset, Message: "a condition is one expression: write all of it inside ${{ }}, or none of it"}
	}
	return t, nil
}

// insideString reports whether an expression that begins with src is inside a
// '...' literal at its end.
func insideString(src string) bool { return strings.Count(src, "'")%2 == 1 }

func expressionPart(source string, offset int, root node) part {
	text := strings.TrimSpace(source)
	return part{text: text, offset: offset + strings.Index(source, text), start: offset, root: root}
}

// Parts returns the template piece by piece.
func (t *Template) Parts() []Part {
	var parts []Part
	for _, p := range t.parts {
		parts = append(parts, Part{Text: p.text, Expr: p.root != nil, Offset: p.offset})
	}
	return parts
}

// Literal reports whether the template has no expression.
func (t *Template) Literal() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return p.root != nil })
}

// Refs returns the paths that the template reads, such as platform.cuda.version,
// sorted. A path ends where a filter (.*), a number or a computed index begins:
// platform.gpu.sm[0] reads platform.gpu.sm.
func (t *Template) Refs() []string {
	var refs []string
	for _, p := range t.parts {
		if p.root != nil {
			collectRefs(p.root, &refs)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func collectRefs(n node, refs *[]string) {
	if path, ok := staticPath(n); ok {
		*refs = append(*refs, path)
		return
	}
	for _, child := range n.children() {
		collectRefs(child, refs)
	}
}

// staticPath is the path of a name and the properties behind it.
func staticPath(n node) (string, bool) {
	switch n := n.(type) {
	case *name:
		return n.text, true
	case *index:
		key, ok := n.key.(*literal)
		if !ok {
			return "", false
		}
		property, ok := key.value.(string)
		if !ok {
			return "", false
		}
		path, ok := staticPath(n.of)
		return path + "." + property, ok
	}
	return "", false
}

// Eval computes the template. One that is exactly one ${{ }} gives the value
// itself: nil, bool, float64, string, []any or map[string]any. Any other gives
// a string. Values may hold these types, and also int, []string and
// map[string]string. A name that values do not have is null.
func (t *Template) Eval(values map[string]any) (any, error) { return t.EvalWith(values, nil) }

// EvalWith is like Eval, with more functions.
func (t *Template) EvalWith(values map[string]any, more []Function) (any, error) {
	if len(t.parts) == 1 && t.parts[0].root != nil {
		v, err := t.parts[0].eval(values, more)
		if err != nil {
			return nil, err
		}
		return plain(v), nil
	}
	return t.StringWith(values, more)
}

// String computes the template as text. A list or a map in it is an error.
func (t *Template) String(values map[string]any) (string, error) { return t.StringWith(values, nil) }

// StringWith is like String, with more functions.
func (t *Template) StringWith(values map[string]any, more []Function) (string, error) {
	parts, err := t.evalParts(values, more)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

// EvalParts computes the template as text, piece by piece, so that a renderer
// can quote values and leave the literal text as it is.
func (t *Template) EvalParts(values map[string]any) ([]PartValue, error) {
	return t.evalParts(values, nil)
}

func (t *Template) evalParts(values map[string]any, more []Function) ([]PartValue, error) {
	var out []PartValue
	size := 0
	for _, p := range t.parts {
		if p.root == nil {
			out = append(out, PartValue{Text: p.text})
			continue
		}
		v, err := p.eval(values, more)
		if err != nil {
			return nil, err
		}
		text, err := toText(v)
		if err != nil {
			return nil, p.wrap(err)
		}
		if size += len(text); size > maxResult {
			return nil, fmt.Errorf("the values of the text are longer than %d bytes together", maxResult)
		}
		out = append(out, PartValue{Text: text, IsValue: true})
	}
	return out, nil
}

func (p part) eval(values map[string]any, more []Function) (any, error) {
	e := evaluator{values: values, functions: allFunctions(more), read: map[string]any{}}
	v, err := e.eval(p.root)
	if err != nil {
		return nil, p.wrap(err)
	}
	return v, nil
}

func (p part) wrap(err error) error {
	source := p.text
	if len(source) > 80 {
		source = strings.ToValidUTF8(source[:80], "") + "..."
	}
	return fmt.Errorf("evaluating ${{ %s }}: %w", source, err)
}

// Holds evaluates a condition, as `if:` writes it.
func Holds(src string, values map[string]any) (bool, error) {
	t, err := ParseCondition(src)
	if err != nil {
		return false, err
	}
	v, err := t.Eval(values)
	return Truthy(v), err
}

// Equal is == of expressions: strings without regard to case, other types as
// numbers when they differ.
func Equal(a, b any) bool {
	a, errA := normalise(a, 0)
	b, errB := normalise(b, 0)
	return errA == nil && errB == nil && equal(a, b)
}

// Text is a value as it stands in text, as GitHub writes it; a list or a map is
// an error.
func Text(v any) (string, error) {
	v, err := normalise(v, 0)
	if err != nil {
		return "", err
	}
	return toText(v)
}

// Calls returns the names of the functions that the template calls, in lower
// case and sorted.
func (t *Template) Calls() []string {
	var names []string
	var walk func(n node)
	walk = func(n node) {
		if c, ok := n.(*call); ok {
			names = append(names, strings.ToLower(c.function))
		}
		for _, child := range n.children() {
			walk(child)
		}
	}
	for _, p := range t.parts {
		if p.root != nil {
			walk(p.root)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

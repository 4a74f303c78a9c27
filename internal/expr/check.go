package expr

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// Kind is what a value is.
type Kind int

const (
	Any Kind = iota // not known before evaluation
	String
	Number
	Bool
	Array
	Object
)

func (k Kind) String() string {
	switch k {
	case String:
		return "a string"
	case Number:
		return "a number"
	case Bool:
		return "true or false"
	case Array:
		return "a list"
	case Object:
		return "a map"
	}
	return "a value"
}

// Type is what is known of a value. A nil *Type is Any.
type Type struct {
	Kind   Kind
	Fields map[string]*Type // properties of an Object
	Open   bool             // an Object may have other properties, of type Elem
	Elem   *Type            // of an Array's elements
}

// Scope is the contexts that a template may read.
type Scope map[string]*Type

// Problem is something in a template that its scope does not allow. Offset
// counts bytes of the template.
type Problem struct {
	Offset  int
	Message string
	Hint    string
	Allowed []string
}

// maxProblems is when Check has seen enough of a template.
const maxProblems = 100

// Check returns what is wrong with a template that is evaluated with the
// contexts of s, in the order of the text; of very many problems the first.
func (t *Template) Check(s Scope) []Problem { return t.CheckWith(s, nil) }

// CheckWith is like Check, with more functions.
func (t *Template) CheckWith(s Scope, more []Function) []Problem {
	c := checker{scope: s, functions: allFunctions(more)}
	for _, p := range t.parts {
		if p.root == nil {
			continue
		}
		if len(c.problems) >= maxProblems {
			break
		}
		c.base = p.start
		got := c.typeOf(p.root)
		if len(t.parts) > 1 {
			c.wantText(p.root, got, "in text")
		}
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Offset - b.Offset })
	return c.problems
}

type checker struct {
	scope     Scope
	functions []function
	base      int
	problems  []Problem
}

// typed is a type and whether it came out of a filter.
type typed struct {
	*Type
	filtered bool
}

func (t typed) kind() Kind {
	if t.Type == nil {
		return Any
	}
	return t.Kind
}

func of(k Kind) typed { return typed{Type: &Type{Kind: k}} }

func (c *checker) report(n node, format string, args ...any) *Problem {
	c.problems = append(c.problems, Problem{Offset: c.base + n.at(), Message: fmt.Sprintf(format, args...)})
	return &c.problems[len(c.problems)-1]
}

// unknown reports a name that is none of candidates.
func (c *checker) unknown(n node, name string, candidates []string, format string, args ...any) {
	p := c.report(n, format, args...)
	p.Allowed = candidates
	p.Hint = diag.DidYouMean(name, candidates)
}

func (c *checker) wantText(n node, got typed, where string) {
	switch got.kind() {
	case Array:
		c.report(n, "%s is a list and cannot be used %s", describe(n), where).Hint = "use join(...) or toJSON(...)"
	case Object:
		c.report(n, "%s is a map and cannot be used %s", describe(n), where).Hint = "use toJSON(...), or one of its properties"
	}
}

// describe names a node in a message.
func describe(n node) string {
	if path, ok := staticPath(n); ok {
		return path
	}
	return "the value"
}

func (c *checker) typeOf(n node) typed {
	switch n := n.(type) {
	case *literal:
		switch n.value.(type) {
		case string:
			return of(String)
		case float64:
			return of(Number)
		case bool:
			return of(Bool)
		}
	case *name:
		t, ok := lookup(c.scope, n.text)
		if !ok {
			c.unknown(n, n.text, slices.Sorted(maps.Keys(c.scope)), "there is no %q here", n.text)
		}
		return typed{Type: t}
	case *index:
		return c.indexType(n)
	case *filter:
		return c.filterType(n)
	case *not:
		c.typeOf(n.operand)
		return of(Bool)
	case *compare:
		for _, side := range []node{n.left, n.right} {
			if k := c.typeOf(side).kind(); k == Array || k == Object {
				c.report(side, "%s is %s and cannot be compared", describe(side), k).Hint = "use contains(...), or one of its values"
			}
		}
		return of(Bool)
	case *logical:
		var all []typed
		for _, operand := range n.operands {
			all = append(all, c.typeOf(operand))
		}
		return common(all)
	case *call:
		return c.callType(n)
	}
	return typed{}
}

// common is the type that several values share.
func common(all []typed) typed {
	first := all[0]
	for _, t := range all[1:] {
		if t.kind() != first.kind() {
			return typed{}
		}
		if k := t.kind(); (k == Array || k == Object) && t.Type != first.Type {
			return typed{Type: &Type{Kind: k, Open: true}}
		}
	}
	return first
}

func (c *checker) indexType(n *index) typed {
	base := c.typeOf(n.of)
	key := c.typeOf(n.key)
	c.wantText(n.key, key, "as an index")
	if base.filtered {
		element := c.property(n, typed{Type: base.Elem}, key)
		return typed{Type: &Type{Kind: Array, Elem: element.Type}, filtered: true}
	}
	return c.property(n, base, key)
}

// property is the type of n's key in a value of type base.
func (c *checker) property(n *index, base, key typed) typed {
	text, static := staticKey(n.key)
	switch base.kind() {
	case Any:
		return typed{}
	case Array:
		if _, err := strconv.ParseFloat(text, 64); static && err != nil {
			c.report(n.key, "%s is a list and has no property %q", describe(n.of), text).Hint = "use [0] for an element, or .* for all"
		}
		return typed{Type: base.Elem}
	case Object:
		if !static {
			return typed{Type: base.Elem}
		}
		if t, ok := lookup(base.Fields, text); ok {
			return typed{Type: t}
		}
		if !base.Open {
			c.unknown(n.key, text, slices.Sorted(maps.Keys(base.Fields)), "%s has no %q", describe(n.of), text)
			return typed{}
		}
		return typed{Type: base.Elem}
	}
	c.report(n.key, "%s is %s and has no properties", describe(n.of), base.kind())
	return typed{}
}

// staticKey is the text of a key that is written out.
func staticKey(key node) (string, bool) {
	l, ok := key.(*literal)
	if !ok {
		return "", false
	}
	text, err := toText(l.value)
	return text, err == nil
}

func (c *checker) filterType(n *filter) typed {
	base := c.typeOf(n.of)
	list := func(elem *Type) typed { return typed{Type: &Type{Kind: Array, Elem: elem}, filtered: true} }
	if base.filtered {
		base = typed{Type: base.Elem}
	}
	switch base.kind() {
	case Any:
		return list(nil)
	case Array:
		return list(base.Elem)
	case Object:
		var all []typed
		for _, k := range slices.Sorted(maps.Keys(base.Fields)) {
			all = append(all, typed{Type: base.Fields[k]})
		}
		if base.Open || len(all) == 0 {
			all = append(all, typed{Type: base.Elem})
		}
		return list(common(all).Type)
	}
	c.report(n, "%s is %s and has no elements", describe(n.of), base.kind())
	return list(nil)
}

func (c *checker) callType(n *call) typed {
	var args []typed
	for _, a := range n.args {
		args = append(args, c.typeOf(a))
	}
	f, ok := findFunction(c.functions, n.function)
	if !ok {
		var names []string
		for _, f := range c.functions {
			names = append(names, f.name)
		}
		slices.Sort(names)
		if workflowFunction(n.function) {
			c.report(n, "%s is answered by a running workflow, not here", n.function).Allowed = names
			return typed{}
		}
		c.unknown(n, n.function, names, "there is no function %q", n.function)
		return typed{}
	}
	if len(args) < f.min || len(args) > f.max {
		c.report(n, "%s", f.wrongCount(len(args)))
		return of(f.result)
	}
	for i, a := range args {
		if !f.lists(i) {
			c.wantText(n.args[i], a, "as an argument of "+f.name)
		}
	}
	switch f.name {
	case "format":
		c.checkFormat(n)
	case "join":
		if args[0].kind() == Object {
			c.report(n.args[0], "%s is a map and cannot be joined", describe(n.args[0])).Hint = "use .* for a list of its values"
		}
	}
	return of(f.result)
}

// checkFormat checks a pattern that is written out.
func (c *checker) checkFormat(n *call) {
	text, static := staticKey(n.args[0])
	if !static {
		return
	}
	pieces, err := parseFormat(text)
	if err != nil {
		c.report(n.args[0], "format: %s", err)
		return
	}
	for _, p := range pieces {
		if p.arg >= len(n.args)-1 {
			c.report(n.args[0], "format: {%d} has no argument: there are %d behind the text", p.arg, len(n.args)-1)
		}
	}
}

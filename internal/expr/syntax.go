package expr

import (
	"fmt"
	"math"
	"strings"

	"github.com/rhysd/actionlint"
)

// node is an expression. The tree is our own because actionlint's says nothing
// about the place of a property and reads a < b == c from the right.
type node interface {
	at() int // offset in the expression
	children() []node
}

type offset int

func (o offset) at() int { return int(o) }

type (
	// literal is null, a bool, float64 or string.
	literal struct {
		offset
		value any
	}
	// name is a context, as written.
	name struct {
		offset
		text string
	}
	// index is a property or an element: of.key, of['key'], of[0].
	index struct {
		offset
		of, key node
	}
	// filter is of.*
	filter struct {
		offset
		of node
	}
	not struct {
		offset
		operand node
	}
	compare struct {
		offset
		op          actionlint.CompareOpNodeKind
		left, right node
	}
	// logical is a chain of && or of ||.
	logical struct {
		offset
		or       bool
		operands []node
	}
	call struct {
		offset
		function string // as written
		args     []node
	}
)

func (*literal) children() []node   { return nil }
func (*name) children() []node      { return nil }
func (n *index) children() []node   { return []node{n.of, n.key} }
func (n *filter) children() []node  { return []node{n.of} }
func (n *not) children() []node     { return []node{n.operand} }
func (n *compare) children() []node { return []node{n.left, n.right} }
func (n *logical) children() []node { return n.operands }
func (n *call) children() []node    { return n.args }

// parseExpression reads the expression that src begins with and the }} behind
// it, and returns how many bytes both take.
func parseExpression(src string) (node, int, *SyntaxError) {
	if strings.HasPrefix(src, "\ufeff") {
		return nil, 0, &SyntaxError{Message: "the expression begins with a byte order mark"}
	}
	if !strings.Contains(src, "}}") {
		return nil, 0, &SyntaxError{Message: `"${{" without "}}" behind it`}
	}
	bounded := src[:min(len(src), maxExpression+len("}}"))]
	tokens, n, lexError := actionlint.LexExpression(bounded)
	if lexError != nil {
		if len(bounded) < len(src) && !strings.Contains(bounded, "}}") {
			return nil, 0, &SyntaxError{Message: fmt.Sprintf("the expression is longer than %d bytes", maxExpression)}
		}
		return nil, 0, syntaxError(lexError)
	}
	if strings.TrimSpace(src[:n-len("}}")]) == "" {
		return nil, 0, &SyntaxError{Message: "the expression is empty"}
	}
	tree, parseError := actionlint.NewExprParser().Parse(actionlint.NewExprLexer(bounded))
	if parseError != nil {
		return nil, 0, syntaxError(parseError)
	}
	c := converter{tokens: tokens, closing: closingParens(tokens)}
	root := c.convert(tree)
	if d := depth(root); d > maxDepth {
		return nil, 0, &SyntaxError{Message: fmt.Sprintf("the expression is nested %d deep; %d is the limit", d, maxDepth)}
	}
	return root, n, nil
}

// syntaxError puts actionlint's words for the end of input into ours.
func syntaxError(e *actionlint.ExprError) *SyntaxError {
	message := e.Message
	switch {
	case strings.Contains(message, "unexpected EOF while lexing end of string literal"):
		message = "the string literal has no closing '"
	case strings.Contains(message, "EOF"):
		message = "the expression ends too early"
	case strings.Contains(message, `unexpected character '"'`):
		message = `strings are written in single quotes: 'text', not "text"`
	}
	return &SyntaxError{Offset: e.Offset, Message: message}
}

func depth(n node) int {
	deepest := 0
	for _, child := range n.children() {
		deepest = max(deepest, depth(child))
	}
	return deepest + 1
}

// converter walks actionlint's tree in the order of the source, and beside it
// the dots and comparison operators of the tokens, which come in that order too.
type converter struct {
	tokens        []*actionlint.Token
	closing       map[int]int // index of a ( to that of its )
	dots, compare int         // where to look for the next one
}

// next returns the index of the next token, from *cursor on, that match accepts.
func (c *converter) next(cursor *int, match func(actionlint.TokenKind) bool) int {
	for !match(c.tokens[*cursor].Kind) {
		*cursor++
	}
	*cursor++
	return *cursor - 1
}

func isDot(k actionlint.TokenKind) bool { return k == actionlint.TokenKindDot }

func isCompare(k actionlint.TokenKind) bool {
	switch k {
	case actionlint.TokenKindLess, actionlint.TokenKindLessEq, actionlint.TokenKindGreater,
		actionlint.TokenKindGreaterEq, actionlint.TokenKindEq, actionlint.TokenKindNotEq:
		return true
	}
	return false
}

func (c *converter) convert(n actionlint.ExprNode) node {
	at := offset(n.Token().Offset)
	switch n := n.(type) {
	case *actionlint.BoolNode:
		return &literal{at, n.Value}
	case *actionlint.IntNode:
		return &literal{at, float64(n.Value)}
	case *actionlint.FloatNode:
		return &literal{at, n.Value}
	case *actionlint.StringNode:
		return &literal{at, n.Value}
	case *actionlint.VariableNode:
		switch text := n.Token().Value; text {
		case "NaN":
			return &literal{at, math.NaN()}
		case "Infinity":
			return &literal{at, math.Inf(1)}
		default:
			return &name{at, text}
		}
	case *actionlint.ObjectDerefNode:
		of := c.convert(n.Receiver)
		property := c.tokens[c.next(&c.dots, isDot)+1]
		key := &literal{offset(property.Offset), property.Value}
		return &index{offset(of.at()), of, key}
	case *actionlint.ArrayDerefNode:
		of := c.convert(n.Receiver)
		c.next(&c.dots, isDot)
		return &filter{offset(of.at()), of}
	case *actionlint.IndexAccessNode:
		of := c.convert(n.Operand)
		key := c.convert(n.Index)
		return &index{offset(of.at()), of, key}
	case *actionlint.NotOpNode:
		return &not{at, c.convert(n.Operand)}
	case *actionlint.CompareOpNode:
		return c.comparison(n)
	case *actionlint.LogicalOpNode:
		return c.logical(n)
	case *actionlint.FuncCallNode:
		out := &call{offset: at, function: n.Token().Value}
		for _, a := range n.Args {
			out.args = append(out.args, c.convert(a))
		}
		return out
	}
	return &literal{at, nil} // *actionlint.NullNode
}

// logical flattens a && b && c, which both groupings answer alike.
func (c *converter) logical(n *actionlint.LogicalOpNode) node {
	out := &logical{offset: offset(n.Token().Offset), or: n.Kind == actionlint.LogicalOpNodeKindOr}
	for {
		out.operands = append(out.operands, c.convert(n.Left))
		right, ok := n.Right.(*actionlint.LogicalOpNode)
		if !ok || right.Kind != n.Kind {
			out.operands = append(out.operands, c.convert(n.Right))
			return out
		}
		n = right
	}
}

// comparison regroups a chain such as a < b == c, which actionlint reads from
// the right, as GitHub does: < <= > >= bind tighter than == and !=, and both
// group from the left.
func (c *converter) comparison(n *actionlint.CompareOpNode) node {
	var operands []node
	var ops []actionlint.CompareOpNodeKind
	for {
		operands = append(operands, c.convert(n.Left))
		ops = append(ops, n.Kind)
		operator := c.next(&c.compare, isCompare)
		right, ok := n.Right.(*actionlint.CompareOpNode)
		if !ok || c.parenthesised(operator+1) {
			operands = append(operands, c.convert(n.Right))
			break
		}
		n = right
	}
	operands, ops = group(operands, ops, func(k actionlint.CompareOpNodeKind) bool { return !isEquality(k) })
	operands, _ = group(operands, ops, isEquality)
	return operands[0]
}

func isEquality(k actionlint.CompareOpNodeKind) bool {
	return k == actionlint.CompareOpNodeKindEq || k == actionlint.CompareOpNodeKindNotEq
}

// group joins the operands around each operator that matches, from the left.
func group(operands []node, ops []actionlint.CompareOpNodeKind, match func(actionlint.CompareOpNodeKind) bool) ([]node, []actionlint.CompareOpNodeKind) {
	joined := operands[:1:1]
	var rest []actionlint.CompareOpNodeKind
	for i, op := range ops {
		if match(op) {
			left := joined[len(joined)-1]
			joined[len(joined)-1] = &compare{offset(left.at()), op, left, operands[i+1]}
			continue
		}
		joined = append(joined, operands[i+1])
		rest = append(rest, op)
	}
	return joined, rest
}

// parenthesised reports whether the operand at a token is a comparison in
// parentheses, and not one that only begins with some, as in (a) == b. It is
// asked only where the operand is a comparison.
func (c *converter) parenthesised(i int) bool {
	if c.tokens[i].Kind != actionlint.TokenKindLeftParen {
		return false
	}
	behind := c.tokens[c.closing[i]+1].Kind
	return !isCompare(behind) && behind != actionlint.TokenKindDot && behind != actionlint.TokenKindLeftBracket
}

// closingParens pairs the parentheses of an expression that parses.
func closingParens(tokens []*actionlint.Token) map[int]int {
	pairs := map[int]int{}
	var open []int
	for i, t := range tokens {
		switch t.Kind {
		case actionlint.TokenKindLeftParen:
			open = append(open, i)
		case actionlint.TokenKindRightParen:
			pairs[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	return pairs
}

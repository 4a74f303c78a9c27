package spec

import (
	"strings"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/diag"
	"go.yaml.in/yaml/v3"
)

// Document is one YAML file: its name relative to the catalog's root, its
// bytes, and the tree with the place of every value.
type Document struct {
	Name  string
	Bytes []byte
	Root  *yaml.Node // the value of the file, never the document node; nil for a file without one

	lines []int // where each line of Bytes begins
}

// index finds the lines, so that a place in a large file is found at once.
func (d *Document) index() {
	d.lines = []int{0}
	for i, c := range d.Bytes {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
}

// Pos implements Positioner. A scalar answers with its own place, a list or a
// map in block style with the place of the key that holds it.
func (d *Document) Pos(path ...any) diag.Position {
	if d == nil {
		return diag.Position{}
	}
	at, node, key := d.find(path)
	if at != nil && key != nil && node.Kind != yaml.ScalarNode && node.Style&yaml.FlowStyle == 0 {
		at = key
	}
	return d.place(at)
}

// KeyPos is like Pos, but answers with the place of the last key of the path.
func (d *Document) KeyPos(path ...any) diag.Position {
	if d == nil {
		return diag.Position{}
	}
	at, _, key := d.find(path)
	if key != nil {
		at = key
	}
	return d.place(at)
}

// PosAt is the place of a byte of a scalar's text, such as an expression within
// a script. Where the source does not show it plainly (folded or escaped text)
// the place of the scalar answers.
func (d *Document) PosAt(offset int, path ...any) diag.Position {
	pos := d.Pos(path...)
	if d == nil || offset < 0 {
		return pos
	}
	_, n, _ := d.find(path)
	if n == nil || n.Kind != yaml.ScalarNode || offset > len(n.Value) {
		return pos
	}
	before := n.Value[:offset]
	if n.Style&yaml.LiteralStyle != 0 {
		return d.posInLiteral(n, before, pos)
	}
	line := d.line(n.Line)
	start := byteOfColumn(line, n.Column)
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		start++
	}
	if n.Style&yaml.FoldedStyle != 0 || start > len(line) || !strings.HasPrefix(line[start:], before) {
		return pos
	}
	pos.Col = utf8.RuneCountInString(line[:start]) + utf8.RuneCountInString(before) + 1
	return pos
}

// posInLiteral finds a place in a `|` block: its lines follow the indicator's
// line, indented.
func (d *Document) posInLiteral(n *yaml.Node, before string, fallback diag.Position) diag.Position {
	nth := strings.Count(before, "\n")
	column := before[strings.LastIndexByte(before, '\n')+1:]
	text, _, _ := strings.Cut(n.Value[len(before)-len(column):], "\n")
	line := d.line(n.Line + 1 + nth)
	indent := len(line) - len(text)
	if indent < 0 || line[indent:] != text {
		return fallback
	}
	fallback.Line = n.Line + 1 + nth
	fallback.Col = indent + utf8.RuneCountInString(column) + 1
	return fallback
}

// find returns the deepest existing node of a path: where it is, the node, and
// the key that holds it (nil in a list and at the root).
func (d *Document) find(path []any) (at, node, key *yaml.Node) {
	node = d.Root
	for _, p := range path {
		child, childKey := childOf(node, p)
		if child == nil {
			break
		}
		node, key = child, childKey
	}
	return node, node, key
}

func childOf(n *yaml.Node, p any) (child, key *yaml.Node) {
	if n == nil {
		return nil, nil
	}
	switch p := p.(type) {
	case string:
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == p {
					return n.Content[i+1], n.Content[i]
				}
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && p >= 0 && p < len(n.Content) {
			return n.Content[p], nil
		}
	}
	return nil, nil
}

func (d *Document) place(n *yaml.Node) diag.Position {
	if n == nil || n.Line == 0 {
		return diag.Position{File: d.Name, Line: 1, Col: 1}
	}
	return diag.Position{File: d.Name, Line: n.Line, Col: n.Column}
}

// line returns a line of the file, counted from 1, without its end.
func (d *Document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	rest := d.Bytes[d.lines[n-1]:]
	if n < len(d.lines) {
		rest = rest[:d.lines[n]-1-d.lines[n-1]]
	}
	return strings.TrimSuffix(string(rest), "\r")
}

// byteOfColumn turns a column (characters, from 1) into a byte index.
func byteOfColumn(line string, col int) int {
	i := 0
	for ; col > 1 && i < len(line); col-- {
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
	}
	return i
}

// within is a Positioner for a part of a document.
type within struct {
	doc    *Document
	prefix []any
}

func (w within) Pos(path ...any) diag.Position {
	return w.doc.Pos(append(append([]any(nil), w.prefix...), path...)...)
}

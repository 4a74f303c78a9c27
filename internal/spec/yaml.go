package spec

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/diag"
	"go.yaml.in/yaml/v3"
)

// parseYAML reads one file. The document has a root only if the file may be
// looked at further; every mistake found is in the list.
func parseYAML(name string, data []byte, list *diag.List) *Document {
	doc := &Document{Name: name, Bytes: data}
	doc.index()
	if len(data) > maxFileSize {
		list.Errorf("file-size", diag.Position{File: name}, "the file is larger than %d KiB", maxFileSize>>10)
		return doc
	}
	if checkBytes(name, data, list) {
		return doc
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var node yaml.Node
	if err := dec.Decode(&node); err != nil {
		if errors.Is(err, io.EOF) {
			list.Errorf("empty-file", diag.Position{File: name}, "the file holds nothing")
			return doc
		}
		reportSyntax(name, data, err, list)
		return doc
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		list.Errorf("yaml-documents", diag.Position{File: name, Line: second.Line, Col: second.Column}, "a file holds one document; a second begins here").
			Hint = "remove the line ---, or move what follows into a file of its own"
		return doc
	} else if !errors.Is(err, io.EOF) {
		reportSyntax(name, data, err, list)
		return doc
	}
	if node.Kind != yaml.DocumentNode || len(node.Content) != 1 {
		list.Errorf("empty-file", diag.Position{File: name}, "the file holds nothing")
		return doc
	}
	root := node.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		list.Errorf("empty-file", diag.Position{File: name}, "the file holds nothing")
		return doc
	}
	if (&treeCheck{doc: doc, list: list}).walk(root, 1) {
		doc.Root = root
	}
	return doc
}

var (
	tabbed      = regexp.MustCompile(`^ *\t`)
	syntaxLine  = regexp.MustCompile(`^line (\d+): `)
	parserError = regexp.MustCompile(`^(did not find expected (key|node content|'-' indicator|',' or|<)|found undefined tag handle)`)
)

// reportSyntax words an error of the YAML parser, which has its line in the text.
func reportSyntax(name string, data []byte, err error, list *diag.List) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	pos := diag.Position{File: name}
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		pos.Line, _ = strconv.Atoi(m[1])
		pos.Col = 1
		text = text[len(m[0]):]
		// yaml counts the lines of its scanner's errors from 1 and those of its
		// parser's from 0; only the wording tells them apart.
		if parserError.MatchString(text) {
			pos.Line++
		}
	} else {
		pos.Line, pos.Col = 1, 1
	}
	d := list.Errorf("yaml-syntax", pos, "this is not YAML: %s", text)
	if lines := bytes.Split(data, []byte("\n")); pos.Line <= len(lines) && tabbed.Match(lines[pos.Line-1]) {
		d.Hint = "indent with spaces: the line has a tab"
	}
}

// checkBytes looks for what no text file holds and reports the first of it.
func checkBytes(name string, data []byte, list *diag.List) bool {
	line, col := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		pos := diag.Position{File: name, Line: line, Col: col}
		switch {
		case r == utf8.RuneError && size == 1:
			list.Errorf("control-character", pos, "byte 0x%02x is not UTF-8", data[i])
			return true
		case i == 0 && r == '\ufeff':
		case r == '\n' || r == '\t' || r == '\r':
		case unicode.IsControl(r):
			list.Errorf("control-character", pos, "control character U+%04X", r)
			return true
		case diag.Hidden(r):
			list.Errorf("hidden-character", pos, "character U+%04X, which nobody sees as what it is", r)
			return true
		}
		if r == '\n' {
			line, col = line+1, 1
		} else {
			col++
		}
		i += size
	}
	return false
}

// treeCheck refuses what YAML offers beyond maps, lists and scalars.
type treeCheck struct {
	doc     *Document
	list    *diag.List
	aliases int
	values  int
}

// walk reports whether the tree below n can be used.
func (c *treeCheck) walk(n *yaml.Node, depth int) bool {
	if depth > maxNesting {
		c.list.Errorf("yaml-nesting", c.doc.place(n), "maps and lists are nested deeper than %d", maxNesting)
		return false
	}
	if c.values++; c.values > maxValues {
		if c.values == maxValues+1 {
			c.list.Errorf("value-count", c.doc.place(n), "the file holds more than %d keys and values", maxValues)
		}
		return false
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		what := "anchor &" + n.Anchor
		if n.Kind == yaml.AliasNode {
			what = "alias *" + n.Value
		}
		if c.aliases++; c.aliases == 1 { // the first is enough to see what to do
			c.list.Errorf("yaml-alias", c.doc.place(n), "YAML anchors and aliases are not supported: %s", what).Hint = "write the value out"
		}
		if n.Kind == yaml.AliasNode {
			return false
		}
	}
	if n.Style&yaml.TaggedStyle != 0 {
		c.list.Errorf("yaml-tag", c.doc.place(n), "YAML tags are not supported: %s", n.Tag).Hint = "remove the tag; quote the value if it must stay text"
	}
	ok := true
	switch n.Kind {
	case yaml.ScalarNode:
		if word := lookAlike(n.Value); word != "" {
			c.list.Errorf("look-alike", c.doc.place(n), "the word %q mixes letters of alphabets that look alike: %+q", word, word)
		}
		if len(n.Value) > maxScalar {
			c.list.Errorf("value-size", c.doc.place(n), "the value is longer than %d KiB", maxScalar>>10).Hint = "put it into a file of the package"
			return false
		}
		for _, r := range n.Value {
			if r == '\n' || r == '\t' || !diag.Hidden(r) {
				continue
			}
			code, what := "hidden-character", "character U+%04X, which nobody sees as what it is, in the value"
			if unicode.IsControl(r) {
				code, what = "control-character", "control character U+%04X in the value"
			}
			c.list.Errorf(code, c.doc.place(n), what, r)
			break
		}
	case yaml.SequenceNode:
		for _, child := range n.Content {
			ok = c.walk(child, depth+1) && ok
		}
	case yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Value == "" {
				c.list.Errorf("yaml-key", c.doc.place(k), "a key must be plain text, and not empty")
				ok = false
				continue
			}
			ok = c.walk(k, depth+1) && ok
			if line, dup := seen[k.Value]; dup {
				c.list.Errorf("duplicate-key", c.doc.place(k), "key %q is given twice; it stands on line %d already", k.Value, line)
			} else {
				seen[k.Value] = k.Line
			}
			ok = c.walk(n.Content[i+1], depth+1) && ok
		}
	}
	return ok
}

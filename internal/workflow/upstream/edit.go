package upstream

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// edit gives the file of a package with a version more. A reason says why it
// cannot be had by an edit of lines.
func edit(p *spec.Package, newest int, to Proposal) (edited []byte, reason string) {
	entry := entryOf(p.Doc.Root, newest)
	switch {
	case p.Versions[newest].Archive != nil:
		return nil, "the hash of its archive is not known"
	case entry == nil || entry.Kind != yaml.MappingNode || len(entry.Content) == 0:
		return nil, "its entry is no map"
	}
	lines := bytes.SplitAfter(p.Doc.Bytes, []byte("\n"))
	first, last := entry.Line, lastLine(entry)
	if last > len(lines) || !strings.HasPrefix(strings.TrimLeft(string(lines[first-1]), " "), "- ") {
		return nil, "the versions stand on one line"
	}
	var block [][]byte
	for n := first; n <= last; n++ {
		line := bytes.Clone(lines[n-1])
		if !bytes.HasSuffix(line, []byte("\n")) {
			line = append(line, '\n')
		}
		block = append(block, line)
	}
	type change struct{ key, old, new string }
	changes := []change{{"version", to.Old, to.New}, {"source", p.Versions[newest].Source, to.Source}}
	// From the end, so that columns hold where both stand on one line.
	if v, w := valueOf(entry, "version"), valueOf(entry, "source"); v != nil && w != nil && v.Line == w.Line && v.Column < w.Column {
		changes[0], changes[1] = changes[1], changes[0]
	}
	for _, c := range changes {
		n := valueOf(entry, c.key)
		if n == nil || n.Line > last {
			return nil, "its entry has no " + c.key
		}
		line, ok := replaceAt(string(block[n.Line-first]), n.Column, c.old, c.new)
		if !ok {
			return nil, "its " + c.key + " is not written plainly"
		}
		block[n.Line-first] = []byte(line)
	}
	out := bytes.Join(lines[:first-1], nil)
	for _, line := range block {
		// What a comment says of the old version need not hold of the new one.
		if !bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("#")) {
			out = append(out, line...)
		}
	}
	return append(out, bytes.Join(lines[first-1:], nil)...), ""
}

func entryOf(root *yaml.Node, i int) *yaml.Node {
	if n := valueOf(root, "versions"); n != nil && i < len(n.Content) {
		return n.Content[i]
	}
	return nil
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// lastLine is the last line on which something of a node stands.
func lastLine(n *yaml.Node) int {
	last := n.Line
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last += strings.Count(strings.TrimRight(n.Value, "\n"), "\n") + 1
	}
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

// replaceAt replaces a text that stands at a column, maybe behind a quote, so that
// quotes and a comment at the end stay.
func replaceAt(line string, column int, old, new string) (string, bool) {
	runes := []rune(line)
	if column < 1 || column > len(runes) {
		return "", false
	}
	head, tail := string(runes[:column-1]), string(runes[column-1:])
	quote := ""
	if tail[0] == '"' || tail[0] == '\'' {
		quote, tail = tail[:1], tail[1:]
	}
	rest, ok := strings.CutPrefix(tail, old)
	if !ok {
		return "", false
	}
	return head + quote + new + rest, true
}

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/santhosh-tekuri/jsonschema/v5"
	"go.yaml.in/yaml/v3"
)

// schemaBase resolves the relative $id of the schemas; nothing is fetched.
const schemaBase = "https://jetcrate.invalid/schema/"

// schema is a JSON schema, compiled and as the tree it was written in.
type schema struct {
	raw      map[string]any
	compiled *jsonschema.Schema
}

func newSchema(kind string) (*schema, error) {
	data, err := Schema(kind)
	if err != nil {
		return nil, err
	}
	return compileSchema(kind, data)
}

func compileSchema(kind string, data []byte) (*schema, error) {
	s := &schema{}
	if err := json.Unmarshal(data, &s.raw); err != nil {
		return nil, fmt.Errorf("reading the schema %s: %w", kind, err)
	}
	c := jsonschema.NewCompiler()
	url := schemaBase + kind + ".schema.json"
	if err := c.AddResource(url, bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("reading the schema %s: %w", kind, err)
	}
	var err error
	if s.compiled, err = c.Compile(url); err != nil {
		return nil, fmt.Errorf("compiling the schema %s: %w", kind, err)
	}
	return s, nil
}

// decode validates a document and decodes what is valid of it into v. Values
// that the schema refuses are reported and left out, so that the rest of the
// file can be checked in the same run.
func (s *schema) decode(doc *Document, v any, list *diag.List) {
	value := s.value(doc.Root, s.raw)
	if err := s.compiled.Validate(value); err != nil {
		var ve *jsonschema.ValidationError
		if !errors.As(err, &ve) {
			list.Errorf("wrong-type", doc.Pos(), "the file does not fit its schema: %v", err)
			return
		}
		r := reporter{schema: s, doc: doc, value: value, list: list}
		r.report(ve)
		for _, path := range r.refused {
			value = without(value, path)
		}
	}
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		// What passed the schema decodes; a number too large for its Go type may not.
		list.Errorf("wrong-type", doc.Pos(), "the file cannot be read: %v", err)
	}
}

// value turns a YAML tree into JSON values. Where the schema allows text, every
// scalar is the text that was written; elsewhere YAML's types hold.
func (s *schema) value(n *yaml.Node, sch map[string]any) any {
	sch = s.branch(sch, n)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		properties, _ := sch["properties"].(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			child, ok := properties[key].(map[string]any)
			if !ok {
				child, _ = sch["additionalProperties"].(map[string]any)
			}
			if _, dup := m[key]; !dup {
				m[key] = s.value(n.Content[i+1], child)
			}
		}
		return m
	case yaml.SequenceNode:
		items, _ := sch["items"].(map[string]any)
		l := make([]any, len(n.Content))
		for i, child := range n.Content {
			l[i] = s.value(child, items)
		}
		return l
	}
	tag := n.ShortTag()
	switch {
	case tag == "!!null":
		return nil
	case allowsType(sch, "string"):
		return n.Value
	case tag == "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case tag == "!!int" || tag == "!!float":
		// JSON knows neither .inf nor 0x10, and nobody needs an exponent here, whose
		// exact value may be huge: such numbers stay text, and are refused.
		if json.Valid([]byte(n.Value)) && len(n.Value) < 32 && !strings.ContainsAny(n.Value, "eE") {
			return json.Number(n.Value)
		}
	}
	return n.Value
}

// branch follows references, and of alternatives takes the one for this kind
// of node; nil if there is none.
func (s *schema) branch(sch map[string]any, n *yaml.Node) map[string]any {
	for range 16 {
		if ref, ok := sch["$ref"].(string); ok {
			sch, _ = s.at(strings.TrimPrefix(ref, "#")).(map[string]any)
			continue
		}
		alternatives, ok := sch["anyOf"].([]any)
		if !ok {
			return sch
		}
		i := s.chooses(alternatives, n)
		if i < 0 {
			return nil
		}
		sch, _ = alternatives[i].(map[string]any)
	}
	return sch
}

// chooses returns the index of the alternative that a kind of node means, or -1.
func (s *schema) chooses(alternatives []any, n *yaml.Node) int {
	want := []string{"object"}
	switch {
	case n.Kind == yaml.SequenceNode:
		want = []string{"array"}
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		want = nil
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool":
		want = []string{"boolean", "string"}
	case n.Kind == yaml.ScalarNode:
		want = []string{"string"}
	}
	for _, t := range want {
		for i, a := range alternatives {
			m, _ := a.(map[string]any)
			if ref, ok := m["$ref"].(string); ok {
				m, _ = s.at(strings.TrimPrefix(ref, "#")).(map[string]any)
			}
			if allowsType(m, t) {
				return i
			}
		}
	}
	return -1
}

// at resolves a JSON pointer within the schema.
func (s *schema) at(pointer string) any {
	var v any = s.raw
	for _, token := range splitPointer(pointer) {
		switch x := v.(type) {
		case map[string]any:
			v = x[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func allowsType(sch map[string]any, name string) bool {
	switch t := sch["type"].(type) {
	case string:
		return t == name
	case []any:
		for _, x := range t {
			if x == name {
				return true
			}
		}
	}
	return false
}

func splitPointer(p string) []string {
	if p == "" || p == "/" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, t := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens
}

// without removes a value: a key of its map, an item of its list becomes null,
// so that the places of its neighbours stay what they are.
func without(value any, path []any) any {
	if len(path) == 0 {
		return nil
	}
	switch p := path[0].(type) {
	case string:
		m, ok := value.(map[string]any)
		if !ok {
			break
		}
		if _, there := m[p]; there && len(path) == 1 {
			delete(m, p)
		} else if there {
			m[p] = without(m[p], path[1:])
		}
	case int:
		if l, ok := value.([]any); ok && p < len(l) {
			l[p] = without(l[p], path[1:])
		}
	}
	return value
}

// pathOf turns an instance location into the keys and indexes it names.
func pathOf(value any, pointer string) []any {
	var path []any
	for _, token := range splitPointer(pointer) {
		if plain, err := url.PathUnescape(token); err == nil { // an error of the validator escapes it for an address
			token = plain
		}
		switch x := value.(type) {
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) {
				return path
			}
			path = append(path, i)
			value = x[i]
		case map[string]any:
			path = append(path, token)
			value = x[token]
		default:
			return path
		}
	}
	return path
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

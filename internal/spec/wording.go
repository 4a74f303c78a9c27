package spec

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/santhosh-tekuri/jsonschema/v5"
	"go.yaml.in/yaml/v3"
)

// reporter words what a schema refuses, in the words of who wrote the file.
type reporter struct {
	schema  *schema
	doc     *Document
	value   any
	list    *diag.List
	refused [][]any // paths of values that must not be decoded
}

func (r *reporter) report(e *jsonschema.ValidationError) {
	keyword := path.Base(e.KeywordLocation)
	if keyword == "anyOf" {
		r.reportAlternatives(e)
		return
	}
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			r.report(c)
		}
		return
	}
	location := e.AbsoluteKeywordLocation
	if _, fragment, ok := strings.Cut(location, "#"); ok {
		location = fragment
	}
	if plain, err := url.PathUnescape(location); err == nil {
		location = plain
	}
	at := pathOf(r.value, e.InstanceLocation)
	holder, _ := r.schema.at(path.Dir(location)).(map[string]any)
	if strings.Contains(e.KeywordLocation, "/propertyNames/") {
		r.reportName(at, holder)
		return
	}
	r.reportKeyword(keyword, at, holder)
}

// reportAlternatives goes on with the alternative that the kind of the value
// means; the others say nothing of use.
func (r *reporter) reportAlternatives(e *jsonschema.ValidationError) {
	_, fragment, _ := strings.Cut(e.AbsoluteKeywordLocation, "#")
	alternatives, _ := r.schema.at(fragment).([]any)
	at := pathOf(r.value, e.InstanceLocation)
	_, node, _ := r.doc.find(at)
	chosen := r.schema.chooses(alternatives, node)
	prefix := e.KeywordLocation + "/" + strconv.Itoa(chosen)
	for _, c := range e.Causes {
		if chosen >= 0 && (c.KeywordLocation == prefix || strings.HasPrefix(c.KeywordLocation, prefix+"/")) {
			r.report(c)
			return
		}
	}
	var kinds []string
	for _, a := range alternatives {
		m, _ := a.(map[string]any)
		if ref, ok := m["$ref"].(string); ok {
			m, _ = r.schema.at(strings.TrimPrefix(ref, "#")).(map[string]any)
		}
		kinds = append(kinds, kindOf(m))
	}
	r.refuse("wrong-type", at, "%s must be %s, found %s", name(at), strings.Join(kinds, " or "), found(node))
}

func (r *reporter) refuse(code string, at []any, format string, args ...any) *diag.Diagnostic {
	r.refused = append(r.refused, at)
	return r.list.Errorf(code, r.doc.Pos(at...), format, args...)
}

func (r *reporter) reportKeyword(keyword string, at []any, sch map[string]any) {
	_, node, _ := r.doc.find(at)
	switch keyword {
	case "additionalProperties":
		r.reportUnknownKeys(at, node, sch)
	case "required":
		r.reportMissingKeys(at, node, sch)
	case "type":
		r.refuse("wrong-type", at, "%s must be %s, found %s", name(at), kindOf(sch), found(node))
	case "enum":
		allowed := texts(sch["enum"])
		d := r.refuse("bad-value", at, "%s cannot be %s", name(at), found(node))
		d.Allowed = allowed
		d.Hint = diag.DidYouMean(node.Value, allowed)
	case "pattern":
		pattern, _ := sch["pattern"].(string)
		r.refuse("bad-value", at, "%s cannot be %s: it must be %s", name(at), found(node), patternWords(pattern))
	case "minLength":
		r.refuse("bad-value", at, "%s must not be empty", name(at))
	case "maxLength":
		r.refuse("bad-value", at, "%s is longer than %v characters", name(at), sch["maxLength"])
	case "minItems", "minProperties":
		r.refuse("bad-value", at, "%s must not be empty", name(at))
	case "minimum":
		r.refuse("bad-value", at, "%s must be at least %v, found %s", name(at), sch["minimum"], found(node))
	case "exclusiveMinimum":
		r.refuse("bad-value", at, "%s must be more than %v, found %s", name(at), sch["exclusiveMinimum"], found(node))
	case "maximum":
		r.refuse("bad-value", at, "%s must be at most %v, found %s", name(at), sch["maximum"], found(node))
	default:
		r.refuse("bad-value", at, "%s cannot be %s (%s)", name(at), found(node), keyword)
	}
}

func (r *reporter) reportUnknownKeys(at []any, node *yaml.Node, sch map[string]any) {
	properties, _ := sch["properties"].(map[string]any)
	allowed := sortedKeys(properties)
	seen := map[string]bool{}
	var free []string // known keys that are not given yet make the better suggestion
	for i := 0; i+1 < len(node.Content); i += 2 {
		seen[node.Content[i].Value] = true
	}
	for _, k := range allowed {
		if !seen[k] {
			free = append(free, k)
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if _, ok := properties[key.Value]; ok {
			continue
		}
		in := ""
		if len(at) > 0 {
			in = " in " + name(at)
		}
		d := r.list.Errorf("unknown-key", r.doc.place(key), "unknown key %q%s", key.Value, in)
		d.Allowed = allowed
		d.Hint = diag.DidYouMean(key.Value, free)
	}
}

func (r *reporter) reportMissingKeys(at []any, node *yaml.Node, sch map[string]any) {
	properties, _ := sch["properties"].(map[string]any)
	for _, key := range texts(sch["required"]) {
		if _, value := childOf(node, key); value != nil {
			continue
		}
		d := r.list.Errorf("missing-key", r.doc.Pos(at...), "%s needs the key %q", name(at), key)
		if p, ok := properties[key].(map[string]any); ok {
			if text, ok := p["description"].(string); ok {
				d.Hint = key + ": " + text
			}
		}
	}
}

// reportName reports a key that is a name of the user's own.
func (r *reporter) reportName(at []any, sch map[string]any) {
	pattern, _ := sch["pattern"].(string)
	key := ""
	if len(at) > 0 {
		key, _ = at[len(at)-1].(string)
	}
	r.refused = append(r.refused, at)
	r.list.Errorf("bad-name", r.doc.KeyPos(at...), "%q is not a name for %s: it must be %s",
		key, name(at[:max(0, len(at)-1)]), patternWords(pattern))
}

// name is how people refer to a place within a file: versions[0].requires.
func name(at []any) string {
	if len(at) == 0 {
		return "the file"
	}
	var b strings.Builder
	for i, p := range at {
		switch p := p.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", p)
		case string:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		}
	}
	return b.String()
}

// kindOf says what a schema wants.
func kindOf(sch map[string]any) string {
	switch {
	case allowsType(sch, "string"):
		return "text"
	case allowsType(sch, "object"):
		return "a map"
	case allowsType(sch, "array"):
		return "a list"
	case allowsType(sch, "boolean"):
		return "true or false"
	case allowsType(sch, "number"), allowsType(sch, "integer"):
		return "a number"
	}
	return "something else"
}

// found says what stands in the file, shortened.
func found(n *yaml.Node) string {
	if n == nil {
		return "nothing"
	}
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return strconv.Quote(shorten(n.Value))
}

func shorten(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}

func texts(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// patternWords says what a pattern of the schemas means.
func patternWords(pattern string) string {
	switch pattern {
	case "^[a-z0-9][a-z0-9_.-]*$":
		return "lower-case letters, digits and _ . -, such as build-essential"
	case "^https?://":
		return "an address that begins with https://"
	case "^[A-Za-z0-9][A-Za-z0-9.+_-]*$":
		return "letters, digits and . + _ -, such as 2.8.0"
	case "^[A-Za-z0-9][A-Za-z0-9_.-]*$":
		return "letters, digits and _ . -"
	case "^[0-9a-f]{64}$":
		return "64 lower-case hexadecimal digits"
	case "^[A-Za-z0-9][A-Za-z0-9.+!_-]*$":
		return "the version of a Python distribution, such as 2.8.0"
	case "^([0-9a-f]{40}|[0-9a-f]{64})$":
		return "a commit id: 40 lower-case hexadecimal digits"
	case "^sha256:[0-9a-f]{64}$":
		return "sha256: and 64 lower-case hexadecimal digits"
	case "^[0-9]+(MiB|GiB)$":
		return "a size such as 4GiB"
	case `^[0-9]+(\.[0-9]+)?(MiB|GiB)$`:
		return "a size such as 9GiB or 1.5GiB"
	case "^/":
		return "an absolute path, such as /src"
	case "^[a-z0-9-]+/[a-z0-9-]+$":
		return "a group and a name, such as python/build-wheel"
	case `^[0-9]+\.[0-9]+(\.[0-9]+)?$`:
		return "an L4T release such as 36.4.0"
	case "^[0-9]{4}-[0-9]{2}-[0-9]{2}$":
		return "a date such as 2025-01-31"
	case "^[A-Za-z_][A-Za-z0-9_]*$":
		return "letters, digits and _, not beginning with a digit"
	case "^[A-Za-z_][A-Za-z0-9_-]*$":
		return "letters, digits and _ -, not beginning with a digit"
	case "^[a-z0-9._-]+$":
		return "lower-case letters, digits and . _ -, such as ubuntu"
	case "^[a-z]+$":
		return "one lower-case word, such as bookworm"
	case "^pool/[A-Za-z0-9/._+~%-]+$":
		return "a path below a Debian mirror, such as pool/main/m/markupsafe/markupsafe_2.1.2.orig.tar.gz"
	case "^[a-z][a-z0-9_-]*$":
		return "lower-case letters, digits and _ -, beginning with a letter"
	case `^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$`:
		return "a registry and a path in it, such as registry.example.org/jetson"
	}
	return "text that matches " + pattern
}

package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// SchemaWith is the schema of a kind of file for editors in one catalog: it knows
// the catalog's packages and their versions, aliases, steps with their inputs, and
// platforms, so that an editor completes them and marks what there is not.
func SchemaWith(kind string, cat *Catalog) ([]byte, error) {
	data, err := Schema(kind)
	if err != nil {
		return nil, err
	}
	var root map[string]any
	if err := json.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("reading the schema %s: %w", kind, err)
	}
	delete(root, "$id") // it is of the schema that every catalog has
	root["title"] = fmt.Sprint(root["title"]) + ", with what this catalog holds"
	e := enricher{cat: cat}
	defs, _ := root["$defs"].(map[string]any)
	for name, enrich := range map[string]func(map[string]any){
		"Dependency": e.dependency, "Condition": e.condition, "Step": e.step, "Test": e.step, "Axes": e.axes,
	} {
		if d, ok := defs[name].(map[string]any); ok {
			enrich(d)
		}
	}
	if group, ok := property(root, "group"); ok && kind == "package" {
		group["examples"] = e.groups()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("encoding the schema %s: %w", kind, err)
	}
	return b.Bytes(), nil
}

type enricher struct{ cat *Catalog }

func property(schema map[string]any, name string) (map[string]any, bool) {
	all, _ := schema["properties"].(map[string]any)
	p, ok := all[name].(map[string]any)
	return p, ok
}

// names are all names of packages, aliases too, sorted.
func (e *enricher) names() []string {
	return slices.Sorted(maps.Keys(merge(e.cat.Packages, e.cat.Aliases)))
}

func merge[A, B any](a map[string]A, b map[string]B) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// targets are the names, with every version.
func (e *enricher) targets() []string {
	out := e.names()
	for _, name := range slices.Sorted(maps.Keys(e.cat.Packages)) {
		for _, v := range e.cat.Packages[name].Versions {
			out = append(out, name+":"+v.Version)
		}
	}
	return out
}

// pattern matches any of the names with what may follow it.
func (e *enricher) pattern(follows string) string {
	var quoted []string
	for _, n := range e.names() {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}
	return "(" + strings.Join(quoted, "|") + ")" + follows
}

// offer makes an editor complete some values of a text that may be others too.
func offer(schema map[string]any, values []string, others map[string]any) {
	if len(values) == 0 {
		return
	}
	schema["anyOf"] = []any{map[string]any{"enum": values}, others}
}

func (e *enricher) groups() []string {
	groups := map[string]bool{}
	for _, p := range e.cat.Packages {
		groups[p.Group] = true
	}
	return slices.Sorted(maps.Keys(groups))
}

// dependency restricts an entry of depends or conflicts to packages there are.
func (e *enricher) dependency(d map[string]any) {
	alternatives, _ := d["anyOf"].([]any)
	for _, a := range alternatives {
		a, _ := a.(map[string]any)
		if p, ok := property(a, "package"); ok {
			a = p
		}
		if a["type"] == "object" {
			continue
		}
		a["type"] = "string"
		offer(a, e.targets(), map[string]any{"pattern": "^" + e.pattern(`([:+<>=!~ ].*)?`) + "$"})
	}
}

// condition offers what the platforms have.
func (e *enricher) condition(d map[string]any) {
	for name, values := range e.platforms() {
		if p, ok := property(d, name); ok && p["enum"] == nil {
			offer(p, values, map[string]any{"type": p["type"]})
		}
	}
}

// platforms are the values that the properties of platforms have, by the names
// that requires and the axes of the matrix know.
func (e *enricher) platforms() map[string][]string {
	all := map[string]map[string]bool{}
	add := func(name string, values ...string) {
		for _, v := range values {
			if v == "" {
				continue
			}
			if all[name] == nil {
				all[name] = map[string]bool{}
			}
			all[name][v] = true
		}
	}
	for _, p := range e.cat.Matrix.Platforms {
		add("l4t", p.L4T, line(p.L4T))
		add("jetpack", p.JetPack)
		add("os", p.OS.ID+" "+p.OS.Version)
		add("gpu", p.GPU...)
		add("python", p.Python...)
		for _, s := range p.CUDA {
			add("cuda", s.Version)
			add("cudnn", s.CuDNN)
			add("tensorrt", s.TensorRT)
		}
	}
	out := map[string][]string{}
	for name, values := range all {
		out[name] = slices.Sorted(maps.Keys(values))
	}
	return out
}

// line is the line of a release: 36.4 of 36.4.0.
func line(l4t string) string {
	if _, err := version.ParseL4T(l4t); err != nil {
		return ""
	}
	parts := strings.Split(l4t, ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// step restricts uses to steps there are, and with to the inputs of the one used.
func (e *enricher) step(d map[string]any) {
	uses, ok := property(d, "uses")
	if !ok {
		return
	}
	with, _ := property(d, "with")
	names := slices.Sorted(maps.Keys(e.cat.Steps))
	uses["enum"] = names
	uses["type"] = "string"
	var cases []any
	for _, name := range names {
		def := e.cat.Steps[name]
		inputs := map[string]any{}
		required := []string{}
		for _, in := range slices.Sorted(maps.Keys(def.Inputs)) {
			x := def.Inputs[in]
			s := map[string]any{"description": x.Description}
			if values, ok := with["additionalProperties"].(map[string]any); ok {
				s["anyOf"] = values["anyOf"]
			}
			if x.Default != nil {
				s["default"] = x.Default
			}
			inputs[in] = s
			if x.Required {
				required = append(required, in)
			}
		}
		then := map[string]any{"properties": map[string]any{
			"uses": map[string]any{"description": def.Summary},
			"with": map[string]any{"properties": inputs, "additionalProperties": false, "required": required},
		}}
		if len(required) > 0 {
			then["required"] = []string{"with"}
		}
		cases = append(cases, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"uses": map[string]any{"const": name}}, "required": []string{"uses"}},
			"then": then,
		})
	}
	if len(cases) > 0 {
		d["allOf"] = cases
	}
}

// axes restricts the targets of the matrix, and offers its platforms.
func (e *enricher) axes(d map[string]any) {
	one := e.pattern(`([:+][^ ]*)?`)
	target := func(s map[string]any) {
		s["type"] = "string"
		offer(s, e.targets(), map[string]any{"pattern": "^" + one + "( +" + one + ")*$"})
	}
	offered := e.platforms()
	for name, values := range offered {
		if axis, ok := property(d, name); ok {
			items, _ := axis["items"].(map[string]any)
			if name == "cuda" || name == "python" {
				values = append([]string{"default"}, values...)
				offered[name] = values
			}
			offer(items, values, map[string]any{"type": items["type"]})
		}
	}
	if axis, ok := property(d, "package"); ok {
		items, _ := axis["items"].(map[string]any)
		target(items)
	}
	for _, list := range []string{"include", "exclude"} {
		axis, ok := property(d, list)
		if !ok {
			continue
		}
		items, _ := axis["items"].(map[string]any)
		other, _ := items["additionalProperties"].(map[string]any)
		properties := map[string]any{}
		for _, name := range []string{"l4t", "cuda", "python"} {
			p := map[string]any{"type": other["type"]}
			offer(p, offered[name], map[string]any{"type": other["type"]})
			properties[name] = p
		}
		p := map[string]any{}
		target(p)
		properties["package"] = p
		items["properties"] = properties
	}
}

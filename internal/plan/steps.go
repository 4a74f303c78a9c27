package plan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// resolved is a `run:` step with everything evaluated.
type resolved struct {
	name    string // of the step of the package that it comes from: what it uses, or its name
	script  string
	env     []Var // in the order to export; Owner is empty
	shell   string
	dir     string
	cache   []string
	secrets []string
	archive *spec.Archive
	apt     bool
	timeout float64
	linked  bool // the step of the package that it comes from says so
}

// expander evaluates the steps of one phase of one package.
type expander struct {
	cat        *spec.Catalog
	templates  *templates
	values     map[string]any // contexts of the package
	list       *diag.List
	locks      *lockIndex
	lines      []lockedLine // that the package brings, in the lock
	buildLines []lockedLine // that only its build needs, in the lock
	loose      []Loose      // that the steps name
	bring      []lockedLine // that the steps say they install
}

// maxDepth bounds reusable steps that use others; lint refuses cycles.
const maxDepth = 16

// steps flattens steps. doc and path say where they stand, outer what those
// around them set; top is true for the steps of the package itself.
func (x *expander) steps(steps []spec.Step, doc spec.Positioner, path []any, outer resolved, inputs map[string]any, top bool, depth int) []resolved {
	var out []resolved
	for i, st := range steps {
		at := func(more ...any) diag.Position {
			return doc.Pos(append(append(append([]any(nil), path...), i), more...)...)
		}
		scope := x.scope(inputs, outer.env)
		if st.If != "" {
			holds, err := x.templates.holds(st.If, scope)
			if err != nil {
				x.list.Errorf("bad-expression", at("if"), "%v", err)
			}
			if !holds {
				continue
			}
		}
		r := outer
		if top {
			r.name = cmp.Or(st.Uses, st.Name)
		}
		r.env = x.env(outer.env, st.Env, scope, at)
		scope = x.scope(inputs, r.env)
		r.secrets = union(outer.secrets, st.Secrets)
		r.cache = union(outer.cache, st.Cache)
		if st.Shell != "" {
			r.shell = st.Shell
		}
		if st.TimeoutMinutes > 0 {
			r.timeout = st.TimeoutMinutes
		}
		if st.WorkingDirectory != "" {
			r.dir = x.text(st.WorkingDirectory, scope, at("working-directory"))
		}
		if st.Fetch != "" {
			r.archive = x.archive(st.Fetch, scope, at("fetch"))
		}
		if st.Uses != "" {
			def := x.cat.Steps[st.Uses]
			if def == nil || depth >= maxDepth {
				x.list.Errorf("unknown-step", at("uses"), "no step %q", st.Uses)
				continue
			}
			r.apt = r.apt || def.Apt
			if top {
				r.linked = def.Linked
			}
			given := x.inputs(def, st, scope, at)
			x.fillLocked(def, st, given, at)
			x.brings(def.Brings, given, at("uses"))
			out = append(out, x.steps(def.Steps, def.Doc, []any{"steps"}, r, given, false, depth+1)...)
			continue
		}
		if top {
			r.linked = false
		}
		r.script = x.script(st.Run, scope, at("run"))
		out = append(out, r)
	}
	return out
}

// scope is the contexts that a step sees.
func (x *expander) scope(inputs map[string]any, env []Var) map[string]any {
	s := map[string]any{}
	for k, v := range x.values {
		s[k] = v
	}
	e := map[string]any{}
	for _, v := range env {
		e[v.Name] = v.Value
	}
	s["env"], s["inputs"] = e, inputs
	return s
}

// env lays the step's variables over those around it.
func (x *expander) env(outer []Var, env map[string]string, scope map[string]any, at func(...any) diag.Position) []Var {
	out := append([]Var(nil), outer...)
	size := 0
	for _, v := range out {
		size += len(v.Value)
	}
	for _, name := range sortedKeys(env) {
		v := Var{Name: name, Value: x.text(env[name], scope, at("env", name))}
		if size += len(v.Value); size > maxScript {
			x.list.Errorf("bad-variable", at("env", name), "the variables of the step have more than %d KiB together", maxScript>>10)
			break
		}
		if !isVariable(name) {
			x.list.Errorf("bad-variable", at("env", name), "%q is no name of a variable", name)
			continue
		}
		found := false
		for i := range out {
			if out[i].Name == name {
				out[i], found = v, true
			}
		}
		if !found {
			out = append(out, v)
		}
	}
	return out
}

// inputs evaluates what `with:` gives, and the defaults of the rest.
func (x *expander) inputs(def *spec.StepDef, st spec.Step, scope map[string]any, at func(...any) diag.Position) map[string]any {
	out := map[string]any{}
	names := make([]string, 0, len(def.Inputs))
	for name := range def.Inputs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		in := def.Inputs[name]
		given, ok := st.With[name]
		switch {
		case ok:
			out[name] = x.value(given, scope, at("with", name))
		case in.Required:
			x.list.Errorf("missing-input", at("uses"), "step %s needs the input %q", def.Name, name).Hint = in.Description
		default:
			out[name] = x.value(in.Default, scope, def.Doc.Pos("inputs", name, "default"))
		}
	}
	return out
}

func (x *expander) value(v any, scope map[string]any, pos diag.Position) any {
	switch v := v.(type) {
	case string:
		t, err := x.templates.text(v)
		if err == nil {
			var out any
			if out, err = t.Eval(scope); err == nil {
				if s, ok := out.(string); ok {
					x.visible(s, pos)
				}
				return out
			}
		}
		x.list.Errorf("bad-expression", pos, "%v", err)
		return ""
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = x.value(v[i], scope, pos)
		}
		return out
	case nil:
		return ""
	default:
		return v
	}
}

func (x *expander) text(src string, scope map[string]any, pos diag.Position) string {
	t, err := x.templates.text(src)
	if err == nil {
		var s string
		if s, err = t.String(scope); err == nil {
			x.visible(s, pos)
			return s
		}
	}
	x.list.Errorf("bad-expression", pos, "%v", err)
	return ""
}

// visible refuses a value in which an expression has made a character that a
// file of the catalog must not hold, such as fromJSON('"\u001b"').
func (x *expander) visible(s string, pos diag.Position) {
	if !utf8.ValidString(s) {
		x.list.Errorf("unsafe-value", pos, "the value is not UTF-8")
	}
	for _, r := range s {
		if diag.Hidden(r) && r != '\n' && r != '\t' {
			x.list.Errorf("unsafe-value", pos, "the value holds the character U+%04X, which nobody sees as what it is", r)
			return
		}
	}
}

// script evaluates a `run:`. What a value gives becomes part of a shell script,
// so only characters that no shell interprets are let through; everything else
// has to come as a variable.
func (x *expander) script(src string, scope map[string]any, pos diag.Position) string {
	t, err := x.templates.text(src)
	if err != nil {
		x.list.Errorf("bad-expression", pos, "%v", err)
		return ""
	}
	parts, err := t.EvalParts(scope)
	if err != nil {
		x.list.Errorf("bad-expression", pos, "%v", err)
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		begins := b.Len() == 0 || strings.ContainsRune(" \t\n;&|(", rune(b.String()[b.Len()-1]))
		switch {
		case p.IsValue && !plain(p.Text):
			x.list.Errorf("unsafe-value", pos, "the value %q would be read by the shell", begin(p.Text)).Hint = asVariable
			continue
		case p.IsValue && begins && strings.HasPrefix(p.Text, "-"):
			x.list.Errorf("unsafe-value", pos, "the value %q would be read as an option", begin(p.Text)).Hint = asVariable
			continue
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// begin is a value for a message.
func begin(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}

const asVariable = "give it to the script as a variable: env: {NAME: \"${{ ... }}\"}, and use \"$NAME\""

// plain reports whether no shell gives any character of s a meaning of its own.
func plain(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("_./:@%+=,-", r):
		default:
			return false
		}
	}
	return true
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// archive evaluates `fetch:`.
func (x *expander) archive(src string, scope map[string]any, pos diag.Position) *spec.Archive {
	t, err := x.templates.condition(src) // with or without ${{ }}
	var v any
	if err == nil {
		v, err = t.Eval(scope)
	}
	if err != nil {
		x.list.Errorf("bad-expression", pos, "%v", err)
		return nil
	}
	m, ok := v.(map[string]any)
	sha, _ := m["sha256"].(string)
	if !ok || !sha256Hex.MatchString(sha) {
		x.list.Errorf("no-archive", pos, "fetch needs an archive with a sha256").Hint = "give the version an archive: {sha256: ..., urls: [...]}"
		return nil
	}
	a := &spec.Archive{SHA256: sha}
	if urls, ok := m["urls"].([]any); ok {
		for _, u := range urls {
			a.URLs = append(a.URLs, fmt.Sprint(u))
		}
	}
	a.Debian, _ = m["debian"].(string)
	if a.Name() == "" || strings.ContainsFunc(strings.Join(a.URLs, "")+a.Debian, diag.Hidden) {
		x.list.Errorf("no-archive", pos, "the archive names no place to fetch it from").Hint = "give it urls or a debian path"
		return nil
	}
	return a
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// isVariable reports whether a shell can export a variable of that name.
func isVariable(s string) bool {
	for i, r := range s {
		ok := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9'
		if !ok {
			return false
		}
	}
	return s != ""
}

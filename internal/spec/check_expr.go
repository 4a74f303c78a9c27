package spec

import (
	"errors"
	"maps"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
)

// The contexts that expressions may read. What a package declares (options,
// values) is known while it is checked; a reusable step serves any package, so
// that these are open there, and its inputs are known instead.

func object(fields map[string]*expr.Type) *expr.Type {
	return &expr.Type{Kind: expr.Object, Fields: fields}
}

func openMap(elem *expr.Type) *expr.Type {
	return &expr.Type{Kind: expr.Object, Open: true, Elem: elem}
}

func text() *expr.Type { return &expr.Type{Kind: expr.String} }

func textList() *expr.Type { return &expr.Type{Kind: expr.Array, Elem: text()} }

func textFields(names ...string) *expr.Type {
	fields := map[string]*expr.Type{}
	for _, n := range names {
		fields[n] = text()
	}
	return object(fields)
}

func baseScope(values, options *expr.Type) expr.Scope {
	pkg := textFields("name", "version", "summary", "group")
	pkg.Fields["archive"] = object(map[string]*expr.Type{"sha256": text(), "urls": textList(), "debian": text()})
	pkg.Fields["values"] = values
	platform := textFields("l4t", "line", "jetpack", "flavour", "arch", "python")
	platform.Fields["os"] = textFields("id", "version")
	platform.Fields["gpu"] = object(map[string]*expr.Type{"sm": textList(), "compute": textList()})
	platform.Fields["cuda"] = textFields("version", "cudnn", "tensorrt")
	return expr.Scope{"package": pkg, "version": text(), "platform": platform, "options": options}
}

func packageScope(p *Package) expr.Scope {
	values := object(map[string]*expr.Type{})
	for _, v := range p.Versions {
		for name := range v.Values {
			values.Fields[name] = text()
		}
	}
	options := object(map[string]*expr.Type{})
	for name, o := range p.Options {
		options.Fields[name] = &expr.Type{Kind: expr.Bool}
		if o.Type == "string" {
			options.Fields[name] = text()
		}
	}
	return baseScope(values, options)
}

func stepScope() expr.Scope {
	return baseScope(openMap(text()), openMap(nil))
}

func withContext(s expr.Scope, name string, t *expr.Type) expr.Scope {
	s = maps.Clone(s)
	s[name] = t
	return s
}

func (c *checker) checkPackageExpressions(p *Package) {
	x := exprCheck{doc: p.Doc, list: c.list}
	scope := packageScope(p)
	x.texts(scope, p.Env, "env")
	x.dependencies(scope, p.Depends, "depends")
	x.dependencies(scope, p.Conflicts, "conflicts")
	for i, v := range p.Versions {
		x.dependencies(scope, v.Depends, "versions", i, "depends")
		x.dependencies(scope, v.Conflicts, "versions", i, "conflicts")
	}
	steps := withContext(scope, "env", openMap(text()))
	if p.Build != nil {
		x.dependencies(scope, p.Build.Depends, "build", "depends")
		x.steps(steps, p.Build.Steps, "build", "steps")
	}
	if p.Install != nil {
		for i, v := range p.Install.Brings {
			x.template(steps, v, "install", "brings", i)
		}
		x.steps(steps, p.Install.Steps, "install", "steps")
	}
	for i, t := range p.Tests {
		x.condition(steps, t.If, "tests", i, "if")
		x.texts(steps, t.Env, "tests", i, "env")
		x.template(steps, t.Run, "tests", i, "run")
		for _, name := range sortedKeys(t.With) {
			x.value(steps, t.With[name], "tests", i, "with", name)
		}
	}
}

func (c *checker) checkStepExpressions(s *StepDef) {
	x := exprCheck{doc: s.Doc, list: c.list}
	scope := withContext(stepScope(), "env", openMap(text()))
	inputs := object(map[string]*expr.Type{})
	for _, name := range sortedKeys(s.Inputs) {
		inputs.Fields[name] = nil // a boolean, text or a list, as the user of the step likes
		x.value(scope, s.Inputs[name].Default, "inputs", name, "default")
	}
	for i, v := range s.Brings {
		x.template(withContext(stepScope(), "inputs", inputs), v, "brings", i)
	}
	x.steps(withContext(scope, "inputs", inputs), s.Steps, "steps")
}

// exprCheck checks the expressions of one file.
type exprCheck struct {
	doc  *Document
	list *diag.List
}

func (x exprCheck) steps(scope expr.Scope, steps []Step, at ...any) {
	for i, st := range steps {
		here := func(more ...any) []any { return append(append(append([]any(nil), at...), i), more...) }
		x.condition(scope, st.If, here("if")...)
		x.texts(scope, st.Env, here("env")...)
		for _, name := range sortedKeys(st.With) {
			x.value(scope, st.With[name], here("with", name)...)
		}
		x.template(scope, st.Run, here("run")...)
		x.template(scope, st.WorkingDirectory, here("working-directory")...)
		x.condition(scope, st.Fetch, here("fetch")...)
	}
}

func (x exprCheck) dependencies(scope expr.Scope, deps []Dependency, at ...any) {
	for i, d := range deps {
		x.condition(scope, d.If, append(append([]any(nil), at...), i, "if")...)
	}
}

func (x exprCheck) texts(scope expr.Scope, m map[string]string, at ...any) {
	for _, name := range sortedKeys(m) {
		x.template(scope, m[name], append(append([]any(nil), at...), name)...)
	}
}

// value is text or a list of texts; anything else holds no expression.
func (x exprCheck) value(scope expr.Scope, v any, at ...any) {
	switch v := v.(type) {
	case string:
		x.template(scope, v, at...)
	case []any:
		for i, item := range v {
			x.value(scope, item, append(append([]any(nil), at...), i)...)
		}
	}
}

func (x exprCheck) template(scope expr.Scope, src string, at ...any) {
	if src != "" {
		t, err := expr.Parse(src)
		x.report(t, err, scope, at)
	}
}

// condition is an expression that needs no ${{ }} around it.
func (x exprCheck) condition(scope expr.Scope, src string, at ...any) {
	if src != "" {
		t, err := expr.ParseCondition(src)
		x.report(t, err, scope, at)
	}
}

func (x exprCheck) report(t *expr.Template, err error, scope expr.Scope, at []any) {
	if err != nil {
		offset := 0
		var se *expr.SyntaxError
		if errors.As(err, &se) {
			offset = se.Offset
		}
		x.list.Errorf("expression-syntax", x.doc.PosAt(offset, at...), "%v", err)
		return
	}
	for _, p := range t.Check(scope) {
		d := x.list.Errorf("bad-expression", x.doc.PosAt(p.Offset, at...), "%s", p.Message)
		d.Hint, d.Allowed = p.Hint, p.Allowed
	}
}

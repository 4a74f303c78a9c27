package plan

import (
	"fmt"
	"strings"
	"sync"

	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// templates parses each text once: a plan evaluates the same few for every
// platform.
type templates struct{ texts, conditions sync.Map }

type parsed struct {
	t   *expr.Template
	err error
}

func (ts *templates) text(src string) (*expr.Template, error) {
	return once(&ts.texts, src, expr.Parse)
}

func (ts *templates) condition(src string) (*expr.Template, error) {
	return once(&ts.conditions, src, expr.ParseCondition)
}

func once(m *sync.Map, src string, parse func(string) (*expr.Template, error)) (*expr.Template, error) {
	have, ok := m.Load(src)
	if !ok {
		t, err := parse(src)
		have, _ = m.LoadOrStore(src, parsed{t, err})
	}
	p := have.(parsed)
	return p.t, p.err
}

// holds evaluates a condition.
func (ts *templates) holds(src string, values map[string]any) (bool, error) {
	t, err := ts.condition(src)
	if err != nil {
		return false, err
	}
	v, err := t.Eval(values)
	return expr.Truthy(v), err
}

// reads lists the values of the platform that the rendering of a package may
// read, as paths such as platform.cuda.version, sorted. Where they are the same,
// the rendering is.
func (ts *templates) reads(cat *spec.Catalog, p *spec.Package) []string {
	c := collector{ts: ts, cat: cat, paths: map[string]bool{}, steps: map[string]bool{}}
	for _, v := range p.Env {
		c.text(v)
	}
	if p.Build != nil {
		c.list(p.Build.Steps)
	}
	if p.Install != nil {
		for _, v := range p.Install.Brings {
			c.text(v)
		}
		c.list(p.Install.Steps)
	}
	for _, t := range p.Tests {
		c.condition(t.If)
		c.text(t.Run)
		c.list(usedBy(t))
		for _, v := range t.Env {
			c.text(v)
		}
	}
	return sortedKeys(c.paths)
}

type collector struct {
	ts    *templates
	cat   *spec.Catalog
	paths map[string]bool
	steps map[string]bool // reusable steps that were looked at
}

func (c *collector) list(steps []spec.Step) {
	for _, st := range steps {
		c.condition(st.If)
		c.condition(st.Fetch)
		c.text(st.Run)
		c.text(st.WorkingDirectory)
		for _, v := range st.Env {
			c.text(v)
		}
		for _, v := range st.With {
			c.value(v)
		}
		def := c.cat.Steps[st.Uses]
		if def == nil || c.steps[st.Uses] {
			continue
		}
		c.steps[st.Uses] = true
		for _, in := range def.Inputs {
			c.value(in.Default)
		}
		for _, v := range def.Brings {
			c.text(v)
		}
		c.list(def.Steps)
	}
}

func (c *collector) value(v any) {
	switch v := v.(type) {
	case string:
		c.text(v)
	case []any:
		for _, e := range v {
			c.value(e)
		}
	}
}

func (c *collector) text(src string) {
	if t, err := c.ts.text(src); err == nil {
		c.add(t)
	}
}

func (c *collector) condition(src string) {
	if src == "" {
		return
	}
	if t, err := c.ts.condition(src); err == nil {
		c.add(t)
	}
}

func (c *collector) add(t *expr.Template) {
	for _, path := range t.Refs() {
		if root, _, _ := strings.Cut(path, "."); strings.EqualFold(root, "platform") {
			c.paths[path] = true
		}
	}
}

// consumed writes the values at paths: two platforms that give the same text
// give the same rendering.
func consumed(paths []string, platform map[string]any) string {
	if len(paths) == 0 {
		return ""
	}
	var b strings.Builder
	for _, path := range paths {
		var at any = platform
		_, rest, _ := strings.Cut(path, ".")
		for _, name := range strings.Split(rest, ".") {
			m, ok := at.(map[string]any)
			if !ok {
				break
			}
			if at, ok = m[name]; !ok { // written in another case, or the whole platform
				at = platform
				break
			}
		}
		fmt.Fprintf(&b, "%q\n", fmt.Sprint(at)) // fmt sorts maps
	}
	return b.String()
}

package spec

import (
	"bytes"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
	"mvdan.cc/sh/v3/syntax"
)

// checkPackageSteps looks at every step of a package, and at its tests' scripts.
func (c *checker) checkPackageSteps(p *Package) {
	if p.Build != nil {
		c.checkSteps(p.Build.Steps, p.Doc, "build", "steps")
	}
	if p.Install != nil {
		c.checkSteps(p.Install.Steps, p.Doc, "install", "steps")
	}
	for i, t := range p.Tests {
		here := func(more ...any) []any { return append([]any{"tests", i}, more...) }
		c.checkUsesOrRun(p.Doc, here, "test")
		if t.Uses == "" {
			c.checkScript(t.Run, t.Shell, p.Doc, "tests", i, "run")
			continue
		}
		c.checkUses(Step{Uses: t.Uses, With: t.With}, p.Doc, here)
		if def := c.cat.Steps[t.Uses]; def != nil && (len(def.Steps) != 1 || def.Steps[0].Run == "") {
			c.list.Errorf("uses-or-run", p.Doc.Pos(here("uses")...), "a test is one command, and step %s is not", t.Uses).Hint = "call it in install, or write the test's run"
		}
	}
}

// checkUsesOrRun: exactly one of the two.
func (c *checker) checkUsesOrRun(doc *Document, here func(...any) []any, what string) {
	_, node, _ := doc.find(here())
	_, uses := childOf(node, "uses")
	_, run := childOf(node, "run")
	switch {
	case uses != nil && run != nil:
		c.list.Errorf("uses-or-run", doc.Pos(here("run")...), "the %s has both uses and run", what).Hint = "make two " + what + "s of it"
	case node != nil && uses == nil && run == nil && len(node.Content) > 0:
		c.list.Errorf("uses-or-run", doc.Pos(here()...), "the %s has neither uses nor run", what).Allowed = []string{"uses", "run"}
	}
}

// checkSteps: exactly one of uses and run; a step that is used exists and gets
// its inputs; scripts can be parsed.
func (c *checker) checkSteps(steps []Step, doc *Document, at ...any) {
	ids := map[string]bool{}
	for i, st := range steps {
		here := func(more ...any) []any { return append(append(append([]any(nil), at...), i), more...) }
		c.checkUsesOrRun(doc, here, "step")
		if st.ID != "" && ids[st.ID] {
			c.list.Errorf("duplicate-id", doc.Pos(here("id")...), "two steps have the id %q", st.ID)
		}
		ids[st.ID] = true
		if st.Run != "" {
			c.checkScript(st.Run, st.Shell, doc, here("run")...)
			if len(st.With) > 0 {
				c.list.Errorf("uses-or-run", doc.KeyPos(here("with")...), "`with` goes with uses; a script takes values from env")
			}
		}
		for j, secret := range st.Secrets {
			if secret != "" && !variable(secret) {
				c.list.Errorf("bad-name", doc.Pos(here("secrets", j)...), "%q is not a name for a secret: it must be %s", secret, patternWords("^[A-Za-z_][A-Za-z0-9_]*$"))
			}
			if secret == "jobs" {
				c.list.Errorf("bad-name", doc.Pos(here("secrets", j)...), "the secret jobs is jetcrate's own: it carries the number of parallel jobs")
			}
		}
		if st.Uses != "" {
			c.checkUses(st, doc, here)
		}
	}
}

func (c *checker) checkUses(st Step, doc *Document, here func(...any) []any) {
	def := c.cat.Steps[st.Uses]
	if def == nil {
		if !c.known.steps[st.Uses] {
			d := c.list.Errorf("unknown-step", doc.Pos(here("uses")...), "there is no step %q", st.Uses)
			d.Allowed = sortedKeys(c.cat.Steps)
			d.Hint = diag.DidYouMean(st.Uses, d.Allowed)
		}
		return
	}
	inputs := sortedKeys(def.Inputs)
	for _, name := range sortedKeys(st.With) {
		if _, ok := def.Inputs[name]; !ok {
			d := c.list.Errorf("unknown-input", doc.KeyPos(here("with", name)...), "step %s has no input %q", st.Uses, name)
			d.Allowed = inputs
			d.Hint = diag.DidYouMean(name, inputs)
		}
	}
	_, with, _ := doc.find(here("with"))
	for _, name := range inputs {
		if !def.Inputs[name].Required {
			continue
		}
		if _, given := childOf(with, name); given == nil {
			d := c.list.Errorf("missing-input", doc.Pos(here("uses")...), "step %s needs the input %q", st.Uses, name)
			if text := def.Inputs[name].Description; text != "" {
				d.Hint = name + ": " + text
			}
		}
	}
}

// checkInputs: what must be given needs no default.
func (c *checker) checkInputs(s *StepDef) {
	for _, name := range sortedKeys(s.Inputs) {
		if l := s.Inputs[name].Lock; l != nil {
			c.checkInputLock(s, name, l)
		}
		if in := s.Inputs[name]; in.Required && in.Default != nil {
			c.list.Errorf("bad-input", s.Doc.Pos("inputs", name, "default"), "input %s is required, so that its default is never used", name)
		}
	}
}

// checkScript: a script can be parsed by its shell. Expressions are replaced by
// a word of the same length first, so that places stay what they are.
func (c *checker) checkScript(script, shell string, doc *Document, at ...any) {
	if script == "" {
		return
	}
	lang := syntax.LangPOSIX
	if shell == "bash" {
		lang = syntax.LangBash
	}
	plain, ok := blank(script)
	if !ok {
		return
	}
	_, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(plain), "")
	switch e := err.(type) {
	case nil:
	case syntax.ParseError:
		c.list.Errorf("shell-syntax", doc.PosAt(offsetOf(e.Pos, script), at...), "the script cannot be parsed: %s", e.Text)
	case syntax.LangError:
		c.list.Errorf("shell-syntax", doc.PosAt(offsetOf(e.Pos, script), at...), "the script uses what sh does not have: %s", e.Feature).Hint = "add shell: bash"
	default:
		c.list.Errorf("shell-syntax", doc.Pos(at...), "the script cannot be parsed: %v", err)
	}
}

func offsetOf(p syntax.Pos, script string) int {
	return min(int(p.Offset()), len(script))
}

// blank replaces each ${{ }} by a word of the same length. A script whose
// expressions cannot be parsed is reported by the check of expressions.
func blank(script string) (string, bool) {
	t, err := expr.Parse(script)
	if err != nil {
		return "", false
	}
	out := bytes.Repeat([]byte{'x'}, len(script))
	for _, p := range t.Parts() {
		if !p.Expr {
			copy(out[p.Offset:], p.Text)
		}
	}
	return string(out), true
}

func variable(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

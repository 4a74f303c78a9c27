package workflow

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/syntax"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
)

// checker looks for what a schema cannot say of one pipeline.
type checker struct {
	w       *Workflow
	actions Actions
	list    *diag.List
}

func (c *checker) report(code string, allowed []string, hint string, at []any, format string, args ...any) {
	d := c.list.Errorf(code, c.w.at(at...), format, args...)
	d.Allowed, d.Hint = allowed, hint
}

// path joins a path and more of it.
func join(at []any, more ...any) []any { return append(append([]any(nil), at...), more...) }

func (c *checker) check() {
	c.triggers()
	base := workflowScopes(c.w)
	c.texts(base, "env", c.w.Env, []any{"env"})
	c.concurrency(base, "concurrency", c.w.Concurrency, []any{"concurrency"})
	if d := c.w.Defaults; d != nil {
		c.text(base, "", d.Run.WorkingDirectory, []any{"defaults", "run", "working-directory"})
	}
	for _, id := range c.w.Order {
		c.needs(c.w.Jobs[id])
	}
	c.cycle()
	for _, id := range c.w.Order {
		c.job(base, c.w.Jobs[id])
	}
}

func (c *checker) triggers() {
	for _, event := range sorted(c.w.On) {
		t := c.w.On[event]
		if t == nil {
			continue
		}
		for i, at := range t.Cron {
			if _, err := cron.ParseStandard(at); err != nil || strings.HasPrefix(at, "@") || strings.Contains(at, "TZ=") {
				c.report("bad-schedule", nil, "five fields: minute hour day-of-month month day-of-week", []any{"on", event, i, "cron"}, "%q is no time of cron", at)
			}
		}
		for _, name := range sorted(t.Inputs) {
			in, at := t.Inputs[name], []any{"on", event, "inputs", name}
			switch {
			case in == nil:
			case in.Type == "choice" && len(in.Options) == 0:
				c.report("bad-input", nil, "", at, "the input %s is a choice without options", name)
			case in.Type == "choice" && in.Default != nil && !slices.Contains(in.Options, fmt.Sprint(in.Default)):
				c.report("bad-input", in.Options, "", join(at, "default"), "the input %s cannot be %v", name, in.Default)
			}
		}
		for _, patterns := range []struct {
			key string
			of  []string
		}{
			{"branches", t.Branches}, {"branches-ignore", t.BranchesIgnore}, {"tags", t.Tags},
			{"tags-ignore", t.TagsIgnore}, {"paths", t.Paths}, {"paths-ignore", t.PathsIgnore},
		} {
			for i, p := range patterns.of {
				if _, err := path.Match(strings.TrimPrefix(p, "!"), ""); err != nil || p == "" {
					c.report("bad-value", nil, "", []any{"on", event, patterns.key, i}, "%q is no pattern", p)
				}
			}
		}
	}
}

func (c *checker) needs(j *Job) {
	for i, n := range j.Needs {
		at := []any{"jobs", j.ID, "needs", i}
		switch others := slices.DeleteFunc(slices.Clone(c.w.Order), func(id string) bool { return id == j.ID }); {
		case n == j.ID:
			c.report("job-cycle", nil, "", at, "the job %s needs itself", n)
		case c.w.Jobs[n] == nil:
			c.report("unknown-job", others, diag.DidYouMean(n, others), at, "there is no job %q", n)
		case slices.Contains(j.Needs[:i], n):
			c.report("duplicate-value", nil, "", at, "needs names %s twice", n)
		}
	}
}

// cycle reports jobs that wait for each other.
func (c *checker) cycle() {
	ready := map[string]bool{}
	for _, wave := range c.w.Waves() {
		for _, id := range wave {
			ready[id] = true
		}
	}
	var stuck []string
	for _, id := range c.w.Order {
		known := !slices.ContainsFunc(c.w.Jobs[id].Needs, func(n string) bool { return c.w.Jobs[n] == nil || n == id })
		if !ready[id] && known {
			stuck = append(stuck, id)
		}
	}
	if len(stuck) > 0 && !c.list.HasErrors() {
		c.report("job-cycle", nil, "", []any{"jobs", stuck[0], "needs"}, "jobs wait for each other: %s", strings.Join(stuck, ", "))
	}
}

func (c *checker) job(base scopes, j *Job) {
	at := []any{"jobs", j.ID}
	s := base.job(c.w, j)
	const key = "jobs.<job_id>."
	c.text(s, key+"name", j.Name, join(at, "name"))
	c.condition(s, key+"if", j.If, join(at, "if"))
	for i, label := range j.RunsOn {
		place := join(at, "runs-on", i)
		if len(j.RunsOn) == 1 {
			place = join(at, "runs-on")
		}
		c.text(s, key+"runs-on", label, place)
		if label == HostLabel && (len(j.RunsOn) > 1 || j.Container != nil) {
			c.report("bad-value", nil, "give a runner's label", place, "host stands alone and without a container: it is the machine that jetcrate runs on")
		}
	}
	if len(j.RunsOn) == 0 {
		c.report("bad-value", nil, "", join(at, "runs-on"), "runs-on must not be empty")
	}
	c.concurrency(s, key+"concurrency", j.Concurrency, join(at, "concurrency"))
	c.texts(s, key+"env", j.Env, join(at, "env"))
	if d := j.Defaults; d != nil {
		c.text(s, key+"defaults.run", d.Run.WorkingDirectory, join(at, "defaults", "run", "working-directory"))
	}
	if k := j.Container; k != nil {
		c.text(s, key+"container.image", k.Image, join(at, "container", "image"))
		c.texts(s, key+"container.env.<env_id>", k.Env, join(at, "container", "env"))
	}
	if acts := slices.IndexFunc(j.Steps, func(s *Step) bool { return s.Uses != "" }); acts >= 0 && j.Container != nil {
		c.report("bad-value", nil, "put it into a job of its own", join(at, "steps", acts, "uses"), "a job in a container cannot use actions: they run beside jetcrate")
	}
	c.number(s, key+"timeout-minutes", j.TimeoutMinutes, join(at, "timeout-minutes"))
	c.boolean(s, key+"continue-on-error", j.ContinueOnError, join(at, "continue-on-error"))
	c.strategy(s, j, join(at, "strategy"))
	var ids []string
	for i, st := range j.Steps {
		place := join(at, "steps", i)
		c.step(s.after(j.Steps[:i], c.actions), j, st, place)
		if st.ID == "" {
			continue
		}
		if slices.Contains(ids, strings.ToLower(st.ID)) {
			c.report("duplicate-id", nil, "", join(place, "id"), "two steps of the job have the id %q", st.ID)
		}
		ids = append(ids, strings.ToLower(st.ID))
	}
	c.texts(s.after(j.Steps, c.actions), key+"outputs.<output_id>", j.Outputs, join(at, "outputs"))
}

func (c *checker) strategy(s scopes, j *Job, at []any) {
	st := j.Strategy
	if st == nil {
		return
	}
	const key = "jobs.<job_id>.strategy"
	c.boolean(s, key, st.FailFast, join(at, "fail-fast"))
	c.number(s, key, st.MaxParallel, join(at, "max-parallel"))
	m := st.Matrix
	if m == nil {
		return
	}
	at = join(at, "matrix")
	c.text(s, key, m.Expr, at)
	fixed := m.Expr == ""
	for _, v := range append(slices.Clone(m.Axes), deref(m.Include), deref(m.Exclude)) {
		fixed = fixed && v.Expr == "" && c.values(s, v.Values, join(at, v.Name))
		c.text(s, key, v.Expr, join(at, v.Name))
	}
	if len(m.Axes) == 0 && m.Include == nil && m.Expr == "" {
		c.report("bad-matrix", nil, "give an axis, or include", at, "the matrix has neither an axis nor include")
		return
	}
	c.inexact(child(child(child(child(c.w.Doc.Root, "jobs"), j.ID), "strategy"), "matrix"))
	if !fixed {
		return
	}
	if _, err := m.expand(&contexts{}); err != nil {
		c.report("bad-matrix", nil, "", at, "%s", strings.TrimPrefix(err.Error(), "matrix: "))
	}
}

func deref(v *Vector) Vector {
	if v == nil {
		return Vector{}
	}
	return *v
}

// values checks the expressions in the values of an axis, and reports whether
// there are none.
func (c *checker) values(s scopes, v any, at []any) bool {
	fixed := true
	switch v := v.(type) {
	case string:
		c.text(s, "jobs.<job_id>.strategy", v, at)
		return !strings.Contains(v, "${{")
	case []any:
		for i := range v {
			fixed = c.values(s, v[i], join(at, i)) && fixed
		}
	case Object:
		for _, e := range v {
			fixed = c.values(s, e.Value, join(at, e.Name)) && fixed
		}
	}
	return fixed
}

// inexact reports numbers that are not what is written: GitHub makes 3.1 of 3.10.
func (c *checker) inexact(n *yaml.Node) {
	if n == nil {
		return
	}
	for _, inner := range n.Content {
		c.inexact(inner)
	}
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || tag != "!!float" && tag != "!!int" {
		return
	}
	f, ok := plainValue(n).(float64)
	if text, _ := expr.Text(f); ok && text != n.Value {
		d := c.list.Errorf("inexact-number", diag.Position{File: c.w.Doc.Name, Line: n.Line, Col: n.Column}, "%s is the number %s here", n.Value, text)
		d.Hint = fmt.Sprintf("write %q", n.Value)
	}
}

func (c *checker) step(s scopes, j *Job, st *Step, at []any) {
	const key = "jobs.<job_id>.steps."
	c.text(s, key+"name", st.Name, join(at, "name"))
	c.condition(s, key+"if", st.If, join(at, "if"))
	c.texts(s, key+"env", st.Env, join(at, "env"))
	c.texts(s, key+"with", st.With, join(at, "with"))
	c.text(s, key+"working-directory", st.WorkingDirectory, join(at, "working-directory"))
	c.number(s, key+"timeout-minutes", st.TimeoutMinutes, join(at, "timeout-minutes"))
	c.boolean(s, key+"continue-on-error", st.ContinueOnError, join(at, "continue-on-error"))
	for _, name := range sorted(st.Env) {
		if reason := refusedVariable(name); reason != "" {
			c.report("bad-variable", nil, "", join(at, "env", name), "a step cannot set %s: %s", name, reason)
		}
	}
	switch {
	case (st.Uses == "") == (st.Run == ""):
		c.report("uses-or-run", nil, "", at, "a step has exactly one of uses and run")
	case st.Run != "":
		c.script(s, j, st, at)
	default:
		c.use(st, at)
	}
}

// use checks a built-in action.
func (c *checker) use(st *Step, at []any) {
	if st.Shell != "" || st.WorkingDirectory != "" {
		c.report("unknown-key", nil, "", at, "shell and working-directory belong to run, not to uses")
	}
	a, ok := c.actions[st.Uses]
	if !ok {
		all := c.actions.names()
		c.report("unknown-action", all, diag.DidYouMean(st.Uses, all), join(at, "uses"), "there is no action %q; only those of jetcrate can be used", st.Uses)
		return
	}
	known := sorted(a.Inputs)
	for _, name := range sorted(st.With) {
		if _, ok := a.Inputs[name]; !ok {
			c.report("unknown-input", known, diag.DidYouMean(name, known), join(at, "with", name), "%s has no input %q", st.Uses, name)
		}
	}
	for _, name := range known {
		if _, given := st.With[name]; a.Inputs[name].Required && !given {
			c.report("missing-input", nil, name+": "+a.Inputs[name].Summary, at, "%s needs the input %q", st.Uses, name)
		}
	}
}

// script checks `run:`: its expressions, and what a shell makes of it.
func (c *checker) script(s scopes, j *Job, st *Step, at []any) {
	if len(st.With) > 0 {
		c.report("unknown-key", nil, "", join(at, "with"), "with belongs to uses, not to run")
	}
	place := join(at, "run")
	c.text(s, "jobs.<job_id>.steps.run", st.Run, place)
	t, err := expr.Parse(st.Run)
	if err != nil {
		return // reported by text
	}
	var plain strings.Builder
	for _, p := range t.Parts() {
		if !p.Expr {
			plain.WriteString(p.Text)
			continue
		}
		plain.WriteString("x")
		if part, err := expr.Parse("${{" + p.Text + "}}"); err == nil {
			if ref := untrusted(part); ref != "" {
				d := c.list.Errorf("untrusted-value", c.w.Doc.PosAt(p.Offset, place...), "%s in run would be read by the shell as code", ref)
				d.Hint = fmt.Sprintf("env: {VALUE: \"${{ %s }}\"}, and \"$VALUE\" in run", p.Text)
			}
		}
	}
	lang := syntax.LangPOSIX
	if c.shell(j, st) == "bash" {
		lang = syntax.LangBash
	}
	var bad syntax.ParseError
	if _, err := syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(plain.String()), ""); errors.As(err, &bad) {
		c.report("shell-syntax", nil, "", place, "line %d of run: %s", bad.Pos.Line(), bad.Text)
	}
}

// shell is the one that a step's script is for.
func (c *checker) shell(j *Job, st *Step) string { return c.w.shell(j, st) }

// shell is the one that a step's script is for; bash by default, as on GitHub's
// Linux runners.
func (w *Workflow) shell(j *Job, st *Step) string {
	shell := st.Shell
	for _, d := range []*Defaults{j.Defaults, w.Defaults} {
		if shell == "" && d != nil {
			shell = d.Run.Shell
		}
	}
	if shell == "" {
		shell = "bash"
	}
	return shell
}

// untrusted names the first value in an expression that is not sure to be plain
// text for a shell: a path of a context, or a function that gives any text.
func untrusted(t *expr.Template) string {
	for _, ref := range t.Refs() {
		if !slices.Contains(plainContexts(), strings.ToLower(ref)) {
			return ref
		}
	}
	for _, f := range t.Calls() {
		switch f {
		case "contains", "startswith", "endswith", "hashfiles", "success", "failure", "always", "cancelled":
		default:
			return f + "(...)"
		}
	}
	return ""
}

// plainContexts are values that hold letters, digits and plain punctuation,
// whoever started the run.
func plainContexts() []string {
	return strings.Fields(`github.sha github.run_id github.run_number github.run_attempt github.event_name
		job.status runner.os runner.arch strategy.job-index strategy.job-total strategy.fail-fast strategy.max-parallel`)
}

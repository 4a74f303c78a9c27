package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// step runs one step and notes how it went.
func (o *oneJob) step(ctx context.Context, st *Step) {
	res := &StepResult{Name: stepName(st)}
	outputs := map[string]string{}
	o.res.Steps = append(o.res.Steps, res)
	started := o.Now()
	o.try(ctx, st, res, outputs)
	res.Duration = o.Now().Sub(started)
	res.Reason = o.mask.Text(res.Reason)
	res.Outputs = map[string]string{}
	for k, v := range outputs {
		res.Outputs[k] = o.mask.Text(v)
	}
	if res.Conclusion == Failure && o.status == Success {
		o.status = Failure
	}
	if res.Conclusion == Cancelled {
		o.status = Cancelled
	}
	if st.ID != "" {
		o.steps[st.ID] = map[string]any{"outputs": outputs, "outcome": string(res.Outcome), "conclusion": string(res.Conclusion)}
	}
	o.emit(Event{Kind: StepEnded, Job: o.res.Name, Step: res.Name, StepResult: res})
}

// stepName is what GitHub shows for a step without a name.
func stepName(st *Step) string {
	switch {
	case st.Name != "" && !strings.Contains(st.Name, "${{"):
		return st.Name
	case st.Uses != "":
		return "Run " + st.Uses
	}
	first, _, _ := strings.Cut(strings.TrimSpace(st.Run), "\n")
	return "Run " + first
}

// try runs a step and sets its outcome and conclusion.
func (o *oneJob) try(ctx context.Context, st *Step, res *StepResult, outputs map[string]string) {
	set := func(c Conclusion, reason string) { res.Outcome, res.Conclusion, res.Reason = c, c, reason }
	env, err := o.here(nil).texts(st.Env)
	if err != nil {
		set(Failure, "env: "+err.Error())
		return
	}
	c := o.here(env)
	ok, err := c.condition(st.If)
	switch {
	case err != nil:
		set(Failure, "if: "+err.Error())
		return
	case !ok:
		reason := "if: " + st.If
		if st.If == "" {
			reason = "a step before it did not succeed"
		}
		set(Skipped, reason)
		return
	}
	if st.Name != "" {
		if name, err := c.text(st.Name); err == nil && name != "" {
			res.Name = o.mask.Text(name)
		}
	}
	o.emit(Event{Kind: StepStarted, Job: o.res.Name, Step: res.Name})
	if o.DryRun {
		set(Success, "dry run")
		return
	}
	minutes, err := c.number(st.TimeoutMinutes, 0)
	if err != nil {
		set(Failure, "timeout-minutes: "+err.Error())
		return
	}
	if minutes > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(minutes*float64(time.Minute)), &tooLong{minutes})
		defer cancel()
	}
	err = o.perform(ctx, c, st, env, res.Name, outputs)
	var long *tooLong
	switch {
	case err == nil:
		set(Success, "")
		return
	case ctx.Err() != nil && !errors.As(context.Cause(ctx), &long):
		set(Cancelled, cause(ctx))
		return
	}
	set(Failure, err.Error())
	if long != nil {
		res.Reason = long.Error()
	}
	if allowed, err := c.truth(st.ContinueOnError); err != nil {
		res.Reason = "continue-on-error: " + err.Error()
	} else if allowed {
		res.Conclusion = Success
	}
}

type tooLong struct{ minutes float64 }

func (t *tooLong) Error() string { return fmt.Sprintf("it took longer than %g minutes", t.minutes) }

// perform runs the step's script or action.
func (o *oneJob) perform(ctx context.Context, c *contexts, st *Step, env map[string]string, name string, outputs map[string]string) error {
	l := &log{
		mask: o.mask,
		line: func(s string) { o.emit(Event{Kind: Line, Job: o.res.Name, Step: name, Text: s}) },
		note: func(a Annotation) { o.annotate(name, a) },
	}
	if st.Uses != "" {
		return o.act(ctx, c, st, env, outputs, l)
	}
	if o.machine == nil {
		return errors.New("there is no machine for scripts")
	}
	text, err := c.text(st.Run)
	if err != nil {
		return err
	}
	dir, err := c.text(o.workingDirectory(st))
	if err != nil {
		return fmt.Errorf("working-directory: %w", err)
	}
	s := Script{
		Text: text, Shell: o.shellOf(st), Env: o.variables(env, st), Path: o.path, Dir: dir,
	}
	out := &stream{log: l} // one for both, so that lines keep their order
	s.Stdout, s.Stderr = out, out
	code, files, err := o.machine.Run(ctx, s)
	out.end()
	if err != nil {
		return err
	}
	if err := o.take(files, outputs); err != nil {
		return err
	}
	switch {
	case code != 0:
		return fmt.Errorf("exit code %d", code)
	case l.refused != nil:
		return l.refused
	}
	return nil
}

// shellOf is the step's shell; none is bash without pipefail.
func (o *oneJob) shellOf(st *Step) string {
	shell := st.Shell
	for _, d := range []*Defaults{o.job.Defaults, o.Workflow.Defaults} {
		if shell == "" && d != nil {
			shell = d.Run.Shell
		}
	}
	return shell
}

func (o *oneJob) workingDirectory(st *Step) string {
	dir := st.WorkingDirectory
	for _, d := range []*Defaults{o.job.Defaults, o.Workflow.Defaults} {
		if dir == "" && d != nil {
			dir = d.Run.WorkingDirectory
		}
	}
	return dir
}

// take reads what the step wrote to its files.
func (o *oneJob) take(f Files, outputs map[string]string) error {
	settings, err := parseSettings("GITHUB_OUTPUT", f.Output)
	if err != nil {
		return err
	}
	for _, s := range settings {
		if o.size += len(s.value); o.size > maxOutputs {
			return fmt.Errorf("the outputs of the job are larger than %d MiB together", maxOutputs>>20)
		}
		outputs[s.name] = s.value
	}
	variables, err := parseSettings("GITHUB_ENV", f.Env)
	if err != nil {
		return err
	}
	for _, s := range variables {
		if reason := refusedInFile(s.name); reason != "" {
			return fmt.Errorf("GITHUB_ENV cannot set %s: %s", s.name, reason)
		}
		o.env[s.name] = s.value
	}
	path, err := parsePath(f.Path)
	if err != nil {
		return err
	}
	o.path = append(path, o.path...)
	if len(f.Summary) > maxFile {
		return fmt.Errorf("GITHUB_STEP_SUMMARY is larger than %d KiB", maxFile>>10)
	}
	o.summary.Write(f.Summary)
	if n := len(f.Summary); n > 0 && f.Summary[n-1] != '\n' {
		o.summary.WriteByte('\n')
	}
	return nil
}

// act runs a built-in action.
func (o *oneJob) act(ctx context.Context, c *contexts, st *Step, env map[string]string, outputs map[string]string, l *log) error {
	a, ok := o.Actions[st.Uses]
	if !ok {
		return fmt.Errorf("there is no action %s", st.Uses)
	}
	with, err := c.texts(st.With)
	if err != nil {
		return fmt.Errorf("with: %w", err)
	}
	all := o.variables(env, st)
	out, errs := &stream{log: l}, &stream{log: l}
	var summary strings.Builder
	own, err := a.Run(ctx, Call{With: with, Env: all, Dir: o.Workspace, Stdout: out, Stderr: errs, Summary: &summary})
	out.end()
	errs.end()
	files := Files{Summary: []byte(summary.String())}
	if tooMuch := o.take(files, outputs); tooMuch != nil && err == nil {
		err = tooMuch
	}
	for k, v := range own {
		outputs[k] = v
	}
	return err
}

// variables are those of a step: the runner's own, those of the pipeline, the job
// and GITHUB_ENV, and the step's.
func (o *oneJob) variables(own map[string]string, st *Step) map[string]string {
	out := cloneOr(o.env)
	for k, v := range own {
		out[k] = v
	}
	for k, v := range map[string]string{
		"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_ACTION": st.ID, "GITHUB_JOB": o.job.ID, "GITHUB_WORKFLOW": o.Workflow.Name,
		"GITHUB_WORKSPACE": o.place.Workspace, "RUNNER_OS": o.place.OS, "RUNNER_ARCH": o.place.Arch, "RUNNER_NAME": o.place.Name,
		"RUNNER_TEMP": o.place.Temp, "RUNNER_ENVIRONMENT": "self-hosted",
	} {
		out[k] = v
	}
	for _, name := range githubFields() {
		v, _ := o.GitHub[name].(string)
		switch name {
		case "token", "action", "job", "workflow", "workspace": // the token is given by name only
		default:
			out["GITHUB_"+strings.ToUpper(name)] = v
		}
	}
	return out
}

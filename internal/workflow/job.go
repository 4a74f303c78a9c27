package workflow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/expr"
)

// oneJob is one job at work: a job of the file with one combination.
type oneJob struct {
	*run
	job  *Job
	res  *JobResult
	base *contexts // without env, steps, runner and job

	machine Machine
	place   Place
	env     map[string]string // of the workflow, the job and GITHUB_ENV
	path    []string
	steps   map[string]any
	status  Conclusion
	summary strings.Builder
	size    int // of all outputs
}

// begin runs the job and fills its result.
func (o *oneJob) begin(ctx context.Context) {
	started, reason := o.Now(), ""
	o.emit(Event{Kind: JobStarted, Job: o.res.Name})
	conclusion, err := o.work(ctx)
	var none *NoMachine
	switch {
	case errors.As(err, &none):
		conclusion, reason = Skipped, none.Reason
	case err != nil:
		conclusion, reason = Failure, err.Error()
	case conclusion == Cancelled:
		reason = cause(ctx)
	}
	if conclusion == Failure {
		if o.res.Allowed, err = o.base.truth(o.job.ContinueOnError); err != nil {
			reason = "continue-on-error: " + err.Error()
		}
	}
	o.end(started, conclusion, reason)
}

// cause says why a context ended, in the words of a run.
func cause(ctx context.Context) string {
	switch err := context.Cause(ctx); {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "the run was cancelled"
	default:
		return err.Error()
	}
}

func (o *oneJob) end(started time.Time, c Conclusion, reason string) {
	o.res.Conclusion, o.res.Reason = c, o.mask.Text(reason)
	o.res.Duration = o.Now().Sub(started)
	o.res.Summary = o.mask.Text(o.summary.String())
	o.emit(Event{Kind: JobEnded, Job: o.res.Name, Result: o.res})
}

// work runs the job's steps. Its error means that the job could not be set up.
func (o *oneJob) work(ctx context.Context) (Conclusion, error) {
	if k := o.job.Concurrency; k != nil && o.Lock != nil && !o.DryRun {
		held, release, err := o.lock(ctx, o.base, k)
		if err != nil {
			return "", err
		}
		defer release()
		ctx = held
	}
	minutes, err := o.base.number(o.job.TimeoutMinutes, defaultTimeout.Minutes())
	if err != nil {
		return "", fmt.Errorf("timeout-minutes: %w", err)
	}
	timed, cancel := context.WithTimeoutCause(ctx, time.Duration(minutes*float64(time.Minute)),
		fmt.Errorf("the job took longer than %g minutes", minutes))
	defer cancel()
	if err := o.environment(); err != nil {
		return "", err
	}
	o.place = Place{Workspace: o.Workspace, OS: "Linux", Name: "jetcrate"}
	if !o.DryRun {
		defer o.close()
		if err := o.ready(timed); err != nil {
			return "", err
		}
	}
	o.steps, o.status = map[string]any{}, Success
	at := timed
	for _, st := range o.job.Steps {
		if timed.Err() != nil && at == timed {
			// A job that was cancelled or ran out of time: only what asks for it runs
			// on, and not for long.
			late, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
			defer stop()
			at, o.status = late, Cancelled
		}
		o.step(at, st)
	}
	if timed.Err() != nil && ctx.Err() == nil {
		return "", context.Cause(timed) // ran out of time
	}
	if ctx.Err() != nil {
		return Cancelled, nil
	}
	return o.status, o.outputs()
}

// environment evaluates the variables of the pipeline and the job.
func (o *oneJob) environment() error {
	o.env = map[string]string{}
	for _, m := range []map[string]string{o.Workflow.Env, o.job.Env} {
		values, err := o.base.texts(m)
		if err != nil {
			return fmt.Errorf("env: %w", err)
		}
		for k, v := range values {
			o.env[k] = v
		}
	}
	return nil
}

// ready makes the machine.
func (o *oneJob) ready(ctx context.Context) error {
	m := MachineFor{Job: o.res.Name, Scripts: slices.ContainsFunc(o.job.Steps, func(s *Step) bool { return s.Run != "" })}
	for _, l := range o.job.RunsOn {
		label, err := o.base.text(l)
		if err != nil {
			return fmt.Errorf("runs-on: %w", err)
		}
		m.Labels = append(m.Labels, label)
	}
	if k := o.job.Container; k != nil {
		var err error
		if m.Image, err = o.base.text(k.Image); err != nil {
			return fmt.Errorf("container: %w", err)
		}
		c := o.here(nil)
		if m.Env, err = c.texts(k.Env); err != nil {
			return fmt.Errorf("container: %w", err)
		}
	}
	machine, err := o.Machine(ctx, m)
	if err != nil || machine == nil {
		return err
	}
	o.machine, o.place = machine, machine.Place()
	return nil
}

func (o *oneJob) close() {
	if o.machine != nil {
		if err := o.machine.Close(); err != nil {
			o.emit(Event{Kind: Line, Job: o.res.Name, Text: o.mask.Text(err.Error())})
		}
	}
}

// here are those of a step, with its own variables.
func (o *oneJob) here(own map[string]string) *contexts {
	env := cloneOr(o.env)
	for k, v := range own {
		env[k] = v
	}
	github := cloneOr(o.GitHub)
	github["job"], github["workspace"] = o.job.ID, o.place.Workspace
	c := o.base.with(map[string]any{
		"env": env, "steps": o.steps, "github": github,
		"job": map[string]any{"status": string(o.status)},
		"runner": map[string]any{
			"os": o.place.OS, "arch": o.place.Arch, "name": o.place.Name, "temp": o.place.Temp, "environment": "self-hosted",
			"tool_cache": filepath.Join(o.place.Temp, "tool-cache"),
		},
	})
	c.functions = append(statusFunctions(func() Conclusion { return o.status }), expr.Function{
		Name: "hashFiles", Min: 1, Max: maxPatterns, Result: expr.String,
		Run: func(args []any) (any, error) { return hashFiles(o.Workspace, args) },
	})
	return c
}

// outputs evaluates the job's outputs. One that holds a secret is left out, as on
// GitHub.
func (o *oneJob) outputs() error {
	c := o.here(nil)
	o.res.Outputs = map[string]string{}
	for _, name := range sorted(o.job.Outputs) {
		v, err := c.text(o.job.Outputs[name])
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		if o.mask.Text(v) != v {
			o.annotate("", Annotation{Level: "warning", Message: fmt.Sprintf("the output %s is left out: it holds a secret", name)})
			continue
		}
		o.res.Outputs[name] = v
	}
	return nil
}

func (o *oneJob) annotate(step string, a Annotation) {
	o.res.Annotations = append(o.res.Annotations, a)
	o.emit(Event{Kind: Noted, Job: o.res.Name, Step: step, Annotation: &a})
}

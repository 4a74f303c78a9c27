package jetcrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

// pipelineRun is the flags of pipeline run.
type pipelineRun struct {
	jobs, matrix, inputs, vars []string
	secrets, runners           []string
	event, payload, base       string
	engine, progress, summary  string
	parallel                   int
	dryRun                     bool
}

func (a *app) pipelineRunCommand() *cobra.Command {
	var p pipelineRun
	c := &cobra.Command{
		Use: "run NAME", Short: "Run a pipeline on this machine", Args: onePipeline,
		Long: `Runs a pipeline: its jobs as their needs allow, each job's steps one after the other.
Actions (uses: jetcrate/NAME) are this program's commands and work in the catalog. Scripts
run on this machine for runs-on: host, and in a container of the engine where the job names
an image or --runner gives its label one. A job whose labels no runner here has is skipped.

--matrix NAME=VALUE narrows the jobs to those with that value; --matrix FILE is a matrix
file, as for other commands.`,
		Example: `  jetcrate pipeline run nightly
  jetcrate pipeline run nightly --job build --matrix l4t=36.4.0
  jetcrate pipeline run pull-request --event pull_request --base main
  jetcrate pipeline run release --dry-run --runner ubuntu-24.04=host`,
		ValidArgsFunction: a.completePipelines,
		RunE:              func(c *cobra.Command, args []string) error { return a.runPipeline(c.Context(), &p, args[0]) },
	}
	f := c.Flags()
	f.StringArrayVar(&p.jobs, "job", nil, "only this job, and what it needs")
	f.StringArrayVar(&p.matrix, "matrix", nil, "NAME=VALUE: only jobs with this value of their matrix; FILE: a matrix file of the catalog")
	f.StringVar(&p.event, "event", "", "event that starts it (default: the first that the pipeline is for)")
	f.StringVar(&p.payload, "payload", "", "file with the event as JSON, as GitHub sends it")
	f.StringVar(&p.base, "base", "", "revision that a pull request is against (default: the remote's main branch, or main)")
	f.StringArrayVar(&p.inputs, "input", nil, "NAME=VALUE: an input of workflow_dispatch")
	f.StringArrayVar(&p.vars, "var", nil, "NAME=VALUE: a value of the context vars")
	f.StringArrayVar(&p.secrets, "secret", nil, "secret of the context secrets: id=NAME,src=FILE or id=NAME,env=VARIABLE")
	f.StringArrayVar(&p.runners, "runner", nil, "LABEL=host or LABEL=IMAGE: where jobs with that label run")
	f.StringVar(&p.engine, "engine", os.Getenv("JETCRATE_ENGINE"), "engine of containers and of actions, as for build")
	f.StringVar(&p.progress, "progress", "auto", "progress: auto, tty, plain or quiet")
	f.StringVar(&p.summary, "summary", "", "file for what steps write to GITHUB_STEP_SUMMARY")
	f.IntVar(&p.parallel, "parallel", 2, "jobs at once")
	f.BoolVar(&p.dryRun, "dry-run", false, "show what would run, and run nothing")
	return c
}

func (a *app) runPipeline(ctx context.Context, p *pipelineRun, name string) error {
	if err := a.formats("text", "json", "jsonl"); err != nil {
		return err
	}
	if p.parallel < 1 {
		return usage{fmt.Errorf("--parallel is 1 or more, not %d", p.parallel)}
	}
	narrow, err := p.narrow(a)
	if err != nil {
		return err
	}
	dir, all, err := a.pipelines(p.engine)
	if err != nil {
		return err
	}
	w, err := pipeline(all, name)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	for _, m := range a.matrix {
		if _, err := os.Stat(filepath.Join(dir, m)); err != nil {
			return usage{fmt.Errorf("--matrix %q is neither NAME=VALUE nor a matrix file of the catalog", m)}
		}
	}
	a.catalogDir = dir // for actions
	github, err := p.github(ctx, w, dir)
	if err != nil {
		return err
	}
	inputs, err := p.dispatchInputs(w)
	if err != nil {
		return err
	}
	secrets, err := readSecrets(p.secrets)
	if err != nil {
		return err
	}
	vars, err := pairs("--var", p.vars)
	if err != nil {
		return err
	}
	dirs, err := findDirs()
	if err != nil {
		return err
	}
	machines, err := a.machines(p, dirs, dir)
	if err != nil {
		return err
	}
	defer machines.close()
	draw, err := a.drawer(p)
	if err != nil {
		return err
	}
	res, err := workflow.Run(ctx, workflow.Options{
		Workflow: w, Jobs: p.jobs, Matrix: narrow, GitHub: github, Inputs: inputs, Secrets: texts(secrets), Vars: vars,
		Actions: a.actions(p.engine), Machine: machines.machine, Lock: groupLock(filepath.Join(dirs.state, "pipelines")),
		Workspace: dir, Parallel: p.parallel, DryRun: p.dryRun, Events: draw.event, Now: time.Now,
	})
	if closeErr := draw.close(); closeErr != nil && err == nil {
		err = closeErr
	}
	if err != nil {
		return usage{err}
	}
	if err := a.pipelineResult(p, res); err != nil {
		return err
	}
	if res.Conclusion != workflow.Success {
		return said{exitNo}
	}
	return nil
}

// narrow splits --matrix into matrix files and values that jobs must have.
func (p *pipelineRun) narrow(a *app) (map[string][]string, error) {
	out := map[string][]string{}
	for _, m := range p.matrix {
		k, v, ok := strings.Cut(m, "=")
		if !ok {
			a.matrix = append(a.matrix, m)
			continue
		}
		if k == "" {
			return nil, usage{fmt.Errorf("--matrix %q has no name before =", m)}
		}
		out[k] = append(out[k], v)
	}
	return out, nil
}

// pairs reads NAME=VALUE flags.
func pairs(flag string, all []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range all {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usage{fmt.Errorf("%s %q is not NAME=VALUE", flag, s)}
		}
		out[k] = v
	}
	return out, nil
}

func texts(m map[string][]byte) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = strings.TrimRight(string(v), "\r\n")
	}
	return out
}

// dispatchInputs are the inputs of the pipeline: those given, and the defaults.
func (p *pipelineRun) dispatchInputs(w *workflow.Workflow) (map[string]any, error) {
	given, err := pairs("--input", p.inputs)
	if err != nil {
		return nil, err
	}
	t := w.On["workflow_dispatch"]
	out := map[string]any{}
	known := map[string]*workflow.EvInput{}
	if t != nil {
		known = t.Inputs
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := known[name]; !ok {
			return nil, usage{fmt.Errorf("--input %s: the pipeline %s has no such input; it has %v", name, w.ID, slices.Sorted(maps.Keys(known)))}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		in := known[name]
		if in == nil {
			in = &workflow.EvInput{}
		}
		v, ok := given[name]
		if !ok && in.Default != nil {
			v, ok = fmt.Sprint(in.Default), true
		}
		if !ok && in.Required && p.event == "workflow_dispatch" {
			return nil, usage{fmt.Errorf("--input %s is required: %s", name, in.Description)}
		}
		if out[name], err = inputValue(in, name, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func inputValue(in *workflow.EvInput, name, v string) (any, error) {
	switch in.Type {
	case "boolean":
		if v != "" && v != "true" && v != "false" {
			return nil, usage{fmt.Errorf("--input %s is true or false, not %q", name, v)}
		}
		return v == "true", nil
	case "number":
		n, err := strconv.ParseFloat(v, 64)
		if v != "" && err != nil {
			return nil, usage{fmt.Errorf("--input %s is a number, not %q", name, v)}
		}
		return n, nil
	case "choice":
		if v != "" && !slices.Contains(in.Options, v) {
			return nil, usage{fmt.Errorf("--input %s cannot be %q; allowed: %s", name, v, strings.Join(in.Options, ", "))}
		}
	}
	return v, nil
}

// event is what starts the run, with its payload.
func (p *pipelineRun) readEvent(w *workflow.Workflow) (map[string]any, error) {
	names := w.EventNames()
	switch {
	case p.event == "" && slices.Contains(names, "workflow_dispatch"):
		p.event = "workflow_dispatch"
	case p.event == "":
		p.event = names[0]
	case !slices.Contains(names, p.event):
		return nil, usage{fmt.Errorf("--event %s: the pipeline %s is for %s", p.event, w.ID, strings.Join(names, ", "))}
	}
	if p.payload == "" {
		return nil, nil
	}
	data, err := os.ReadFile(p.payload)
	if err != nil {
		return nil, usage{fmt.Errorf("--payload: %w", err)}
	}
	var event map[string]any
	if err := json.Unmarshal(data, &event); err != nil {
		return nil, usage{fmt.Errorf("--payload %s: %w", p.payload, err)}
	}
	return event, nil
}

// pipelineResult prints how the run went.
func (a *app) pipelineResult(p *pipelineRun, res *workflow.Result) error {
	if p.summary != "" {
		var b strings.Builder
		for _, j := range res.Jobs {
			if j.Summary != "" {
				fmt.Fprintf(&b, "## %s\n\n%s\n", j.Name, j.Summary)
			}
		}
		if err := renameio.WriteFile(p.summary, []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("writing the summary: %w", err)
		}
	}
	if a.output == "json" {
		return a.json(res)
	}
	if a.output == "text" {
		printTree(a.stdout, res)
	}
	return nil
}

// drawer draws the events of a run.
type drawer interface {
	event(workflow.Event)
	close() error
}

func (a *app) drawer(p *pipelineRun) (drawer, error) {
	if !slices.Contains([]string{"auto", "tty", "plain", "quiet"}, p.progress) {
		return nil, usage{fmt.Errorf("--progress %q; allowed: auto, tty, plain, quiet", p.progress)}
	}
	switch {
	case a.output == "jsonl":
		return &lineDrawer{w: a.stdout, json: true}, nil
	case p.progress == "quiet":
		return &lineDrawer{}, nil
	case p.progress == "tty" || p.progress == "auto" && a.terminal():
		rep, err := report.New(a.stderr, report.Options{Mode: report.TTY})
		return &liveDrawer{rep}, err
	}
	return &lineDrawer{w: a.stderr}, nil
}

var errSuperseded = errors.New("a newer run of the concurrency group took its place")

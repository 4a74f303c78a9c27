package jetcrate

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

func (a *app) terminal() bool {
	f, ok := a.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// lineDrawer prints a line for everything that happens.
type lineDrawer struct {
	w    io.Writer // nil prints nothing
	json bool
	err  error
}

func (d *lineDrawer) event(e workflow.Event) {
	if d.w == nil || d.err != nil {
		return
	}
	if d.json {
		d.err = json.NewEncoder(d.w).Encode(jsonEvent(e))
		return
	}
	switch job := diag.Clean(e.Job); e.Kind {
	case workflow.JobStarted:
		_, d.err = fmt.Fprintf(d.w, "start     %s\n", job)
	case workflow.StepStarted:
		_, d.err = fmt.Fprintf(d.w, "%s > %s\n", job, diag.Clean(e.Step))
	case workflow.Line:
		_, d.err = fmt.Fprintf(d.w, "%s | %s\n", job, diag.Clean(e.Text))
	case workflow.Noted:
		_, d.err = fmt.Fprintf(d.w, "%s ! %s\n", job, diag.Clean(e.Annotation.String()))
	case workflow.StepEnded:
		if r := e.StepResult; r.Outcome == workflow.Failure || r.Outcome == workflow.Cancelled {
			_, d.err = fmt.Fprintf(d.w, "%s < %s: %s%s\n", job, diag.Clean(r.Name), r.Outcome, because(r.Reason))
		}
	case workflow.JobEnded:
		_, d.err = fmt.Fprintf(d.w, "%-9s %s (%s)%s\n", e.Result.Conclusion, job, shortly(e.Result.Duration), because(e.Result.Reason))
	}
}

func (d *lineDrawer) close() error {
	if d.err != nil {
		return fmt.Errorf("drawing progress: %w", d.err)
	}
	return nil
}

// jsonEvent is an event of a run as a line of JSON.
func jsonEvent(e workflow.Event) map[string]any {
	names := map[workflow.EventKind]string{
		workflow.JobStarted: "job-started", workflow.JobEnded: "job-ended", workflow.StepStarted: "step-started",
		workflow.StepEnded: "step-ended", workflow.Line: "line", workflow.Noted: "annotation",
	}
	out := map[string]any{"time": e.Time, "event": names[e.Kind], "job": e.Job}
	if e.Step != "" {
		out["step"] = e.Step
	}
	switch e.Kind {
	case workflow.Line:
		out["text"] = e.Text
	case workflow.Noted:
		out["annotation"] = e.Annotation
	case workflow.JobEnded:
		out["result"] = e.Result
	case workflow.StepEnded:
		out["result"] = e.StepResult
	}
	return out
}

// liveDrawer draws on a terminal: a job is a node, with its steps below.
type liveDrawer struct{ rep *report.Reporter }

func (d *liveDrawer) event(e workflow.Event) {
	x := execute.Event{Time: e.Time, Node: e.Job, Name: e.Job}
	step := func(kind engine.EventKind) *engine.Event {
		return &engine.Event{Step: e.Step, Name: e.Step, Time: e.Time, Kind: kind, Stream: 1}
	}
	switch e.Kind {
	case workflow.JobStarted:
		x.Kind = execute.NodeStarted
	case workflow.StepStarted:
		x.Kind, x.Step = execute.StepProgress, step(engine.Started)
	case workflow.Line, workflow.Noted:
		x.Kind, x.Step = execute.StepProgress, step(engine.Log)
		text := e.Text
		if e.Annotation != nil {
			text = e.Annotation.String()
		}
		x.Step.Data = []byte(text + "\n")
	case workflow.StepEnded:
		if e.StepResult.Conclusion == workflow.Skipped {
			return
		}
		x.Kind, x.Step = execute.StepProgress, step(engine.Done)
		if e.StepResult.Outcome != workflow.Success {
			x.Step.Error = string(e.StepResult.Outcome) + because(e.StepResult.Reason)
		}
	case workflow.JobEnded:
		x.Kind, x.Took, x.Reason = execute.NodeEnded, e.Result.Duration, e.Result.Reason
		x.Status = map[workflow.Conclusion]execute.Status{
			workflow.Success: execute.Passed, workflow.Failure: execute.Failed, workflow.Skipped: execute.Skipped, workflow.Cancelled: execute.Canceled,
		}[e.Result.Conclusion]
	}
	d.rep.Event(x)
}

func (d *liveDrawer) close() error { return d.rep.Close() }

// printTree prints a run as a tree of jobs and steps.
func printTree(w io.Writer, res *workflow.Result) {
	fmt.Fprintf(w, "%s: %s (%s)\n", res.Pipeline, res.Conclusion, shortly(res.Duration))
	for i, j := range res.Jobs {
		branch, trunk := "├─ ", "│  "
		if i == len(res.Jobs)-1 {
			branch, trunk = "└─ ", "   "
		}
		allowed := ""
		if j.Allowed {
			allowed = ", allowed"
		}
		fmt.Fprintf(w, "%s%s: %s%s (%s)%s\n", branch, diag.Clean(j.Name), j.Conclusion, allowed, shortly(j.Duration), because(j.Reason))
		for k, st := range j.Steps {
			leaf := "├─ "
			if k == len(j.Steps)-1 {
				leaf = "└─ "
			}
			fmt.Fprintf(w, "%s%s%s: %s (%s)%s\n", trunk, leaf, diag.Clean(st.Name), st.Outcome, shortly(st.Duration), because(st.Reason))
		}
		for _, n := range j.Annotations {
			fmt.Fprintf(w, "%s! %s\n", trunk, diag.Clean(n.String()))
		}
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + diag.Clean(strings.ReplaceAll(reason, "\n", " "))
}

func shortly(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

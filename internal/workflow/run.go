package workflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/expr"
)

// Options say what to run, and where.
type Options struct {
	Workflow *Workflow
	Jobs     []string            // these and what they need; none means all
	Matrix   map[string][]string // only combinations with one of these values
	GitHub   map[string]any      // the context github
	Inputs   map[string]any
	Secrets  map[string]string
	Vars     map[string]string
	Actions  Actions
	// Machine gives a job its machine, or says why there is none here. For a job
	// of actions alone it may be nil.
	Machine func(ctx context.Context, m MachineFor) (Machine, error)
	// Lock waits until no other run or job has the group, and takes it. nil takes none.
	Lock func(ctx context.Context, group string, cancel bool) (context.Context, func(), error)
	// Workspace is the checkout on this machine: actions work in it, hashFiles reads it.
	Workspace string
	Parallel  int // jobs at once; 0 means 1
	DryRun    bool
	Events    func(Event) // may be nil; called by one goroutine at a time
	Now       func() time.Time
}

// cancelGrace is how long steps with always() or cancelled() may take after a
// run was cancelled, as on GitHub.
const cancelGrace = 5 * time.Minute

// defaultTimeout is GitHub's for a job.
const defaultTimeout = 360 * time.Minute

// Run runs a pipeline. An error means that it could not be run at all; jobs that
// fail are in the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	for _, id := range o.Jobs {
		if o.Workflow.Jobs[id] == nil {
			return nil, fmt.Errorf("the pipeline %s has no job %q; it has %s", o.Workflow.ID, id, strings.Join(o.Workflow.Order, ", "))
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Parallel = max(o.Parallel, 1)
	r := &run{
		Options: o, mask: execute.NewMask(o.Secrets), slots: make(chan struct{}, o.Parallel),
		jobs: map[string]*jobRun{}, started: o.Now(),
	}
	return r.run(ctx)
}

type run struct {
	Options
	mask    *execute.Mask
	slots   chan struct{}
	jobs    map[string]*jobRun
	started time.Time
	emits   sync.Mutex
}

// jobRun is a job of the file, with all the jobs that its matrix makes.
type jobRun struct {
	job        *Job
	done       chan struct{}
	conclusion Conclusion // for needs
	failed     bool       // it makes the run fail
	outputs    map[string]string
	results    []*JobResult
	unwanted   []map[string]any // combinations of its matrix that nobody asked for
}

func (r *run) run(ctx context.Context) (*Result, error) {
	order := slices.Clone(r.Workflow.Order)
	if len(r.Jobs) > 0 {
		order = r.Workflow.Needed(r.Jobs...)
	}
	base := r.contexts()
	if k := r.Workflow.Concurrency; k != nil && r.Lock != nil && !r.DryRun {
		held, release, err := r.lock(ctx, base, k)
		if err != nil {
			return nil, err
		}
		defer release()
		ctx = held
	}
	for _, id := range order {
		r.jobs[id] = &jobRun{job: r.Workflow.Jobs[id], done: make(chan struct{})}
	}
	for _, id := range order {
		j := r.jobs[id]
		go func() {
			defer close(j.done)
			for _, n := range j.job.Needs {
				<-r.jobs[n].done
			}
			r.job(ctx, base, j)
		}()
	}
	res := &Result{Pipeline: r.Workflow.ID, Conclusion: Success}
	for _, id := range order {
		j := r.jobs[id]
		<-j.done
		res.Jobs = append(res.Jobs, j.results...)
		if j.failed {
			res.Conclusion = Failure
		}
	}
	if ctx.Err() != nil {
		res.Conclusion = Cancelled
	} else if err := r.missed(); err != nil {
		return nil, err
	}
	res.Duration = r.Now().Sub(r.started)
	return res, nil
}

// lock takes a concurrency group.
func (r *run) lock(ctx context.Context, c *contexts, k *Concurrency) (context.Context, func(), error) {
	group, err := c.text(k.Group)
	if err != nil {
		return nil, nil, fmt.Errorf("concurrency: %w", err)
	}
	cancel, err := c.truth(k.CancelInProgress)
	if err != nil {
		return nil, nil, fmt.Errorf("concurrency: %w", err)
	}
	held, release, err := r.Lock(ctx, group, cancel)
	if err != nil {
		return nil, nil, fmt.Errorf("waiting for the concurrency group %q: %w", group, err)
	}
	return held, release, nil
}

// contexts are those that all jobs share.
func (r *run) contexts() *contexts {
	return &contexts{values: map[string]any{
		"github": r.GitHub, "inputs": r.Inputs, "vars": r.Vars, "secrets": r.Secrets,
	}}
}

// truth evaluates a text that is true, false or an expression; "" is false.
func (c *contexts) truth(s string) (bool, error) {
	v, err := c.value(s)
	if text, ok := v.(string); ok {
		return strings.EqualFold(text, "true"), err
	}
	return expr.Truthy(v), err
}

// number evaluates a text that is a number or an expression.
func (c *contexts) number(s string, fallback float64) (float64, error) {
	if s == "" {
		return fallback, nil
	}
	text, err := c.text(s)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no number above 0", text)
	}
	return n, nil
}

// state is how the jobs that one stands on went, all the way up, as success()
// and failure() of a job's `if` ask.
func (r *run) state(ctx context.Context, j *Job) Conclusion {
	if ctx.Err() != nil {
		return Cancelled
	}
	worst := Success
	for _, id := range r.Workflow.Needed(j.Needs...) {
		switch r.jobs[id].conclusion {
		case Failure:
			return Failure
		case Cancelled:
			worst = Cancelled
		case Skipped:
			if worst == Success {
				worst = Skipped
			}
		}
	}
	return worst
}

// job runs a job of the file once what it needs has ended.
func (r *run) job(ctx context.Context, base *contexts, j *jobRun) {
	id := j.job.ID
	alone := func(c Conclusion, reason string) {
		res := &JobResult{ID: id, Name: r.plainName(j.job), Conclusion: c, Reason: r.mask.Text(reason)}
		j.conclusion, j.results, j.failed = c, []*JobResult{res}, c == Failure
		r.emit(Event{Kind: JobEnded, Job: res.Name, Result: res})
	}
	needs := map[string]any{}
	for _, n := range j.job.Needs {
		needs[n] = map[string]any{"result": string(r.jobs[n].conclusion), "outputs": r.jobs[n].outputs}
	}
	c := base.with(map[string]any{"needs": needs})
	c.functions = statusFunctions(func() Conclusion { return r.state(ctx, j.job) })
	ok, err := c.condition(j.job.If)
	switch {
	case err != nil:
		alone(Failure, "if: "+err.Error())
		return
	case !ok && ctx.Err() != nil:
		alone(Cancelled, "the run was cancelled")
		return
	case !ok:
		alone(Skipped, r.whySkipped(j.job))
		return
	}
	c.functions = nil
	cells := []cell{{}}
	failFast, limit := true, 0.0
	if s := j.job.Strategy; s != nil {
		if s.FailFast != "" {
			failFast, err = c.truth(s.FailFast)
		}
		if err == nil {
			limit, err = c.number(s.MaxParallel, 0)
		}
		if err == nil && s.Matrix != nil {
			cells, err = s.Matrix.expand(c)
		}
	}
	if err != nil && r.DryRun && len(j.job.Needs) > 0 {
		alone(Success, "dry run: its jobs are known when "+strings.Join(j.job.Needs, ", ")+" has run")
		return
	}
	if err != nil {
		alone(Failure, "strategy: "+err.Error())
		return
	}
	r.matrix(ctx, c, j, cells, failFast, int(limit))
}

// whySkipped says why an `if` did not hold.
func (r *run) whySkipped(j *Job) string {
	for _, n := range j.Needs {
		if c := r.jobs[n].conclusion; c != Success && j.If == "" {
			return fmt.Sprintf("%s: %s", n, c)
		}
	}
	if j.If == "" {
		return "a job that it stands on did not succeed"
	}
	return "if: " + j.If
}

// plainName is a job's name where no matrix is known.
func (r *run) plainName(j *Job) string {
	if j.Name != "" && !strings.Contains(j.Name, "${{") {
		return j.Name
	}
	return j.ID
}

// matrix runs the jobs that a matrix makes, and folds them into one.
func (r *run) matrix(ctx context.Context, c *contexts, j *jobRun, cells []cell, failFast bool, limit int) {
	all, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if limit <= 0 || limit > len(cells) {
		limit = len(cells)
	}
	turn := make(chan struct{}, limit)
	total := len(cells)
	var wg sync.WaitGroup
	var mu sync.Mutex
	outputs := map[string]string{}
	for i, one := range cells {
		values := native(Object(one.values)).(map[string]any)
		if !r.wanted(values) {
			j.unwanted = append(j.unwanted, values)
			continue
		}
		cc := c.with(map[string]any{
			"matrix": values,
			"strategy": map[string]any{
				"fail-fast": failFast, "job-index": i, "job-total": total, "max-parallel": limit,
			},
		})
		res := &JobResult{ID: j.job.ID, Name: r.name(cc, j.job, one.label), Matrix: values}
		j.results = append(j.results, res)
		job := &oneJob{run: r, job: j.job, res: res, base: cc}
		if !take(all, turn) {
			job.end(r.Now(), Cancelled, cause(all))
			continue
		}
		if !take(all, r.slots) { // in the order of the matrix
			job.end(r.Now(), Cancelled, cause(all))
			continue
		}
		wg.Go(func() {
			defer func() { <-r.slots; <-turn }()
			job.begin(all)
			if res.Conclusion == Failure && !res.Allowed && failFast {
				cancel(errFailFast)
			}
			mu.Lock()
			defer mu.Unlock()
			for k, v := range res.Outputs {
				if v != "" {
					outputs[k] = v
				}
			}
		})
	}
	wg.Wait()
	if len(j.results) == 0 {
		j.results = []*JobResult{{ID: j.job.ID, Name: r.plainName(j.job), Conclusion: Skipped, Reason: "no job of its matrix is asked for"}}
		r.emit(Event{Kind: JobEnded, Job: j.results[0].Name, Result: j.results[0]})
	}
	j.outputs = outputs
	j.conclusion = Success
	skipped := 0
	for _, res := range j.results {
		switch {
		case res.Conclusion == Failure && !res.Allowed:
			j.conclusion, j.failed = Failure, true
		case res.Conclusion == Cancelled && j.conclusion == Success:
			j.conclusion = Cancelled
		case res.Conclusion == Skipped:
			skipped++
		}
	}
	if skipped == len(j.results) {
		j.conclusion = Skipped
	}
}

// take waits for a place, and reports whether it got one before ctx ended.
func take(ctx context.Context, places chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

var errFailFast = errors.New("another job of the matrix failed")

// wanted reports whether --matrix asks for a combination.
func (r *run) wanted(values map[string]any) bool {
	for _, name := range sorted(r.Matrix) {
		if len(values) == 0 {
			continue // a job without a matrix is not narrowed by one
		}
		have, ok := values[name]
		if !ok || !slices.ContainsFunc(r.Matrix[name], func(want string) bool { return expr.Equal(have, want) }) {
			return false
		}
	}
	return true
}

// missed says what there was where Matrix asks for combinations that no job has:
// a run that did nothing is no success.
func (r *run) missed() error {
	there := map[string][]string{}
	missed := false
	for _, id := range r.Workflow.Order {
		j := r.jobs[id]
		if j == nil || len(j.unwanted) == 0 {
			continue
		}
		if j.results[0].Matrix != nil { // some are wanted
			return nil
		}
		missed = true
		for _, values := range j.unwanted {
			for name := range r.Matrix {
				if v, ok := values[name]; ok && !slices.Contains(there[name], fmt.Sprint(v)) {
					there[name] = append(there[name], fmt.Sprint(v))
				}
			}
		}
	}
	if !missed {
		return nil
	}
	var asked, have []string
	for _, name := range sorted(r.Matrix) {
		asked = append(asked, name+"="+strings.Join(r.Matrix[name], " or "))
		if there[name] == nil {
			have = append(have, "none has "+name)
		} else {
			have = append(have, name+" is "+strings.Join(there[name], ", "))
		}
	}
	return fmt.Errorf("no job has %s in its matrix; %s", strings.Join(asked, " and "), strings.Join(have, "; "))
}

// name is what GitHub shows: the job's name, with the matrix behind it unless
// the name has it itself.
func (r *run) name(c *contexts, j *Job, label string) string {
	name := j.ID
	if j.Name != "" {
		if text, err := c.text(j.Name); err == nil && text != "" {
			name = r.mask.Text(text)
		}
		if strings.Contains(j.Name, "${{") {
			return name
		}
	}
	if label != "" {
		name += " (" + r.mask.Text(label) + ")"
	}
	return name
}

func (r *run) emit(e Event) {
	if r.Events == nil {
		return
	}
	r.emits.Lock()
	defer r.emits.Unlock()
	e.Time = r.Now()
	r.Events(e)
}

func cloneOr[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// Package execute runs a plan on an engine against a store.
//
// A survey decides, without an engine, what the store already has: a node whose
// key is recorded is reused, and what only it needs is not looked at. The rest
// is made with bounded concurrency, each node as soon as what it is made of is
// there and the tests that gate it have passed. What succeeded is recorded at
// once and stays recorded, whatever else fails; nothing above a failed layer or
// test is made. The engine is asked for when the first node needs it, so that a
// run which finds everything, or assembles images of recorded layers, has none.
package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Options say what to run and with what.
type Options struct {
	Plan    *plan.Plan
	Cells   []*plan.Cell // whose images are wanted
	Catalog *spec.Catalog
	Files   fs.FS // the catalog's root
	Store   *store.Store
	// Engine connects to one; it is called at most once.
	Engine      func(context.Context) (engine.Engine, error)
	Secrets     map[string][]byte // by name
	Concurrency int               // nodes at work at once; 0 is 2
	CPUs        int               // of the engine's machine, for parallel jobs; 0 is 1
	Memory      int64             // bytes free for builds on it; 0 is unknown
	Machines    int               // that the engine is made of, each with CPUs and Memory; 0 is 1
	Scratch     string            // existing folder for contexts and results on their way
	Logs        string            // existing folder for a log per node; "" keeps none
	Events      func(Event)       // may be nil; called from several goroutines
	SkipTests   bool              // makes images without their tests, which then are in no table
	OnlyTest    string            // runs only the tests of this name, where not ""
	Device      Device            // runs the tests that need a GPU; nil skips them
	OnlyGPU     bool              // runs only those
	FailFast    bool              // the first failure cancels the rest; else what does not stand on it goes on
	Retry       engine.Policy     // of nodes that faults of the surroundings hit, never of what a step or a test gave
	// Only are the keys of the nodes that may be made; nil is all. What stands on
	// others needs them in the store.
	Only map[string]bool
}

// Result is what came of a run.
type Result struct {
	Cells []CellResult
	Nodes []NodeResult // of every node that was looked at, in the order of the plan
}

// CellResult is what came of a cell.
type CellResult struct {
	Cell   *plan.Cell
	Digest string // of its image; "" where there is none
	Good   bool   // the image is there and none of its tests and gates failed
}

// NodeResult is what came of a node.
type NodeResult struct {
	Node   *plan.Node
	Status Status
	Reason string // why it failed, was skipped or blocked
	Err    error  // what made it fail
	Took   time.Duration
	Size   int64
	Digest string
	Log    string // file
}

// Failures tells of a run in which something the user wrote did not work: a step,
// a test, an assembly. Its exit code is 3.
type Failures struct {
	Names []string
	// Blocked says that nothing failed here: a part of a plan needs what others
	// have not made.
	Blocked bool
}

func (e *Failures) Error() string {
	if e.Blocked {
		return "the store lacks what this part needs: not made are " + join(e.Names, 5)
	}
	if len(e.Names) == 1 {
		return e.Names[0] + " failed"
	}
	return fmt.Sprintf("%d failed: %s", len(e.Names), join(e.Names, 5))
}

func join(names []string, most int) string {
	s := ""
	for i, n := range names {
		if i == most {
			return s + ", ..."
		}
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}

// Run executes the plan for the cells. The result is complete even when the
// error is not nil: *Failures, ctx's own, or what went wrong around the engine
// and the store.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = 2
	}
	r := &run{
		Options: o, states: map[string]*state{}, mask: newMask(o.Secrets), lines: o.Plan.Lines(),
	}
	r.work = r.produce
	defer r.closeEngine()
	if err := r.checkSecrets(); err != nil {
		return &Result{}, err
	}
	noted, err := r.begin(ctx)
	if err != nil {
		return &Result{}, err
	}
	if err := r.survey(ctx); err != nil {
		err = fmt.Errorf("looking up what the store has: %w", err)
		return &Result{}, errors.Join(err, noted.End(time.Now(), false, nil))
	}
	if err := noted.Surveyed(r.tests.tags()); err != nil {
		return &Result{}, err
	}
	r.noted = noted
	r.greet(ctx)
	r.schedule(ctx)
	res, err := r.result(ctx)
	r.sumUp(ctx, res, err)
	r.tell(Event{Time: time.Now(), Kind: RunEnded})
	if endErr := noted.End(time.Now(), err == nil, r.tests.tags()); err == nil {
		err = endErr
	}
	return res, err
}

// run is one execution.
type run struct {
	Options
	known  map[string]store.Record // by tag
	states map[string]*state       // of every node that is looked at
	order  []*state                // as in the plan
	mask   *mask
	tests  evidenceTags
	lines  map[string]string // of the nodes' platforms
	noted  *store.Run
	work   func(ctx context.Context, s *state, dir string, log *nodeLog) error // makes a node
	configs
	brought sync.Map // []store.Installed by key of a layer

	journalOnce sync.Once
	deviceTurn  sync.Mutex

	engineOnce sync.Once
	eng        engine.Engine
	engErr     error
}

// state is what is known of a node during the run.
type state struct {
	node   *plan.Node
	todo   bool   // it has to be made or run
	why    string // it has to
	result NodeResult
	record store.Record

	waited   bool // for another process
	started  time.Time
	attempts int
	engine   string // address of the one that worked on it last
}

func (s *state) ok() bool {
	switch s.result.Status {
	case Failed, Blocked, Canceled:
		return false
	}
	return true
}

func (r *run) emit(e Event) {
	e.Time = time.Now()
	r.note(e)
	r.tell(e)
}

func (r *run) tell(e Event) {
	if r.Events != nil {
		r.Events(e)
	}
}

// engine connects when the first node asks.
func (r *run) engine(ctx context.Context) (engine.Engine, error) {
	r.engineOnce.Do(func() {
		if r.Engine == nil {
			r.engErr = errors.New("this run has no engine")
			return
		}
		r.eng, r.engErr = r.Engine(ctx)
	})
	return r.eng, r.engErr
}

// greet connects to the engine before anything that takes long: that there is
// none should not be news after the minutes that a base takes.
func (r *run) greet(ctx context.Context) {
	for _, s := range r.order {
		if s.todo && s.node.Kind != plan.Image && s.node.Kind != plan.Base {
			if _, err := r.engine(ctx); err != nil && ctx.Err() == nil {
				r.emit(Event{Kind: Message, Text: err.Error()})
			}
			return
		}
	}
}

func (r *run) closeEngine() {
	r.engineOnce.Do(func() {})
	if r.eng != nil {
		if err := r.eng.Close(); err != nil {
			r.emit(Event{Kind: Message, Text: "closing the engine: " + err.Error()})
		}
	}
}

// limitOf is how long a node may take: as GitHub Actions, where nothing is said.
func limitOf(n *plan.Node) time.Duration {
	minutes := n.TimeoutMinutes
	if minutes == 0 {
		minutes = 360
	}
	return time.Duration(minutes * float64(time.Minute))
}

func (r *run) ended(s *state) {
	s.result.Node = s.node
	r.emit(Event{
		Kind: NodeEnded, Node: s.node.Key, Name: s.node.Title(), What: string(s.node.Kind), Status: s.result.Status,
		Reason: s.result.Reason, Took: s.result.Took, Size: s.result.Size, Digest: s.result.Digest, Log: s.result.Log,
		Engine: s.engine, Attempts: s.attempts,
	})
}

// result sums up.
func (r *run) result(ctx context.Context) (*Result, error) {
	res := &Result{}
	var failed, blocked []string
	var broken error
	for _, s := range r.order {
		res.Nodes = append(res.Nodes, s.result)
		if s.result.Status == Blocked {
			blocked = append(blocked, s.node.Title())
		}
		if s.result.Status != Failed {
			continue
		}
		if userFault(s.result.Err) {
			failed = append(failed, s.node.Title())
		} else if broken == nil {
			broken = fmt.Errorf("%s: %w", s.node.Title(), s.result.Err)
			if diskFull(s.result.Err) && !errors.Is(s.result.Err, store.ErrFull) {
				broken = fmt.Errorf("%w: the disk is full, this machine's or the engine's; free some of it, then the same command goes on", broken)
			}
		}
	}
	for _, c := range r.Cells {
		if img := r.Plan.Node(c.Image); img != nil && !r.ours(img) {
			continue
		}
		cr := CellResult{Cell: c}
		img := r.states[c.Image]
		cr.Good = img != nil && img.ok()
		if cr.Good {
			cr.Digest = img.result.Digest
		}
		for _, k := range append(append([]string(nil), c.Tests...), c.Gates...) {
			if t := r.states[k]; t != nil {
				cr.Good = cr.Good && t.ok()
			}
		}
		res.Cells = append(res.Cells, cr)
	}
	switch {
	case ctx.Err() != nil:
		return res, context.Cause(ctx)
	case broken != nil:
		return res, broken
	case len(failed) > 0:
		return res, &Failures{Names: failed}
	case len(blocked) > 0: // by what is no part of this run
		return res, &Failures{Names: blocked, Blocked: true}
	}
	return res, nil
}

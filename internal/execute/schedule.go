package execute

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute/schedule"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// turn is news of a node that was at work, or waited outside.
type turn struct {
	task int
	kind turnKind
}

type turnKind byte

const (
	over  turnKind = iota // it ended
	busy                  // another process makes it
	again                 // it is time to look whether that one has
)

// schedule runs every node that has to be made. What goes next is the policy of
// package schedule; this only does it.
func (r *run) schedule(ctx context.Context) {
	r.emit(Event{Kind: RunStarted, Total: len(r.order), Name: r.what(), Jobs: r.Concurrency})
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo, tasks := r.tasks()
	for _, s := range r.order {
		if !s.todo {
			r.ended(s)
		}
	}
	q := schedule.New(tasks, schedule.Room{Workers: r.Concurrency, Memory: r.Memory * int64(max(1, r.Machines))})
	news := make(chan turn)
	for q.Left() > 0 {
		for {
			i, ok := q.Next()
			if !ok {
				break
			}
			s := todo[i]
			if r.settled(ctx, s) {
				r.ended(s)
				q.Done(i)
				continue
			}
			go func() { news <- turn{i, r.takeTurn(ctx, s)} }()
		}
		if q.Left() == 0 {
			break
		}
		t := <-news
		s := todo[t.task]
		switch t.kind {
		case again:
			q.Ready(t.task)
		case busy:
			q.Park(t.task)
			time.AfterFunc(claimPause, func() { news <- turn{t.task, again} })
		case over:
			if ctx.Err() != nil && (s.result.Status == "" || s.result.Status == Failed) {
				s.cancel(ctx)
			}
			if s.result.Status == Failed && r.FailFast {
				stop(&firstFailure{s.node.Title()})
			}
			r.ended(s)
			q.Done(t.task)
		}
	}
	r.took()
}

// firstFailure is why a run with FailFast cancels the rest.
type firstFailure struct{ name string }

func (f *firstFailure) Error() string { return f.name + " failed" }

// cancel says that a node does not end because the run does.
func (s *state) cancel(ctx context.Context) {
	s.result.Status, s.result.Reason, s.result.Err = Canceled, "", nil
	var first *firstFailure
	if errors.As(context.Cause(ctx), &first) {
		s.result.Reason = first.Error()
	}
}

// settled reports whether a node needs no work any more: what it stands on did
// not come about, or the run ends.
func (r *run) settled(ctx context.Context, s *state) bool {
	for _, list := range [][]string{s.node.Needs, s.node.Gates} {
		for _, k := range list {
			below := r.states[k] // nil: the store has what was made of it
			if below != nil && !below.ok() && s.result.Status == "" && below.result.Status != Canceled {
				s.result.Status, s.result.Reason = Blocked, below.node.Title()+" "+string(below.result.Status)
			}
		}
	}
	if s.result.Status == "" && ctx.Err() != nil {
		s.cancel(ctx)
	}
	return s.result.Status != ""
}

// tasks gives what has to be made, and the same for the policy.
func (r *run) tasks() ([]*state, []schedule.Task) {
	var todo []*state
	index := map[string]int{}
	for _, s := range r.order {
		if s.todo {
			index[s.node.Key] = len(todo)
			todo = append(todo, s)
		}
	}
	known, err := LocalDurations(r.Store)
	if err != nil { // they only make things faster
		r.emit(Event{Kind: Message, Text: err.Error()})
	}
	expected := r.Plan.Estimates(known)
	tasks := make([]schedule.Task, len(todo))
	for i, s := range todo {
		tasks[i] = schedule.Task{Took: expected[s.node.Key], Memory: r.memory(s.node)}
		for _, list := range [][]string{s.node.Needs, s.node.Gates} {
			for _, k := range list {
				if at, ok := index[k]; ok {
					tasks[i].Needs = append(tasks[i].Needs, at)
				}
			}
		}
	}
	return todo, tasks
}

// memory is how much a node may take: what a job of it does, by the number of jobs.
func (r *run) memory(n *plan.Node) int64 {
	if n.Making == nil || n.Resources == nil {
		return 0
	}
	return bytesOf(n.Resources.MemoryPerJob) * int64(r.jobs(n))
}

// make makes a node, with its timeout and its log. What surrounds a run may fail
// for a moment, so a node that this hits is made again, from its beginning.
func (r *run) make(ctx context.Context, s *state) {
	n := s.node
	s.started = time.Now()
	r.emit(Event{Kind: NodeStarted, Node: n.Key, Name: n.Title(), What: string(n.Kind), Why: s.why})
	log := r.openLog(s)
	limit := limitOf(n)
	limited, cancel := ctx, context.CancelFunc(func() {})
	if n.Kind != plan.Test { // a test that runs too long still leaves evidence
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	var err error
	for s.attempts = 1; ; s.attempts++ {
		if err = r.attempt(limited, s, log); err == nil || s.attempts >= r.Retry.Attempts || limited.Err() != nil || !passing(err) {
			break
		}
		r.emit(Event{Kind: Message, Text: fmt.Sprintf("%s is tried again: %v", n.Title(), r.mask.err(err))})
		if r.Retry.Wait != nil {
			select {
			case <-limited.Done():
			case <-time.After(r.Retry.Wait(s.attempts)):
			}
		}
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &engine.StepError{Step: n.Title(), Fault: "ran longer than its timeout of " + limit.String()}
	}
	err = r.mask.err(err)
	log.close(err)
	s.result.Took = time.Since(s.started)
	if err != nil {
		s.result.Status, s.result.Err, s.result.Reason = Failed, err, err.Error()
	}
}

func (r *run) attempt(ctx context.Context, s *state, log *nodeLog) error {
	dir, err := os.MkdirTemp(r.Scratch, "node-")
	if err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer os.RemoveAll(dir)
	return r.work(ctx, s, dir, log)
}

// passing reports whether an error may be gone a moment later: the fault is of
// what surrounds the run, and nobody has to mend it.
func passing(err error) bool {
	var none *engine.Unavailable
	return engine.Transient(err) && !userFault(err) && !diskFull(err) && !errors.As(err, &none) && !errors.Is(err, store.ErrFull)
}

// lease gives an engine for a node. What is to be called with what came of it
// tells a pool which of its engines are well.
func (r *run) lease(ctx context.Context, s *state) (engine.Engine, func(error), error) {
	e, err := r.engine(ctx)
	if err != nil {
		return nil, nil, err
	}
	end := func(error) {}
	if pool, ok := e.(engine.Leaser); ok {
		if e, end, err = pool.Lease(ctx, "linux/"+s.node.Arch); err != nil {
			return nil, nil, err
		}
	}
	s.engine = e.Info().Address
	return e, end, nil
}

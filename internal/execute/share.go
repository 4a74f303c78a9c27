package execute

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// claimPause is how long a node waits between two looks whether another process
// has made it.
const claimPause = 200 * time.Millisecond

// begin notes the run in the store, so that gc leaves what it needs: everything
// that the plan names, made or not.
func (r *run) begin(ctx context.Context) (*store.Run, error) {
	tags := make([]string, 0, len(r.Plan.Nodes))
	for _, n := range r.Plan.Nodes {
		if n.Kind != plan.Test { // evidence has a key of its own
			tags = append(tags, name(n))
		}
	}
	return r.Store.BeginRun(ctx, r.what(), time.Now(), tags)
}

// what is the run for people.
func (r *run) what() string {
	var cells []string
	for _, c := range r.Cells {
		cells = append(cells, c.Tag)
	}
	return join(cells, 5)
}

// evidenceTags are the tags of the test results that a run has made or reused.
type evidenceTags struct {
	mu   sync.Mutex
	keys []string
}

func (t *evidenceTags) add(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = append(t.keys, string(store.Test)+"-"+key)
}

func (t *evidenceTags) tags() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.keys)
}

// takeTurn makes a node, unless another process makes it: then it is busy, takes
// no room, and has another turn soon. Who makes a node waits for nothing, so that
// two runs never wait for each other.
func (r *run) takeTurn(ctx context.Context, s *state) turnKind {
	release, ok, err := r.Store.Claim(kindOf(s.node), s.node.Key)
	if err != nil {
		s.result.Status, s.result.Err, s.result.Reason = Failed, err, err.Error()
		return over
	}
	if !ok {
		if !s.waited {
			s.waited = true
			r.emit(Event{Kind: Message, Text: "waiting for " + s.node.Title() + ", which another jetcrate makes just now"})
		}
		return busy
	}
	defer release()
	if !r.madeMeanwhile(ctx, s) {
		r.make(ctx, s)
	}
	return over
}

// madeMeanwhile looks once more for what the survey did not find. A test looks for
// itself, as it needs its image first. Any error will come again where it counts.
func (r *run) madeMeanwhile(ctx context.Context, s *state) bool {
	n := s.node
	if n.Kind == plan.Test {
		return false
	}
	rec, ok, err := r.Store.Lookup(ctx, kindOf(n), n.Key)
	if err != nil || !ok {
		return false
	}
	if n.Kind == plan.Stacked {
		parent, err := r.recordOf(ctx, n.Parent)
		if err != nil {
			return false
		}
		if fits, err := r.standsOn(ctx, rec, parent); err != nil || !fits {
			return false
		}
	}
	s.record = rec
	s.result.Status, s.result.Digest = Reused, rec.Digest
	return true
}

// standsOn reports whether a stacked layer was laid on this very parent.
func (r *run) standsOn(ctx context.Context, rec, parent store.Record) (bool, error) {
	upper, upperErr := r.Store.Manifest(ctx, rec)
	lower, lowerErr := r.Store.Manifest(ctx, parent)
	if err := errors.Join(upperErr, lowerErr); err != nil {
		return false, err
	}
	return startsWith(upper, lower), nil
}

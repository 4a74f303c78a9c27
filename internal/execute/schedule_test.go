package execute_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

func TestFailFastCancelsTheRest(t *testing.T) {
	l := newLab(t)
	l.options = func(o *execute.Options) { o.FailFast = true }
	l.engine.Fail = func(name string) error {
		if name == "one 1.0 build" || name == "two 2.0 build" {
			return &engine.StepError{Step: "RUN make", Code: 2}
		}
		return nil
	}
	res, err := l.run("kit")
	var failed *execute.Failures
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Names, 1)
	require.Equal(t, 1, strings.Count(strings.Join(l.calls.Builds(), "\n"), ".0 build"), "the other was not begun")
	for _, n := range res.Nodes {
		if n.Status == execute.Canceled {
			require.Equal(t, failed.Names[0]+" failed", n.Reason)
		}
	}
	require.Contains(t, status(res, "two 2.0 linked layer"), execute.Canceled)
}

func TestFaultsOfTheSurroundingsAreTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		calls int
		good  bool
	}{
		"a daemon that went away":  {errors.New("the daemon went away"), 3, true},
		"a step that fails":        {&engine.StepError{Step: "RUN make one", Code: 2}, 1, false},
		"a full disk":              {errors.New("write /x: no space left on device"), 1, false},
		"no engine that can build": {&engine.Unavailable{Tried: []string{"none"}}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			var calls atomic.Int32
			l.engine.Fail = func(name string) error {
				if name == "one 1.0 build" && calls.Add(1) < 3 {
					return c.fault
				}
				return nil
			}
			var waits []int
			l.options = func(o *execute.Options) {
				o.Retry = engine.Policy{Attempts: 3, Wait: func(n int) time.Duration { waits = append(waits, n); return 0 }}
			}
			res, err := l.run("one")
			require.Equal(t, c.good, err == nil, "%v", err)
			require.Equal(t, c.good, res.Cells[0].Good)
			require.EqualValues(t, c.calls, calls.Load())
			require.Len(t, waits, c.calls-1)
			for _, e := range l.events {
				if e.Kind == execute.NodeEnded && e.Name == "one 1.0 build" {
					require.Equal(t, c.calls, e.Attempts)
				}
			}
		})
	}
}

// A failing test is a result, however often an engine is tried.
func TestAFailingTestIsNotTriedAgain(t *testing.T) {
	l := newLab(t)
	l.engine.Exit = func(engine.Run) (engine.Exit, string, string) { return engine.Exit{Code: 1}, "", "" }
	l.options = func(o *execute.Options) { o.Retry = engine.Policy{Attempts: 3} }
	_, err := l.run("python")
	require.Error(t, err)
	require.Len(t, l.calls.Runs(), 1)
}

// journal reads the last journal of the lab's store.
func (l *lab) journal() []execute.Entry {
	l.t.Helper()
	list, err := l.store.Journals()
	require.NoError(l.t, err)
	require.NotEmpty(l.t, list)
	b, err := os.ReadFile(list[len(list)-1].File)
	require.NoError(l.t, err)
	var out []execute.Entry
	for line := range bytes.Lines(b) {
		var e execute.Entry
		require.NoError(l.t, json.Unmarshal(line, &e))
		out = append(out, e)
	}
	return out
}

func TestARunIsJournalled(t *testing.T) {
	l := newLab(t)
	l.secrets = map[string][]byte{"token": []byte("swordfish")}
	l.engine.Exit = func(r engine.Run) (engine.Exit, string, string) {
		if strings.HasPrefix(r.Name, "two") {
			return engine.Exit{Code: 3}, "swordfish\n", ""
		}
		return engine.Exit{}, "", ""
	}
	_, err := l.run("one", "two")
	require.Error(t, err)
	first := l.journal()
	require.Equal(t, execute.RunStarted, first[0].Kind)
	last := first[len(first)-1]
	require.Equal(t, execute.RunEnded, last.Kind)
	require.False(t, last.Good)
	require.Len(t, last.Cells, 2)
	require.True(t, last.Cells[0].Good)
	require.NotEmpty(t, last.Reason)
	began, ended := map[string]execute.Entry{}, map[string]int{}
	for _, e := range first {
		switch e.Kind {
		case execute.NodeStarted:
			require.NotEmpty(t, e.Why)
			began[e.Node] = e
		case execute.NodeEnded:
			ended[e.Node]++
			require.Equal(t, "36.4", e.Line)
			if e.Status == execute.Built && e.What != string(plan.Base) {
				require.Equal(t, "fake:", e.Engine)
				require.False(t, e.Began.Before(began[e.Node].Time.Add(-time.Second)))
			}
		}
	}
	for k, n := range ended {
		require.Equal(t, 1, n, k)
	}
	raw, err := json.Marshal(first)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "swordfish")

	d, err := execute.LocalDurations(l.store)
	require.NoError(t, err)
	require.Contains(t, d.Took, "artifact one 1.0 36.4")
	require.NotContains(t, d.Took, "test two 2.0 works 36.4", "what failed early says nothing")

	l.engine.Exit = nil
	_, err = l.run("one", "two")
	require.NoError(t, err)
	var why []string
	for _, e := range l.journal() {
		if e.Kind == execute.NodeStarted && e.Name == "two 2.0 test works" {
			why = append(why, e.Why)
		}
	}
	require.Contains(t, why, "its last result is failed")
}

// A part of a plan makes its nodes, and reads those of others from the store.
func TestAPartOfAPlan(t *testing.T) {
	l := newLab(t)
	p := l.plan("kit")
	lower := map[string]bool{}
	for _, n := range p.Nodes {
		ofCell := slices.Contains(p.Cells[0].Tests, n.Key)
		if !ofCell && (n.Package == "python" || n.Package == "tools" || n.Kind == plan.Base) {
			lower[n.Key] = true
		}
	}
	upper := map[string]bool{}
	for _, n := range p.Nodes {
		upper[n.Key] = !lower[n.Key]
	}
	l.options = func(o *execute.Options) { o.Only = upper }
	_, err := l.run("kit")
	require.Error(t, err)
	var failures *execute.Failures
	require.ErrorAs(t, err, &failures, "what it stands on is not there")
	require.Empty(t, l.calls.Builds())

	l.options = func(o *execute.Options) { o.Only = lower }
	_, err = l.run("kit")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"python 3 layer", "tools 1 layer"}, l.calls.Builds())

	l.options = func(o *execute.Options) { o.Only = upper }
	res, err := l.run("kit")
	require.NoError(t, err)
	require.True(t, res.Cells[0].Good)
	require.NotContains(t, l.calls.Builds(), "python 3 layer")
	require.Contains(t, l.calls.Builds(), "one 1.0 build")
}

// What is interrupted is canceled, and told as such in the journal.
func TestAnInterruptedRunIsJournalled(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	l.engine.Fail = func(name string) error {
		if name == "one 1.0 build" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	_, err := l.runIn(ctx, "kit")
	require.ErrorIs(t, err, context.Canceled)
	entries := l.journal()
	last := entries[len(entries)-1]
	require.Equal(t, execute.RunEnded, last.Kind)
	require.Equal(t, execute.Canceled, last.Status)
	for _, e := range entries {
		require.NotEqual(t, execute.Failed, e.Status)
	}
}

// The shards of a plan, each on a machine of its own that has nothing but a registry
// in common with the others, make what one run makes, each node once.
func TestShardsMakeWhatOneRunMakes(t *testing.T) {
	l := newLab(t)
	_, err := l.run("kit", "two")
	require.NoError(t, err)
	whole, tests := l.calls.Builds(), l.calls.Runs()

	l = newLab(t)
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(reg.Close)
	machine := func() {
		st, err := store.Open(context.Background(), store.Options{Location: strings.TrimPrefix(reg.URL, "http://") + "/jetcrate", Cache: t.TempDir()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		l.store = st
	}
	p := l.plan("kit", "two")
	took := map[string]time.Duration{}
	for _, n := range p.Nodes {
		took[n.Key] = 10 * time.Minute // worth a job
	}
	s := p.Shard(plan.ShardOptions{Count: 2, Took: took})
	require.Greater(t, len(s.Waves), 1)
	var builds, runs []string
	good := 0
	for _, w := range s.Waves {
		for _, x := range w {
			only := map[string]bool{}
			for _, k := range x.Nodes {
				only[k] = true
			}
			machine()
			l.options = func(o *execute.Options) { o.Only = only }
			res, err := l.run("kit", "two")
			require.NoError(t, err, x.Name)
			require.NotEmpty(t, l.journal(), "it is beside the cache")
			require.Len(t, res.Nodes, len(x.Nodes))
			builds, runs = append(builds, l.calls.Builds()...), append(runs, l.calls.Runs()...)
			good += len(res.Cells)
		}
	}
	require.ElementsMatch(t, whole, builds)
	require.ElementsMatch(t, tests, runs)
	require.Equal(t, 2, good, "each cell is one shard's")

	l.options = nil
	machine()
	res, err := l.run("kit", "two")
	require.NoError(t, err)
	require.Zero(t, l.connected, "nothing is left to do")
	require.True(t, res.Cells[0].Good && res.Cells[1].Good)
}

package execute_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Runs at the same time, each with a store of its own on the one folder as
// processes have: every node is made by one of them, and all have everything.
func TestRunsAtTheSameTimeMakeEachNodeOnce(t *testing.T) {
	l := newLab(t)
	_, err := l.run("kit")
	require.NoError(t, err)
	wantBuilds, wantRuns := l.calls.Builds(), l.calls.Runs()
	l.engine.Delay = 20 * time.Millisecond
	dir := t.TempDir()
	p, cat := l.plan("kit"), l.catalog()
	const runs = 3
	var calls engine.Calls
	results, errs := make([]*execute.Result, runs), make([]error, runs)
	waited := false
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range runs {
		scratch := t.TempDir()
		wg.Go(func() {
			st, err := store.Open(context.Background(), store.Options{Dir: dir})
			if err != nil {
				errs[i] = err
				return
			}
			results[i], errs[i] = execute.Run(context.Background(), execute.Options{
				Plan: p, Cells: p.Possible(), Catalog: cat, Files: l.files, Store: st, Scratch: scratch, Concurrency: 2,
				Engine: func(context.Context) (engine.Engine, error) { return engine.Record(l.engine, &calls), nil },
				Events: func(e execute.Event) {
					mu.Lock()
					defer mu.Unlock()
					waited = waited || strings.HasPrefix(e.Text, "waiting for ")
				},
			})
			errs[i] = errors.Join(errs[i], st.Close())
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.ElementsMatch(t, wantBuilds, calls.Builds(), "as one run alone")
	require.ElementsMatch(t, wantRuns, calls.Runs())
	require.True(t, waited, "somebody is told why nothing happens")
	for _, r := range results {
		require.True(t, r.Cells[0].Good)
		require.Equal(t, results[0].Cells[0].Digest, r.Cells[0].Digest)
	}
	locks, err := filepath.Glob(filepath.Join(dir, "claims", "*"))
	require.NoError(t, err)
	require.Empty(t, locks)
}

// What a run needs outlives gc while it runs, and the last runs keep theirs.
func TestRunsAreNotedForGC(t *testing.T) {
	l := newLab(t)
	_, err := l.run("kit")
	require.NoError(t, err)
	ctx := context.Background()
	list, err := l.store.List(ctx)
	require.NoError(t, err)
	require.Len(t, list.Runs, 1)
	require.Equal(t, "kit-1-r36.4.0-py311", list.Runs[0].What)
	require.True(t, list.Runs[0].Good)
	noted := map[string]bool{}
	for _, tag := range list.Runs[0].Records {
		noted[tag] = true
	}
	for _, r := range list.Records {
		require.True(t, noted[r.Tag] || r.Kind == store.Files || r.Kind == store.Packages, "%s is not noted", r.Tag)
	}
}

// A full disk is no fault of the package's.
func TestFullDiskOfTheEngine(t *testing.T) {
	for name, fail := range map[string]error{
		"a step says so":  &engine.StepError{Step: "RUN make", Code: 1, Log: "cc1: fatal error: No space left on device\n"},
		"the engine does": fmt.Errorf("solving: write /x: no space left on device"),
		"this machine's":  &engine.Unavailable{Tried: []string{syscall.ENOSPC.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.engine.Fail = func(name string) error {
				if name == "one 1.0 build" {
					return fail
				}
				return nil
			}
			_, err := l.run("kit")
			var failures *execute.Failures
			require.Error(t, err)
			require.False(t, errors.As(err, &failures), "%v", err)
			l.engine.Fail = nil
			res, err := l.run("kit")
			require.NoError(t, err)
			require.True(t, res.Cells[0].Good)
			require.NotContains(t, l.calls.Builds(), "python 3 layer", "the rerun goes on")
		})
	}
}

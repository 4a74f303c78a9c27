package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// scripted answers builds and commands with functions.
type scripted struct {
	build func(context.Context, engine.Build) (engine.Result, error)
	run   func(context.Context, engine.Run) (engine.Exit, error)
}

func (s *scripted) Info() engine.Info { return engine.Info{Kind: "scripted"} }
func (s *scripted) Close() error      { return nil }
func (s *scripted) Build(ctx context.Context, b engine.Build) (engine.Result, error) {
	return s.build(ctx, b)
}
func (s *scripted) Run(ctx context.Context, r engine.Run) (engine.Exit, error) { return s.run(ctx, r) }

func TestLimit(t *testing.T) {
	var now, most atomic.Int32
	gate := make(chan struct{})
	e := engine.Limit(&scripted{build: func(context.Context, engine.Build) (engine.Result, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-gate
		now.Add(-1)
		return engine.Result{}, nil
	}}, 2)

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = e.Build(context.Background(), engine.Build{}) })
	}
	for range 8 {
		gate <- struct{}{}
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int32(2))

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := e.Build(ctx, engine.Build{})
	require.ErrorIs(t, err, context.Canceled, "a cancelled call does not start")
}

func TestRetry(t *testing.T) {
	infrastructure := errors.New("connection lost")
	tests := []struct {
		name string
		errs []error // of the attempts, in order; nil is success
		want int     // attempts
		err  error
	}{
		{"success", []error{nil}, 1, nil},
		{"recovers", []error{infrastructure, infrastructure, nil}, 3, nil},
		{"gives up", []error{infrastructure, infrastructure, infrastructure}, 3, infrastructure},
		{"step error", []error{fmt.Errorf("building: %w", &engine.StepError{Code: 1})}, 1, nil},
		{"cancelled", []error{fmt.Errorf("building: %w", context.Canceled)}, 1, context.Canceled},
		{"deadline", []error{context.DeadlineExceeded}, 1, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			e := engine.Retry(&scripted{build: func(context.Context, engine.Build) (engine.Result, error) {
				n++
				return engine.Result{Digest: fmt.Sprint(n)}, tt.errs[n-1]
			}}, engine.Policy{Attempts: 3})
			res, err := e.Build(context.Background(), engine.Build{})
			require.Equal(t, tt.want, n)
			require.Equal(t, fmt.Sprint(n), res.Digest)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
			} else if last := tt.errs[len(tt.errs)-1]; last == nil {
				require.NoError(t, err)
			} else {
				require.Equal(t, last, err)
			}
		})
	}
}

func TestRetryOfACommandThatWroteIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		output string
		want   int
	}{{"silent", "", 2}, {"wrote", "half a test", 1}} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			e := engine.Retry(&scripted{run: func(_ context.Context, r engine.Run) (engine.Exit, error) {
				n++
				_, _ = io.WriteString(r.Stderr, tt.output)
				return engine.Exit{}, errors.New("connection lost")
			}}, engine.Policy{Attempts: 2})
			_, err := e.Run(context.Background(), engine.Run{})
			require.Error(t, err)
			require.Equal(t, tt.want, n)
		})
	}
}

func TestRecord(t *testing.T) {
	var calls engine.Calls
	e := engine.Record(&scripted{
		build: func(context.Context, engine.Build) (engine.Result, error) { return engine.Result{}, nil },
		run:   func(context.Context, engine.Run) (engine.Exit, error) { return engine.Exit{}, nil },
	}, &calls)
	_, _ = e.Build(context.Background(), engine.Build{Name: "a"})
	_, _ = e.Run(context.Background(), engine.Run{Name: "t"})
	_, _ = e.Build(context.Background(), engine.Build{Name: "b"})
	require.Equal(t, []string{"a", "b"}, calls.Builds())
	require.Equal(t, []string{"t"}, calls.Runs())
	calls.Reset()
	require.Empty(t, calls.Builds())
}

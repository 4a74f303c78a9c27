package engine_test

import (
	"context"
	"errors"
	"fmt"
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

func TestTransient(t *testing.T) {
	require.True(t, engine.Transient(errors.New("connection lost")))
	require.True(t, engine.Transient(fmt.Errorf("building: %w", engine.ErrGone)))
	for _, err := range []error{&engine.StepError{Code: 1}, context.Canceled, context.DeadlineExceeded} {
		require.False(t, engine.Transient(fmt.Errorf("building: %w", err)))
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

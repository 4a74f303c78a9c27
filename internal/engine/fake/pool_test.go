package fake_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
)

// machine is an engine that can be killed and comes back when it is started.
type machine struct {
	fake.Engine
	name     string
	emulated bool

	mu      sync.Mutex
	dead    bool
	fault   error // of calls
	calls   []string
	opened  int
	closed  int
	blocked chan struct{} // calls wait for it, if it is set
}

func (m *machine) Info() engine.Info {
	return engine.Info{Kind: "machine", Version: "1", Address: m.name, Emulated: m.emulated}
}

func (m *machine) Build(ctx context.Context, b engine.Build) (engine.Result, error) {
	m.mu.Lock()
	m.calls = append(m.calls, b.Name)
	m.mu.Unlock()
	if m.blocked != nil {
		<-m.blocked
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return engine.Result{}, fmt.Errorf("building %s: %w", b.Name, engine.ErrGone)
	}
	return engine.Result{}, m.fault
}

func (m *machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed++
	return nil
}

func (m *machine) set(dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = dead
}

func (m *machine) member() engine.Member {
	return engine.Member{Name: m.name, Connect: func(context.Context) (engine.Engine, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.dead {
			return nil, errors.New("nobody answers")
		}
		m.opened++
		return m, nil
	}}
}

func pool(machines ...*machine) *engine.Pool {
	var members []engine.Member
	for _, m := range machines {
		members = append(members, m.member())
	}
	return engine.NewPool(members, engine.PoolOptions{Attempts: 3, Wait: func(n int) time.Duration { return time.Duration(n) * 20 * time.Millisecond }})
}

func TestPoolConformance(t *testing.T) {
	a, b := &fake.Engine{}, &fake.Engine{}
	p := engine.NewPool([]engine.Member{
		{Name: "a", Connect: func(context.Context) (engine.Engine, error) { return a, nil }},
		{Name: "b", Connect: func(context.Context) (engine.Engine, error) { return b, nil }},
	}, engine.PoolOptions{})
	enginetest.Run(t, func() engine.Engine { return p }, enginetest.Features{})
}

func TestTheLeastLoadedWorksNext(t *testing.T) {
	a, b := &machine{name: "a"}, &machine{name: "b"}
	p := pool(a, b)
	var ends []func(error)
	var got []string
	for range 4 {
		e, end, err := p.Lease(t.Context(), "linux/arm64")
		require.NoError(t, err)
		got, ends = append(got, e.Info().Address), append(ends, end)
	}
	require.Equal(t, []string{"a", "b", "a", "b"}, got)
	ends[1](nil)
	e, _, err := p.Lease(t.Context(), "linux/arm64")
	require.NoError(t, err)
	require.Equal(t, "b", e.Info().Address)
	require.NoError(t, p.Close())
	require.Equal(t, []int{1, 1, 1, 1}, []int{a.opened, b.opened, a.closed, b.closed})
}

func TestNativeGoesBeforeEmulation(t *testing.T) {
	slow, fast := &machine{name: "slow", emulated: true}, &machine{name: "fast"}
	p := pool(slow, fast)
	for range 7 {
		e, _, err := p.Lease(t.Context(), "linux/arm64")
		require.NoError(t, err)
		require.Equal(t, "fast", e.Info().Address)
	}
	require.False(t, p.Info().Emulated)
	fast.set(true)
	for range 2 { // it is full: the slow one helps
		e, _, err := p.Lease(t.Context(), "linux/arm64")
		require.NoError(t, err)
		if e.Info().Address == "slow" {
			return
		}
	}
	t.Fatal("the slow one has nothing to do")
}

func TestAnEngineThatDies(t *testing.T) {
	a, b := &machine{name: "a"}, &machine{name: "b"}
	p := pool(a, b)
	a.blocked = make(chan struct{})
	lost := make(chan error)
	go func() {
		_, err := p.Build(t.Context(), engine.Build{Name: "first"})
		lost <- err
	}()
	require.Eventually(t, func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.calls) == 1 }, time.Second, time.Millisecond)
	a.set(true)
	close(a.blocked)
	err := <-lost
	require.ErrorIs(t, err, engine.ErrGone)
	require.True(t, engine.Transient(err))
	for i := range 5 {
		_, err := p.Build(t.Context(), engine.Build{Name: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	require.Len(t, b.calls, 5, "the other does all")
	require.Equal(t, 1, a.closed)

	a.set(false)
	a.blocked = nil
	require.Eventually(t, func() bool {
		_, end, err := p.Lease(t.Context(), "")
		require.NoError(t, err)
		defer end(nil)
		return a.opened == 2
	}, time.Second, 10*time.Millisecond, "it is back")
}

func TestAFaultLetsAnEngineRest(t *testing.T) {
	a, b := &machine{name: "a", fault: errors.New("no route")}, &machine{name: "b"}
	p := pool(a, b)
	_, err := p.Build(t.Context(), engine.Build{Name: "x"})
	require.Error(t, err)
	_, err = p.Build(t.Context(), engine.Build{Name: "x"})
	require.NoError(t, err)
	require.Zero(t, a.closed, "it is not gone")

	step := &machine{name: "step", fault: &engine.StepError{Step: "RUN make", Code: 2}}
	p = pool(step, b)
	for range 3 { // the recipe's own fault is nobody else's
		_, err := p.Build(t.Context(), engine.Build{Name: "y"})
		require.Error(t, err)
	}
}

func TestNoneIsLeft(t *testing.T) {
	a, b := &machine{name: "a", dead: true}, &machine{name: "b", dead: true}
	p := pool(a, b)
	_, err := p.Build(t.Context(), engine.Build{Name: "x"})
	var none *engine.Unavailable
	require.ErrorAs(t, err, &none)
	require.Equal(t, []string{"a: nobody answers", "b: nobody answers"}, none.Tried)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Build(ctx, engine.Build{Name: "x"})
	require.ErrorIs(t, err, context.Canceled)

	go func() { time.Sleep(30 * time.Millisecond); b.set(false) }()
	_, err = p.Build(t.Context(), engine.Build{Name: "x"})
	require.NoError(t, err, "one came back while the pool waited")
}

package engine

import (
	"context"
	"slices"
	"sync"
)

// Calls is what an engine was asked for, in the order in which calls began.
// It is safe for concurrent use; the zero value is ready.
type Calls struct {
	mu     sync.Mutex
	builds []string
	runs   []string
}

// Builds returns the names of the builds.
func (c *Calls) Builds() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.builds)
}

// Runs returns the names of the commands.
func (c *Calls) Runs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.runs)
}

// Reset forgets all calls.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.builds, c.runs = nil, nil
}

// Record notes the calls of e in calls: tests count them.
func Record(e Engine, calls *Calls) Engine { return &recorded{Engine: e, calls: calls} }

type recorded struct {
	Engine
	calls *Calls
}

func (r *recorded) Build(ctx context.Context, b Build) (Result, error) {
	r.calls.note(&r.calls.builds, b.Name)
	return r.Engine.Build(ctx, b)
}

func (r *recorded) Run(ctx context.Context, c Run) (Exit, error) {
	r.calls.note(&r.calls.runs, c.Name)
	return r.Engine.Run(ctx, c)
}

func (c *Calls) note(list *[]string, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, name)
}

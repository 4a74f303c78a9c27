package engine

import "context"

// Limit lets at most n builds and commands of e run at a time; further ones
// wait until one ends or their context does. An n below 1 means 1.
func Limit(e Engine, n int) Engine {
	return &limited{Engine: e, slots: make(chan struct{}, max(n, 1))}
}

type limited struct {
	Engine
	slots chan struct{}
}

func (l *limited) Build(ctx context.Context, b Build) (Result, error) {
	if err := l.enter(ctx); err != nil {
		return Result{}, err
	}
	defer l.leave()
	return l.Engine.Build(ctx, b)
}

func (l *limited) Run(ctx context.Context, r Run) (Exit, error) {
	if err := l.enter(ctx); err != nil {
		return Exit{}, err
	}
	defer l.leave()
	return l.Engine.Run(ctx, r)
}

func (l *limited) enter(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err // select would choose at random
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *limited) leave() { <-l.slots }

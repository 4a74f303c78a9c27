package engine

import (
	"context"
	"errors"
	"io"
	"time"
)

// Policy says how often and when a call is tried again.
type Policy struct {
	Attempts int                             // in all, the first included
	Wait     func(attempt int) time.Duration // before the attempt after this one (1, 2, ...); nil waits not
}

// Retry tries a call of e again when the engine or its surroundings failed. A
// *StepError is the recipe's own and would come back, a context's error is the
// caller's wish, and a command that wrote something may have done something:
// none of them is tried again.
func Retry(e Engine, p Policy) Engine { return &retrying{Engine: e, policy: p} }

type retrying struct {
	Engine
	policy Policy
}

func (r *retrying) Build(ctx context.Context, b Build) (res Result, err error) {
	err = r.try(ctx, func() (bool, error) { res, err = r.Engine.Build(ctx, b); return true, err })
	return res, err
}

func (r *retrying) Run(ctx context.Context, c Run) (exit Exit, err error) {
	out, errs := &seen{w: c.Stdout}, &seen{w: c.Stderr}
	c.Stdout, c.Stderr = out, errs
	err = r.try(ctx, func() (bool, error) {
		exit, err = r.Engine.Run(ctx, c)
		return !out.any && !errs.any, err
	})
	return exit, err
}

// Transient reports whether an error is of the engine or its surroundings, so
// that the same call may do better. What a step gave, and the end of a context,
// are not.
func Transient(err error) bool {
	var step *StepError
	return !errors.As(err, &step) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func (r *retrying) try(ctx context.Context, call func() (again bool, err error)) error {
	for attempt := 1; ; attempt++ {
		again, err := call()
		if err == nil || !again || attempt >= r.policy.Attempts || ctx.Err() != nil || !Transient(err) {
			return err
		}
		var wait time.Duration
		if r.policy.Wait != nil {
			wait = r.policy.Wait(attempt)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// seen remembers whether anything was written. The engine writes from one
// goroutine per stream and has ended it when the call returns.
type seen struct {
	w   io.Writer
	any bool
}

func (s *seen) Write(p []byte) (int, error) {
	s.any = s.any || len(p) > 0
	if s.w == nil {
		return len(p), nil
	}
	return s.w.Write(p)
}

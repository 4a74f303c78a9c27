package engine

import (
	"context"
	"errors"
	"time"
)

// Policy says how often and when work is tried again that a fault of the engine
// or its surroundings ended (see Transient).
type Policy struct {
	Attempts int                             // in all, the first included
	Wait     func(attempt int) time.Duration // before the attempt after this one (1, 2, ...); nil waits not
}

// Transient reports whether an error is of the engine or its surroundings, so
// that the same call may do better. What a step gave, and the end of a context,
// are not.
func Transient(err error) bool {
	var step *StepError
	return !errors.As(err, &step) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

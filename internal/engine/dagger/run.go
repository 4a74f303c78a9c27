package dagger

import (
	"context"
	"errors"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// exitKilled is the exit code of a command that was killed, as a shell tells it.
const exitKilled = 137

func (d *engineOf) Run(ctx context.Context, r engine.Run) (engine.Exit, error) {
	if ctx.Err() != nil {
		return engine.Exit{}, wrap(ctx, "running", r.Name, nil)
	}
	archive, err := d.pack("image", r.Image, writeArchive)
	if err != nil {
		return engine.Exit{}, wrap(ctx, "running", r.Name, err)
	}
	exit, err := d.session.run(ctx, r, archive)
	switch {
	case err == nil:
		return exit, nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return engine.Exit{Code: exitKilled, TimedOut: true}, nil
	default:
		return engine.Exit{}, wrap(ctx, "running", r.Name, err)
	}
}

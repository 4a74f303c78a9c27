package buildkit

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	watchEvery = time.Second
	missed     = 3 // looks in a row at which nobody answers
)

// watch ends all calls when the daemon is gone: BuildKit's client waits for
// ever for the command of a daemon that was killed. One that is only slow to
// answer is not gone.
func (d *daemon) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; n < missed; {
		select {
		case <-d.life.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(d.life, answerTime)
		_, err := d.client.Info(ctx)
		cancel()
		if status.Code(err) == codes.Unavailable {
			n++
		} else {
			n = 0
		}
	}
	d.end(fmt.Errorf("%w (nobody answers at %s)", errGone, d.info.Address))
}

// during gives a context that ends with ctx or with the daemon.
func (d *daemon) during(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(context.Cause(d.life)) })
	return ctx, func(err error) { stop(); cancel(err) }
}

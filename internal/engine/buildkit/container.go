package buildkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// container is a gateway container whose first process waits, so that others can
// be started beside it.
type container struct {
	run  engine.Run
	cfg  ocispecs.ImageConfig
	ctr  gateway.Container
	call context.Context

	commands atomic.Int64
	closed   chan struct{} // closed by Close
	ended    chan error    // the call that holds the container
}

var _ engine.Containers = (*daemon)(nil)

// waits is the container's first process: it ends with the container.
const waits = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"

func (d *daemon) Container(ctx context.Context, r engine.Run) (engine.Container, error) {
	if ctx.Err() != nil {
		return nil, wrap(ctx, "starting a container for", r.Name, nil)
	}
	platform, err := parsePlatform(r.Platform)
	if err != nil {
		return nil, err
	}
	cfg, err := readConfig(r.Image, platform)
	if err != nil {
		return nil, err
	}
	in, err := d.images(map[string]engine.Image{"image": r.Image})
	if err != nil {
		return nil, err
	}
	opt := client.SolveOpt{OCIStores: in.stores, LocalMounts: map[string]fsutil.FS{}}
	states := []llb.State{{}} // the image's, which needs the session's name
	for i, m := range r.Mounts {
		dir, err := filepath.Abs(m.Source)
		if err != nil {
			return nil, err
		}
		name := "mount" + strconv.Itoa(i)
		if opt.LocalMounts[name], err = fsutil.NewFS(dir); err != nil {
			return nil, fmt.Errorf("mounting %s: %w", m.Source, err)
		}
		states = append(states, llb.Local(name, llb.SharedKeyHint(dir)))
	}
	// The container outlives ctx by as long as it takes to end it.
	call, end := d.during(context.WithoutCancel(ctx))
	c := &container{run: r, cfg: cfg, call: call, closed: make(chan struct{}), ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		_, err := d.client.Build(call, opt, "jetcrate", func(call context.Context, gw gateway.Client) (*gateway.Result, error) {
			states[0] = imageState(gw.BuildOpts().SessionID, in.refs["image"])
			if err := c.start(call, gw, states, platform); err != nil {
				return nil, err
			}
			defer c.ctr.Release(context.WithoutCancel(call))
			close(ready)
			select {
			case <-c.closed:
			case <-call.Done():
				return nil, context.Cause(call)
			}
			return gateway.NewResult(), nil
		}, nil)
		end(nil)
		c.ended <- err
	}()
	select {
	case <-ready:
		return c, nil
	case err := <-c.ended:
		return nil, wrap(call, "starting a container for", r.Name, err)
	case <-ctx.Done():
		end(context.Cause(ctx))
		<-c.ended
		return nil, wrap(ctx, "starting a container for", r.Name, nil)
	}
}

// start makes the container and its first process.
func (c *container) start(call context.Context, gw gateway.Client, states []llb.State, platform ocispecs.Platform) error {
	req := gateway.NewContainerRequest{Platform: &pb.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}}
	for i, st := range states {
		ref, err := evaluate(call, gw, st, platform)
		if err != nil {
			return err
		}
		m := gateway.Mount{Dest: "/", Ref: ref, MountType: pb.MountType_BIND}
		if i > 0 {
			m.Dest = c.run.Mounts[i-1].Target
		}
		req.Mounts = append(req.Mounts, m)
	}
	ctr, err := gw.NewContainer(call, req)
	if err != nil {
		return fmt.Errorf("making the container: %w", err)
	}
	wrote := &beginning{}
	proc, err := ctr.Start(call, gateway.StartRequest{
		Args: []string{"sh", "-c", waits}, Env: environment(c.cfg.Env, c.run.Env), User: c.cfg.User, Cwd: "/",
		Stdout: stream(nil, wrote), Stderr: stream(nil, wrote),
	})
	if err != nil {
		_ = ctr.Release(context.WithoutCancel(call))
		return fmt.Errorf("starting the container: %w", err)
	}
	go func() { _ = proc.Wait() }()
	c.ctr = ctr
	return nil
}

// mark is the variable that tells which command a process belongs to.
const mark = "JETCRATE_COMMAND"

// keeper runs a command and keeps its exit code in a file: BuildKit ends the
// whole container with the first process whose exit code is not 0, or that is
// killed. It has not the mark of the command itself.
const keeper = `own=$1 code=$2; shift 2
env "$own" "$@"
echo $? > "$code"
exit 0`

// finish kills what has a command's mark among its variables, where it is asked
// to, and prints the exit code that keeper has kept.
const finish = `own=$1 code=$2 kill=$3
if [ "$kill" = yes ]; then
  for p in /proc/[0-9]*; do
    if tr '\0' '\n' < "$p/environ" 2>/dev/null | grep -qx "$own"; then kill -9 "${p#/proc/}" 2>/dev/null; fi
  done
fi
if [ -f "$code" ]; then cat "$code"; rm -f "$code"; fi
exit 0`

func (c *container) Exec(ctx context.Context, cmd engine.Command) (engine.Exit, error) {
	if ctx.Err() != nil {
		return engine.Exit{}, wrap(ctx, "running a command of", c.run.Name, nil)
	}
	n := c.commands.Add(1)
	own, code := fmt.Sprintf("%s=%d", mark, n), fmt.Sprintf("/tmp/.jetcrate-%d", n)
	cmd.Args = append([]string{"sh", "-c", keeper, "keeper", own, code}, cmd.Args...)
	ended := make(chan error, 1)
	go func() {
		_, err := execute(c.call, c.call, c.ctr, c.request(cmd))
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			return engine.Exit{}, wrap(c.call, "running a command of", c.run.Name, err)
		}
	case <-ctx.Done():
		for gone := false; !gone; {
			_, _ = c.finish(own, code, true)
			select {
			case <-ended:
				gone = true
			case <-c.call.Done():
				gone = true
			case <-time.After(time.Second): // it was just starting another process
			}
		}
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return engine.Exit{Code: exitKilled, TimedOut: true}, nil
		}
		return engine.Exit{}, wrap(ctx, "running a command of", c.run.Name, context.Cause(ctx))
	}
	exit, err := c.finish(own, code, cmd.Alone)
	if err != nil {
		return engine.Exit{}, wrap(c.call, "running a command of", c.run.Name, err)
	}
	return exit, nil
}

// finish ends what a command left running, and gives its exit code.
func (c *container) finish(own, code string, kill bool) (engine.Exit, error) {
	yes := "no"
	if kill {
		yes = "yes"
	}
	var out bytes.Buffer
	cmd := engine.Command{Args: []string{"sh", "-c", finish, "finish", own, code, yes}, Stdout: &out}
	if _, err := execute(c.call, c.call, c.ctr, c.request(cmd)); err != nil {
		return engine.Exit{}, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		return engine.Exit{}, fmt.Errorf("the command left no exit code: %q", out.String())
	}
	return engine.Exit{Code: n}, nil
}

func (c *container) request(cmd engine.Command) gateway.StartRequest {
	run := c.run
	run.Args, run.Env, run.Stdout, run.Stderr = cmd.Args, slices.Concat(c.run.Env, cmd.Env), cmd.Stdout, cmd.Stderr
	if cmd.Dir != "" {
		run.Dir = cmd.Dir
	}
	req := startRequest(run, c.cfg, &beginning{})
	if cmd.Stdin != nil {
		req.Stdin = io.NopCloser(cmd.Stdin)
	}
	return req
}

func (c *container) Close() error {
	select {
	case <-c.closed:
		return nil
	default:
		close(c.closed)
	}
	if err := <-c.ended; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("ending the container of %s: %w", c.run.Name, err)
	}
	return nil
}

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
	run    engine.Run
	cfg    ocispecs.ImageConfig
	ctr    gateway.Container
	call   context.Context
	closed chan struct{} // closed by Close
	ended  chan error    // the call that holds the container
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
	stores, refs, err := d.images(map[string]engine.Image{"image": r.Image})
	if err != nil {
		return nil, err
	}
	opt := client.SolveOpt{OCIStores: stores, LocalMounts: map[string]fsutil.FS{}}
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
			states[0] = llb.OCILayout("docker.io/jetcrate/image@"+r.Image.Digest, // for logs only
				llb.OCIStore(gw.BuildOpts().SessionID, strings.TrimSuffix(refs["image"], "@"+r.Image.Digest)))
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

func (c *container) Exec(ctx context.Context, cmd engine.Command) (engine.Exit, error) {
	wrote := &beginning{}
	run := c.run
	run.Args, run.Env, run.Stdout, run.Stderr = cmd.Args, slices.Concat(c.run.Env, cmd.Env), cmd.Stdout, cmd.Stderr
	if cmd.Dir != "" {
		run.Dir = cmd.Dir
	}
	req := startRequest(run, c.cfg, wrote)
	if cmd.Stdin != nil {
		req.Stdin = io.NopCloser(cmd.Stdin)
	}
	exit, err := execute(c.call, ctx, c.ctr, req)
	if err == nil {
		exit.Code, err = StartFailure(exit.Code, wrote.String())
	}
	switch {
	case err == nil:
		return exit, nil
	case ctx.Err() == nil:
		return engine.Exit{}, wrap(c.call, "running a command of", c.run.Name, err)
	}
	return engine.Exit{}, wrap(ctx, "running a command of", c.run.Name, err)
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

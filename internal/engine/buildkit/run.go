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
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/system"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// killWait is how long a killed command may take to be gone.
const killWait = 10 * time.Second

// exitKilled is the exit code of a command that SIGKILL ended.
const exitKilled = 128 + int(syscall.SIGKILL)

func (d *daemon) Run(ctx context.Context, r engine.Run) (engine.Exit, error) {
	if ctx.Err() != nil {
		return engine.Exit{}, wrap(ctx, "running", r.Name, nil)
	}
	// The connection outlives ctx by as long as it takes to end the command, so
	// that nothing runs on when Run has returned.
	call, end := d.during(context.WithoutCancel(ctx))
	defer end(nil)
	var exit engine.Exit
	started := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-started: // execute ends the command
			select {
			case <-time.After(killWait):
			case <-call.Done():
			}
		default:
		}
		end(context.Cause(ctx))
	})
	defer stop()

	err := d.run(call, ctx, r, started, &exit)
	switch {
	case err == nil:
		return exit, nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return engine.Exit{Code: exitKilled, TimedOut: true}, nil
	case ctx.Err() == nil:
		return engine.Exit{}, wrap(call, "running", r.Name, err)
	default:
		return engine.Exit{}, wrap(ctx, "running", r.Name, err)
	}
}

// run makes the container with the context call and watches ctx.
func (d *daemon) run(call, ctx context.Context, r engine.Run, started chan struct{}, exit *engine.Exit) error {
	platform, err := parsePlatform(r.Platform)
	if err != nil {
		return err
	}
	cfg, err := readConfig(r.Image, platform)
	if err != nil {
		return err
	}
	in, err := d.images(map[string]engine.Image{"image": r.Image})
	if err != nil {
		return err
	}
	opt := client.SolveOpt{OCIStores: in.stores, LocalMounts: map[string]fsutil.FS{}}
	states := []llb.State{{}} // the image's, which needs the session's name
	for i, m := range r.Mounts {
		dir, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		name := "mount" + strconv.Itoa(i)
		if opt.LocalMounts[name], err = fsutil.NewFS(dir); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Source, err)
		}
		states = append(states, llb.Local(name, llb.SharedKeyHint(dir)))
	}
	all := func(session string) []llb.State {
		states[0] = imageState(session, in.refs["image"])
		return states
	}
	if len(r.Devices) > 0 {
		return d.runWithDevices(call, ctx, opt, r, cfg, platform, all, started, exit)
	}
	_, err = d.client.Build(call, opt, "jetcrate", func(call context.Context, c gateway.Client) (*gateway.Result, error) {
		req := gateway.NewContainerRequest{Platform: &pb.Platform{
			OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		}}
		for i, st := range all(c.BuildOpts().SessionID) {
			ref, err := evaluate(call, c, st, platform)
			if err != nil {
				return nil, err
			}
			m := gateway.Mount{Dest: "/", Ref: ref, MountType: pb.MountType_BIND}
			if i > 0 {
				m.Dest, m.Readonly = r.Mounts[i-1].Target, true
			}
			req.Mounts = append(req.Mounts, m)
		}
		ctr, err := c.NewContainer(call, req)
		if err != nil {
			return nil, fmt.Errorf("making the container: %w", err)
		}
		defer ctr.Release(context.WithoutCancel(call))
		close(started)
		wrote := &beginning{}
		if *exit, err = execute(call, ctx, ctr, startRequest(r, cfg, wrote)); err != nil {
			return nil, err
		}
		if exit.Code, err = StartFailure(exit.Code, wrote.String()); err != nil {
			return nil, fmt.Errorf("starting the command: %w", err)
		}
		return gateway.NewResult(), nil
	}, nil)
	return err
}

// evaluate makes a state a folder that a container can mount.
func evaluate(call context.Context, c gateway.Client, st llb.State, p ocispecs.Platform) (gateway.Reference, error) {
	def, err := st.Marshal(call, llb.Platform(p))
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(call, gateway.SolveRequest{Evaluate: true, Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// execute runs the command, and kills it when ctx is done.
func execute(call, ctx context.Context, ctr gateway.Container, req gateway.StartRequest) (engine.Exit, error) {
	proc, err := ctr.Start(call, req)
	if err != nil {
		return engine.Exit{}, fmt.Errorf("starting the command: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Wait() }()
	killed := false
	select {
	case err = <-ended:
	case <-call.Done(): // the daemon is gone
		return engine.Exit{}, context.Cause(call)
	case <-ctx.Done():
		killed = true
		if err := proc.Signal(call, syscall.SIGKILL); err != nil {
			return engine.Exit{}, fmt.Errorf("killing the command: %w", err)
		}
		select {
		case err = <-ended:
		case <-call.Done():
			return engine.Exit{}, context.Cause(call)
		}
	}
	if killed {
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
			return engine.Exit{}, cause
		}
		return engine.Exit{Code: exitKilled, TimedOut: true}, nil
	}
	var exit *gatewaypb.ExitError
	switch {
	case err == nil:
		return engine.Exit{}, nil
	case errors.As(err, &exit):
		return engine.Exit{Code: int(exit.ExitCode)}, nil
	default:
		return engine.Exit{}, err
	}
}

func startRequest(r engine.Run, cfg ocispecs.ImageConfig, wrote *beginning) gateway.StartRequest {
	req := gateway.StartRequest{
		Args:   r.Args,
		Env:    environment(cfg.Env, r.Env),
		User:   cfg.User,
		Cwd:    cfg.WorkingDir,
		Stdout: stream(r.Stdout, wrote),
		Stderr: stream(r.Stderr, wrote),
	}
	if r.Dir != "" {
		req.Cwd = r.Dir
	}
	if req.Cwd == "" {
		req.Cwd = "/"
	}
	return req
}

// environment is the image's variables with the run's own in their place or
// behind them, and a PATH in any case.
func environment(image, own []string) []string {
	var env []string
	at := map[string]int{}
	for _, kv := range slices.Concat([]string{"PATH=" + system.DefaultPathEnvUnix}, image, own) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env
}

// stream makes a writer what BuildKit's client closes at the end.
func stream(w io.Writer, wrote *beginning) io.WriteCloser {
	if w == nil {
		w = io.Discard
	}
	return struct {
		io.Writer
		io.Closer
	}{io.MultiWriter(wrote, w), io.NopCloser(nil)}
}

// beginning keeps the first bytes of what a command wrote to both its streams.
type beginning struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *beginning) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p[:min(len(p), max(0, 4096-b.buf.Len()))])
	return len(p), nil
}

func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

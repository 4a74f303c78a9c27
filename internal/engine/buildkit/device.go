package buildkit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/entitlements"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// runWithDevices runs the command as an instruction: the containers that a
// gateway makes get no CDI devices. states are the image and the mounts.
func (d *daemon) runWithDevices(call, ctx context.Context, opt client.SolveOpt, r engine.Run, cfg ocispecs.ImageConfig,
	platform ocispecs.Platform, states func(session string) []llb.State, started chan struct{}, exit *engine.Exit) error {
	opt.AllowedEntitlements = append(opt.AllowedEntitlements, string(entitlements.EntitlementDevice))
	req := startRequest(r, cfg, &beginning{})
	run := []llb.RunOption{llb.Args(req.Args), llb.Dir(req.Cwd), llb.User(req.User), llb.IgnoreCache, llb.WithCustomName(r.Name)}
	for _, kv := range req.Env {
		name, value, _ := strings.Cut(kv, "=")
		run = append(run, llb.AddEnv(name, value))
	}
	for _, name := range r.Devices {
		run = append(run, llb.AddCDIDevice(llb.CDIDeviceName(name)))
	}
	status := make(chan *client.SolveStatus)
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for s := range status {
			for _, l := range s.Logs {
				to := r.Stdout
				if l.Stream == 2 {
					to = r.Stderr
				}
				if to != nil {
					_, _ = to.Write(l.Data) // what is kept of the output is the caller's matter
				}
			}
		}
	}()
	stop := make(chan struct{})
	limited, cancel := context.WithCancelCause(call)
	defer cancel(nil)
	go func() {
		select {
		case <-ctx.Done():
			cancel(context.Cause(ctx))
		case <-stop:
		}
	}()
	_, err := d.client.Build(limited, opt, "jetcrate", func(call context.Context, c gateway.Client) (*gateway.Result, error) {
		all := states(c.BuildOpts().SessionID)
		for i, st := range all[1:] {
			run = append(run, llb.AddMount(r.Mounts[i].Target, st, llb.Readonly))
		}
		close(started)
		if _, err := evaluate(call, c, all[0].Run(run...).Root(), platform); err != nil {
			return nil, err
		}
		return gateway.NewResult(), nil
	}, status)
	close(stop)
	<-logged
	var ended *gatewaypb.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		*exit = engine.Exit{Code: exitKilled, TimedOut: true}
		return nil
	case errors.As(err, &ended) && ended.ExitCode != gatewaypb.UnknownExitStatus:
		exit.Code = int(ended.ExitCode)
		return nil
	}
	return fmt.Errorf("with the devices %s: %w", strings.Join(r.Devices, ", "), err)
}

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/sirupsen/logrus"

	// The schemes that addresses may have beside unix:// and tcp://.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Options says where Connect looks for a daemon.
type Options struct {
	// Address names one daemon, and no other is tried: an address of BuildKit
	// (unix://, tcp://, docker-container://, podman-container://,
	// nerdctl-container://, kube-pod://, ssh://), "private" or "docker".
	Address string
	// BuildkitHost is an address to try first: the user's BUILDKIT_HOST.
	BuildkitHost string
	// StateDir is the folder that a private daemon belongs to.
	StateDir string
	// Binary are files that may be a buildkitd, the best first; one on PATH
	// comes last. Those that do not exist are passed over.
	Binary []string
	// Keep leaves a private daemon running when it is closed.
	Keep bool
	// Progress is told what takes a while; may be nil.
	Progress func(string)
}

// answerWait is how long a daemon may take to answer: one in a container, or
// behind ssh, is a program that starts first.
const answerWait = 15 * time.Second

// candidate is a daemon that may serve.
type candidate struct {
	name string
	open func(context.Context, Options) (*daemon, error)
}

// ownDaemon names the candidate that jetcrate starts, and may end.
const ownDaemon = "a buildkitd of its own"

// candidates are the daemons to try, in order.
func candidates(o Options) []candidate {
	address := func(a string) func(context.Context, Options) (*daemon, error) {
		return func(ctx context.Context, _ Options) (*daemon, error) { return openAddress(ctx, a) }
	}
	private := candidate{ownDaemon, openPrivate}
	docker := candidate{"Docker's own BuildKit", openDocker}
	switch o.Address {
	case "private":
		return []candidate{private}
	case "docker":
		return []candidate{docker}
	case "":
	default:
		return []candidate{{o.Address, address(o.Address)}}
	}
	var list []candidate
	if o.BuildkitHost != "" {
		list = append(list, candidate{"BUILDKIT_HOST=" + o.BuildkitHost, address(o.BuildkitHost)})
	}
	return append(list, private, docker)
}

// Connect gives the first daemon that can build ARM64 images the way jetcrate
// needs it: Options.Address if set, else Options.BuildkitHost, a private
// buildkitd, and the BuildKit of a running Docker daemon. One that lacks
// something is passed over. The error, where none is left, is an
// *engine.Unavailable that says of each what it lacks.
func Connect(ctx context.Context, o Options) (engine.Engine, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	// BuildKit's client and the content service that it runs write to logrus's
	// standard logger, on stderr, what they return as errors besides.
	logrus.SetOutput(io.Discard)
	none := &engine.Unavailable{}
	for _, c := range candidates(o) {
		d, err := try(ctx, c, o)
		if errors.Is(err, errHung) && c.name == ownDaemon && ctx.Err() == nil {
			o.Progress("ending the buildkitd, which hangs")
			d, err = try(ctx, c, o)
		}
		if err == nil {
			return d, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting to an engine: %w", context.Cause(ctx))
		}
		none.Tried = append(none.Tried, c.name+": "+strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if o.Address == "" {
		none.Tried = append(none.Tried, "install runc and qemu-user-static and put buildkitd beside jetcrate, "+
			"or name a BuildKit by BUILDKIT_HOST or --engine")
	}
	return nil, none
}

// try opens a daemon and examines it.
func try(ctx context.Context, c candidate, o Options) (*daemon, error) {
	d, err := c.open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := d.examine(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// openAddress dials one of BuildKit's addresses.
func openAddress(ctx context.Context, address string) (*daemon, error) {
	if !strings.Contains(address, "://") {
		return nil, fmt.Errorf("%q is no address; one looks like unix:///run/buildkit/buildkitd.sock or tcp://host:1234", address)
	}
	c, err := client.New(ctx, address)
	if err != nil {
		return nil, err
	}
	return newDaemon(ctx, c, address)
}

// newDaemon asks a client's daemon what it is. It closes the client on error.
func newDaemon(ctx context.Context, c *client.Client, address string) (*daemon, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWait, fmt.Errorf("no answer in %v", answerWait))
	defer cancel()
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		_ = c.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("asking it for its workers: %w", err)
	}
	if len(workers) == 0 {
		_ = c.Close()
		return nil, errors.New("it has no worker")
	}
	// The first worker is the one that is used, its first platform the machine's.
	w := workers[0]
	d := &daemon{client: c, info: engine.Info{Kind: "buildkit", Version: w.BuildkitVersion.Version, Address: address}}
	d.life, d.end = context.WithCancelCause(context.Background())
	arm64 := false
	for i, p := range w.Platforms {
		if p.OS == "linux" && p.Architecture == "arm64" {
			d.info.Emulated, arm64 = i > 0, true
			break
		}
	}
	if !arm64 {
		var have []string
		for _, p := range w.Platforms {
			have = append(have, platforms.Format(p))
		}
		_ = c.Close()
		return nil, fmt.Errorf("it runs %s, but not linux/arm64: install qemu-user-static on its machine", strings.Join(have, ", "))
	}
	go d.watch()
	return d, nil
}

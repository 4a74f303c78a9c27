package buildkit

import (
	"context"
	"fmt"
	"net"

	"github.com/moby/buildkit/client"
	docker "github.com/moby/moby/client"
)

// openDocker reaches the BuildKit inside a running Docker daemon, as buildx's
// docker driver does: the daemon's API hands out its two services over
// upgraded connections, /grpc for control and /session for what the client
// serves. Where Docker runs comes from the user's environment (DOCKER_HOST).
func openDocker(ctx context.Context, _ Options) (*daemon, error) {
	api, err := docker.New(docker.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("reading Docker's settings: %w", err)
	}
	ask, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	if _, err := api.Ping(ask, docker.PingOptions{}); err != nil {
		_ = api.Close()
		return nil, fmt.Errorf("no answer from Docker at %s: %w", api.DaemonHost(), err)
	}
	c, err := client.New(ctx, "",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return api.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		client.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return api.DialHijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		_ = api.Close()
		return nil, fmt.Errorf("reaching BuildKit through %s: %w", api.DaemonHost(), err)
	}
	d, err := newDaemon(ctx, c, "docker+"+api.DaemonHost())
	if err != nil {
		_ = api.Close()
		return nil, err
	}
	d.release = api.Close
	return d, nil
}

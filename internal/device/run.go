package device

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Exit codes of docker run and podman run that are not the command's.
const exitRefused = 125 // the container could not be made

// patience is how long a container that is killed may take to be gone.
const patience = 20 * time.Second

// killed is the exit code of a command that SIGKILL ended.
const killed = 128 + 9

// program chooses what runs the containers.
func (o Options) program() (string, error) {
	if o.Program != "auto" && o.Program != "" {
		if !slices.Contains(Programs(), o.Program) {
			return "", fmt.Errorf("%q is none of %s", o.Program, strings.Join(Programs(), ", "))
		}
		if o.Program != "buildkit" {
			if _, err := exec.LookPath(o.Program); err != nil {
				return "", &Absent{Why: "there is no " + o.Program + " on PATH"}
			}
		}
		return o.Program, nil
	}
	for _, name := range []string{"docker", "podman"} {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "buildkit", nil
}

// askDocker asks the daemon for its runtimes, and for the CDI devices that it
// found beside those of the files.
func askDocker(ctx context.Context, cdi []string) (runtimes, devices []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "info", "--format", "{{json .}}").Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, nil, fmt.Errorf("asking Docker what it has: %s", strings.TrimSpace(string(failed.Stderr)))
	} else if err != nil {
		return nil, nil, fmt.Errorf("asking Docker what it has: %w", err)
	}
	var info struct {
		ServerErrors      []string
		Runtimes          map[string]json.RawMessage
		DiscoveredDevices []struct{ Source, ID string }
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return nil, nil, fmt.Errorf("reading what docker info says: %w", err)
	}
	if len(info.ServerErrors) > 0 {
		return nil, nil, fmt.Errorf("asking Docker what it has: %s", strings.Join(info.ServerErrors, "; "))
	}
	for name := range info.Runtimes {
		runtimes = append(runtimes, name)
	}
	slices.Sort(runtimes)
	for _, d := range info.DiscoveredDevices {
		if d.Source == "cdi" && !slices.Contains(cdi, d.ID) {
			cdi = append(cdi, d.ID)
		}
	}
	return runtimes, cdi, nil
}

// commandLine runs containers by docker or podman.
type commandLine struct {
	program string
	flags   []string // for the GPU
	pull    func(digest string) string
	say     func(string)

	mu     sync.Mutex
	pulled map[string]bool
}

func (c *commandLine) run(ctx context.Context, digest string, r engine.Run) (engine.Exit, error) {
	ref := c.pull(digest)
	name := "jetcrate-test-" + strings.ToLower(rand.Text())
	args := append([]string{"run", "--rm", "--name", name, "--platform", r.Platform}, c.flags...)
	for _, kv := range r.Env {
		args = append(args, "--env="+kv)
	}
	for _, m := range r.Mounts {
		dir, err := filepath.Abs(m.Source)
		if err != nil {
			return engine.Exit{}, err
		}
		args = append(args, "--mount", "type=bind,readonly,source="+dir+",target="+m.Target)
	}
	if r.Dir != "" {
		args = append(args, "--workdir="+r.Dir)
	}
	if len(r.Args) == 0 {
		return engine.Exit{}, errors.New("running " + r.Name + ": it names no command")
	}
	args = append(append(args, "--entrypoint", r.Args[0], ref), r.Args[1:]...)
	cmd := exec.Command(c.program, args...)
	said := &tail{}
	cmd.Stdout, cmd.Stderr = writer(r.Stdout), io.MultiWriter(writer(r.Stderr), said)
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return engine.Exit{}, fmt.Errorf("running %s: %w", r.Name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		// The container is the daemon's child: killing the client would leave it.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		_ = exec.CommandContext(end, c.program, "kill", name).Run() // it may have ended by itself
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return engine.Exit{Code: killed, TimedOut: true}, nil
		}
		return engine.Exit{}, context.Cause(ctx)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return engine.Exit{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == exitRefused:
		return engine.Exit{}, fmt.Errorf("running %s: %s: %s", r.Name, c.program, strings.TrimSpace(said.String()))
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return engine.Exit{Code: exit.ExitCode()}, nil
	}
	return engine.Exit{}, fmt.Errorf("running %s: %w", r.Name, err)
}

// fetch pulls an image once.
func (c *commandLine) fetch(ctx context.Context, digest, platform string) error {
	ref := c.pull(digest)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pulled[ref] {
		return nil
	}
	c.say("pulling " + ref + " into " + c.program)
	args := []string{"pull", "--quiet", "--platform", platform}
	if c.program == "podman" && loopback(ref) {
		args = append(args, "--tls-verify=false")
	}
	out, err := exec.CommandContext(ctx, c.program, append(args, ref)...).CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("pulling %s into %s: %s", ref, c.program, strings.TrimSpace(string(out)))
	}
	if c.pulled == nil {
		c.pulled = map[string]bool{}
	}
	c.pulled[ref] = true
	return nil
}

// loopback tells a registry of this machine, which speaks HTTP.
func loopback(ref string) bool {
	registry, _, _ := strings.Cut(ref, "/")
	name, _, err := net.SplitHostPort(registry)
	if err != nil {
		name = registry
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// solver runs containers by BuildKit.
type solver struct {
	engine func(context.Context) (engine.Engine, error)
	layout func(ctx context.Context, digest string) (string, error)
	device string
}

func (s *solver) fetch(ctx context.Context, digest, _ string) error {
	_, err := s.layout(ctx, digest)
	return err
}

func (s *solver) run(ctx context.Context, digest string, r engine.Run) (engine.Exit, error) {
	e, err := s.engine(ctx)
	if err != nil {
		return engine.Exit{}, err
	}
	folder, err := s.layout(ctx, digest)
	if err != nil {
		return engine.Exit{}, err
	}
	r.Image, r.Devices = engine.Image{Layout: folder, Digest: digest}, []string{s.device}
	return e.Run(ctx, r)
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-2000):]
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }

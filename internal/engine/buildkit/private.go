package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/buildkit/client"
)

// private is the buildkitd that belongs to a state folder:
//
//	lock           held while the daemon is being started, adopted or ended
//	users          held, shared, by every process that uses the daemon
//	fingerprint    what the running daemon was started from
//	socket         where it listens, if that is not beside these files
//	buildkitd.toml its settings
//	buildkitd.log  what it says; .old is that of the run before
//	bin/           programs for its PATH
//	root/          its own state
//
// It runs in a session of its own, so that the Ctrl-C that stops a build does
// not take the daemon away under it. Nobody owns it but the users: the last one
// that leaves ends it, and one that is killed leaves its lock to the kernel and
// the daemon to the next, who adopts it.
type private struct {
	dir    string
	binary string
	socket string
	keep   bool
	users  *flock.Flock
}

const (
	startWait  = 60 * time.Second // a cold start opens databases and probes the kernel
	endWait    = 15 * time.Second // from SIGTERM to SIGKILL
	unwellWait = 2 * time.Second  // the same for one that does not answer
	answerTime = 5 * time.Second
	pause      = 50 * time.Millisecond // between two looks
)

// openPrivate adopts or starts the daemon of the state folder.
func openPrivate(ctx context.Context, o Options) (*daemon, error) {
	p, err := newPrivate(o)
	if err != nil {
		return nil, err
	}
	var d *daemon
	err = p.exclusively(ctx, func() error {
		if err := p.ensure(ctx, o.Progress); err != nil {
			return err
		}
		if d, err = p.connect(ctx); err != nil {
			return errors.Join(err, p.endIfUnused())
		}
		if ok, err := p.users.TryRLock(); err != nil || !ok {
			_ = d.client.Close()
			return fmt.Errorf("locking %s: %w", p.users.Path(), errors.Join(err, p.endIfUnused()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.release = p.leave
	return d, nil
}

func newPrivate(o Options) (*private, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("buildkitd runs on Linux, this is %s", runtime.GOOS)
	}
	if o.StateDir == "" {
		return nil, errors.New("no state folder is named")
	}
	binary, err := findBinary(o.Binary)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("buildkitd needs root, and this is not root: run jetcrate as root, or name a running BuildKit")
	}
	if _, err := lookPath("runc"); err != nil {
		return nil, errors.New("runc is not installed: apt install runc")
	}
	if err := os.MkdirAll(o.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	// One folder has one name: daemons are found by it.
	dir, err := filepath.Abs(o.StateDir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the state folder: %w", err)
	}
	return &private{dir: dir, binary: binary, keep: o.Keep, users: flock.New(filepath.Join(dir, "users"))}, nil
}

// findBinary is the first candidate that can be executed.
func findBinary(candidates []string) (string, error) {
	for _, c := range append(candidates[:len(candidates):len(candidates)], "buildkitd") {
		if path, err := lookPath(c); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", errors.New("there is no buildkitd beside jetcrate or on PATH")
}

// exclusively calls f while no other process starts, adopts or ends the daemon.
func (p *private) exclusively(ctx context.Context, f func() error) error {
	l := flock.New(filepath.Join(p.dir, "lock"))
	if ok, err := l.TryLockContext(ctx, pause); err != nil || !ok {
		return fmt.Errorf("locking %s: %w", l.Path(), err)
	}
	defer l.Unlock()
	return f()
}

// ensure leaves a daemon running: the one that is there, unless it is unwell,
// or of another make and in nobody's use.
func (p *private) ensure(ctx context.Context, progress func(string)) error {
	socket, err := socketPath(p.dir)
	if err != nil {
		return err
	}
	p.socket = socket
	want, err := p.fingerprint()
	if err != nil {
		return err
	}
	if running, err := findDaemon(p.file("buildkitd.toml")); err != nil {
		return err
	} else if running != nil {
		wait, why := endWait, "is of another make"
		if p.answers(ctx) {
			have, _ := os.ReadFile(p.file("fingerprint"))
			if string(have) == want || p.used() {
				return nil
			}
		} else {
			wait, why = unwellWait, "does not answer"
		}
		progress("ending the running buildkitd, which " + why)
		if err := endDaemon(running, wait); err != nil {
			return err
		}
	}
	sweep(p.file("root"))
	progress("starting buildkitd")
	if err := p.start(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(p.file("fingerprint"), []byte(want), 0o644); err != nil {
		return fmt.Errorf("noting what buildkitd was started from: %w", err)
	}
	return nil
}

// start runs the daemon and waits until it answers.
func (p *private) start(ctx context.Context) error {
	emulator, err := emulate(p.file("bin"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.socket), 0o700); err != nil {
		return fmt.Errorf("making the socket's folder: %w", err)
	}
	if err := os.WriteFile(p.file("buildkitd.toml"), []byte(p.config(emulator)), 0o644); err != nil {
		return fmt.Errorf("writing buildkitd's settings: %w", err)
	}
	if err := os.Rename(p.file("buildkitd.log"), p.file("buildkitd.log.old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("putting buildkitd's log away: %w", err)
	}
	log, err := os.OpenFile(p.file("buildkitd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening buildkitd's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(p.binary, "--config", p.file("buildkitd.toml"))
	cmd.Dir = "/"
	cmd.Env = daemonEnv(os.Environ(), p.file("bin"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.binary, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("it does not answer after %v", startWait))
	defer cancel()
	for !p.answers(ctx) {
		select {
		case err := <-ended:
			return fmt.Errorf("buildkitd ended at once (%v): %s", err, lastLine(p.file("buildkitd.log")))
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return fmt.Errorf("starting buildkitd: %w: %s", context.Cause(ctx), lastLine(p.file("buildkitd.log")))
		case <-time.After(pause):
		}
	}
	return nil
}

// answers says whether the daemon is up and well.
func (p *private) answers(ctx context.Context) bool {
	if _, err := os.Stat(p.socket); err != nil {
		return false
	}
	c, err := client.New(ctx, p.address())
	if err != nil {
		return false
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err = c.Info(ctx)
	return err == nil
}

func (p *private) connect(ctx context.Context) (*daemon, error) {
	c, err := client.New(ctx, p.address())
	if err != nil {
		return nil, err
	}
	d, err := newDaemon(ctx, c, p.address())
	if err != nil {
		return nil, err
	}
	if v := moduleVersion(p.binary); v != "" {
		d.info.Version = v
	}
	return d, nil
}

// leave gives the daemon up, and ends it if nobody else uses it.
func (p *private) leave() error {
	// Ending is not to be interrupted: what is left undone stays on the machine.
	ctx, cancel := context.WithTimeout(context.Background(), 2*startWait)
	defer cancel()
	return p.exclusively(ctx, func() error {
		if err := p.users.Unlock(); err != nil {
			return fmt.Errorf("unlocking %s: %w", p.users.Path(), err)
		}
		if p.keep {
			return nil
		}
		return p.endIfUnused()
	})
}

// used says whether any process uses the daemon. The caller holds the lock and
// is no user itself.
func (p *private) used() bool {
	l := flock.New(p.users.Path())
	ok, err := l.TryLock()
	if err == nil && ok {
		_ = l.Unlock()
	}
	return err == nil && !ok
}

func (p *private) endIfUnused() error {
	if p.used() {
		return nil
	}
	running, err := findDaemon(p.file("buildkitd.toml"))
	if err != nil || running == nil {
		return err
	}
	return endDaemon(running, endWait)
}

func (p *private) file(name string) string { return filepath.Join(p.dir, name) }
func (p *private) address() string         { return "unix://" + p.socket }

// Package device runs containers of images with this machine's GPU, for the
// tests that need one: through Docker or podman with the same flags as jet run,
// or through BuildKit with a CDI device where neither is there.
//
// One job has the GPU at a time, on any number of processes: Open takes a lock.
// Where nothing hands over a GPU, Open's error is an *Absent, and tests are
// skipped with its reason. A device without facts about its driver (a CDI device
// that somebody made up) is Simulated: what runs on it proves nothing about a GPU.
package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/host"
)

// Programs are what may run the containers; auto is the first that is there.
func Programs() []string { return []string{"auto", "docker", "podman", "buildkit"} }

// Options say how the GPU is handed over.
type Options struct {
	Root    fs.FS  // of the host; os.DirFS("/")
	Program string // one of Programs
	Mode    string // one of host.AccessModes
	Flavour string // of the images' platform
	CDI     string // CDI device; "" is host.CDIDevice
	Pull    func(digest string) string
	Engine  func(context.Context) (engine.Engine, error) // BuildKit
	Layout  func(ctx context.Context, digest string) (string, error)
	Wait    bool         // for another job that has the GPU
	Say     func(string) // progress; may be nil
}

// Absent says why there is no GPU to test on.
type Absent struct{ Why string }

func (a *Absent) Error() string { return "no GPU: " + a.Why }

// Busy says who has the GPU.
type Busy struct{ Lock string }

func (b *Busy) Error() string {
	return fmt.Sprintf("another job has the GPU (%s is locked): end it, or wait for it with --wait-for-lock", b.Lock)
}

// Device is the machine's GPU, held by this process.
type Device struct {
	options Options
	facts   execute.DeviceFacts
	lock    *flock.Flock
	runner  runner
}

// runner runs one container to its end.
type runner interface {
	fetch(ctx context.Context, digest, platform string) error
	run(ctx context.Context, digest string, r engine.Run) (engine.Exit, error)
}

// Open looks for a way to the GPU and takes it.
func Open(ctx context.Context, o Options) (*Device, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	here := host.Inspect(o.Root)
	program, err := o.program()
	if err != nil {
		return nil, err
	}
	access := host.Access{Program: program, Flavour: o.Flavour, Runtimes: here.Docker.Runtimes.Values, CDI: here.Docker.CDI.Values, Device: o.CDI}
	if program == "docker" {
		if access.Runtimes, access.CDI, err = askDocker(ctx, access.CDI); err != nil {
			return nil, err
		}
		access.RuntimesKnown = true
	}
	mode := o.Mode
	if program == "buildkit" {
		if mode != "auto" && mode != "cdi" {
			return nil, fmt.Errorf("BuildKit hands a GPU over by CDI only, not by --gpu-mode %s", mode)
		}
		mode = "cdi"
	}
	if mode == "auto" {
		mode = access.Mode()
	}
	if mode == "none" || !access.There(mode) {
		return nil, &Absent{Why: lacks(program, mode, access, here)}
	}
	d := &Device{options: o, facts: facts(here, o.Root, program, mode)}
	if d.lock, err = take(ctx, o); err != nil {
		return nil, err
	}
	cdi := o.CDI
	if cdi == "" {
		cdi = host.CDIDevice
	}
	if program == "buildkit" {
		d.runner = &solver{engine: o.Engine, layout: o.Layout, device: cdi}
		return d, nil
	}
	flags, _ := access.Flags(mode)
	d.runner = &commandLine{program: program, flags: flags, pull: o.Pull, say: o.Say}
	return d, nil
}

func lacks(program, mode string, a host.Access, h host.Device) string {
	switch mode {
	case "runtime":
		return fmt.Sprintf("%s has no runtime nvidia (it has %s)", program, strings.Join(a.Runtimes, ", "))
	case "cdi":
		have := "no CDI spec was found"
		if len(a.CDI) > 0 {
			have = "CDI specs offer " + strings.Join(a.CDI, ", ")
		} else if h.Docker.CDI.Reason != "" {
			have = h.Docker.CDI.Reason
		}
		device := a.Device
		if device == "" {
			device = host.CDIDevice
		}
		return fmt.Sprintf("there is no CDI device %s: %s", device, have)
	}
	return "nothing here hands one over by --gpu-mode " + mode
}

// facts are the machine's, for evidence.
func facts(h host.Device, root fs.FS, program, mode string) execute.DeviceFacts {
	f := execute.DeviceFacts{
		Module: h.Module.Value, L4T: h.L4T.Value, Driver: h.Driver.Value, PowerMode: h.PowerMode.Value,
		Access: program + ", " + mode,
	}
	node := slices.ContainsFunc([]string{"dev/nvhost-gpu", "dev/nvgpu", "dev/nvidia0"}, func(p string) bool {
		_, err := fs.Stat(root, p)
		return err == nil
	})
	// On Tegra the driver is the L4T release's; elsewhere the kernel names it.
	f.Simulated = !node || !h.Driver.Known() && !(h.L4T.Known() && h.SoC.Known())
	return f
}

// Facts are what evidence says of this device.
func (d *Device) Facts() execute.DeviceFacts { return d.facts }

// Fetch brings an image of the store to what runs it.
func (d *Device) Fetch(ctx context.Context, digest, platform string) error {
	return d.runner.fetch(ctx, digest, platform)
}

// Run runs a command in a container of an image of the store.
func (d *Device) Run(ctx context.Context, digest string, r engine.Run) (engine.Exit, error) {
	return d.runner.run(ctx, digest, r)
}

// Close gives the GPU back.
func (d *Device) Close() error { return d.lock.Unlock() }

// take locks the GPU. The lock is the machine's, not the user's.
func take(ctx context.Context, o Options) (*flock.Flock, error) {
	dir := "/run/lock"
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = os.TempDir()
	}
	lock := flock.New(filepath.Join(dir, "jetcrate-gpu.lock"), flock.SetPermissions(0o666))
	ok, err := lock.TryLock()
	if err == nil && !ok && o.Wait {
		o.Say("waiting for the GPU: another job has it")
		ok, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("taking the GPU: %w: another user's job made the lock; remove it when that has ended", err)
	case err != nil:
		return nil, fmt.Errorf("taking the GPU: %w", err)
	case !ok:
		return nil, &Busy{Lock: lock.Path()}
	}
	return lock, nil
}

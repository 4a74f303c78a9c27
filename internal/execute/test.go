package execute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
)

var errTestFailed = errors.New("test failed")

// keptOutput is how much of a test's output its evidence holds, in bytes.
const keptOutput = 16 << 10

// test runs a test in a container of its image and records the evidence, be it
// good or bad.
func (r *run) test(ctx context.Context, s *state, dir string, log *nodeLog) error {
	t := s.node.Test
	rec, err := r.recordOf(ctx, s.node.Ground)
	if err != nil {
		return err
	}
	cfg, err := r.configOf(ctx, r.Store, rec.Digest)
	if err != nil {
		return err
	}
	key, err := EvidenceKey(t.Content, cfg)
	if err != nil {
		return err
	}
	e := Evidence{
		Schema: 1, Key: key, Package: s.node.Package, Version: s.node.Version, Test: t.Name, GPU: t.GPU,
		Image: rec.Digest, Environment: Environment{Arch: s.node.Arch},
	}
	if found, err := r.sameContent(ctx, s, key); err != nil || found != nil {
		if err != nil {
			return err
		}
		found.Image = rec.Digest
		return r.record(ctx, *found, rec)
	}
	if t.GPU && r.Device == nil {
		e.Status, e.Reason = Skipped, "no GPU"
		s.result.Status, s.result.Reason = Skipped, e.Reason
		return r.record(ctx, e, rec)
	}
	if err := r.runTest(ctx, s, dir, rec.Digest, &e, log); err != nil {
		return err
	}
	s.result.Status, s.result.Digest = e.Status, rec.Digest
	if e.Status == Simulated {
		s.result.Reason = e.Reason
	}
	if err := r.record(ctx, e, rec); err != nil {
		return err
	}
	if e.Status == Failed {
		return fmt.Errorf("%w: %s", errTestFailed, e.Reason)
	}
	return nil
}

// sameContent gives evidence that this run, or one at the same time, recorded
// for an image of the same content: the gate's, for the image of a cell.
func (r *run) sameContent(ctx context.Context, s *state, key string) (*Evidence, error) {
	_, there, err := r.Store.Lookup(ctx, "test", key)
	if err != nil || !there {
		return nil, err
	}
	e, err := ReadEvidence(ctx, r.Store, key)
	if err != nil {
		return nil, err
	}
	counts, status, reason := r.counts(e)
	if !counts {
		return nil, nil
	}
	s.result.Status, s.result.Reason = status, reason
	return &e, nil
}

func (r *run) runTest(ctx context.Context, s *state, dir, digest string, e *Evidence, log *nodeLog) error {
	t := s.node.Test
	layout, err := r.Store.Layout(ctx, digest)
	if err != nil {
		return err
	}
	call := engine.Run{
		Name: s.node.Title(), Image: engine.Image{Layout: layout, Digest: digest}, Platform: "linux/" + s.node.Arch,
		Args: t.Args, Env: t.Env,
	}
	if len(t.Files) > 0 {
		if err := r.packageFiles(s.node.Package, t.Files, dir); err != nil {
			return err
		}
		call.Mounts = []engine.Mount{{Source: filepath.Join(dir, "tests"), Target: "/pkg/tests"}}
	}
	var out tail
	stdout, stderr := &masked{mask: r.mask, to: &out}, &masked{mask: r.mask, to: &out}
	call.Stdout = io.MultiWriter(stdout, log.writer(s.node.Title(), 1))
	call.Stderr = io.MultiWriter(stderr, log.writer(s.node.Title(), 2))
	exit, err := r.exit(ctx, s, digest, call, e)
	if err != nil {
		return err
	}
	stdout.end()
	stderr.end()
	e.ExitCode, e.Output, e.Status = exit.Code, diag.Clean(out.String()), Passed
	switch {
	case exit.TimedOut:
		e.Status, e.Reason = Failed, "ran longer than its timeout of "+limitOf(s.node).String()
	case exit.Code != 0:
		e.Status, e.Reason = Failed, fmt.Sprintf("exit code %d", exit.Code)
	case e.Environment.Device != nil && e.Environment.Device.Simulated:
		e.Status, e.Reason = Simulated, "nothing shows that the device has a driver"
	}
	return nil
}

// exit runs a test's command on the device, if it needs a GPU, or on an engine.
func (r *run) exit(ctx context.Context, s *state, digest string, call engine.Run, e *Evidence) (engine.Exit, error) {
	if s.node.Test.GPU {
		return r.runOnDevice(ctx, s, digest, call, e)
	}
	eng, end, err := r.lease(ctx, s)
	if err != nil {
		return engine.Exit{}, err
	}
	info := eng.Info()
	e.Environment.Engine, e.Environment.Machine = info.Kind+" "+info.Version, "native"
	if info.Emulated {
		e.Environment.Machine = "emulated"
	}
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, limitOf(s.node))
	defer cancel()
	exit, err := eng.Run(limited, call)
	end(err)
	e.Seconds = time.Since(started).Round(time.Millisecond).Seconds()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return engine.Exit{TimedOut: true}, nil
	}
	return exit, err
}

// tail keeps the last bytes that are written to it.
// Both streams of a command do.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if extra := t.b.Len() - keptOutput; extra > 0 {
		t.b.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string { return t.b.String() }

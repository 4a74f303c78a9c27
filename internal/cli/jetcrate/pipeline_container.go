package jetcrate

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

// container starts the container of a job, on an engine that is the job's until
// its end.
func (m *machines) container(ctx context.Context, want workflow.MachineFor, ref string) (workflow.Machine, error) {
	pool, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	img, platform, err := m.image(ctx, ref, want.Labels)
	if err != nil {
		return nil, err
	}
	release := func(error) {}
	e := pool
	if several, ok := pool.(engine.Leaser); ok {
		if e, release, err = several.Lease(ctx, platform); err != nil {
			return nil, err
		}
	}
	keeps, ok := e.(engine.Containers)
	if !ok {
		release(nil)
		return nil, fmt.Errorf("the engine %s keeps no containers for jobs; a BuildKit does", e.Info().Kind)
	}
	c, err := workflow.NewContainer(ctx, keeps, img, platform, m.workspace, want.Job, want.Env)
	if err != nil {
		release(err)
		return nil, err
	}
	return &leased{c, release}, nil
}

// leased is a container whose engine is given back with it.
type leased struct {
	*workflow.InContainer
	release func(error)
}

func (l *leased) Close() error {
	err := l.InContainer.Close()
	l.release(err)
	return err
}

// connect connects to the engine, once for all jobs.
func (m *machines) connect(ctx context.Context) (engine.Engine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.engine == nil {
		rep, err := report.New(m.app.stderr, report.Options{Mode: report.Quiet})
		if err != nil {
			return nil, err
		}
		w := work{engine: m.run.engine}
		if m.engine, err = w.connect(context.WithoutCancel(ctx), m.dirs, m.scratch, rep); err != nil {
			m.engine = nil
			return nil, err
		}
	}
	return m.engine, nil
}

// image lays an image out for the engine: one of a registry, or a file that
// docker save wrote. Of an index it takes the image for the runner's
// architecture: ARM64 where a label says so, else this machine's.
func (m *machines) image(ctx context.Context, ref string, labels []string) (engine.Image, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	for _, l := range labels {
		if strings.Contains(strings.ToLower(l), "arm") {
			want.Architecture = "arm64"
		}
	}
	var img v1.Image
	var err error
	if _, statErr := os.Stat(ref); statErr == nil {
		img, err = tarball.ImageFromPath(ref, nil)
	} else {
		img, err = image.Open(ctx, ref, image.OpenOptions{Platform: want, Insecure: m.app.insecure})
	}
	if err != nil {
		return engine.Image{}, "", err
	}
	dir := m.scratch.scratch + "/images"
	p, err := layout.FromPath(dir)
	if err != nil {
		p, err = layout.Write(dir, empty.Index)
	}
	if err != nil {
		return engine.Image{}, "", fmt.Errorf("laying out the image %s: %w", ref, err)
	}
	if err := p.AppendImage(img); err != nil {
		return engine.Image{}, "", fmt.Errorf("laying out the image %s: %w", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return engine.Image{}, "", fmt.Errorf("reading the image %s: %w", ref, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return engine.Image{}, "", fmt.Errorf("reading the image %s: %w", ref, err)
	}
	return engine.Image{Layout: dir, Digest: digest.String()}, cfg.OS + "/" + cfg.Architecture, nil
}

package dagger

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// TestConformance runs the suite on a Dagger engine where the environment
// names one.
func TestConformance(t *testing.T) {
	const host = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
	if os.Getenv(host) == "" && os.Getenv("DAGGER_SESSION_PORT") == "" {
		t.Skip("no Dagger engine: " + host + " names none")
	}
	e, err := Connect(t.Context(), Options{Scratch: t.TempDir(), Log: filepath.Join(t.TempDir(), "dagger.log")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	enginetest.Run(t, func() engine.Engine { return e }, enginetest.Features{Executes: true})
}

// TestConformanceOnBuildKit runs the suite with BuildKit in the place of the
// SDK's calls: recipes that stand alone and images that are put together again
// must do what named contexts do.
func TestConformanceOnBuildKit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("buildkitd needs root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("buildkitd needs runc: apt install runc")
	}
	binary, err := filepath.Abs(filepath.Join("..", "..", "..", "bin", "buildkitd"))
	require.NoError(t, err)
	if _, err := os.Stat(binary); err != nil {
		t.Skip("no buildkitd: run make build")
	}
	bk, err := buildkit.Connect(t.Context(), buildkit.Options{Address: "private", StateDir: t.TempDir(), Binary: []string{binary}})
	require.NoError(t, err)
	log := &tail{}
	e, err := open(t.Context(), &stand{bk, t}, t.TempDir(), log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	enginetest.Run(t, func() engine.Engine { return e },
		enginetest.Features{Executes: true, Steps: true, OutputAtOnce: true, ReadOnlyMounts: true})
}

// stand is a session that BuildKit serves. It sees what a Dagger engine sees:
// a recipe without named contexts, and images as archives.
type stand struct {
	engine.Engine
	t *testing.T
}

func (s *stand) close() error                              { return s.Close() }
func (s *stand) info(context.Context) (engine.Info, error) { return s.Info(), nil }

func (s *stand) build(r recipe) engine.Build {
	dir := s.t.TempDir()
	if r.Context != "" {
		require.NoError(s.t, os.CopyFS(dir, os.DirFS(r.Context)))
	}
	for name, file := range r.Files {
		require.NoError(s.t, os.Link(file, filepath.Join(dir, name)))
	}
	return engine.Build{
		Name: "stand", Dockerfile: r.Dockerfile, Context: dir, Target: r.Target, Platform: r.Platform,
		Args: r.Args, Secrets: r.Secrets, Events: r.Events,
	}
}

func (s *stand) folder(ctx context.Context, r recipe, dir string) error {
	b := s.build(r)
	b.Output.Dir = dir
	_, err := s.Build(ctx, b)
	return err
}

func (s *stand) image(ctx context.Context, r recipe, archive string) error {
	b := s.build(r)
	b.Output.Layout = s.t.TempDir()
	res, err := s.Build(ctx, b)
	if err != nil {
		return err
	}
	f, err := os.Create(archive)
	require.NoError(s.t, err)
	require.NoError(s.t, writeArchive(engine.Image{Layout: b.Output.Layout, Digest: res.Digest}, f))
	return f.Close()
}

func (s *stand) run(ctx context.Context, r engine.Run, archive string) (engine.Exit, error) {
	dir := s.t.TempDir()
	require.NoError(s.t, unpack(archive, dir))
	img, err := onlyImage(dir)
	require.NoError(s.t, err)
	h, err := img.Digest()
	require.NoError(s.t, err)
	r.Image = engine.Image{Layout: dir, Digest: h.String()}
	return s.Run(ctx, r)
}

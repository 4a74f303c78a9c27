package fake

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

const dockerfile = `
FROM base AS first
RUN echo one
ENV A=1 B=2
FROM other AS aside
RUN echo aside
FROM first AS second
RUN <<END
echo two
END
LABEL x=y
WORKDIR /w
FROM scratch AS folder
COPY --from=aside /out /
`

func build(t *testing.T, e *Engine, target string, images map[string]engine.Image) (engine.Image, engine.Result) {
	t.Helper()
	dir := t.TempDir()
	res, err := e.Build(context.Background(), engine.Build{
		Name: "n", Dockerfile: []byte(dockerfile), Target: target, Platform: "linux/arm64",
		Images: images, Output: engine.Output{Layout: dir},
	})
	require.NoError(t, err)
	return engine.Image{Layout: dir, Digest: res.Digest}, res
}

func TestImageStandsOnTheBaseOfItsChain(t *testing.T) {
	e := &Engine{}
	base, _ := build(t, e, "folder", nil)
	second, res := build(t, e, "second", map[string]engine.Image{"base": base})
	_, again := build(t, e, "second", map[string]engine.Image{"base": base})
	require.Equal(t, res, again, "the same request gives the same bytes")

	img, err := engine.OpenImage(second)
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
	cfg, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "arm64", cfg.Architecture)
	require.Equal(t, []string{"A=1", "B=2"}, cfg.Config.Env)
	require.Equal(t, map[string]string{"x": "y"}, cfg.Config.Labels)
	require.Equal(t, "/w", cfg.Config.WorkingDir)
	require.Len(t, cfg.RootFS.DiffIDs, 2)

	// What the caller has is not copied again.
	out := t.TempDir()
	_, err = e.Build(context.Background(), engine.Build{
		Name: "n", Dockerfile: []byte(dockerfile), Target: "second", Platform: "linux/arm64",
		Images: map[string]engine.Image{"base": base},
		Output: engine.Output{Layout: out, Have: []string{base.Layout}},
	})
	require.NoError(t, err)
	d, err := layers[0].Digest()
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(out, "blobs", "sha256", d.Hex))
}

func TestChainHoldsItsOwnInstructionsOnly(t *testing.T) {
	c, err := chainOf(engine.Build{Dockerfile: []byte(dockerfile), Target: "second", Images: map[string]engine.Image{"base": {Digest: "d"}}})
	require.NoError(t, err)
	require.Equal(t, []string{"RUN echo one", "ENV A=1 B=2", "RUN <<END", "echo two", "END", "LABEL x=y", "WORKDIR /w"}, c.lines)
	require.Equal(t, "d", c.base.Digest)
}

func TestFolder(t *testing.T) {
	e := &Engine{}
	dir := t.TempDir()
	b := engine.Build{Name: "n", Dockerfile: []byte(dockerfile), Target: "folder", Output: engine.Output{Dir: dir}}
	_, err := e.Build(context.Background(), b)
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "fake", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Equal(t, "COPY --from=aside /out /\n", string(text))

	e.Files = func(engine.Build) map[string]string { return map[string]string{"out/a.whl": "wheel"} }
	_, err = e.Build(context.Background(), b)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "out", "a.whl"))
}

func TestProgrammedEnds(t *testing.T) {
	img, _ := build(t, &Engine{}, "second", nil)
	wrong := errors.New("disk full")
	e := &Engine{
		Fail: func(name string) error { return map[string]error{"bad": wrong}[name] },
		Exit: func(engine.Run) (engine.Exit, string, string) { return engine.Exit{Code: 4}, "out", "err" },
	}
	_, err := e.Build(context.Background(), engine.Build{Name: "bad", Dockerfile: []byte(dockerfile), Output: engine.Output{Dir: t.TempDir()}})
	require.ErrorIs(t, err, wrong)

	var out, errs bytes.Buffer
	exit, err := e.Run(context.Background(), engine.Run{Name: "t", Image: img, Stdout: &out, Stderr: &errs})
	require.NoError(t, err)
	require.Equal(t, engine.Exit{Code: 4}, exit)
	require.Equal(t, "outerr", out.String()+errs.String())

	e.Delay = time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	exit, err = e.Run(ctx, engine.Run{Name: "t", Image: img})
	require.NoError(t, err)
	require.True(t, exit.TimedOut)

	_, err = e.Run(context.Background(), engine.Run{Name: "t", Image: engine.Image{Layout: t.TempDir(), Digest: img.Digest}})
	require.ErrorContains(t, err, "reading manifest")
}

package enginetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

const onBase = "FROM chain AS layer\nCOPY <<END /file\ntext\nEND\nENV ADDED=yes\n"

func image(t *testing.T, s *suite) {
	b := s.build(onBase)
	b.Target = "layer"
	b.Output.Layout = filepath.Join(t.TempDir(), "not", "there", "yet")
	res, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)

	m, cfg := readImage(t, res.Digest, b.Output.Layout)
	base, _ := readImage(t, s.base.Digest, s.base.Layout)
	require.Equal(t, types.OCIManifestSchema1, m.MediaType, "an image, no index")
	require.Equal(t, types.OCIConfigJSON, m.Config.MediaType)
	require.Len(t, m.Layers, 2)
	require.Equal(t, base.Layers[0].Digest, m.Layers[0].Digest, "the base's blob is kept as it is")
	for _, l := range m.Layers {
		require.Equal(t, types.OCILayer, l.MediaType, "layers are gzip")
		require.Len(t, readBlob(t, l.Digest.String(), b.Output.Layout), int(l.Size))
	}
	require.Equal(t, "arm64", cfg.Architecture)
	require.Contains(t, cfg.Config.Env, "FROM_IMAGE=yes")
	require.Contains(t, cfg.Config.Env, "ADDED=yes")
	require.Equal(t, "/tmp", cfg.Config.WorkingDir)
	require.Equal(t, map[string]string{"base": "yes"}, cfg.Config.Labels)
	require.FileExists(t, filepath.Join(b.Output.Layout, "oci-layout"))
}

func imageHave(t *testing.T, s *suite) {
	b := s.build(onBase)
	b.Output = engine.Output{Layout: t.TempDir(), Have: []string{s.base.Layout}}
	res, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	m, _ := readImage(t, res.Digest, b.Output.Layout)
	require.NoFileExists(t, filepath.Join(b.Output.Layout, "blobs", "sha256", m.Layers[0].Digest.Hex))
	require.FileExists(t, filepath.Join(b.Output.Layout, "blobs", "sha256", m.Layers[1].Digest.Hex))
}

func folder(t *testing.T, s *suite) {
	b := s.build("FROM scratch\nCOPY <<END /out/file\ntext\nEND\n")
	b.Output.Dir = t.TempDir()
	res, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	require.Empty(t, res.Digest)
	entries, err := os.ReadDir(b.Output.Dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the root itself, no folder per platform")
}

func unknownStage(t *testing.T, s *suite) {
	b := s.build(onBase)
	b.Target = "other"
	b.Output.Dir = t.TempDir()
	_, err := s.e.Build(t.Context(), b)
	var step *engine.StepError
	require.ErrorAs(t, err, &step)
	require.Contains(t, step.Fault, "other")
}

func cancelledBefore(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := s.build(onBase)
	b.Output.Dir = t.TempDir()
	_, err := s.e.Build(ctx, b)
	require.ErrorIs(t, err, context.Canceled)
	r, _, _ := s.run("echo")
	_, err = s.e.Run(ctx, r)
	require.ErrorIs(t, err, context.Canceled)
}

// parallel has several builds write to one layout.
func parallel(t *testing.T, s *suite) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	results, errs := make([]engine.Result, 6), make([]error, 6)
	for i := range results {
		wg.Go(func() {
			b := s.build(fmt.Sprintf("FROM chain\nCOPY <<END /file\n%d\nEND\n", i/2))
			b.Output.Layout = dir
			results[i], errs[i] = s.e.Build(t.Context(), b)
		})
	}
	wg.Wait()
	for i, res := range results {
		require.NoError(t, errs[i])
		m, _ := readImage(t, res.Digest, dir)
		for _, l := range m.Layers {
			require.Len(t, readBlob(t, l.Digest.String(), dir), int(l.Size))
		}
	}
}

func layer(t *testing.T, s *suite) {
	b := s.build("FROM chain\nUSER 0\nRUN echo made > /made\nRUN cat /made > /copy\n")
	b.Output.Layout = t.TempDir()
	res, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	m, _ := readImage(t, res.Digest, b.Output.Layout)
	require.Len(t, m.Layers, 3)
	require.Equal(t, "made\n", untar(t, readBlob(t, m.Layers[2].Digest.String(), b.Output.Layout))["copy"])

	// What was built runs.
	r, out, _ := s.run("cat /copy")
	r.Image = engine.Image{Layout: b.Output.Layout, Digest: res.Digest}
	exit, err := s.e.Run(t.Context(), r)
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.Equal(t, "made\n", out.String())
}

func folderFiles(t *testing.T, s *suite) {
	b := s.build("FROM chain AS build\nUSER 0\nRUN mkdir /out && echo wheel > /out/a.whl\nFROM scratch AS out\nCOPY --from=build /out /\n")
	b.Target, b.Output.Dir = "out", t.TempDir()
	_, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(b.Output.Dir, "a.whl"))
	require.NoError(t, err)
	require.Equal(t, "wheel\n", string(text))
}

func contextFiles(t *testing.T, s *suite) {
	b := s.build("FROM scratch\nCOPY pkg/file /\n")
	b.Context, b.Output.Dir = t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(b.Context, "pkg"), 0o755))
	for _, text := range []string{"one", "two"} { // the second must not be the first, cached
		require.NoError(t, os.WriteFile(filepath.Join(b.Context, "pkg", "file"), []byte(text), 0o644))
		_, err := s.e.Build(t.Context(), b)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(b.Output.Dir, "file"))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
}

func missingFile(t *testing.T, s *suite) {
	for _, dir := range []string{"", t.TempDir()} {
		b := s.build("FROM chain\nCOPY pkg/absent /\n")
		b.Context, b.Output.Dir = dir, t.TempDir()
		_, err := s.e.Build(t.Context(), b)
		var step *engine.StepError
		require.ErrorAs(t, err, &step)
		if s.can.Steps {
			require.Contains(t, step.Step, "COPY pkg/absent")
		}
		require.Contains(t, step.Fault, "/pkg/absent")
	}
}

func secret(t *testing.T, s *suite) {
	b := s.build("FROM chain\nUSER 0\nRUN --mount=type=secret,id=token,required=true cat /run/secrets/token && echo done > /done\n")
	b.Secrets = map[string][]byte{"token": []byte("hunter2")}
	b.Output.Layout = t.TempDir()
	var log bytes.Buffer
	b.Events = func(e engine.Event) { log.Write(e.Data) }
	res, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	if s.can.Steps {
		require.Contains(t, log.String(), "hunter2", "the step could read it")
	}
	m, _ := readImage(t, res.Digest, b.Output.Layout)
	for _, l := range m.Layers {
		for name, text := range untar(t, readBlob(t, l.Digest.String(), b.Output.Layout)) {
			require.NotContains(t, text, "hunter2", name)
		}
	}
	require.NotContains(t, string(readBlob(t, m.Config.Digest.String(), b.Output.Layout)), "hunter2")

	b = s.build("FROM chain\nRUN --mount=type=secret,id=absent,required=true echo\n")
	b.Output.Dir = t.TempDir()
	_, err = s.e.Build(t.Context(), b)
	var step *engine.StepError
	require.ErrorAs(t, err, &step)
	require.Contains(t, step.Fault, "absent")
}

func arguments(t *testing.T, s *suite) {
	b := s.build("ARG WHICH\nFROM ${WHICH}\nARG VALUE=unset\nUSER 0\nRUN echo $VALUE > /value\nFROM scratch\nCOPY --from=0 /value /\n")
	b.Args = map[string]string{"WHICH": "chain", "VALUE": "set"}
	b.Output.Dir = t.TempDir()
	_, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(b.Output.Dir, "value"))
	require.NoError(t, err)
	require.Equal(t, "set\n", string(text))
}

func failingStep(t *testing.T, s *suite) {
	script := "RUN <<END\n"
	for i := range 60 {
		script += fmt.Sprintf("echo line %d\n", i)
	}
	b := s.build("FROM chain\n" + script + "echo last words\nexit 7\nEND\n")
	b.Output.Layout = t.TempDir()
	_, err := s.e.Build(t.Context(), b)
	var step *engine.StepError
	require.ErrorAs(t, err, &step)
	require.Equal(t, 7, step.Code)
	require.Empty(t, step.Fault)
	if !s.can.Steps {
		return
	}
	require.Contains(t, step.Step, "RUN <<END")
	require.True(t, strings.HasSuffix(step.Log, "last words"), step.Log)
	require.NotContains(t, step.Log, "line 3\n", "only the end of it")
	require.LessOrEqual(t, strings.Count(step.Log, "\n"), 40)
}

func cached(t *testing.T, s *suite) {
	b := s.build(fmt.Sprintf("FROM chain\nUSER 0\nRUN echo %d > /time\n", time.Now().UnixNano()))
	b.Output.Layout = t.TempDir()
	first, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)

	var mu sync.Mutex
	ran := 0
	b.Events = func(e engine.Event) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(e.Name, "RUN") && e.Kind == engine.Done {
			ran++
		}
	}
	b.Output.Layout = t.TempDir()
	begin := time.Now()
	second, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	t.Logf("a cached build takes %v", time.Since(begin).Round(time.Millisecond))
	require.Equal(t, first.Digest, second.Digest)
	require.Zero(t, ran, "no step was executed")
}

func events(t *testing.T, s *suite) {
	b := s.build(fmt.Sprintf("FROM chain\nUSER 0\nRUN echo out; echo err >&2; echo %d > /x\n", time.Now().UnixNano()))
	b.Output.Dir = t.TempDir()
	var mu sync.Mutex
	var got []engine.Event
	b.Events = func(e engine.Event) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(e.Name, "RUN") {
			got = append(got, e)
		}
	}
	_, err := s.e.Build(t.Context(), b)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, got)
	require.Equal(t, engine.Started, got[0].Kind)
	require.Equal(t, engine.Done, got[len(got)-1].Kind)
	streams := map[int]string{}
	for _, e := range got[1 : len(got)-1] {
		require.Equal(t, engine.Log, e.Kind)
		require.Equal(t, got[0].Step, e.Step)
		require.False(t, e.Time.IsZero())
		streams[e.Stream] += string(e.Data)
	}
	require.Equal(t, map[int]string{1: "out\n", 2: "err\n"}, streams)
}

func cancelledBuild(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := s.build(fmt.Sprintf("FROM chain\nRUN echo %d; sleep 60\n", time.Now().UnixNano()))
	b.Output.Dir = t.TempDir()
	b.Events = func(e engine.Event) {
		if e.Kind == engine.Log {
			cancel()
		}
	}
	if !s.can.Steps {
		time.AfterFunc(2*time.Second, cancel)
	}
	begin := time.Now()
	_, err := s.e.Build(ctx, b)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(begin), 30*time.Second)
}

// untar reads a gzip tar: name to content.
func untar(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	files := map[string]string{}
	for r := tar.NewReader(zr); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		files[h.Name] = string(text)
	}
}

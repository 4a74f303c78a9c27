// Package enginetest is what every engine must do: Run checks an engine
// against the words of package engine. Engines that execute nothing (the fake)
// leave out what needs a real command; the subtest then says so.
//
// The image that real engines get holds one static ARM64 program, a small
// shell that is compiled on the spot (testdata/sh), so that the suite needs no
// registry, no distribution and no network.
package enginetest

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Features says what an engine can do.
type Features struct {
	Executes       bool // it runs the commands of recipes and of Run
	Steps          bool // it tells the steps of a build and their output as they come
	OutputAtOnce   bool // it passes on the output of a command as it comes
	ReadOnlyMounts bool // a command cannot write to a mount
}

// Platform is what the suite builds for.
const Platform = "linux/arm64"

// Run checks an engine. open is called once; the suite does not close it.
func Run(t *testing.T, open func() engine.Engine, f Features) {
	e := open()
	s := &suite{e: e, base: Base(t, f.Executes), can: f}
	real := func(name string, test func(*testing.T, *suite)) {
		t.Run(name, func(t *testing.T) {
			if !f.Executes {
				t.Skip("this engine runs no commands")
			}
			test(t, s)
		})
	}
	t.Run("image", func(t *testing.T) { image(t, s) })
	t.Run("image without what the caller has", func(t *testing.T) { imageHave(t, s) })
	t.Run("folder", func(t *testing.T) { folder(t, s) })
	t.Run("unknown stage", func(t *testing.T) { unknownStage(t, s) })
	t.Run("cancelled before", func(t *testing.T) { cancelledBefore(t, s) })
	t.Run("many at a time", func(t *testing.T) { parallel(t, s) })
	real("layer", layer)
	real("folder's files", folderFiles)
	real("context", contextFiles)
	real("missing file", missingFile)
	real("checksum", checksum)
	real("secret", secret)
	real("arguments", arguments)
	real("failing step", failingStep)
	real("cached", cached)
	t.Run("events", func(t *testing.T) {
		if !f.Steps {
			t.Skip("this engine tells no steps")
		}
		events(t, s)
	})
	real("cancelled build", cancelledBuild)
	real("run", run)
	real("exit codes", exitCodes)
	real("run as the image says", runConfig)
	real("mount", mount)
	real("run is not cached", runNotCached)
	real("timeout", timeout)
	real("cancelled run", cancelledRun)
}

type suite struct {
	e    engine.Engine
	base engine.Image
	can  Features
}

// build asks for an image on the base.
func (s *suite) build(dockerfile string) engine.Build {
	return engine.Build{
		Name: "test", Dockerfile: []byte(dockerfile), Platform: Platform,
		Images: map[string]engine.Image{"chain": s.base},
	}
}

// run asks for a script in the base.
func (s *suite) run(script string) (engine.Run, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return engine.Run{
		Name: "test", Image: s.base, Platform: Platform,
		Args: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &errs,
	}, &out, &errs
}

// Base makes the image that the suite builds on; without a shell it holds an
// empty one's place.
func Base(t *testing.T, shell bool) engine.Image {
	t.Helper()
	program := []byte("no program\n")
	if shell {
		program = compileShell(t)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct {
		tar.Header
		data []byte
	}{
		{tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, nil},
		{tar.Header{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755}, nil},
		{tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: "bin/sh", Mode: 0o755}, program},
		{tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/:/bin/sh\n")},
		{tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\n")},
	} {
		f.ModTime, f.Size = time.Unix(0, 0), int64(len(f.data))
		require.NoError(t, w.WriteHeader(&f.Header))
		_, err := w.Write(f.data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())

	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	require.NoError(t, err)
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer})
	require.NoError(t, err)
	cfg, err := img.ConfigFile()
	require.NoError(t, err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "arm64"
	cfg.Config = v1.Config{
		Env:        []string{"PATH=/usr/bin:/bin", "FROM_IMAGE=yes"},
		WorkingDir: "/tmp", User: "1000", Labels: map[string]string{"base": "yes"},
	}
	img, err = mutate.ConfigFile(img, cfg)
	require.NoError(t, err)

	dir := t.TempDir()
	require.NoError(t, engine.InitLayout(dir))
	require.NoError(t, layout.Path(dir).WriteImage(img))
	d, err := img.Digest()
	require.NoError(t, err)
	return engine.Image{Layout: dir, Digest: d.String()}
}

func compileShell(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sh")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "github.com/jetcrate/jetcrate/internal/engine/enginetest/testdata/sh")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "compiling the test image's shell: %s", text)
	raw, err := os.ReadFile(out)
	require.NoError(t, err)
	return raw
}

// readImage reads an image that a build left in a layout; blobs may lie in
// several.
func readImage(t *testing.T, digest string, layouts ...string) (*v1.Manifest, *v1.ConfigFile) {
	t.Helper()
	m, err := v1.ParseManifest(bytes.NewReader(readBlob(t, digest, layouts...)))
	require.NoError(t, err)
	cfg, err := v1.ParseConfigFile(bytes.NewReader(readBlob(t, m.Config.Digest.String(), layouts...)))
	require.NoError(t, err)
	return m, cfg
}

func readBlob(t *testing.T, digest string, layouts ...string) []byte {
	t.Helper()
	h, err := v1.NewHash(digest)
	require.NoError(t, err)
	for _, dir := range layouts {
		if raw, err := layout.Path(dir).Bytes(h); err == nil {
			return raw
		}
	}
	t.Fatalf("blob %s lies in none of %v", digest, layouts)
	return nil
}

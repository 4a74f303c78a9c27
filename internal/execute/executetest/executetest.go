// Package executetest is what tests need that make things of a catalog of their
// own with a fake engine.
package executetest

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Catalog reads the files of an archive. BASE in them becomes the reference of
// an image in a registry on the loopback address: base, or one for ARM64 without
// a layer.
func Catalog(t testing.TB, archive string, base v1.Image) fstest.MapFS {
	t.Helper()
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(reg.URL, "http://") + "/base:1")
	require.NoError(t, err)
	if base == nil {
		base, err = mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "arm64", Config: v1.Config{Env: []string{"PATH=/bin"}}})
		require.NoError(t, err)
	}
	require.NoError(t, remote.Write(ref, base))

	a, err := txtar.ParseFile(archive)
	require.NoError(t, err)
	files := fstest.MapFS{}
	for _, f := range a.Files {
		files[f.Name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(f.Data), "BASE", ref.String())), Mode: 0o644}
	}
	return files
}

// Root is what a fake engine leaves of a linked layer: a file that has the
// package's name in its path, as real ones do.
func Root(b engine.Build) map[string]string {
	if b.Target != "root" {
		return nil
	}
	pkg := strings.Fields(b.Name)[0]
	return map[string]string{"opt/" + pkg + "/file": string(b.Dockerfile)}
}

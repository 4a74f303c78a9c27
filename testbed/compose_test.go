package testbed_test

import (
	"bytes"
	"io"
	stdlog "log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/table"
)

// No image holds both packages: one is put together of their layers and run.
func composing(d *dock, prober v1.Layer) {
	server := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	defer server.Close()
	var tab table.Table
	for _, pkg := range []string{"left", "right"} {
		d.write("parts/"+pkg+"/opt/"+pkg, pkg)
		layer, files, err := image.LayerFromDir(filepath.Join(d.dir, "parts", pkg), image.LayerOptions{})
		require.NoError(d, err)
		key := strings.Repeat(map[string]string{"left": "1", "right": "2"}[pkg], 64)
		labels, err := image.Labels{
			Title: pkg, Key: key, Packages: []image.Package{{Name: pkg, Version: "1"}},
			Platform: image.Platform{L4T: "36.4.0", Flavour: "tegra", OS: "ubuntu 22.04", Arch: "arm64"},
		}.Map()
		require.NoError(d, err)
		base, err := image.New("the base", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{Entrypoint: []string{"/prober"}}, prober)
		require.NoError(d, err)
		img, err := image.Assembly{
			Below: base, BelowFiles: []image.Owned{{Owner: "the base"}}, Labels: labels,
			Linked: []image.Linked{{Owner: pkg, Layer: layer, Files: files}},
		}.Image()
		require.NoError(d, err)
		ref, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/jetcrate:" + pkg)
		require.NoError(d, err)
		require.NoError(d, remote.Write(ref, img))
		digest, err := img.Digest()
		require.NoError(d, err)
		tab.Rows = append(tab.Rows, table.Row{
			Target: pkg, Roots: []string{pkg}, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built,
			Packages: []table.Package{{Name: pkg, Version: "1"}},
			Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}},
			Image:    &table.Image{Reference: ref.String(), Digest: digest.String(), Key: key, Size: 1 << 20},
		})
	}
	var b bytes.Buffer
	require.NoError(d, tab.Write(&b))
	d.write("parts.json", b.String())
	at := []string{"--table", filepath.Join(d.dir, "parts.json")}

	stdout, stderr, code := d.autotag(append(at, "left", "right")...)
	require.Equal(d, 3, code)
	require.Empty(d, stdout, "what cannot be pulled is not printed")
	require.Contains(d, stderr, "jet pull and jet run put one together of the layers of")

	stdout, stderr, code = d.run(nil, d.jetRun(append(at, "left", "right", "--", "exit", "9")...)...)
	require.Equal(d, 9, code, stdout+stderr)
	require.Contains(d, stderr, "is an untested combination of tested layers")

	// It is in Docker now, with labels like any other.
	stdout, stderr, code = d.autotag(append(at, "left", "right")...)
	require.Zero(d, code, stderr)
	require.Regexp(d, `^jetcrate.local/left-right:r36.4.0-[0-9a-f]{12}\n$`, stdout)
	require.Contains(d, stderr, "no test of")
	out, stderr, code := d.run(nil, "docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", strings.TrimSpace(stdout))
	require.Zero(d, code, stderr)
	require.Equal(d, "jetcrate right\njetcrate left\njetcrate the base\n", out)
}

func TestComposition(t *testing.T) {
	d := startDocker(t)
	composing(d, d.proberLayer())
}

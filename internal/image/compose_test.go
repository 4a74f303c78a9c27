package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// labelled makes an image of one layer for each package, on a base with a file.
func labelled(t *testing.T, key string, packages []Package, files map[string]string, env ...string) v1.Image {
	t.Helper()
	layer := func(name, content string) v1.Layer {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		l, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
		require.NoError(t, err)
		return l
	}
	labels, err := Labels{Title: packages[len(packages)-1].Name, Key: strings.Repeat(key, 64), Packages: packages, Platform: Platform{L4T: "36.4.0", Arch: "arm64"}}.Map()
	require.NoError(t, err)
	base, err := New("the base", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{}, layer("etc/base", "base"))
	require.NoError(t, err)
	a := Assembly{Below: base, BelowFiles: []Owned{{Owner: "the base"}}, Labels: labels}
	for _, p := range packages {
		l := layer("opt/"+p.Name, files[p.Name])
		list, err := ListLayer(l)
		require.NoError(t, err)
		a.Linked = append(a.Linked, Linked{Owner: p.Name, Layer: l, Files: list})
	}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		a.Env = append(a.Env, Var{Owner: labels[LabelTitle], Name: name, Value: value, Prepend: name == "PATH"})
	}
	img, err := a.Image()
	require.NoError(t, err)
	return img
}

func TestCompose(t *testing.T) {
	numpy, torch, onnx := Package{"numpy", "1"}, Package{"torch", "2"}, Package{"onnx", "3"}
	files := map[string]string{"numpy": "n", "torch": "t", "onnx": "o"}
	a := labelled(t, "a", []Package{numpy, torch}, files, "PATH=/opt/torch", "TORCH=1")
	b := labelled(t, "b", []Package{numpy, onnx}, files, "PATH=/opt/onnx", "ONNX=1")
	img, err := Compose(a, b)
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	cf, err := img.ConfigFile()
	require.NoError(t, err)
	var owners []string
	for _, h := range cf.History {
		owners = append(owners, strings.TrimPrefix(h.CreatedBy, "jetcrate "))
	}
	require.Equal(t, []string{"the base", "numpy", "torch", "onnx"}, owners, "each layer once")
	l, err := ParseLabels(cf.Config.Labels)
	require.NoError(t, err)
	require.Equal(t, []Package{numpy, torch, onnx}, l.Packages)
	require.Equal(t, "torch + onnx", l.Title)
	require.NotContains(t, []string{strings.Repeat("a", 64), strings.Repeat("b", 64)}, l.Key)
	require.Contains(t, cf.Config.Env, "PATH=/opt/onnx:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/torch")
	require.Subset(t, cf.Config.Env, []string{"TORCH=1", "ONNX=1"})

	for name, c := range map[string]struct {
		with v1.Image
		why  string
	}{
		"another version":       {labelled(t, "c", []Package{{"numpy", "2"}, onnx}, files), "torch has numpy 1 and onnx has 2"},
		"the same file, other":  {labelled(t, "d", []Package{numpy, {"torch2", "2"}, onnx}, map[string]string{"numpy": "other", "torch2": "", "onnx": "o"}), "opt/numpy (numpy): the content differs"},
		"a variable, otherwise": {labelled(t, "e", []Package{numpy, onnx}, files, "TORCH=2"), `variable TORCH`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compose(a, c.with)
			require.ErrorContains(t, err, c.why)
		})
	}
}

// A layer that came whole is not asked for again.
func TestCache(t *testing.T) {
	img := labelled(t, "a", []Package{{"numpy", "1"}}, map[string]string{"numpy": "n"})
	asked := 0
	c := Cache{Dir: t.TempDir(), Say: func(string, int64) { asked++ }}
	for range 2 {
		got, err := c.Fetch(t.Context(), img)
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
		want, err := img.ConfigName()
		require.NoError(t, err)
		have, err := got.ConfigName()
		require.NoError(t, err)
		require.Equal(t, want, have)
	}
	require.Equal(t, 2, asked)
}

package image

import (
	"archive/tar"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

// write makes files below dir: "path" -> content; "path/" is a directory, and
// content that starts with -> makes a symlink.
func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for p, content := range files {
		full := filepath.Join(dir, p)
		if strings.HasSuffix(p, "/") {
			require.NoError(t, os.MkdirAll(full, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if to, ok := strings.CutPrefix(content, "->"); ok {
			require.NoError(t, os.Symlink(to, full))
			continue
		}
		require.NoError(t, os.WriteFile(full, []byte(content), 0o644))
	}
	return dir
}

func layerOf(t *testing.T, files map[string]string) (v1.Layer, FileList) {
	t.Helper()
	l, list, err := LayerFromDir(write(t, t.TempDir(), files), LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	return l, list
}

var sample = map[string]string{
	"usr/lib/a-b":         "dash sorts before slash",
	"usr/lib/a/x":         "x",
	"usr/lib/empty/":      "",
	"usr/bin/tool":        "#!/bin/sh\n",
	"usr/bin/alias":       "->tool",
	"usr/bin/absolute":    "->/usr/bin/tool",
	"opt/naïve name.txt":  "not ASCII",
	"opt/" + longName():   "more than a ustar header holds",
	"usr/share/zero/file": "",
}

func longName() string { return strings.Repeat("long/", 60) + "file" }

// The digest is the same on any machine and with any toolchain. If this fails
// after an update of the compressor, every linked layer gets a new digest.
func TestLayerDigestIsStable(t *testing.T) {
	l, _ := layerOf(t, sample)
	digest, err := l.Digest()
	require.NoError(t, err)
	require.Equal(t, "sha256:0074972cb39be518228062ec185de2e738777e27e7d9bf5e1760b109e0f169dc", digest.String())
	require.NoError(t, validate.Layer(l))
}

func TestLayerIsDeterministic(t *testing.T) {
	dir := write(t, t.TempDir(), sample)
	first, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	want, err := first.Digest()
	require.NoError(t, err)

	later := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "usr/bin/tool"), later, later))
	again, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	got, err := again.Digest()
	require.NoError(t, err)
	require.Equal(t, want, got, "times are no part of a layer")

	require.NoError(t, os.Chmod(filepath.Join(dir, "usr/bin/tool"), 0o755))
	changed, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	got, err = changed.Digest()
	require.NoError(t, err)
	require.NotEqual(t, want, got, "permissions are")
}

func TestLayerListsWhatItHolds(t *testing.T) {
	l, list := layerOf(t, sample)
	read, err := ListLayer(l)
	require.NoError(t, err)
	require.Equal(t, list, read)
	for _, e := range list {
		require.Zero(t, e.UID+e.GID, e.Path)
	}
	e, ok := list.Find("usr/bin/absolute")
	require.True(t, ok)
	require.Equal(t, "/usr/bin/tool", e.Link)
	_, ok = list.Find("usr/bin/nothing")
	require.False(t, ok)

	rc, err := l.Uncompressed()
	require.NoError(t, err)
	defer rc.Close()
	tr := tar.NewReader(rc)
	seen := map[string]bool{"": true}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.True(t, h.ModTime.Equal(Epoch()), h.Name)
		p := strings.TrimSuffix(h.Name, "/")
		parent := filepath.Dir(p)
		if parent == "." {
			parent = ""
		}
		require.True(t, seen[parent], "%s comes before its parent", h.Name)
		seen[p] = true
	}
}

func TestLayerKeepsDirectoriesFromBelow(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{"usr/local/lib/python3.11/dist-packages/x.py": ""})
	below := FileList{{Path: "usr/local/lib/python3.11", Type: tar.TypeDir, Mode: 0o2775, GID: 50}}
	_, list, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir(), Below: below})
	require.NoError(t, err)
	e, _ := list.Find("usr/local/lib/python3.11")
	require.Equal(t, below[0], e)
	e, _ = list.Find("usr/local/lib/python3.11/dist-packages")
	require.Equal(t, int64(0o755), e.Mode)
}

func TestLayerRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"setuid", func(d string) error {
			return os.Chmod(filepath.Join(d, "bad"), 0o755|os.ModeSetuid)
		}, "bad cannot be part of a linked layer: it is setuid or setgid"},
		{"setgid", func(d string) error {
			return os.Chmod(filepath.Join(d, "bad"), 0o755|os.ModeSetgid)
		}, "it is setuid or setgid"},
		{"setgid directory", func(d string) error {
			if err := os.Mkdir(filepath.Join(d, "sub"), 0o755); err != nil {
				return err
			}
			return os.Chmod(filepath.Join(d, "sub"), 0o755|os.ModeSetgid)
		}, "sub cannot be part of a linked layer: it is a setuid or setgid directory"},
		{"fifo", func(d string) error {
			return syscall.Mkfifo(filepath.Join(d, "pipe"), 0o644)
		}, "pipe cannot be part of a linked layer: it is a fifo"},
		{"socket", func(d string) error {
			l, err := net.Listen("unix", filepath.Join(d, "sock"))
			if err == nil {
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				l.Close()
			}
			return err
		}, "sock cannot be part of a linked layer: it is a socket"},
		{"whiteout", func(d string) error {
			return os.WriteFile(filepath.Join(d, ".wh.gone"), nil, 0o644)
		}, ".wh.gone cannot be part of a linked layer: its name is a whiteout's"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "l") // short enough for a socket's path
			require.NoError(t, err)
			defer os.RemoveAll(dir)
			write(t, dir, map[string]string{"bad": "x"})
			require.NoError(t, test.make(dir))
			scratch := t.TempDir()
			_, _, err = LayerFromDir(dir, LayerOptions{Scratch: scratch})
			require.ErrorContains(t, err, test.want)
			left, err := os.ReadDir(scratch)
			require.NoError(t, err)
			require.Empty(t, left, "nothing is left behind")
		})
	}
	t.Run("device", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("making a device node needs root")
		}
		dir := t.TempDir()
		if err := syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
			t.Skipf("making a device node: %v", err)
		}
		_, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
		require.ErrorContains(t, err, "null cannot be part of a linked layer: it is a device node")
	})
}

func TestLayerFromTar(t *testing.T) {
	raw := tarOf(t, &tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 2}, "su")
	l, err := LayerFromTar(bytes.NewReader(raw), t.TempDir())
	require.NoError(t, err)
	require.NoError(t, validate.Layer(l))
	img, err := New("debian 12", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{Cmd: []string{"sh"}}, l)
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	list, err := ListLayer(l)
	require.NoError(t, err)
	require.Equal(t, int64(0o4755), list[0].Mode)
}

func tarOf(t testing.TB, parts ...any) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, p := range parts {
		switch p := p.(type) {
		case *tar.Header:
			require.NoError(t, w.WriteHeader(p))
		case string:
			_, err := io.WriteString(w, p)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestListTar(t *testing.T) {
	list, err := ListTar(bytes.NewReader(tarOf(t,
		&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		&tar.Header{Name: "./b", Typeflag: tar.TypeReg, Mode: 0o644, Size: 3}, "old",
		&tar.Header{Name: "/b", Typeflag: tar.TypeReg, Mode: 0o600, Uid: 7, Size: 1}, "x",
		&tar.Header{Name: "c", Typeflag: tar.TypeLink, Linkname: "./b", Mode: 0o600},
		&tar.Header{Name: "a/../d/", Typeflag: tar.TypeDir, Mode: 0o1777},
		&tar.Header{Name: "d/.wh.e", Typeflag: tar.TypeReg, Mode: 0o644},
	)))
	require.NoError(t, err)
	const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	const none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	require.Equal(t, FileList{
		{Path: "b", Type: tar.TypeReg, Mode: 0o600, UID: 7, Size: 1, SHA256: x},
		{Path: "c", Type: tar.TypeLink, Mode: 0o600, Link: "b", SHA256: x},
		{Path: "d", Type: tar.TypeDir, Mode: 0o1777},
		{Path: "d/.wh.e", Type: tar.TypeReg, Mode: 0o644, SHA256: none},
	}, list)
	require.Equal(t, int64(1), list.Size())
	require.True(t, list[3].Whiteout())
}

func FuzzListTar(f *testing.F) {
	f.Add(tarOf(f, &tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}, "x"))
	f.Add(tarOf(f, &tar.Header{Name: "../../x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}))
	f.Add([]byte("not a tar"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := ListTar(bytes.NewReader(raw))
		if err != nil {
			return
		}
		for i, e := range list {
			require.False(t, strings.HasPrefix(e.Path, "/") || strings.HasPrefix(e.Path, "../") || e.Path == "..", e.Path)
			require.True(t, i == 0 || list[i-1].Path < e.Path)
		}
		Merge(list, list)
	})
}

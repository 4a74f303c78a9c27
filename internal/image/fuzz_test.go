package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzLayer lays a folder out as a script says, writes it as a layer and reads
// it back: the tar holds what the folder did, whatever the names are, and the
// same folder gives the same bytes.
//
// A line of the script is what, name and a text: "f a/b content", "d a", "l a target".
func FuzzLayer(f *testing.F) {
	for _, s := range []string{
		"f a/b content\nd c\nl d a/b", "f " + strings.Repeat("x", 120) + "/" + strings.Repeat("y", 120) + " long", "l link ../../etc/passwd",
		"f é/ü x\nf \u202e x", "f a\x01b x", "f \xff x", "f .wh.a x", "x setuid x", "d .wh..wh..opq", "l a " + strings.Repeat("t", 300), "f a=b x\nf a\tb x", "f -rf x\nf --help x",
		"e a " + "x", "f PaxHeaders.0/x y", "f 0 " + strings.Repeat("\x00", 600),
		"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		dir := t.TempDir()
		want := map[string]string{} // path to what is there
		lay(dir, script, want)
		layer, list, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
		if err != nil {
			require.Regexp(t, `cannot be part of a linked layer|writing`, err.Error())
			return
		}
		blob, err := layer.Compressed()
		require.NoError(t, err)
		first, err := io.ReadAll(blob)
		require.NoError(t, err)
		blob.Close()
		again, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
		require.NoError(t, err)
		digest, err := layer.Digest()
		require.NoError(t, err)
		digestAgain, err := again.Digest()
		require.NoError(t, err)
		require.Equal(t, digest, digestAgain)
		require.NotEmpty(t, first)

		read, err := ListLayer(layer)
		require.NoError(t, err)
		require.Len(t, list, len(want))
		if len(list) > 0 {
			require.Equal(t, list, read)
		}
		raw, err := layer.Uncompressed()
		require.NoError(t, err)
		defer raw.Close()
		tr := tar.NewReader(raw)
		last := ""
		for {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			p := strings.TrimSuffix(h.Name, "/")
			require.Less(t, last, p, "sorted")
			last = p
			require.False(t, strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../"), p)
			require.Zero(t, h.Uid+h.Gid)
			require.Equal(t, Epoch().Unix(), h.ModTime.Unix())
			content, err := io.ReadAll(tr)
			require.NoError(t, err)
			require.Equal(t, want[p], fmt.Sprintf("%c %s%s", h.Typeflag, h.Linkname, content), "%q", p)
			delete(want, p)
		}
		require.Empty(t, want)
	})
}

// lay makes what the script says, as far as a file system bears it.
func lay(dir, script string, want map[string]string) {
	for _, line := range strings.Split(script, "\n") {
		fields := strings.SplitN(line, " ", 3)
		if len(fields) < 3 {
			fields = append(fields, "", "")
		}
		name := strings.TrimPrefix(filepath.Clean("/"+fields[1]), "/")
		full := filepath.Join(dir, name)
		if name == "" || strings.Contains(name, "\x00") || os.MkdirAll(filepath.Dir(full), 0o755) != nil {
			continue
		}
		for p := filepath.Dir(name); p != "."; p = filepath.Dir(p) {
			want[p] = "5 "
		}
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		switch fields[0] {
		case "f", "x", "e":
			mode := map[string]os.FileMode{"f": 0o644, "x": 0o755 | os.ModeSetuid, "e": 0o755}[fields[0]]
			if os.WriteFile(full, []byte(fields[2]), 0o600) == nil && os.Chmod(full, mode) == nil {
				want[name] = "0 " + fields[2]
			}
		case "d":
			if os.Mkdir(full, 0o755) == nil {
				want[name] = "5 "
			}
		case "l":
			if os.Symlink(fields[2], full) == nil {
				want[name] = "2 " + fields[2]
			}
		}
	}
}

// A name that is not UTF-8 comes through a layer as it is.
func TestLayerKeepsNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"\xff\xfe", "a\nb", "-rf", strings.Repeat("n", 200)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	layer, _, err := LayerFromDir(dir, LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	raw, err := layer.Uncompressed()
	require.NoError(t, err)
	defer raw.Close()
	all, err := io.ReadAll(raw)
	require.NoError(t, err)
	list, err := ListTar(bytes.NewReader(all))
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.False(t, utf8.ValidString(list[3].Path))
}

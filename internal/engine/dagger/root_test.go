package dagger

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// layerOf makes a layer of lines: "dir/", "file=text", "link->target",
// "hard=>target".
func layerOf(t *testing.T, lines ...string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, l := range lines {
		h, text := &tar.Header{Name: l, Mode: 0o644, Uid: 7}, ""
		switch {
		case strings.HasSuffix(l, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		case strings.Contains(l, "=>"):
			h.Typeflag = tar.TypeLink
			h.Name, h.Linkname, _ = strings.Cut(l, "=>")
		case strings.Contains(l, "->"):
			h.Typeflag = tar.TypeSymlink
			h.Name, h.Linkname, _ = strings.Cut(l, "->")
		default:
			h.Typeflag = tar.TypeReg
			h.Name, text, _ = strings.Cut(l, "=")
			h.Size = int64(len(text))
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	require.NoError(t, err)
	return layer
}

func imageOf(t *testing.T, layers ...v1.Layer) engine.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, engine.InitLayout(dir))
	require.NoError(t, layout.Path(dir).WriteImage(img))
	d, err := img.Digest()
	require.NoError(t, err)
	return engine.Image{Layout: dir, Digest: d.String()}
}

func TestWriteRoot(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]string
		want   []string
	}{
		{"topmost file", [][]string{{"a=1", "b=2"}, {"a=3"}}, []string{"b=2", "a=3"}},
		{"whiteout", [][]string{{"d/", "d/a=1", "d/b=2"}, {"d/.wh.a="}}, []string{"d/", "d/b=2"}},
		{"whiteout of a folder", [][]string{{"d/", "d/e/", "d/e/a=1", "da=2"}, {".wh.d="}}, []string{"da=2"}},
		{"opaque folder", [][]string{{"d/", "d/a=1"}, {"d/", "d/.wh..wh..opq=", "d/b=2"}}, []string{"d/", "d/b=2"}},
		{"whiteout and again", [][]string{{"a=1"}, {".wh.a=", "a=2"}}, []string{"a=2"}},
		{"folder becomes a link", [][]string{{"lib/", "lib/a=1"}, {"lib->usr/lib"}}, []string{"lib->usr/lib"}},
		{"hard link", [][]string{{"a=1", "b=>a"}}, []string{"a=1", "b=>a"}},
		{"hard link of a file that is gone", [][]string{{"a=1", "b=>a", "c=>a"}, {".wh.a="}}, []string{"b=1", "c=>b"}},
		{"hard link of a file that is another", [][]string{{"a=1", "b=>a"}, {"a=2"}}, []string{"b=1", "a=2"}},
		{"first hard link gone too", [][]string{{"a=1", "b=>a", "c=>a"}, {".wh.a=", ".wh.b="}}, []string{"c=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var layers []v1.Layer
			for _, l := range tt.layers {
				layers = append(layers, layerOf(t, l...))
			}
			var buf bytes.Buffer
			require.NoError(t, writeRoot(imageOf(t, layers...), &buf))
			var got []string
			for r := tar.NewReader(&buf); ; {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				require.Equal(t, 7, h.Uid, "owners are kept")
				text, err := io.ReadAll(r)
				require.NoError(t, err)
				switch h.Typeflag {
				case tar.TypeDir:
					got = append(got, h.Name)
				case tar.TypeLink:
					got = append(got, h.Name+"=>"+h.Linkname)
				case tar.TypeSymlink:
					got = append(got, h.Name+"->"+h.Linkname)
				default:
					got = append(got, h.Name+"="+string(text))
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestInsert(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"first", "FROM chain\nRUN x\n", "STAGES\nFROM chain\nRUN x\n"},
		{"after global arguments", "ARG A=1\nFROM ${A}\n", "ARG A=1\nSTAGES\nFROM ${A}\n"},
		{"stages by number move", "FROM chain\nFROM x\nCOPY --from=0 /from=0 /\n", "STAGES\nFROM chain\nFROM x\nCOPY --from=2 /from=0 /\n"},
		{"in mounts", "FROM a\nRUN --mount=type=bind,from=1,target=/x ls\n", "STAGES\nFROM a\nRUN --mount=type=bind,from=3,target=/x ls\n"},
		{"continued", "FROM a\nCOPY \\\n  --from=10 /a /b\n", "STAGES\nFROM a\nCOPY \\\n  --from=12 /a /b\n"},
		{"names stay", "FROM a\nCOPY --from=b0 /a /b\n", "STAGES\nFROM a\nCOPY --from=b0 /a /b\n"},
		{"heredoc", "FROM a\nRUN <<END\nFROM --from=0\nEND\n", "STAGES\nFROM a\nRUN <<END\nFROM --from=0\nEND\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := insert([]byte(tt.in), []byte("STAGES\n"), 2)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
	_, err := insert([]byte("ARG A\n"), nil, 1)
	require.ErrorContains(t, err, "FROM")
}

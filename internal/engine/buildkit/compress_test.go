package buildkit

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// sight is what somebody who looks on was shown.
type sight struct {
	id    string
	bytes []byte
	err   error // nil: it was whole
}

func newOutput(t *testing.T) (*output, *[]sight) {
	t.Helper()
	s, err := contentlocal.NewStore(t.TempDir())
	require.NoError(t, err)
	seen := &[]sight{}
	return &output{Store: s, sent: new(sync.Map), tar: func(id string, tar io.Reader) {
		b, err := io.ReadAll(tar)
		*seen = append(*seen, sight{id, b, err})
	}}, seen
}

// layerTar is a tar of some megabytes that do not compress to nothing.
func layerTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for name, raw := range map[string][]byte{"file": noise} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(raw))}))
		_, err := w.Write(raw)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// full is a store on a disk with room for some bytes.
type full struct {
	content.Store
	room int
}

func (f *full) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := f.Store.Writer(ctx, opts...)
	return &fullWriter{w, f}, err
}

type fullWriter struct {
	content.Writer
	disk *full
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.disk.room {
		return 0, syscall.ENOSPC
	}
	w.disk.room -= len(p)
	return w.Writer.Write(p)
}

func describe(raw []byte) ocispecs.Descriptor {
	return ocispecs.Descriptor{Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

func readAll(t *testing.T, o *output, d digest.Digest) []byte {
	t.Helper()
	raw, err := content.ReadBlob(context.Background(), o.Store, ocispecs.Descriptor{Digest: d})
	require.NoError(t, err)
	return raw
}

func TestLayersAreCompressedOnTheirWay(t *testing.T) {
	ctx := t.Context()
	raw := layerTar(t)
	d := describe(raw)
	config := slices.Concat([]byte(`{"architecture":"`), bytes.Repeat([]byte("a"), 257-17), []byte(`ustar"}`)) // at 257, as in a tar
	var blobs []digest.Digest
	for _, chunk := range []int{100, 1000, 1 << 20, len(raw)} {
		o, seen := newOutput(t)
		w, err := o.Writer(ctx, content.WithRef("layer-"+d.Digest.String()), content.WithDescriptor(d))
		require.NoError(t, err)
		for rest := raw; len(rest) > 0; {
			n, err := w.Write(rest[:min(chunk, len(rest))])
			require.NoError(t, err)
			rest = rest[n:]
			s, err := w.Status()
			require.NoError(t, err)
			require.EqualValues(t, len(raw)-len(rest), s.Offset, "the daemon goes on from there")
		}
		require.NoError(t, w.Commit(ctx, d.Size, d.Digest))
		require.NoError(t, w.Close())
		require.Equal(t, []sight{{d.Digest.String(), raw, nil}}, *seen)

		info, err := o.Info(ctx, d.Digest)
		require.NoError(t, err)
		require.Equal(t, d.Size, info.Size)
		_, err = o.Writer(ctx, content.WithRef("again"), content.WithDescriptor(d))
		require.True(t, cerrdefs.IsAlreadyExists(err), "%v", err)

		// What else comes is written as it is.
		c := describe(config)
		require.NoError(t, content.WriteBlob(ctx, o, "config", bytes.NewReader(config), c))
		require.Equal(t, config, readAll(t, o, c.Digest))

		layer := d
		layer.MediaType = ocispecs.MediaTypeImageLayer
		manifest, err := json.Marshal(ocispecs.Manifest{MediaType: ocispecs.MediaTypeImageManifest, Config: c, Layers: []ocispecs.Descriptor{c, layer}})
		require.NoError(t, err)
		m := describe(manifest)
		require.NoError(t, content.WriteBlob(ctx, o, "manifest", bytes.NewReader(manifest), m))
		dir := t.TempDir() // the store's folder in the layout's clothes
		require.NoError(t, os.MkdirAll(dir+"/blobs/sha256", 0o755))
		require.NoError(t, os.WriteFile(blobFile(dir, m.Digest), manifest, 0o644))
		renamed, err := o.rename(ctx, []string{dir}, m.Digest)
		require.NoError(t, err)
		var got ocispecs.Manifest
		require.NoError(t, json.Unmarshal(readAll(t, o, renamed), &got))
		require.Equal(t, c, got.Layers[0])
		blob := got.Layers[1]
		require.Equal(t, ocispecs.MediaTypeImageLayerGzip, blob.MediaType)
		zipped := readAll(t, o, blob.Digest)
		require.Len(t, zipped, int(blob.Size))
		zr, err := gzip.NewReader(bytes.NewReader(zipped))
		require.NoError(t, err)
		back, err := io.ReadAll(zr)
		require.NoError(t, err)
		require.True(t, bytes.Equal(raw, back))
		blobs = append(blobs, blob.Digest)
	}
	for _, b := range blobs {
		require.Equal(t, blobs[0], b, "in what portions it comes makes no difference")
	}
}

func TestALayerThatIsNotWhole(t *testing.T) {
	ctx := t.Context()
	raw := layerTar(t)
	d := describe(raw)
	for name, end := range map[string]func(t *testing.T, w content.Writer){
		"other bytes": func(t *testing.T, w content.Writer) {
			require.ErrorContains(t, w.Commit(ctx, d.Size, d.Digest), "came as")
		},
		"cut off": func(t *testing.T, w content.Writer) { require.NoError(t, w.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			o, seen := newOutput(t)
			w, err := o.Writer(ctx, content.WithRef("layer-"+d.Digest.String()), content.WithDescriptor(d))
			require.NoError(t, err)
			_, err = w.Write(raw[:len(raw)/2])
			require.NoError(t, err)
			end(t, w)
			require.Len(t, *seen, 1)
			require.ErrorIs(t, (*seen)[0].err, errNotWhole)
			_, err = o.Info(ctx, d.Digest)
			require.True(t, cerrdefs.IsNotFound(err), "%v", err)
		})
	}
	t.Run("disk full", func(t *testing.T) {
		for _, room := range []int{0, 5, 10, 1 << 20, 2 << 20, 3 << 20} {
			o, seen := newOutput(t)
			o.Store = &full{o.Store, room}
			before := runtime.NumGoroutine()
			w, err := o.Writer(ctx, content.WithRef("layer-"+d.Digest.String()), content.WithDescriptor(d))
			require.NoError(t, err)
			_, err = w.Write(raw)
			if err == nil {
				err = w.Commit(ctx, d.Size, d.Digest)
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NoError(t, w.Close())
			for _, s := range *seen {
				require.ErrorIs(t, s.err, errNotWhole)
			}
			_, err = o.Info(ctx, d.Digest)
			require.True(t, cerrdefs.IsNotFound(err), "%v", err)
			for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			require.LessOrEqual(t, runtime.NumGoroutine(), before, "room for %d bytes", room)
		}
	})
	t.Run("sent again", func(t *testing.T) {
		o, seen := newOutput(t)
		w, err := o.Writer(ctx, content.WithRef("layer-"+d.Digest.String()), content.WithDescriptor(d))
		require.NoError(t, err)
		_, err = w.Write(raw[:len(raw)/2])
		require.NoError(t, err)
		require.Error(t, w.Truncate(7))
		require.NoError(t, w.Truncate(0))
		_, err = w.Write(raw)
		require.NoError(t, err)
		require.NoError(t, w.Commit(ctx, d.Size, d.Digest))
		require.Len(t, *seen, 2)
		require.Equal(t, sight{d.Digest.String(), raw, nil}, (*seen)[1])
	})
}

// TestAnEmptyLayer is what a step leaves that changes nothing: a tar of zeroes.
func TestAnEmptyLayer(t *testing.T) {
	raw := make([]byte, 1024)
	d := describe(raw)
	o, seen := newOutput(t)
	require.NoError(t, content.WriteBlob(t.Context(), o, "layer-"+d.Digest.String(), bytes.NewReader(raw), d))
	require.Equal(t, []sight{{d.Digest.String(), raw, nil}}, *seen)
	w, ok := o.layers.get(d.Digest)
	require.True(t, ok)
	require.Less(t, w.blob.Size, d.Size)
}

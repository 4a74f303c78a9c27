package buildkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// opened is a layout that notes which blobs a daemon asks for.
type opened struct {
	content.Store
	mu    sync.Mutex
	blobs map[digest.Digest]bool
}

func (o *opened) ReaderAt(ctx context.Context, d ocispecs.Descriptor) (content.ReaderAt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blobs[d.Digest] = true
	return o.Store.ReaderAt(ctx, d)
}

// TestADaemonKeepsItsLayers builds on a layer that the daemon made: it has it. Once
// it has thrown it away, it gets it from its blob.
func TestADaemonKeepsItsLayers(t *testing.T) {
	d := connect(t, Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}).(*daemon)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	work := t.TempDir()
	noise := make([]byte, 5<<20)
	_, _ = rand.Read(noise)
	require.NoError(t, os.WriteFile(filepath.Join(work, "noise"), noise, 0o644))

	var below ocispecs.Manifest
	build := func(dockerfile string, on engine.Image) (engine.Image, *opened) {
		read := &opened{blobs: map[digest.Digest]bool{}}
		s, err := d.store(on.Layout)
		require.NoError(t, err)
		read.Store = s
		d.mu.Lock()
		d.stores[on.Layout] = read
		d.mu.Unlock()
		defer func() {
			d.mu.Lock()
			d.stores[on.Layout] = s
			d.mu.Unlock()
		}()
		layout := t.TempDir()
		res, err := d.Build(t.Context(), engine.Build{
			Name: dockerfile, Dockerfile: []byte(dockerfile), Context: work, Platform: enginetest.Platform,
			Images: map[string]engine.Image{"chain": on}, Output: engine.Output{Layout: layout, Have: []string{on.Layout}},
		})
		require.NoError(t, err)
		var m ocispecs.Manifest
		require.NoError(t, readJSON([]string{layout}, digest.Digest(res.Digest), &m))
		for i, l := range m.Layers {
			require.Equal(t, ocispecs.MediaTypeImageLayerGzip, l.MediaType)
			if i < len(below.Layers) {
				require.Equal(t, below.Layers[i].Digest, l.Digest, "layer %d is that of the image below", i)
			}
		}
		below = m
		blobs, err := filepath.Glob(filepath.Join(on.Layout, "blobs/sha256/*"))
		require.NoError(t, err)
		for _, b := range blobs { // the next one finds all of them in one folder
			_ = os.Link(b, filepath.Join(layout, "blobs/sha256", filepath.Base(b)))
		}
		return engine.Image{Layout: layout, Digest: res.Digest}, read
	}

	one, _ := build("FROM chain\nCOPY noise /noise\n", enginetest.Base(t, true))
	made := below.Layers[len(below.Layers)-1]
	two, read := build("FROM chain\nCOPY <<END /two\n2\nEND\n", one)
	require.NotContains(t, read.blobs, made.Digest, "it fetched the blob of a layer that it has")

	// Another process knows of the image what its config says.
	size, ok := d.sent.LoadAndDelete(made.Digest)
	require.True(t, ok)
	below.Layers = below.Layers[:len(below.Layers)-1]
	again, _ := build("FROM chain\nCOPY <<END /two\n2\nEND\n", one)
	require.Equal(t, two.Digest, again.Digest)
	_, ok = d.sent.LoadOrStore(made.Digest, size)
	require.False(t, ok, "it sent a layer that is there")

	require.NoError(t, d.client.Prune(t.Context(), nil))
	_, read = build("FROM chain\nCOPY <<END /three\n3\nEND\n", two)
	require.Contains(t, read.blobs, made.Digest, "it had thrown it away")
}

func TestTarOfBlob(t *testing.T) {
	ctx := t.Context()
	raw := layerTar(t)
	d := describe(raw)
	o, _ := newOutput(t)
	require.NoError(t, content.WriteBlob(ctx, o, "layer-"+d.Digest.String(), bytes.NewReader(raw), d))
	w, ok := o.layers.get(d.Digest)
	require.True(t, ok)
	in := &input{Store: o.Store}
	in.layers.add(w)
	info, err := in.Info(ctx, d.Digest)
	require.NoError(t, err)
	require.Equal(t, d.Size, info.Size)

	var got []byte
	for len(got) < len(raw) { // as the daemon reads it
		ra, err := in.ReaderAt(ctx, d)
		require.NoError(t, err)
		require.Equal(t, d.Size, ra.Size())
		p := make([]byte, 1<<20)
		n, err := ra.ReadAt(p, int64(len(got)))
		if err != nil {
			require.Equal(t, io.EOF, err)
		}
		got = append(got, p[:n]...)
		require.NoError(t, ra.Close())
	}
	require.Equal(t, d.Digest, digest.FromBytes(got))

	ra, err := in.ReaderAt(ctx, d)
	require.NoError(t, err)
	for _, off := range []int64{5000, 0, d.Size - 7, 100} {
		p := make([]byte, 7)
		n, err := ra.ReadAt(p, off)
		require.NoError(t, err)
		require.Equal(t, raw[off:off+7], p[:n])
	}
	n, err := ra.ReadAt(make([]byte, 7), d.Size)
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)

	require.NoError(t, o.Store.Delete(ctx, w.blob.Digest))
	in = &input{Store: o.Store}
	in.layers.add(w)
	_, err = in.ReaderAt(ctx, d)
	require.Error(t, err, "it is nowhere")
}

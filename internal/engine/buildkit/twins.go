package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/klauspost/compress/gzip"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// twin is a layer under both of its names: the tar, whose digest is the layer's
// diff ID and which the daemon that made it keeps, and the blob of a layout, which
// that daemon does not know.
type twin struct {
	tar  ocispecs.Descriptor // Size is 0 of a layer that was not sent since the daemon was connected to
	blob ocispecs.Descriptor
}

// twins are layers by the digests of their tars.
type twins struct {
	mu    sync.Mutex
	ofTar map[digest.Digest]twin
}

func (t *twins) add(more ...twin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ofTar == nil {
		t.ofTar = map[digest.Digest]twin{}
	}
	for _, w := range more {
		t.ofTar[w.tar.Digest] = w
	}
}

func (t *twins) get(tar digest.Digest) (twin, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.ofTar[tar]
	return w, ok
}

// named is a layer's descriptor under another name of it.
func named(l, name ocispecs.Descriptor) ocispecs.Descriptor {
	l.MediaType, l.Digest, l.Size = name.MediaType, name.Digest, name.Size
	return l
}

// input is a layout that images come from. Layers that the daemon has sent are
// named as it knows them, or it would fetch what it has, by its other name.
type input struct {
	content.Store
	layout string
	sent   *sync.Map // the daemon's
	layers twins     // that are named so

	mu        sync.Mutex
	manifests map[digest.Digest][]byte     // that name them
	tars      map[digest.Digest]*tarOfBlob // that the daemon asked for
}

// name gives the digest by which the daemon is told of an image, and the image's
// layers.
func (in *input) name(dgst digest.Digest) (digest.Digest, []twin, error) {
	layouts := []string{in.layout}
	var m ocispecs.Manifest
	if err := readJSON(layouts, dgst, &m); err != nil {
		return "", nil, err
	}
	if len(m.Layers) == 0 { // an index
		return dgst, nil, nil
	}
	var cfg ocispecs.Image
	if err := readJSON(layouts, m.Config.Digest, &cfg); err != nil {
		return "", nil, err
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) { // the daemon will say so
		return dgst, nil, nil
	}
	var all []twin
	renamed := false
	for i, l := range m.Layers {
		w := twin{ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageLayer, Digest: cfg.RootFS.DiffIDs[i]}, l}
		if size, ok := in.sent.Load(l.Digest); ok {
			w.tar.Size = size.(int64)
			m.Layers[i] = named(l, w.tar)
			in.layers.add(w)
			renamed = true
		}
		all = append(all, w)
	}
	if !renamed {
		return dgst, all, nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", nil, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.manifests == nil {
		in.manifests = map[digest.Digest][]byte{}
	}
	dgst = digest.FromBytes(raw)
	in.manifests[dgst] = raw
	return dgst, all, nil
}

func (in *input) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	in.mu.Lock()
	raw, ok := in.manifests[dgst]
	in.mu.Unlock()
	if ok {
		return content.Info{Digest: dgst, Size: int64(len(raw))}, nil
	}
	if w, ok := in.layers.get(dgst); ok {
		return content.Info{Digest: dgst, Size: w.tar.Size}, nil
	}
	return in.Store.Info(ctx, dgst)
}

func (in *input) ReaderAt(ctx context.Context, d ocispecs.Descriptor) (content.ReaderAt, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if raw, ok := in.manifests[d.Digest]; ok {
		return blobReader{bytes.NewReader(raw)}, nil
	}
	w, ok := in.layers.get(d.Digest)
	if !ok {
		return in.Store.ReaderAt(ctx, d)
	}
	// The daemon has thrown it away. It opens it anew for each portion.
	r, ok := in.tars[d.Digest]
	if !ok {
		if _, err := in.Store.Info(ctx, w.blob.Digest); err != nil {
			return nil, err
		}
		r = &tarOfBlob{size: w.tar.Size, open: func() (content.ReaderAt, error) {
			return in.Store.ReaderAt(context.WithoutCancel(ctx), w.blob)
		}}
		if in.tars == nil {
			in.tars = map[digest.Digest]*tarOfBlob{}
		}
		in.tars[d.Digest] = r
	}
	return r, nil
}

type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }

// tarOfBlob reads the tar that was made into a blob. It is for who reads from the
// front to the back; everything else costs reading from the front again.
type tarOfBlob struct {
	size int64
	open func() (content.ReaderAt, error)

	mu   sync.Mutex
	blob content.ReaderAt // nil: not begun, or read to the end
	zr   *gzip.Reader
	at   int64
}

func (r *tarOfBlob) Size() int64  { return r.size }
func (r *tarOfBlob) Close() error { return nil } // the blob is closed at the tar's end

func (r *tarOfBlob) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off >= r.size {
		return 0, io.EOF
	}
	if r.blob == nil || off < r.at {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	skipped, err := io.CopyN(io.Discard, r.zr, off-r.at)
	r.at += skipped
	if err != nil {
		r.end()
		return 0, err
	}
	n, err := io.ReadFull(r.zr, p)
	r.at += int64(n)
	if err == io.ErrUnexpectedEOF && r.at == r.size { // no more was to be had
		err = io.EOF
	}
	if err != nil || r.at >= r.size {
		r.end()
	}
	return n, err
}

func (r *tarOfBlob) begin() (err error) {
	r.end()
	if r.blob, err = r.open(); err != nil {
		return err
	}
	if r.zr, err = gzip.NewReader(content.NewReader(r.blob)); err != nil {
		r.end()
		return err
	}
	r.at = 0
	return nil
}

func (r *tarOfBlob) end() {
	if r.blob != nil {
		_ = r.blob.Close() // it was read alone
		r.blob = nil
	}
}

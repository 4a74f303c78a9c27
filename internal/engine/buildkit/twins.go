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

// twin is a layer that a daemon sent: the tar, which the daemon keeps, and the
// blob that was made of it, which the daemon does not know.
type twin struct{ tar, blob ocispecs.Descriptor }

// twins are the layers that a daemon has sent since it was connected to.
type twins struct {
	mu     sync.RWMutex
	ofTar  map[digest.Digest]twin
	ofBlob map[digest.Digest]twin
}

func newTwins() *twins {
	return &twins{ofTar: map[digest.Digest]twin{}, ofBlob: map[digest.Digest]twin{}}
}

func (t *twins) add(w twin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ofTar[w.tar.Digest], t.ofBlob[w.blob.Digest] = w, w
}

func (t *twins) tar(dgst digest.Digest) (twin, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	w, ok := t.ofTar[dgst]
	return w, ok
}

func (t *twins) blob(dgst digest.Digest) (twin, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	w, ok := t.ofBlob[dgst]
	return w, ok
}

// asTars gives a manifest that names layers as the daemon sent them; nil where
// there are none of those.
func (t *twins) asTars(m ocispecs.Manifest) ([]byte, error) {
	return renamed(m, func(l ocispecs.Descriptor) (ocispecs.Descriptor, bool) {
		w, ok := t.blob(l.Digest)
		return w.tar, ok
	})
}

// asBlobs gives a manifest that names layers as they were written; nil where the
// daemon sent none of them.
func (t *twins) asBlobs(m ocispecs.Manifest) ([]byte, error) {
	return renamed(m, func(l ocispecs.Descriptor) (ocispecs.Descriptor, bool) {
		w, ok := t.tar(l.Digest)
		return w.blob, ok
	})
}

func renamed(m ocispecs.Manifest, name func(ocispecs.Descriptor) (ocispecs.Descriptor, bool)) ([]byte, error) {
	any := false
	for i := range m.Layers {
		l := &m.Layers[i]
		if d, ok := name(*l); ok {
			l.MediaType, l.Digest, l.Size = d.MediaType, d.Digest, d.Size
			any = true
		}
	}
	if !any {
		return nil, nil
	}
	return json.Marshal(m)
}

// input is a layout that images come from. Layers that the daemon has sent are
// named as it knows them, or it would fetch what it has, by its other name.
type input struct {
	content.Store
	layout string
	twins  *twins

	mu        sync.Mutex
	manifests map[digest.Digest][]byte     // that name layers so
	tars      map[digest.Digest]*tarOfBlob // that the daemon asked for
}

// name gives the digest by which the daemon is told of an image.
func (in *input) name(dgst digest.Digest) (digest.Digest, error) {
	var m ocispecs.Manifest
	if err := readJSON([]string{in.layout}, dgst, &m); err != nil {
		return "", err
	}
	raw, err := in.twins.asTars(m)
	if raw == nil || err != nil {
		return dgst, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	named := digest.FromBytes(raw)
	if in.manifests == nil {
		in.manifests = map[digest.Digest][]byte{}
	}
	in.manifests[named] = raw
	return named, nil
}

func (in *input) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	in.mu.Lock()
	raw, ok := in.manifests[dgst]
	in.mu.Unlock()
	if ok {
		return content.Info{Digest: dgst, Size: int64(len(raw))}, nil
	}
	if w, ok := in.twins.tar(dgst); ok {
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
	w, ok := in.twins.tar(d.Digest)
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
	if err == io.ErrUnexpectedEOF {
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

package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	cerrdefs "github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/jetcrate/jetcrate/internal/image"
)

// magic is how many bytes tell how a layer is compressed.
const magic = 10

// blobWriter writes a blob that the daemon sends. The daemon compresses new layers
// on one processor, with Go's own gzip; it is told to send them as they are, and
// they are compressed here on their way to the disk. Everything else is written
// as it comes. To the daemon both look the same.
type blobWriter struct {
	content.Writer // of the blob as it is written
	out            *output
	status         content.Status // as it was when it began
	head           []byte         // what came before it was known what it is
	to             io.Writer      // nil until then
	zip            io.WriteCloser // nil of a blob that is written as it comes
	shown          *io.PipeWriter // to who looks on; may be nil
	seen           chan struct{}  // closed when that has seen it all
	announced      digest.Digest
	sent           int64
	digest         digest.Digester // of what was sent
}

// errNotWhole is what who looks on gets of a layer that was not sent as a whole.
var errNotWhole = errors.New("the layer did not come as a whole")

func (o *output) newWriter(w content.Writer, announced digest.Digest) (*blobWriter, error) {
	err := w.Truncate(0) // somebody may have been cut off
	var status content.Status
	if err == nil {
		status, err = w.Status()
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return &blobWriter{Writer: w, out: o, status: status, announced: announced, digest: digest.Canonical.Digester()}, nil
}

func (w *blobWriter) Write(p []byte) (int, error) {
	w.digest.Hash().Write(p)
	w.sent += int64(len(p))
	if w.to != nil {
		return w.to.Write(p)
	}
	w.head = append(w.head, p...)
	if len(w.head) < magic {
		return len(p), nil
	}
	return len(p), w.begin()
}

// begin looks what it is and writes what came.
func (w *blobWriter) begin() error {
	w.to = w.Writer
	if isLayer(w.status.Ref) && compression.DetectCompression(w.head) == compression.Uncompressed {
		w.zip = image.Compress(w.Writer)
		w.to = w.zip
		if w.out.tar != nil && w.announced != "" {
			w.to = io.MultiWriter(w.zip, w.show())
		}
	}
	_, err := w.to.Write(w.head)
	w.head = nil
	return err
}

// isLayer tells layers by the name that they are sent under, as containerd's
// remotes.MakeRefKey makes it.
func isLayer(ref string) bool { return strings.HasPrefix(ref, "layer-") }

// show gives what it writes to who looks on.
func (w *blobWriter) show() io.Writer {
	var tar *io.PipeReader
	tar, w.shown = io.Pipe()
	w.seen = make(chan struct{})
	go func() {
		defer close(w.seen)
		w.out.tar(w.announced.String(), tar)
		_, _ = io.Copy(io.Discard, tar) // an error is the writer's own
	}()
	return w.shown
}

// hide ends the show, with io.EOF where all was shown, and waits for who looks on.
func (w *blobWriter) hide(err error) {
	if w.shown != nil {
		w.shown.CloseWithError(err)
		<-w.seen
		w.shown = nil
	}
}

func (w *blobWriter) Digest() digest.Digest { return w.digest.Digest() }

func (w *blobWriter) Status() (content.Status, error) {
	s := w.status // the blob's own is being written to
	s.Offset, s.UpdatedAt = w.sent, time.Now()
	return s, nil
}

func (w *blobWriter) Truncate(size int64) error {
	if size != 0 {
		return fmt.Errorf("a blob that is sent again is sent from its beginning, not from %d: %w", size, cerrdefs.ErrInvalidArgument)
	}
	_ = w.abandon() // it begins anew
	w.head, w.to, w.zip, w.sent = nil, nil, nil, 0
	w.digest = digest.Canonical.Digester()
	return w.Writer.Truncate(0)
}

// abandon ends what compresses, and the show: nothing is done behind the caller's
// back.
func (w *blobWriter) abandon() error {
	w.hide(errNotWhole)
	return w.endZip()
}

func (w *blobWriter) endZip() error {
	if w.zip == nil {
		return nil
	}
	zip := w.zip
	w.zip = nil
	return zip.Close()
}

func (w *blobWriter) Close() error {
	_ = w.abandon() // what was not committed is thrown away
	return w.Writer.Close()
}

func (w *blobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	if w.to == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.zip == nil {
		return w.Writer.Commit(ctx, size, expected, opts...)
	}
	got := w.digest.Digest()
	if err := w.endZip(); err != nil {
		return err // Close hides
	}
	if got == w.announced {
		w.hide(io.EOF)
	} else {
		w.hide(errNotWhole)
	}
	if size > 0 && size != w.sent || expected != "" && expected != got {
		return fmt.Errorf("layer %s of %d bytes came as %s of %d: %w", expected, size, got, w.sent, cerrdefs.ErrFailedPrecondition)
	}
	// Of another build with the same layer it is there already.
	if err := w.Writer.Commit(ctx, 0, ""); err != nil && !cerrdefs.IsAlreadyExists(err) {
		return err
	}
	info, err := w.out.Store.Info(ctx, w.Writer.Digest())
	if err != nil {
		return err
	}
	w.out.layers.add(twin{
		tar:  ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageLayer, Digest: got, Size: w.sent},
		blob: ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageLayerGzip, Digest: info.Digest, Size: info.Size},
	})
	w.out.sent.Store(info.Digest, w.sent)
	return nil
}

// rename gives the digest of an image's manifest that names the layers as they
// lie here. The daemon's names those that it made as it sent them.
func (o *output) rename(ctx context.Context, layouts []string, dgst digest.Digest) (digest.Digest, error) {
	var m ocispecs.Manifest
	if err := readJSON(layouts, dgst, &m); err != nil {
		return "", err
	}
	renamed := false
	for i, l := range m.Layers {
		if _, err := o.info(ctx, l.Digest); err == nil {
			continue
		}
		if w, ok := o.layers.get(l.Digest); ok {
			m.Layers[i] = named(l, w.blob)
			renamed = true
		}
	}
	if !renamed {
		return dgst, nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	d := ocispecs.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := content.WriteBlob(ctx, o.Store, "manifest-"+d.Digest.String(), bytes.NewReader(raw), d); err != nil {
		return "", fmt.Errorf("writing manifest %s: %w", d.Digest, err)
	}
	return d.Digest, nil
}

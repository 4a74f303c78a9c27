package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// Part is a file of a bundle: bytes that are stored with it, or a blob that the
// store has already.
type Part struct {
	Title     string // its path
	MediaType string
	Content   []byte // nil for a blob that is there
	Digest    string // sha256:...
	Size      int64
}

// PutBundle stores files under a name, which moves to them from what had it
// before. Like every name, it keeps gc from all that it leads to.
func (s *Store) PutBundle(ctx context.Context, tag, kind string, parts []Part, annotations map[string]string) (Record, error) {
	doing := fmt.Sprintf("storing %s", tag)
	to, err := name.NewTag(s.repo.Name()+":"+tag, name.StrictValidation)
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.writing(ctx); err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	layers := make([]v1.Descriptor, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i, p := range parts {
		g.Go(func() error {
			d := v1.Descriptor{MediaType: types.MediaType(p.MediaType), Size: p.Size}
			var err error
			if p.Content != nil {
				d, err = s.upload(gctx, static.NewLayer(p.Content, d.MediaType))
			} else {
				d.Digest, err = v1.NewHash(p.Digest)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.Title, err)
			}
			d.Annotations = map[string]string{annotationTitle: p.Title}
			layers[i] = d
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Record{}, s.explain(doing, err)
	}
	return s.pushArtifact(ctx, doing, to, artifact{kind: kind, layers: layers, annotations: annotations})
}

// Bundle reads what a name has, which is of this kind, without the files'
// content. The error is ErrNotFound where nothing has the name.
func (s *Store) Bundle(ctx context.Context, tag, kind string) (Record, []Part, error) {
	from, err := name.NewTag(s.repo.Name()+":"+tag, name.StrictValidation)
	if err != nil {
		return Record{}, nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	d, err := s.get(ctx, from)
	if err != nil {
		return Record{}, nil, err
	}
	if d.ArtifactType != kind {
		return Record{}, nil, fmt.Errorf("%s is of the type %s, not %s", tag, d.ArtifactType, kind)
	}
	m, err := parseManifest(d)
	if err != nil {
		return Record{}, nil, err
	}
	var parts []Part
	for _, l := range m.Layers {
		parts = append(parts, Part{Title: l.Annotations[annotationTitle], MediaType: string(l.MediaType), Digest: l.Digest.String(), Size: l.Size})
	}
	return recordOf("", "", d), parts, nil
}

// NameDigest tells what a name has, with one request; "" where nothing has it.
func (s *Store) NameDigest(ctx context.Context, tag string) (string, error) {
	d, err := s.puller.Head(ctx, s.repo.Tag(tag))
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", s.explain("looking up "+tag, err)
	}
	return d.Digest.String(), nil
}

// OpenBlob opens a blob; reading it to the end verifies it.
func (s *Store) OpenBlob(ctx context.Context, digest string) (io.ReadCloser, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, fmt.Errorf("reading blob %q: %w", digest, err)
	}
	return s.blob(ctx, h)
}

// ReadBlob reads a blob of at most limit bytes, and verifies it.
func (s *Store) ReadBlob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	rc, err := s.OpenBlob(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("reading blob %s: it is larger than %d bytes", digest, limit)
	}
	return raw, err
}

// BlobFile opens a blob as a file of this machine: the embedded registry's own,
// not verified, or a copy that is, and gone once closed.
func (s *Store) BlobFile(ctx context.Context, digest string) (*os.File, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, fmt.Errorf("reading blob %q: %w", digest, err)
	}
	if s.embedded != nil {
		f, err := os.Open(s.embedded.folder.blob(h.Hex))
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("blob %s: %w", h, ErrNotFound)
		}
		return f, err
	}
	rc, err := s.blob(ctx, h)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	f, err := os.CreateTemp("", "jetcrate-blob-*")
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", h, err)
	}
	if err = os.Remove(f.Name()); err == nil { // it lives as long as it is open
		_, err = io.Copy(f, rc)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading blob %s: %w", h, err), f.Close())
	}
	return f, nil
}

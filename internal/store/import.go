package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Import pushes an image that an engine left in an OCI layout folder and reads
// it back from the store. Blobs that are not in the folder must be in the
// store already, or in the cache that Layout handed to the engine: it may hold
// what another registry had. The image gets no tag: PutImage gives it one.
func (s *Store) Import(ctx context.Context, layoutDir, digest string) (v1.Image, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, fmt.Errorf("importing image %q: %w", digest, err)
	}
	if err := s.writing(ctx); err != nil {
		return nil, fmt.Errorf("importing image %s: %w", digest, err)
	}
	core := &layoutImage{ctx: ctx, store: s, dir: layoutDir}
	if core.manifest, err = core.read(h); err != nil {
		return nil, fmt.Errorf("importing image %s: %w", digest, err)
	}
	img, err := partial.CompressedToImage(core)
	if err != nil {
		return nil, fmt.Errorf("importing image %s: %w", digest, err)
	}
	if err := s.pusher.Push(ctx, s.repo.Digest(digest), img); err != nil {
		return nil, s.explainPut("importing image "+digest, err)
	}
	return s.ImageAt(ctx, digest)
}

// layoutImage is an image whose blobs lie in an OCI layout or in the store.
type layoutImage struct {
	ctx      context.Context
	store    *Store
	dir      string
	manifest []byte
}

func (i *layoutImage) RawManifest() ([]byte, error) { return i.manifest, nil }

func (i *layoutImage) MediaType() (types.MediaType, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return "", err
	}
	if m.MediaType == "" {
		return types.OCIManifestSchema1, nil // OCI leaves it optional
	}
	if !m.MediaType.IsImage() {
		return "", fmt.Errorf("%s is no image", m.MediaType)
	}
	return m.MediaType, nil
}

func (i *layoutImage) RawConfigFile() ([]byte, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	return i.read(m.Config.Digest)
}

func (i *layoutImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		if d.Digest == h {
			return &layoutLayer{image: i, desc: d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no blob %s", h)
}

// open opens a blob, in a folder if it is there.
func (i *layoutImage) open(h v1.Hash) (io.ReadCloser, error) {
	for _, dir := range []string{i.dir, i.store.cache} {
		if dir == "" { // the embedded registry has no cache
			continue
		}
		f, err := os.Open(filepath.Join(dir, "blobs", h.Algorithm, h.Hex))
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return i.store.blob(i.ctx, h)
}

// read reads a small blob and verifies it.
func (i *layoutImage) read(h v1.Hash) ([]byte, error) {
	rc, err := i.open(h)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", h, err)
	}
	return raw, verify(raw, h)
}

type layoutLayer struct {
	image *layoutImage
	desc  v1.Descriptor
}

func (l *layoutLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *layoutLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layoutLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *layoutLayer) Compressed() (io.ReadCloser, error)  { return l.image.open(l.desc.Digest) }

package engine

import (
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// OpenImage reads an image by its manifest's digest: the index of its layout
// need not name it, and its layers may lie elsewhere as long as nobody reads
// them.
func OpenImage(img Image) (v1.Image, error) {
	h, err := v1.NewHash(img.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", img.Digest, err)
	}
	path := layout.Path(img.Layout)
	raw, err := path.Bytes(h)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", img.Digest, err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", img.Digest, err)
	}
	return partial.CompressedToImage(&stored{path, raw, m})
}

// stored is an image whose blobs lie in a layout folder.
type stored struct {
	path     layout.Path
	raw      []byte
	manifest *v1.Manifest
}

func (s *stored) RawManifest() ([]byte, error)        { return s.raw, nil }
func (s *stored) MediaType() (types.MediaType, error) { return s.manifest.MediaType, nil }
func (s *stored) RawConfigFile() ([]byte, error)      { return s.path.Bytes(s.manifest.Config.Digest) }

func (s *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range s.manifest.Layers {
		if d.Digest == h {
			return &storedLayer{s.path, d}, nil
		}
	}
	return nil, fmt.Errorf("blob %s is no layer of the image", h)
}

type storedLayer struct {
	path layout.Path
	desc v1.Descriptor
}

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *storedLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error)  { return l.path.Blob(l.desc.Digest) }

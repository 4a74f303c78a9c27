package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/image"
)

const (
	layerType        = "application/vnd.jetcrate.layer.v1"
	annotationDiffID = "io.jetcrate.diffid" // of a linked layer's blob
)

func isImageConfig(mediaType string) bool {
	return mediaType == string(types.OCIConfigJSON) || mediaType == string(types.DockerConfigJSON)
}

// Image reads an image: a base, the image up to a stacked layer, or a target's.
// Its config and layers are read when they are asked for, under ctx.
func (s *Store) Image(ctx context.Context, kind Kind, key string) (v1.Image, Record, error) {
	d, r, err := s.record(ctx, kind, key)
	if err != nil {
		return nil, Record{}, err
	}
	if r.ArtifactType != "" {
		return nil, Record{}, fmt.Errorf("%s %s is no image but %s", kind, key, r.ArtifactType)
	}
	img, err := d.Image()
	if err != nil {
		return nil, Record{}, s.explain(fmt.Sprintf("reading %s %s", kind, key), err)
	}
	return img, r, nil
}

// ImageAt reads an image, with or without a tag.
func (s *Store) ImageAt(ctx context.Context, digest string) (v1.Image, error) {
	if _, err := v1.NewHash(digest); err != nil {
		return nil, fmt.Errorf("reading image %q: %w", digest, err)
	}
	d, err := s.get(ctx, s.repo.Digest(digest))
	if err != nil {
		return nil, err
	}
	img, err := d.Image()
	if err != nil {
		return nil, s.explain("reading "+digest, err)
	}
	return img, nil
}

// PutImage stores an image. Blobs that the store has are not sent again, and
// nothing is if the tag points at this very image already. Annotations, which
// must follow from the key, go onto the manifest: with any, the record's digest
// is that of the annotated image.
func (s *Store) PutImage(ctx context.Context, kind Kind, key string, img v1.Image, annotations map[string]string) (Record, error) {
	tag, err := s.tag(kind, key)
	if err != nil {
		return Record{}, err
	}
	doing := fmt.Sprintf("storing %s %s", kind, key)
	if err := s.writing(ctx); err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if len(annotations) > 0 {
		if img, err = annotate(img, annotations); err != nil {
			return Record{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
	m, err := img.Manifest()
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	d, err := partial.Descriptor(img)
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.pusher.Push(ctx, tag, img); err != nil {
		return Record{}, s.explainPut(doing, err)
	}
	return Record{
		Kind: kind, Key: key,
		Digest: d.Digest.String(), MediaType: string(d.MediaType), Size: d.Size, Annotations: m.Annotations,
	}, nil
}

// annotated is an image with more annotations and the very same config, byte
// for byte: an engine's config may hold fields that the library does not know.
type annotated struct {
	v1.Image
	raw []byte
}

func annotate(img v1.Image, annotations map[string]string) (v1.Image, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	maps.Copy(m.Annotations, annotations)
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &annotated{Image: img, raw: raw}, nil
}

func (a *annotated) RawManifest() ([]byte, error)    { return a.raw, nil }
func (a *annotated) Manifest() (*v1.Manifest, error) { return partial.Manifest(a) }
func (a *annotated) Digest() (v1.Hash, error)        { return partial.Digest(a) }
func (a *annotated) Size() (int64, error)            { return partial.Size(a) }
func (a *annotated) ConfigLayer() (v1.Layer, error)  { return partial.ConfigLayer(a.Image) }
func (a *annotated) ConfigName() (v1.Hash, error)    { return a.Image.ConfigName() }

// PutLayer stores a linked layer and its file list.
func (s *Store) PutLayer(ctx context.Context, key string, layer v1.Layer, files image.FileList, annotations map[string]string) (Record, error) {
	doing := "storing layer " + key
	diffID, err := layer.DiffID()
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.putFileList(ctx, diffID, files); err != nil {
		return Record{}, err
	}
	d, err := s.upload(ctx, layer)
	if err != nil {
		return Record{}, s.explain(doing, err)
	}
	d.Annotations = map[string]string{annotationDiffID: diffID.String()}
	return s.putArtifact(ctx, Layer, key, artifact{kind: layerType, layers: []v1.Descriptor{d}, annotations: annotations})
}

// Layer reads a linked layer; its content is read when it is asked for.
func (s *Store) Layer(ctx context.Context, key string) (v1.Layer, Record, error) {
	d, r, err := s.record(ctx, Layer, key)
	if err != nil {
		return nil, Record{}, err
	}
	l, err := s.layer(ctx, key, d)
	return l, r, err
}

// LayerAt reads the linked layer of a record, as Layer does.
func (s *Store) LayerAt(ctx context.Context, r Record) (v1.Layer, error) {
	d, err := s.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.layer(ctx, r.Key, d)
}

func (s *Store) layer(ctx context.Context, key string, d *remote.Descriptor) (v1.Layer, error) {
	if d.ArtifactType != layerType {
		return nil, fmt.Errorf("layer %s is stacked: it has no blob of its own", key)
	}
	m, err := parseManifest(d)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != 1 {
		return nil, fmt.Errorf("layer %s has %d blobs instead of one", key, len(m.Layers))
	}
	diffID, err := v1.NewHash(m.Layers[0].Annotations[annotationDiffID])
	if err != nil {
		return nil, fmt.Errorf("layer %s: reading its diff ID: %w", key, err)
	}
	return partial.CompressedToLayer(&storedLayer{ctx: ctx, store: s, desc: m.Layers[0], diffID: diffID})
}

// storedLayer is a blob of the store with its hashes known.
type storedLayer struct {
	ctx    context.Context
	store  *Store
	desc   v1.Descriptor
	diffID v1.Hash
}

func (l *storedLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *storedLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *storedLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error)  { return l.store.blob(l.ctx, l.desc.Digest) }

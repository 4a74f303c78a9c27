package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	emptyType = "application/vnd.oci.empty.v1+json"
	emptyBlob = "{}"

	// manifestLimit is what registries take at the very least.
	manifestLimit = 4 << 20
)

// artifact is a manifest that is no image.
type artifact struct {
	kind        string // artifactType
	layers      []v1.Descriptor
	annotations map[string]string
	subject     *v1.Descriptor
}

// putArtifact writes the manifest; the blobs of its layers are there already.
func (s *Store) putArtifact(ctx context.Context, kind Kind, key string, a artifact) (Record, error) {
	tag, err := s.tag(kind, key)
	if err != nil {
		return Record{}, err
	}
	r, err := s.pushArtifact(ctx, fmt.Sprintf("storing %s %s", kind, key), tag, a)
	r.Kind, r.Key = kind, key
	return r, err
}

// pushArtifact is putArtifact for whichever tag.
func (s *Store) pushArtifact(ctx context.Context, doing string, tag name.Tag, a artifact) (Record, error) {
	if err := s.writing(ctx); err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	config, err := s.upload(ctx, static.NewLayer([]byte(emptyBlob), emptyType))
	if err != nil {
		return Record{}, s.explain(doing, err)
	}
	if len(a.layers) == 0 {
		a.layers = []v1.Descriptor{config} // registries want one
	}
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  a.kind,
		Config:        config,
		Layers:        a.layers,
		Annotations:   a.annotations,
		Subject:       a.subject,
	})
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if len(raw) > manifestLimit {
		return Record{}, fmt.Errorf("%s: %d files are more than a manifest can name; pack them into an archive", doing, len(a.layers))
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.pusher.Push(ctx, tag, rawManifest(raw)); err != nil {
		return Record{}, s.explain(doing, err)
	}
	return Record{
		Digest: digest.String(), MediaType: string(types.OCIManifestSchema1), Size: size,
		ArtifactType: a.kind, Annotations: a.annotations,
	}, nil
}

// rawManifest is an OCI manifest as it is sent.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error)        { return m, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// upload sends a blob unless the store has it.
func (s *Store) upload(ctx context.Context, l v1.Layer) (v1.Descriptor, error) {
	digest, err := l.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := l.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mt, err := l.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if err := s.writing(ctx); err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mt, Size: size, Digest: digest}, s.pusher.Upload(ctx, s.repo, l)
}

// blob opens a blob of the store; reading it to the end verifies it.
func (s *Store) blob(ctx context.Context, h v1.Hash) (io.ReadCloser, error) {
	l, err := s.puller.Layer(ctx, s.repo.Digest(h.String()))
	if err != nil {
		return nil, s.explain("reading blob "+h.String(), err)
	}
	rc, err := l.Compressed()
	if isNotFound(err) {
		return nil, fmt.Errorf("blob %s: %w", h, ErrNotFound)
	}
	if err != nil {
		return nil, s.explain("reading blob "+h.String(), err)
	}
	return &explained{rc, s, h}, nil
}

// explained is a blob that says what to do when reading it fails.
type explained struct {
	io.ReadCloser
	store *Store
	hash  v1.Hash
}

func (e *explained) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = e.store.explain("reading blob "+e.hash.String(), err)
	}
	return n, err
}

// readBlob reads the content of an artifact's only blob.
func (s *Store) readBlob(ctx context.Context, d *remote.Descriptor) ([]byte, error) {
	m, err := parseManifest(d)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != 1 {
		return nil, fmt.Errorf("record %s has %d blobs instead of one", d.Digest, len(m.Layers))
	}
	rc, err := s.blob(ctx, m.Layers[0].Digest)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

func parseManifest(d *remote.Descriptor) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d.Digest, err)
	}
	return m, nil
}

func verify(raw []byte, want v1.Hash) error {
	got, _, err := v1.SHA256(bytes.NewReader(raw))
	if err == nil && got != want {
		err = fmt.Errorf("blob %s is damaged: its content is %s", want, got)
	}
	return err
}

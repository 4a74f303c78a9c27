package store

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Attachment is a document that says something about an image: an SBOM, how it
// was made, a summary of its tests.
type Attachment struct {
	Type        string // artifact type of the manifest
	MediaType   string // of the document
	Annotations map[string]string
	Doc         []byte
}

// Attach stores a document as a record and as a referrer of the image, which
// itself stays as it is. EvidenceAt reads it.
func (s *Store) Attach(ctx context.Context, subject v1.Descriptor, key string, a Attachment) (Record, error) {
	d, err := s.upload(ctx, static.NewLayer(a.Doc, types.MediaType(a.MediaType)))
	if err != nil {
		return Record{}, s.explain("storing attestation "+key, err)
	}
	d.Annotations = a.Annotations
	subject = v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	s.referrers.Lock()
	defer s.referrers.Unlock()
	return s.putArtifact(ctx, Attestation, key, artifact{kind: a.Type, layers: []v1.Descriptor{d}, annotations: a.Annotations, subject: &subject})
}

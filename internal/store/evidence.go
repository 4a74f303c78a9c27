package store

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
)

const (
	// EvidenceType is the artifact type of test results among the referrers of
	// an image.
	EvidenceType = "application/vnd.jetcrate.evidence.v1"

	evidenceDoc = "application/vnd.jetcrate.evidence.v1+json"
)

// PutEvidence stores a test result, a JSON document, and attaches it to the
// image that it is about.
func (s *Store) PutEvidence(ctx context.Context, subject v1.Descriptor, key string, doc []byte) (Record, error) {
	d, err := s.upload(ctx, static.NewLayer(doc, evidenceDoc))
	if err != nil {
		return Record{}, s.explain("storing test "+key, err)
	}
	// Only what a subject needs: the rest is the image's own affair.
	subject = v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	s.referrers.Lock()
	defer s.referrers.Unlock()
	return s.putArtifact(ctx, Test, key, artifact{kind: EvidenceType, layers: []v1.Descriptor{d}, subject: &subject})
}

// Evidence reads the latest test result with this key.
func (s *Store) Evidence(ctx context.Context, key string) ([]byte, Record, error) {
	d, r, err := s.record(ctx, Test, key)
	if err != nil {
		return nil, Record{}, err
	}
	doc, err := s.readBlob(ctx, d)
	return doc, r, err
}

// EvidenceAt reads a test result that Referrers named.
func (s *Store) EvidenceAt(ctx context.Context, digest string) ([]byte, error) {
	d, err := s.get(ctx, s.repo.Digest(digest))
	if err != nil {
		return nil, err
	}
	return s.readBlob(ctx, d)
}

// Referrers lists what is attached to a manifest: evidence has the artifact
// type EvidenceType.
func (s *Store) Referrers(ctx context.Context, digest string) ([]v1.Descriptor, error) {
	if _, err := v1.NewHash(digest); err != nil {
		return nil, fmt.Errorf("listing referrers of %q: %w", digest, err)
	}
	idx, err := remote.Referrers(s.repo.Digest(digest), remote.WithContext(ctx), remote.Reuse(s.puller))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain("listing referrers of "+digest, err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("listing referrers of %s: %w", digest, err)
	}
	return m.Manifests, nil
}

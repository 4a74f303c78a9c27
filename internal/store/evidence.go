package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/jetcrate/jetcrate/internal/image"
)

const (
	// EvidenceType is the artifact type of test results among the referrers of
	// an image.
	EvidenceType = "application/vnd.jetcrate.evidence.v1"

	evidenceDoc  = "application/vnd.jetcrate.evidence.v1+json"
	fileListType = "application/vnd.jetcrate.files.v1"
	fileListDoc  = "application/vnd.jetcrate.files.v1+json+gzip"
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

// PutFileList stores what a layer holds. A list that is there is left alone,
// since the diff ID determines it.
func (s *Store) PutFileList(ctx context.Context, diffID v1.Hash, files image.FileList) error {
	if err := s.writing(ctx); err != nil {
		return fmt.Errorf("storing the file list of %s: %w", diffID, err)
	}
	_, ok, err := s.Lookup(ctx, Files, diffID.Hex)
	if err != nil || ok {
		return err
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if err := errors.Join(json.NewEncoder(zw).Encode(files), zw.Close()); err != nil {
		return fmt.Errorf("storing the file list of %s: %w", diffID, err)
	}
	d, err := s.upload(ctx, static.NewLayer(buf.Bytes(), fileListDoc))
	if err != nil {
		return s.explain("storing the file list of "+diffID.String(), err)
	}
	_, err = s.putArtifact(ctx, Files, diffID.Hex, artifact{kind: fileListType, layers: []v1.Descriptor{d}})
	return err
}

// FileList reads what a layer holds.
func (s *Store) FileList(ctx context.Context, diffID v1.Hash) (image.FileList, error) {
	doing := "reading the file list of " + diffID.String()
	d, _, err := s.record(ctx, Files, diffID.Hex)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	raw, err := s.readBlob(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var files image.FileList
	if err := json.NewDecoder(zr).Decode(&files); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return files, nil
}

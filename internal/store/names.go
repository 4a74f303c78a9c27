package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Known lists all records, by tag (KIND-KEY), at the price of one request or
// one file. A registry's listing has no digests: there, Digest, MediaType and
// Size are empty, and Lookup gives them.
func (s *Store) Known(ctx context.Context) (map[string]Record, error) {
	known := map[string]Record{}
	if s.embedded != nil {
		idx, err := s.embedded.folder.index()
		if err != nil {
			return nil, fmt.Errorf("listing the store: %w", err)
		}
		for _, d := range idx.Manifests {
			if r, ok := parseTag(d.Annotations[annotationTag]); ok {
				r.Digest, r.MediaType, r.Size = d.Digest.String(), string(d.MediaType), d.Size
				known[d.Annotations[annotationTag]] = r
			}
		}
		return known, nil
	}
	tags, err := s.Tags(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		if r, ok := parseTag(t); ok {
			known[t] = r
		}
	}
	return known, nil
}

const (
	// annotationTag is how an OCI layout's index names a manifest.
	annotationTag = "org.opencontainers.image.ref.name"
	// annotationSubject is how olareg marks the list of what refers to a manifest.
	annotationSubject = "org.olareg.referrer.subject"
)

// parseTag tells a record's tag from a name that somebody gave.
func parseTag(tag string) (Record, bool) {
	kind, key, ok := strings.Cut(tag, "-")
	if !ok {
		return Record{}, false
	}
	if _, err := v1.NewHash("sha256:" + key); err != nil {
		return Record{}, false
	}
	switch k := Kind(kind); k {
	case Base, Source, Artifact, Layer, Image, Test, Files, Packages, Attestation:
		return Record{Kind: k, Key: key}, true
	}
	return Record{}, false
}

// Tags lists all tags: those of records, and names given by Tag.
func (s *Store) Tags(ctx context.Context) ([]string, error) {
	tags, err := s.puller.List(ctx, s.repo)
	if isNotFound(err) {
		return nil, nil // a repository exists from its first record on
	}
	if err != nil {
		return nil, s.explain("listing the store", err)
	}
	return tags, nil
}

// Tag gives the manifest with this digest a name.
func (s *Store) Tag(ctx context.Context, tag, digest string) error {
	to, err := name.NewTag(s.repo.Name()+":"+tag, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("naming %s %q: %w", digest, tag, err)
	}
	if err := s.writing(ctx); err != nil {
		return fmt.Errorf("naming %s %q: %w", digest, tag, err)
	}
	d, err := s.get(ctx, s.repo.Digest(digest))
	if err != nil {
		return fmt.Errorf("naming %s %q: %w", digest, tag, err)
	}
	if err := s.pusher.Push(ctx, to, d); err != nil {
		return s.explain(fmt.Sprintf("naming %s %q", digest, tag), err)
	}
	return nil
}

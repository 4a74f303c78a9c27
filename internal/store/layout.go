package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Layout returns an OCI layout folder on this machine that holds all blobs of
// an image, for an engine to read. For the embedded registry it is the
// registry's own; of another one the blobs are fetched into Options.Cache,
// each once.
func (s *Store) Layout(ctx context.Context, digest string) (string, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return "", fmt.Errorf("laying out image %q: %w", digest, err)
	}
	d, err := s.get(ctx, s.repo.Digest(digest))
	if err != nil {
		return "", fmt.Errorf("laying out image %s: %w", digest, err)
	}
	if s.embedded != nil {
		return s.embedded.folder.layout(), nil
	}
	if s.cache == "" {
		return "", errors.New("laying out an image: no folder is given for the blobs of a registry")
	}
	m, err := parseManifest(d)
	if err != nil {
		return "", err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for _, b := range append(m.Layers, m.Config) {
		g.Go(func() error {
			return s.cached(b.Digest, func() (io.ReadCloser, error) { return s.blob(gctx, b.Digest) })
		})
	}
	err = g.Wait()
	if err == nil { // last, so that a manifest in the folder is complete
		err = s.cached(h, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d.Manifest)), nil })
	}
	if err == nil {
		err = engine.InitLayout(s.cache)
	}
	if err != nil {
		return "", fmt.Errorf("laying out image %s: %w", digest, err)
	}
	return s.cache, nil
}

// cached writes a blob to the cache unless it is there.
func (s *Store) cached(h v1.Hash, open func() (io.ReadCloser, error)) error {
	dir := filepath.Join(s.cache, "blobs", h.Algorithm)
	file := filepath.Join(dir, h.Hex)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rc, err := open()
	if err != nil {
		return err
	}
	defer rc.Close()
	f, err := os.CreateTemp(s.cache, "fetch-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, rc)
	// Synced, because what has this name is never looked at again.
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

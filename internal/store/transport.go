package store

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/jetcrate/jetcrate/internal/image"
)

// countingTransport counts what was uploaded.
type countingTransport struct {
	inner  http.RoundTripper
	token  string // that writing takes; "" is none
	pushes atomic.Int64
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.token != "" && !reads(r) {
		r = r.Clone(r.Context())
		r.Header.Set(tokenHeader, t.token)
	}
	resp, err := t.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPut && resp.StatusCode < 300 &&
		(strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "/blobs/uploads/")) {
		t.pushes.Add(1)
	}
	return resp, nil
}

func isNotFound(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound
}

// explain says what failed and, where that is known, what to do about it.
func (s *Store) explain(doing string, err error) error {
	if s.embedded != nil {
		return s.embedded.explain(doing, err)
	}
	return fmt.Errorf("%s: %w", doing, image.Explain(s.repo.Registry, s.repo.RepositoryStr(), err))
}

// explainPut does so where something was stored: bytes that have another digest
// came from where it was read.
func (s *Store) explainPut(doing string, err error) error {
	if image.IsOtherBytes(err) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return s.explain(doing, err)
}

// explain does so for the embedded registry, whose troubles are its disk's.
func (e *embedded) explain(doing string, err error) error {
	var terr *transport.Error
	if errors.As(err, &terr) && terr.StatusCode == http.StatusInsufficientStorage {
		for _, d := range terr.Errors {
			switch d.Code {
			case diskFull:
				return fmt.Errorf("%s: %w: free some of the disk with %s (jetcrate store gc --dry-run shows what can go), then the same command goes on: %s", doing, ErrFull, e.dir, d.Message)
			case diskBroken:
				return fmt.Errorf("%s: the store %s cannot be written: %s", doing, e.dir, d.Message)
			}
		}
	}
	if image.IsOtherBytes(err) {
		return fmt.Errorf("%s: the store %s is damaged; jetcrate store verify --repair removes what is, and the next build makes it again: %w", doing, e.dir, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

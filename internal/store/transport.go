package store

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// countingTransport counts what was uploaded.
type countingTransport struct {
	inner  http.RoundTripper
	pushes atomic.Int64
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
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

// retryable reports whether another try may succeed: the network failed, the
// registry is busy, or the embedded registry moved to another process, which
// knows nothing of an upload that was under way.
func retryable(err error) bool {
	if err == nil {
		return false
	}
	var terr *transport.Error
	if errors.As(err, &terr) {
		return terr.Temporary() || slices.ContainsFunc(terr.Errors, func(d transport.Diagnostic) bool {
			return d.Code == transport.BlobUploadUnknownErrorCode
		})
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET, syscall.ECONNREFUSED, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	// net/http has no value for it: a request that it must not repeat by itself
	// met a connection that the server was closing.
	return strings.Contains(err.Error(), "server closed idle connection")
}

func isNotFound(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound
}

// explain says what failed and, where that is known, what to do about it.
func (s *Store) explain(doing string, err error) error {
	host := s.repo.RegistryStr()
	var terr *transport.Error
	var nerr net.Error
	switch {
	case errors.As(err, &terr) && (terr.StatusCode == http.StatusUnauthorized || terr.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%s: registry %s refuses access to %s; log in with: docker login %s: %w", doing, host, s.repo.RepositoryStr(), host, err)
	case errors.As(err, &terr) && terr.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s: registry %s has had too many requests; try again later: %w", doing, host, err)
	case errors.As(err, &terr) && terr.StatusCode >= 500:
		return fmt.Errorf("%s: registry %s fails; try again later: %w", doing, host, err)
	case errors.As(err, &nerr):
		return fmt.Errorf("%s: registry %s cannot be reached; check its name and the network: %w", doing, host, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

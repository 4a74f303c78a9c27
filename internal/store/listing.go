package store

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// listing is the index by tag and digest. olareg copies its whole index for each
// manifest that is asked for: a survey of a large store would cost the square of
// its size. What the listing lacks, olareg answers.
type listing struct {
	mu    sync.RWMutex
	known map[string]v1.Descriptor // nil: to be read
}

// find tells what a tag or digest names.
func (l *listing) find(f *folder, reference string) (v1.Descriptor, bool) {
	l.mu.RLock()
	d, ok := l.known[reference]
	read := l.known != nil
	l.mu.RUnlock()
	if read {
		return d, ok
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		idx, err := f.index()
		if err != nil {
			return v1.Descriptor{}, false
		}
		l.known = make(map[string]v1.Descriptor, 2*len(idx.Manifests))
		for _, d := range idx.Manifests {
			l.known[d.Digest.String()] = d
			if tag := d.Annotations[annotationTag]; tag != "" {
				l.known[tag] = d
			}
		}
	}
	d, ok = l.known[reference]
	return d, ok
}

// add notes what was put. The caller holds the server's index.
func (l *listing) add(reference string, d v1.Descriptor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.known == nil:
	case d.MediaType == "": // olareg finds out
		l.known = nil
	default:
		l.known[reference], l.known[d.Digest.String()] = d, d
	}
}

// drop forgets everything: what was removed must not be found.
func (l *listing) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = nil
}

// serveManifest answers a GET or a HEAD from the listing, or tells that it cannot.
func (s *server) serveManifest(w http.ResponseWriter, r *http.Request) bool {
	reference, ok := strings.CutPrefix(r.URL.Path, "/v2/"+repository+"/manifests/")
	if !ok {
		return false
	}
	d, ok := s.listing.find(s.folder, reference)
	if !ok || !accepts(r, string(d.MediaType)) {
		return false
	}
	raw, err := os.ReadFile(s.folder.blob(d.Digest.Hex))
	if err != nil || int64(len(raw)) != d.Size {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", string(d.MediaType))
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	h.Set("Docker-Content-Digest", d.Digest.String())
	_, _ = w.Write(raw) // the client is gone
	return true
}

// accepts tells whether a request names the media type, or none.
func accepts(r *http.Request, mediaType string) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return accept == "" || strings.Contains(accept, mediaType)
}

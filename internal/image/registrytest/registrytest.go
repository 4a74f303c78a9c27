// Package registrytest is a registry on the loopback address that fails in the
// ways that registries and what lies before them fail: for tests of everything
// that reads from one or writes to one.
package registrytest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Fault is one way to fail. It replaces an answer of the registry.
type Fault struct {
	Name string
	// On is a method and a part of the path, such as "GET /blobs/": what it hits.
	On string
	// Times is how often; 0 is always.
	Times int
	// Answer writes what the client gets instead of good.
	Answer func(w http.ResponseWriter, r *http.Request, good *httptest.ResponseRecorder)
}

// Status answers with a code and headers, given in pairs.
func Status(code int, header ...string) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	return func(w http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
	}
}

// CutOff breaks the connection in the middle of the body, or of the upload.
func CutOff(w http.ResponseWriter, r *http.Request, good *httptest.ResponseRecorder) {
	if r.Method == http.MethodGet {
		send(w, good, good.Body.Bytes()[:good.Body.Len()/2])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	panic(http.ErrAbortHandler)
}

// OtherBytes answers with content of the same length that is not what was asked for.
func OtherBytes(w http.ResponseWriter, _ *http.Request, good *httptest.ResponseRecorder) {
	body := append([]byte(nil), good.Body.Bytes()...)
	if len(body) > 0 {
		body[len(body)-1] ^= 1
	}
	send(w, good, body)
}

// Slow answers rightly, after a while and in small pieces.
func Slow(pause time.Duration) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	return func(w http.ResponseWriter, _ *http.Request, good *httptest.ResponseRecorder) {
		body := good.Body.Bytes()
		send(w, good, nil)
		for len(body) > 0 {
			n := min(len(body), 1+good.Body.Len()/8)
			time.Sleep(pause)
			if _, err := w.Write(body[:n]); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			body = body[n:]
		}
	}
}

// Silent begins an answer and says nothing more until the client gives up.
func Silent(w http.ResponseWriter, r *http.Request, good *httptest.ResponseRecorder) {
	send(w, good, good.Body.Bytes()[:good.Body.Len()/2])
	w.(http.Flusher).Flush()
	select {
	case <-r.Context().Done():
	case <-time.After(time.Minute):
	}
}

func send(w http.ResponseWriter, good *httptest.ResponseRecorder, body []byte) {
	for k, v := range good.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(good.Code)
	_, _ = w.Write(body)
}

// Registry is a registry with faults that come and go.
type Registry struct {
	Host string // 127.0.0.1:PORT

	mu     sync.Mutex
	faults []Fault
	hits   map[string]int
}

// New starts a registry that ends with the test.
func New(t testing.TB, faults ...Fault) *Registry {
	t.Helper()
	reg := &Registry{hits: map[string]int{}}
	reg.Break(faults...)
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := reg.fault(r)
		if f == nil {
			inner.ServeHTTP(w, r)
			return
		}
		good := httptest.NewRecorder()
		if r.Method == http.MethodGet {
			inner.ServeHTTP(good, r)
		}
		f(w, r, good)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	reg.Host = strings.TrimPrefix(srv.URL, "http://")
	return reg
}

// Break replaces the faults; with none the registry works.
func (g *Registry) Break(faults ...Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append([]Fault(nil), faults...)
}

// Hits is how often a fault has come up.
func (g *Registry) Hits(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hits[name]
}

func (g *Registry) fault(r *http.Request) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.faults {
		f := &g.faults[i]
		method, part, _ := strings.Cut(f.On, " ")
		if r.Method != method || !strings.Contains(r.URL.Path, part) || f.Times < 0 {
			continue
		}
		g.hits[f.Name]++
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				f.Times = -1
			}
		}
		return f.Answer
	}
	return nil
}

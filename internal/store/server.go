package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// identityHeader carries the server's ID on every answer.
const identityHeader = "Jetcrate-Store"

// server serves the folder of an embedded registry while it holds the lock.
type server struct {
	addr string
	http *http.Server
	lock *flock.Flock
	gate gate
	done chan struct{} // closed when http.Serve has returned
}

// serve starts a server, at the last one's address if that is free.
func serve(dir string, lock *flock.Flock, last string) (*server, error) {
	root := filepath.Join(dir, registryDir)
	// Uploads of a process that died: nobody else has the lock.
	if err := os.RemoveAll(filepath.Join(root, repository, "_uploads")); err != nil {
		return nil, fmt.Errorf("removing unfinished uploads: %w", err)
	}
	// olareg would make the repository with the first upload, and not safely so
	// when there are two at once.
	if err := engine.InitLayout(filepath.Join(root, repository)); err != nil {
		return nil, fmt.Errorf("making the repository: %w", err)
	}
	l, err := listen(last)
	if err != nil {
		return nil, fmt.Errorf("listening on the loopback address: %w", err)
	}
	id := rand.Text()
	s := &server{addr: l.Addr().String(), lock: lock, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.handler(id, newRegistry(root)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	if err := writeServed(filepath.Join(dir, addressFile), served{Address: s.addr, ID: id}); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the store's address: %w", err), l.Close())
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // always http.ErrServerClosed, or the listener broke and clients take over
	}()
	return s, nil
}

func listen(last string) (net.Listener, error) {
	if host, _, err := net.SplitHostPort(last); err == nil && host == "127.0.0.1" {
		if l, err := net.Listen("tcp", last); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// newRegistry makes an olareg with every kind of garbage collection off. It would
// delete manifests that have no tag any more but that other records name.
// Its Close is not called, because that collects: between requests it keeps
// nothing but files. (The race detector finds that it sets "the repository
// exists" again, to the same value, while others read it.)
func newRegistry(root string) http.Handler {
	const ever = 100 * 365 * 24 * time.Hour
	no := false
	return olareg.New(config.Config{Storage: config.ConfigStorage{
		StoreType: config.StoreDir,
		RootDir:   root,
		GC: config.ConfigGC{
			Frequency: -1, GracePeriod: ever, RepoUploadMax: -1,
			Untagged: &no, EmptyRepo: &no, ReferrersDangling: &no, ReferrersWithSubj: &no,
		},
	}})
}

func (s *server) handler(id string, next http.Handler) http.Handler {
	// olareg reads, changes and writes the list of referrers without a lock.
	var manifests sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(identityHeader, id)
		if !s.gate.enter() {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable) // the client tries again, at the next server
			return
		}
		defer s.gate.leave()
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			manifests.Lock()
			defer manifests.Unlock()
		}
		next.ServeHTTP(&digestWriter{ResponseWriter: w, digest: r.URL.Query().Get("digest")}, r)
	})
}

// digestWriter adds the Docker-Content-Digest that olareg does not send after
// a blob upload, without which clients built on containerd before 2.2 fail.
type digestWriter struct {
	http.ResponseWriter
	digest string
}

func (w *digestWriter) WriteHeader(code int) {
	const header = "Docker-Content-Digest"
	if code == http.StatusCreated && w.digest != "" && w.Header().Get(header) == "" {
		w.Header().Set(header, w.digest)
	}
	w.ResponseWriter.WriteHeader(code)
}

// ReadFrom lets a blob go from its file to the connection without a copy.
func (w *digestWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

// close answers what is under way, then gives the lock to the next process.
func (s *server) close() error {
	select {
	case <-s.gate.shut():
	case <-time.After(patience / 2): // half of what the next one waits for the lock
	}
	err := s.http.Close()
	<-s.done
	return errors.Join(err, s.lock.Close())
}

// gate counts requests under way, and closes.
type gate struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{}
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.closed && g.n == 0 {
		close(g.idle)
	}
}

// shut refuses new requests; the channel closes when none is under way.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		g.idle = make(chan struct{})
		if g.n == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// identityHeader carries the server's ID on every answer.
const identityHeader = "Jetcrate-Store"

// server serves the folder of an embedded registry while it holds the lock.
type server struct {
	addr    string
	http    *http.Server
	lock    *flock.Flock
	token   string // that writing takes
	served  served
	gate    gate
	done    chan struct{} // closed when http.Serve has returned
	folder  *folder
	listing listing
	disk    diskLog

	// index is held to change which records there are, and shared to tell a
	// client that a blob is there: what it was told must hold until its record is
	// written. Reading needs neither.
	index    sync.RWMutex
	registry atomic.Pointer[http.Handler]
	uploads  sync.Map // the registry that an upload began with, by the upload's path
	started  time.Time
}

// serve starts a server, at the last one's address if that is free.
func serve(f *folder, lock *flock.Flock, last served, token string) (*server, error) {
	var since time.Time
	if info, err := os.Stat(filepath.Join(f.dir, addressFile)); err == nil {
		since = info.ModTime()
	}
	// olareg would make the repository with the first upload, and not safely so
	// when there are two at once.
	if err := engine.InitLayout(f.layout()); err != nil {
		return nil, fmt.Errorf("making the repository: %w", err)
	}
	if err := f.recover(last, since); err != nil {
		return nil, fmt.Errorf("looking after what the last process left: %w", err)
	}
	l, err := listen(last.Address)
	if err != nil {
		return nil, fmt.Errorf("listening on the loopback address: %w", err)
	}
	s := &server{addr: l.Addr().String(), lock: lock, token: token, done: make(chan struct{}), folder: f, started: time.Now()}
	s.served = served{Address: s.addr, ID: rand.Text(), Token: rand.Text(), Boot: bootID()}
	s.reset()
	s.http = &http.Server{Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: 10 * time.Second}
	if err := writeServed(filepath.Join(f.dir, addressFile), s.served); err != nil {
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

// reset makes an olareg with every kind of garbage collection off: it would
// delete manifests that have no tag any more but that other records name. A new
// one is made where its memory may differ from the folder; uploads end where they
// began. Its Close is not called, because that collects: between requests it
// keeps nothing but files. (The race detector finds that it sets "the repository
// exists" again, to the same value, while others read it.)
func (s *server) reset() {
	const ever = 100 * 365 * 24 * time.Hour
	no := false
	var h http.Handler = olareg.New(config.Config{
		Log: slog.New(&s.disk),
		Storage: config.ConfigStorage{
			StoreType: config.StoreDir,
			RootDir:   filepath.Join(s.folder.dir, registryDir),
			GC: config.ConfigGC{
				Frequency: -1, GracePeriod: ever, RepoUploadMax: -1,
				Untagged: &no, EmptyRepo: &no, ReferrersDangling: &no, ReferrersWithSubj: &no,
			},
		},
	})
	s.registry.Store(&h)
	s.listing.drop()
}

func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(identityHeader, s.served.ID)
	if !s.gate.enter() {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable) // the client tries again, at the next server
		return
	}
	defer s.gate.leave()
	switch {
	case strings.HasPrefix(r.URL.Path, adminPath):
		s.admin(w, r)
	case !reads(r) && !mayWrite(r, s.token):
		refuse(http.StatusForbidden, "DENIED", errors.New("writing takes the token of the store's folder")).send(w)
	case r.Method == http.MethodGet:
		if !s.serveManifest(w, r) {
			(*s.registry.Load()).ServeHTTP(w, r)
		}
	case r.Method == http.MethodHead:
		s.index.RLock()
		defer s.index.RUnlock()
		if !s.serveManifest(w, r) {
			(*s.registry.Load()).ServeHTTP(w, r)
		}
		digest := w.Header().Get("Docker-Content-Digest")
		if strings.Contains(r.URL.Path, "/blobs/") {
			digest = path.Base(r.URL.Path)
		}
		if h, err := v1.NewHash(digest); err == nil {
			// A client that hears of it does not make it again: to gc it is as new.
			_ = os.Chtimes(s.folder.blob(h.Hex), time.Time{}, s.now()) // it need not exist
		}
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
		s.putManifest(r).send(w)
	default:
		a := s.forward(r)
		if r.Method == http.MethodDelete {
			s.listing.drop()
		}
		digest := r.URL.Query().Get("digest")
		if hex, ok := strings.CutPrefix(digest, "sha256:"); ok && a.code == http.StatusCreated {
			s.folder.wrote(hex)
			// Clients built on containerd before 2.2 fail without this header, which
			// olareg does not send after an upload.
			a.header.Set("Docker-Content-Digest", digest)
		}
		a.send(w)
	}
}

// now is the time, steadily: whoever sets the machine's clock while the server
// runs does not make what is new look old.
func (s *server) now() time.Time { return s.started.Add(time.Since(s.started)).Round(0) }

// putManifest takes a manifest, and answers once the disk has it.
func (s *server) putManifest(r *http.Request) *answer {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 2*manifestLimit+1))
	if err != nil {
		return refuse(http.StatusBadRequest, "UNKNOWN", err)
	}
	m, err := readManifest(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", err)
	}
	// olareg reads, changes and writes the list of referrers without a lock.
	s.index.Lock()
	defer s.index.Unlock()
	if err := s.folder.syncBlobs(m.names()); err != nil {
		return diskFailed(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	a := s.forward(r)
	if a.code == http.StatusCreated {
		digest, size, err := v1.SHA256(bytes.NewReader(raw))
		subject := ""
		if m.Subject != nil {
			subject = m.Subject.Digest.String()
		}
		if err == nil {
			err = s.folder.settle(digest.Hex, subject)
		}
		if err != nil {
			a = diskFailed(err)
		} else {
			s.listing.add(path.Base(r.URL.Path), v1.Descriptor{MediaType: types.MediaType(r.Header.Get("Content-Type")), Digest: digest, Size: size})
		}
	}
	if a.code >= 500 {
		s.reset() // it may remember a record that the disk does not have
	}
	return a
}

// forward asks the registry and keeps its answer, which for anything but reading
// is small. An answer of 500 says nothing: if the disk was the reason, it does.
func (s *server) forward(r *http.Request) *answer {
	a := &answer{header: http.Header{}, code: http.StatusOK}
	before := s.disk.count()
	h := *s.registry.Load()
	upload, ok := s.uploads.Load(r.URL.Path)
	if ok {
		h = upload.(http.Handler)
	}
	h.ServeHTTP(a, r)
	if at, err := url.Parse(a.header.Get("Location")); err == nil && r.Method == http.MethodPost && a.code == http.StatusAccepted {
		s.uploads.Store(at.Path, h)
	}
	if ok && (a.code >= 400 || a.code == http.StatusCreated) {
		s.uploads.Delete(r.URL.Path)
	}
	if a.code >= 500 {
		if ok { // it is begun anew, if at all
			r := r.Clone(context.WithoutCancel(r.Context()))
			r.Method, r.Body = http.MethodDelete, http.NoBody
			h.ServeHTTP(&answer{header: http.Header{}}, r)
		}
		if err := s.disk.since(before); err != nil {
			return diskFailed(err)
		}
	}
	return a
}

// close answers what is under way, then gives the lock to the next process.
func (s *server) close() error {
	select {
	case <-s.gate.shut():
	case <-time.After(patience / 2): // half of what the next one waits for the lock
	}
	err := s.http.Close()
	<-s.done
	if s.folder.syncAll() == nil {
		s.served.Clean = true
		// On a full disk that stays unsaid, and the next server looks for itself.
		_ = writeServed(filepath.Join(s.folder.dir, addressFile), s.served)
	}
	return errors.Join(err, s.lock.Close())
}

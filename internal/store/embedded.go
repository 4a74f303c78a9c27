package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

const (
	repository = "jetcrate" // the one repository of an embedded registry

	lockFile    = "lock"         // held by the process that serves
	addressFile = "address.json" // where it serves, and where the last one did
	registryDir = "registry"     // the registry's root

	// patience is how long a request waits for a server: for one that is
	// closing, or that has the lock and does not answer yet.
	patience = 30 * time.Second
)

// served is the content of addressFile.
type served struct {
	Address string `json:"address"`
	ID      string `json:"id"`    // tells a live server from another program that got the port of a dead one
	Token   string `json:"token"` // lets who can read the file ask for more than a registry does
	Boot    string `json:"boot"`  // of the kernel, see bootID
	Clean   bool   `json:"clean"` // the server has ended, and the disk has all that it wrote
}

// embedded is the registry in a folder, served by this process or another.
type embedded struct {
	dir    string
	folder *folder // shared with the server, so that the index is read once
	token  string  // that writing takes

	mu     sync.Mutex
	server *server // when this process serves
	addr   string  // where it was last seen
	closed bool
}

func openEmbedded(ctx context.Context, dir string) (*embedded, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, registryDir), 0o755); err != nil {
		return nil, err
	}
	e := &embedded{dir: dir, folder: &folder{dir: dir}}
	if e.token, err = folderToken(dir); err != nil {
		return nil, err
	}
	conn, err := e.dial(ctx, "tcp", "")
	if err != nil {
		return nil, err
	}
	return e, conn.Close()
}

func (e *embedded) address() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr
}

// dial connects to whoever serves the folder now; the address that the caller
// names is one that held once. If nobody does, this process takes over.
func (e *embedded) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := 5 * time.Millisecond
	for {
		addr, err := e.find(ctx)
		if err == nil {
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, network, addr); err == nil {
				return conn, nil
			}
		}
		var final *fatalError
		if errors.As(err, &final) {
			return nil, final.err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no process serves %s, and this one cannot: %w", e.dir, err)
		case <-time.After(wait):
			wait = min(2*wait, 250*time.Millisecond)
		}
	}
}

// fatalError is one that waiting does not mend.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }

// find returns the address of a server that is known to be the folder's.
func (e *embedded) find(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return "", &fatalError{errors.New("the store is closed")}
	}
	if e.server != nil {
		return e.addr, nil
	}
	last, readErr := readServed(filepath.Join(e.dir, addressFile))
	lock := flock.New(filepath.Join(e.dir, lockFile))
	ours, err := lock.TryLock()
	if err != nil {
		return "", &fatalError{fmt.Errorf("locking %s: %w", lock.Path(), err)}
	}
	if ours {
		srv, err := serve(e.folder, lock, last, e.token)
		if err != nil {
			return "", &fatalError{errors.Join(err, lock.Close())}
		}
		e.server, e.addr = srv, srv.addr
		return e.addr, nil
	}
	if err := lock.Close(); err != nil {
		return "", err
	}
	if readErr != nil {
		return "", readErr
	}
	if err := probe(ctx, last); err != nil {
		return "", err
	}
	e.addr = last.Address
	return e.addr, nil
}

// keep has the folder served until ctx ends: by this process, once none that
// serves it now is left.
func (e *embedded) keep(ctx context.Context) error {
	for {
		var final *fatalError
		if _, err := e.find(ctx); errors.As(err, &final) {
			return final.err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (e *embedded) close() error {
	e.mu.Lock()
	srv := e.server
	e.server, e.closed = nil, true
	e.mu.Unlock()
	if srv == nil {
		return nil
	}
	return srv.close()
}

// probe asks whether the server at an address is the one that wrote it down.
func probe(ctx context.Context, s served) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+s.Address+"/v2/", nil)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if got := resp.Header.Get(identityHeader); got != s.ID {
		return fmt.Errorf("another program answers at %s", s.Address)
	}
	return nil
}

func readServed(file string) (served, error) {
	var s served
	raw, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", file, err)
	}
	return s, nil
}

func writeServed(file string, s served) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return writeAtomic(file, raw, 0o600)
}

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
)

// answer is a small answer that is kept until it is known to hold.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) send(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body.Bytes()) // the client is gone
}

// refuse is an error in the form of the distribution protocol.
func refuse(status int, code string, err error) *answer {
	a := &answer{header: http.Header{"Content-Type": {"application/json"}}, code: status}
	type diagnostic struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.NewEncoder(&a.body).Encode(map[string][]diagnostic{"errors": {{code, err.Error()}}})
	return a
}

// What the embedded registry says where its disk is the reason.
const (
	diskFull   = "DISK_FULL"
	diskBroken = "DISK_BROKEN"
)

func diskFailed(err error) *answer {
	if full(err) {
		return refuse(http.StatusInsufficientStorage, diskFull, err)
	}
	return refuse(http.StatusInsufficientStorage, diskBroken, err)
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// diskLog takes what the registry logs, and remembers why the disk failed.
type diskLog struct {
	mu   sync.Mutex
	n    int
	last error
}

func (d *diskLog) Enabled(context.Context, slog.Level) bool { return true }
func (d *diskLog) WithAttrs([]slog.Attr) slog.Handler       { return d }
func (d *diskLog) WithGroup(string) slog.Handler            { return d }

func (d *diskLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		if ok && (full(err) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EACCES)) {
			d.mu.Lock()
			d.n, d.last = d.n+1, err
			d.mu.Unlock()
		}
		return true
	})
	return nil
}

func (d *diskLog) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// since gives the last failure if there was one after count gave n.
func (d *diskLog) since(n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == n {
		return nil
	}
	return d.last
}

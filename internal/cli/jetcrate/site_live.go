package jetcrate

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/site"
	"github.com/jetcrate/jetcrate/internal/store"
)

// liveSite serves the site of a table that may be written again meanwhile: it is
// made anew when the file has changed, and once for all who ask.
type liveSite struct {
	app   *app
	store *store.Store
	file  string

	mu      sync.Mutex
	stamp   time.Time
	size    int64
	handler http.Handler
}

func (l *liveSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := l.current()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "There is no table yet: jetcrate table makes one.", http.StatusNotFound)
	case err != nil:
		fmt.Fprintf(l.app.stderr, "jetcrate: making the site: %v\n", err)
		http.Error(w, "The site cannot be made just now; the server says why.", http.StatusInternalServerError)
	default:
		h.ServeHTTP(w, r)
	}
}

func (l *liveSite) current() (http.Handler, error) {
	info, err := os.Stat(l.file)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handler != nil && info.ModTime().Equal(l.stamp) && info.Size() == l.size {
		return l.handler, nil
	}
	t, err := readTable(l.file)
	if err != nil {
		return nil, err
	}
	o := site.Options{Packages: map[string]site.Package{}}
	if cat, _, err := l.app.load(); err == nil { // a server needs no catalog
		fromCatalog(&o, cat)
	}
	if o.Runs, err = lastRuns(l.store); err != nil {
		return nil, err
	}
	files, err := site.Files(t, o)
	if err != nil {
		return nil, err
	}
	l.handler, l.stamp, l.size = site.Handler(files), info.ModTime(), info.Size()
	return l.handler, nil
}

// siteOf is the site of a table as a handler.
func (a *app) siteOf(st *store.Store, file string) http.Handler {
	return &liveSite{app: a, store: st, file: file}
}

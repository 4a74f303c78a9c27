package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// Foreign is a file in the place of a page that the site did not make.
type Foreign struct{ File string }

func (e *Foreign) Error() string {
	return e.File + " was not made by jetcrate site: name another folder"
}

// Write puts the files into a folder. Each is replaced as a whole, what others
// link to first, so that a reader at the same time never sees half a page; pages
// of packages that are gone are removed. Files that the site did not make stay.
func Write(dir string, files []File) error {
	kept := map[string]bool{}
	for _, f := range files {
		kept[f.Name] = true
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		if have, err := os.ReadFile(to); err == nil {
			if bytes.Equal(have, f.Content) {
				continue
			}
			if !ours(have) {
				return &Foreign{to}
			}
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("writing the site: %w", err)
		}
		if err := renameio.WriteFile(to, f.Content, 0o644); err != nil {
			return fmt.Errorf("writing the site: %w", err)
		}
	}
	there, err := os.ReadDir(filepath.Join(dir, "p"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for old pages: %w", err)
	}
	for _, e := range there {
		name := filepath.Join(dir, "p", e.Name())
		if kept["p/"+e.Name()] || !e.Type().IsRegular() {
			continue
		}
		if have, err := os.ReadFile(name); err != nil || !ours(have) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("removing an old page: %w", err)
		}
	}
	return nil
}

// ours tells a file of the site by its first lines.
func ours(content []byte) bool {
	return bytes.Contains(content[:min(len(content), 200)], []byte(mark))
}

// Handler serves the files, for reading alone.
func Handler(files []File) http.Handler {
	type file struct {
		content []byte
		etag    string
	}
	byPath := map[string]file{}
	for _, f := range files {
		sum := sha256.Sum256(f.Content)
		byPath["/"+f.Name] = file{f.Content, `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the site can only be read", http.StatusMethodNotAllowed)
			return
		}
		name := r.URL.Path
		if strings.HasSuffix(name, "/") {
			name += "index.html"
		}
		f, ok := byPath[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy+"; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // asked for again, answered with 304
		h.Set("ETag", f.etag)
		http.ServeContent(w, r, path.Base(name), time.Time{}, bytes.NewReader(f.content))
	})
}

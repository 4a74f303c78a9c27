package wheel

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/jetcrate/jetcrate/internal/store"
)

// Site is trees with what their files are read from.
type Site struct {
	Trees []*Tree
	Store *store.Store
}

// files lists the wheels of all trees, each file once, by path.
func (s Site) files() []File {
	seen := map[string]bool{}
	var out []File
	for _, t := range s.Trees {
		for _, w := range t.Wheels {
			if p := filePath(w.File); !seen[p] {
				seen[p] = true
				out = append(out, w.File)
			}
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(filePath(a), filePath(b)) })
	return out
}

// Pages renders all pages in the order in which they may appear: none leads to
// one that comes later.
func (s Site) Pages() ([]Page, error) {
	var out []Page
	for _, t := range s.Trees {
		pages, err := t.pages()
		if err != nil {
			return nil, err
		}
		out = append(out, pages...)
	}
	root, err := rootPages(s.Trees)
	return append(out, root...), err
}

// Write writes the index as static files. Files come first, under names that hold
// their hash, then the pages, each replaced at once: whoever reads meanwhile gets
// pages whose links are good. Nothing is removed. It returns how many files and
// pages are new.
func (s Site) Write(ctx context.Context, dir string) (fresh int, err error) {
	fail := func(err error) (int, error) { return fresh, fmt.Errorf("writing the index to %s: %w", dir, err) }
	pages, err := s.Pages()
	if err != nil {
		return fail(err)
	}
	for _, f := range s.files() {
		to := filepath.Join(dir, filepath.FromSlash(filePath(f)))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fail(err)
		}
		wrote, err := s.writeFile(ctx, f, to)
		if err != nil {
			return fail(err)
		}
		if wrote {
			fresh++
		}
	}
	for _, p := range pages {
		to := filepath.Join(dir, filepath.FromSlash(p.Path))
		if have, err := os.ReadFile(to); err == nil && string(have) == string(p.Content) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fail(err)
		}
		if err := renameio.WriteFile(to, p.Content, 0o644); err != nil {
			return fail(err)
		}
		fresh++
	}
	return fresh, nil
}

// writeFile writes a wheel and its METADATA, unless they are there: a file has
// its name only once it is whole and verified.
func (s Site) writeFile(ctx context.Context, f File, to string) (bool, error) {
	info, err := os.Stat(to)
	meta, metaErr := os.Stat(to + ".metadata")
	if err == nil && metaErr == nil && info.Size() == f.Size && meta.Mode().IsRegular() {
		return false, nil
	}
	if err := errors.Join(notMissing(err), notMissing(metaErr)); err != nil {
		return false, err
	}
	raw, err := metadataOf(ctx, s.Store, Wheel{File: f})
	if err != nil {
		return false, err
	}
	if err := renameio.WriteFile(to+".metadata", raw, 0o644); err != nil {
		return false, err
	}
	w, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o644))
	if err != nil {
		return false, err
	}
	defer w.Cleanup() // nothing once it is in its place
	if err := copyWheel(ctx, s.Store, f, w); err != nil {
		return false, err
	}
	return true, w.CloseAtomicallyReplace()
}

func notMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// epoch is the time of every file of an archive: it says nothing of when.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// WriteTar writes the index as a tar archive, the same bytes for the same trees,
// with a SHA256SUMS for sha256sum -c.
func (s Site) WriteTar(ctx context.Context, w io.Writer) error {
	pages, err := s.Pages()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	head := func(name string, size int64) error {
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: epoch(), Format: tar.FormatPAX})
	}
	var sums strings.Builder
	write := func(name string, content []byte) error {
		fmt.Fprintf(&sums, "%s  %s\n", hashOf(content), name)
		if err := head(name, int64(len(content))); err != nil {
			return err
		}
		_, err := tw.Write(content)
		return err
	}
	for _, f := range s.files() {
		raw, err := metadataOf(ctx, s.Store, Wheel{File: f})
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, filePath(f))
		if err := head(filePath(f), f.Size); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
		if err := copyWheel(ctx, s.Store, f, tw); err != nil {
			return err
		}
		if err := write(filePath(f)+".metadata", raw); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
	}
	for _, p := range pages {
		if err := write(p.Path, p.Content); err != nil {
			return fmt.Errorf("writing %s: %w", p.Path, err)
		}
	}
	text := sums.String()
	if err := head("SHA256SUMS", int64(len(text))); err != nil {
		return err
	}
	if _, err := io.WriteString(tw, text); err != nil {
		return err
	}
	return tw.Close()
}

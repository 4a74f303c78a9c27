package dagger

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// writeRoot writes the root file system of an image as one tar: of every path
// what the topmost layer says, without what a layer above removed.
func writeRoot(img engine.Image, w io.Writer) error {
	image, err := engine.OpenImage(img)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	r := root{entries: map[string]entry{}, links: map[place][]string{}}
	for i, l := range layers {
		if err := eachEntry(l, func(h *tar.Header, _ io.Reader) error { r.remove(i, h); return nil }); err != nil {
			return err
		}
		if err := eachEntry(l, func(h *tar.Header, _ io.Reader) error { r.add(i, h); return nil }); err != nil {
			return err
		}
	}
	out := tar.NewWriter(w)
	for i, l := range layers {
		if err := eachEntry(l, func(h *tar.Header, body io.Reader) error { return r.write(out, i, h, body) }); err != nil {
			return err
		}
	}
	return out.Close()
}

// entry is a path as a layer, the topmost that has it, says it.
type entry struct {
	layer int
	typ   byte
}

// place is a path in a layer.
type place struct {
	layer int
	path  string
}

type root struct {
	entries map[string]entry
	links   map[place][]string // hard links of a layer, by the file that they name
}

const whiteout = ".wh."

// remove applies the whiteouts of a layer to those below it.
func (r *root) remove(layer int, h *tar.Header) {
	dir, base := path.Split(clean(h.Name))
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case base == whiteout+whiteout+".opq":
		r.drop(layer, dir, false)
	case strings.HasPrefix(base, whiteout):
		r.drop(layer, path.Join(dir, strings.TrimPrefix(base, whiteout)), true)
	}
}

// drop removes what lies below a path in the layers below, and the path itself.
func (r *root) drop(layer int, p string, itself bool) {
	if e, ok := r.entries[p]; ok && itself && e.layer < layer && e.typ != tar.TypeDir {
		delete(r.entries, p)
		return
	}
	for q, e := range r.entries {
		if e.layer < layer && (itself && q == p || p == "" || strings.HasPrefix(q, p+"/")) {
			delete(r.entries, q)
		}
	}
}

func (r *root) add(layer int, h *tar.Header) {
	p := clean(h.Name)
	if strings.HasPrefix(path.Base(p), whiteout) {
		return
	}
	if old, ok := r.entries[p]; ok && old.typ == tar.TypeDir && h.Typeflag != tar.TypeDir {
		r.drop(layer, p, true)
	}
	r.entries[p] = entry{layer, h.Typeflag}
	if h.Typeflag == tar.TypeLink {
		at := place{layer, clean(h.Linkname)}
		r.links[at] = append(r.links[at], p)
	}
}

// write writes an entry that is still there. Where a file is gone or another
// one by now and hard links to it are not, the first of these becomes the file.
func (r *root) write(out *tar.Writer, layer int, h *tar.Header, body io.Reader) error {
	p := clean(h.Name)
	e, there := r.entries[p]
	there = there && e.layer == layer && e.typ == h.Typeflag
	if h.Typeflag == tar.TypeLink && there {
		heirs := r.heirs(place{layer, clean(h.Linkname)})
		switch {
		case len(heirs) == 0:
		case heirs[0] == p:
			return nil // written where the file was
		default:
			h.Linkname = heirs[0]
		}
	}
	if !there {
		heirs := r.heirs(place{layer, p})
		if h.Typeflag != tar.TypeReg || len(heirs) == 0 {
			return nil
		}
		p = heirs[0]
	}
	if h.Name = p; h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if p == "" {
		h.Name = "./"
	}
	h.Format = tar.FormatPAX
	if err := out.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	_, err := io.Copy(out, body)
	return err
}

// heirs are the hard links that are still there of a file that is not.
func (r *root) heirs(of place) []string {
	if e, ok := r.entries[of.path]; ok && e.layer <= of.layer {
		return nil
	}
	var out []string
	for _, p := range r.links[of] {
		if e, ok := r.entries[p]; ok && e.layer == of.layer && e.typ == tar.TypeLink {
			out = append(out, p)
		}
	}
	return out
}

func eachEntry(l v1.Layer, f func(*tar.Header, io.Reader) error) (err error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	for t := tar.NewReader(rc); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(h, t); err != nil {
			return err
		}
	}
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

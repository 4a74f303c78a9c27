package store

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/image"
)

// Installed is what dpkg and Python's metadata say that a layer, or an image,
// holds. Of a layer it is recorded by diff ID, as its file list is; Fold makes
// that of an image of those of its layers.
type Installed struct {
	// Dpkg is nil where a layer holds no status of dpkg: that of the layer below
	// counts.
	Dpkg   []Deb          `json:"dpkg"`
	Python []Distribution `json:"python,omitempty"`
	// Removed are the paths that a layer takes away from below; a folder whose
	// content alone goes ends in a slash. Nil of an image.
	Removed []string `json:"removed,omitempty"`
}

// Deb is an installed package of Debian's or a distribution made of it.
type Deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Source  string `json:"source,omitempty"` // package that it is built from, where the name differs
}

// Distribution is an installed Python distribution.
type Distribution struct {
	Name    string `json:"name"` // as its metadata writes it; image.NormalName compares
	Version string `json:"version"`
	License string `json:"license,omitempty"` // as its metadata says; free text
	Path    string `json:"path"`              // of its dist-info or egg-info
}

const (
	dpkgStatus = "var/lib/dpkg/status"
	// A status has about 1 KiB a package, metadata rarely 100 KiB with its long
	// description behind the header.
	maxStatus, maxMetadata = 64 << 20, 1 << 20
)

// InstalledIn gives what an image holds.
func (s *Store) InstalledIn(ctx context.Context, img v1.Image) (Installed, error) {
	layers, err := img.Layers()
	if err != nil {
		return Installed{}, err
	}
	sets := make([]Installed, len(layers))
	for i, l := range layers {
		if sets[i], err = s.Installed(ctx, l); err != nil {
			return Installed{}, err
		}
	}
	return Fold(sets...), nil
}

// Fold lays what layers bring over one another, bottom up.
func Fold(layers ...Installed) Installed {
	out := Installed{Dpkg: []Deb{}}
	python := map[string]Distribution{}
	for _, l := range layers {
		if l.Dpkg != nil {
			out.Dpkg = l.Dpkg
		}
		for _, gone := range l.Removed {
			for at := range python {
				if at == gone || strings.HasPrefix(at, strings.TrimSuffix(gone, "/")+"/") || gone == "/" {
					delete(python, at)
				}
			}
		}
		for _, d := range l.Python {
			python[d.Path] = d
		}
	}
	for _, d := range python {
		out.Python = append(out.Python, d)
	}
	slices.SortFunc(out.Python, byPath)
	return out
}

func byPath(a, b Distribution) int { return cmp.Compare(a.Path, b.Path) }

// installedInTar reads the tar of a layer.
func installedInTar(r io.Reader) (Installed, error) {
	var set Installed
	python := map[string]Distribution{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return set, err
		}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		dir, base := path.Split(p)
		switch {
		case base == ".wh..wh..opq":
			set.Removed = append(set.Removed, dir)
			if dir == "" {
				set.Removed[len(set.Removed)-1] = "/"
			}
		case strings.HasPrefix(base, ".wh."):
			set.Removed = append(set.Removed, dir+strings.TrimPrefix(base, ".wh."))
		case p == dpkgStatus && h.Typeflag == tar.TypeReg:
			if set.Dpkg, err = readStatus(io.LimitReader(tr, maxStatus)); err != nil {
				return set, fmt.Errorf("reading %s: %w", p, err)
			}
		default:
			d, ok := distributionAt(p)
			if !ok {
				continue
			}
			if have, seen := python[d.Path]; seen && h.Typeflag != tar.TypeReg {
				d = have
			}
			if h.Typeflag == tar.TypeReg && (base == "METADATA" || base == "PKG-INFO" || p == d.Path) {
				d.read(io.LimitReader(tr, maxMetadata))
				python[d.Path] = d
			} else if _, seen := python[d.Path]; !seen {
				python[d.Path] = d
			}
		}
	}
	for _, d := range python {
		if d.Name != "" && d.Version != "" { // else nothing says what it is
			set.Python = append(set.Python, d)
		}
	}
	slices.SortFunc(set.Python, byPath)
	slices.Sort(set.Removed)
	return set, nil
}

// distributionAt tells whether a path is, or lies directly in, the metadata of a
// distribution, and what its name says.
func distributionAt(p string) (Distribution, bool) {
	at := p
	if dir := path.Dir(p); strings.HasSuffix(dir, ".dist-info") || strings.HasSuffix(dir, ".egg-info") {
		at = dir
	}
	base := path.Base(at)
	if !strings.HasSuffix(base, ".dist-info") && !strings.HasSuffix(base, ".egg-info") {
		return Distribution{}, false
	}
	if d := path.Base(path.Dir(at)); d != "site-packages" && d != "dist-packages" {
		return Distribution{}, false
	}
	name, version, _ := image.DistributionOf(base)
	return Distribution{Name: name, Version: version, Path: at}, true
}

// read takes over what the metadata says; what cannot be read leaves the name's word.
func (d *Distribution) read(r io.Reader) {
	h, _ := textproto.NewReader(bufio.NewReader(r)).ReadMIMEHeader()
	for _, f := range []struct {
		into *string
		from string
	}{{&d.Name, h.Get("Name")}, {&d.Version, h.Get("Version")}, {&d.License, cmp.Or(h.Get("License-Expression"), h.Get("License"))}} {
		if f.from != "" {
			*f.into = f.from
		}
	}
	if len(d.License) > 200 { // some hold the whole text
		d.License = ""
	}
}

// readStatus reads the status of dpkg: the packages that are installed.
func readStatus(r io.Reader) ([]Deb, error) {
	out := []Deb{}
	var d Deb
	installed := false
	end := func() {
		if installed && d.Name != "" {
			out = append(out, d)
		}
		d, installed = Deb{}, false
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(raw) {
		name, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), ": ")
		switch name {
		case "":
			end()
		case "Package":
			d.Name = value
		case "Version":
			d.Version = value
		case "Architecture":
			d.Arch = value
		case "Source":
			d.Source, _, _ = strings.Cut(value, " ")
		case "Status":
			words := strings.Fields(value)
			installed = len(words) == 3 && words[2] == "installed"
		}
	}
	end()
	slices.SortFunc(out, func(a, b Deb) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return out, nil
}

package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// Entry is one path of a layer.
type Entry struct {
	Path   string `json:"path"`             // relative to the root, slashes, no leading ./
	Type   byte   `json:"type"`             // as in archive/tar: tar.TypeReg, TypeDir, TypeSymlink, ...
	Mode   int64  `json:"mode"`             // permission, setuid, setgid and sticky bits, as chmod counts them
	UID    int    `json:"uid,omitempty"`    //
	GID    int    `json:"gid,omitempty"`    //
	Size   int64  `json:"size,omitempty"`   // bytes of a regular file
	SHA256 string `json:"sha256,omitempty"` // hex, of a regular file or of what a hard link names
	Link   string `json:"link,omitempty"`   // target of a symlink, or path that a hard link names
}

// FileList is what a layer, or an image, holds, sorted by path.
type FileList []Entry

// Whiteout reports whether the entry removes something from a lower layer.
func (e Entry) Whiteout() bool { return strings.HasPrefix(path.Base(e.Path), whiteoutPrefix) }

// Dir reports whether the entry is a directory.
func (e Entry) Dir() bool { return e.Type == tar.TypeDir }

// Find returns the entry of a path.
func (l FileList) Find(p string) (Entry, bool) {
	i := sort.Search(len(l), func(i int) bool { return l[i].Path >= p })
	if i < len(l) && l[i].Path == p {
		return l[i], true
	}
	return Entry{}, false
}

// Size returns the bytes of all regular files.
func (l FileList) Size() int64 {
	var n int64
	for _, e := range l {
		n += e.Size
	}
	return n
}

// ListLayer reads a layer and lists what it holds. Whiteouts are listed as the
// entries they are; of a path that comes twice, the last counts.
func ListLayer(l v1.Layer) (FileList, error) {
	rc, err := l.Uncompressed()
	if err != nil {
		return nil, fmt.Errorf("opening a layer: %w", err)
	}
	defer rc.Close()
	list, err := ListTar(rc)
	if err != nil {
		return nil, err
	}
	// The rest of the stream is read, so that a layer that verifies its digest
	// on the last byte gets to do so.
	if _, err := io.Copy(io.Discard, rc); err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return list, nil
}

// ListTar lists what an uncompressed tar holds, as ListLayer does.
func ListTar(r io.Reader) (FileList, error) {
	byPath := map[string]Entry{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading a layer's tar: %w", err)
		}
		p := clean(h.Name)
		if p == "" || h.Typeflag == tar.TypeXGlobalHeader {
			continue // the root itself
		}
		e := Entry{Path: p, Type: h.Typeflag, Mode: h.Mode & 0o7777, UID: h.Uid, GID: h.Gid}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse, 0: // 0 is how old tars say regular
			e.Type = tar.TypeReg
			sum := sha256.New()
			if e.Size, err = io.Copy(sum, tr); err != nil {
				return nil, fmt.Errorf("reading %s in a layer's tar: %w", p, err)
			}
			e.SHA256 = hex.EncodeToString(sum.Sum(nil))
		case tar.TypeSymlink:
			e.Link = h.Linkname
		case tar.TypeLink:
			e.Link = clean(h.Linkname)
			to := byPath[e.Link]
			e.SHA256 = to.SHA256 // the bytes count once, at the path that is named
		}
		byPath[p] = e
	}
	return sorted(byPath), nil
}

// Merge lays lists over one another, bottom up, the way a container sees them:
// later entries win and whiteouts take effect.
func Merge(lists ...FileList) FileList {
	t := tree{}
	for _, l := range lists {
		t.overlay("", l)
	}
	byPath := make(map[string]Entry, len(t))
	for p, n := range t {
		if !n.implied {
			byPath[p] = n.Entry
		}
	}
	return sorted(byPath)
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func sorted(byPath map[string]Entry) FileList {
	l := make(FileList, 0, len(byPath))
	for _, e := range byPath {
		l = append(l, e)
	}
	sort.Slice(l, func(i, j int) bool { return l[i].Path < l[j].Path })
	return l
}

package image

import (
	"archive/tar"
	"fmt"
	"path"
	"sort"
	"strings"
)

// tree is what a container sees of the layers laid so far, by path.
type tree map[string]*node

type node struct {
	Entry
	owner   string
	implied bool // a directory that no layer names, but that a path goes through
}

// overlay lays a layer of the chain: it may replace and remove what is below.
func (t tree) overlay(owner string, l FileList) {
	gone := map[string]bool{}   // paths that go, with what they hold
	opaque := map[string]bool{} // directories whose content goes
	for _, e := range l {
		dir, base := path.Split(e.Path)
		dir = strings.TrimSuffix(dir, "/")
		switch {
		case base == whiteoutOpaque:
			opaque[dir] = true
		case e.Whiteout():
			gone[path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix))] = true
		case !e.Dir():
			if n, ok := t[e.Path]; ok && n.Dir() {
				gone[e.Path] = true
			}
		}
	}
	if len(gone)+len(opaque) > 0 {
		for p := range t {
			remove := gone[p]
			parents(p, func(parent string) bool {
				remove = remove || gone[parent] || opaque[parent]
				return !remove
			})
			if remove || opaque[""] {
				delete(t, p)
			}
		}
	}
	for _, e := range l {
		if e.Whiteout() {
			continue
		}
		t.imply(owner, e.Path)
		o := owner
		if n, ok := t[e.Path]; ok && n.Dir() && e.Dir() && !n.implied {
			o = n.owner // whoever made a directory keeps it
		}
		t[e.Path] = &node{Entry: e, owner: o}
	}
}

func (t tree) imply(owner, p string) {
	parents(p, func(parent string) bool {
		if _, ok := t[parent]; !ok {
			t[parent] = &node{Entry: Entry{Path: parent, Type: tar.TypeDir}, owner: owner, implied: true}
		}
		return true
	})
}

// link lays a linked layer, which must change nothing that is there. It
// returns every conflict, in the order of the list.
func (t tree) link(owner string, l FileList) []*Conflict {
	var all []*Conflict
	conflict := func(p, other, why string, args ...any) {
		all = append(all, &Conflict{Path: p, Owners: [2]string{other, owner}, Why: fmt.Sprintf(why, args...)})
	}
	for _, e := range l {
		if why := e.forbidden(t[e.Path]); why != "" {
			conflict(e.Path, owner, "%s", why)
			continue
		}
		if n := t.crossed(e.Path); n != nil {
			if n.Type == tar.TypeSymlink {
				conflict(e.Path, n.owner, "the path goes through the symlink %s -> %s", n.Path, n.Link)
			} else {
				conflict(e.Path, n.owner, "the path goes through %s, which is no directory", n.Path)
			}
			continue
		}
		t.imply(owner, e.Path)
		n, exists := t[e.Path]
		if !exists || n.implied && e.Dir() {
			t[e.Path] = &node{Entry: e, owner: owner}
			continue
		}
		if why := differ(n.Entry, e); why != "" {
			conflict(e.Path, n.owner, "%s", why)
		}
	}
	return all
}

// crossed returns the first parent of a path that is no directory.
func (t tree) crossed(p string) (found *node) {
	parents(p, func(parent string) bool {
		if n, ok := t[parent]; ok && !n.Dir() {
			found = n
		}
		return found == nil
	})
	return found
}

// forbidden says what no linked layer may hold. below is what is at the path.
func (e Entry) forbidden(below *node) string {
	if e.Whiteout() {
		return "a linked layer must not remove anything (whiteout)"
	}
	switch e.Type {
	case tar.TypeReg, tar.TypeLink, tar.TypeDir, tar.TypeSymlink:
	case tar.TypeChar, tar.TypeBlock:
		return "a linked layer must not hold a device node"
	case tar.TypeFifo:
		return "a linked layer must not hold a fifo"
	default:
		return fmt.Sprintf("a linked layer must not hold a tar entry of type %q", e.Type)
	}
	// A directory may repeat the bits of the one below it; see LayerOptions.
	if e.Mode&0o6000 != 0 && e.Type != tar.TypeSymlink && !(e.Dir() && below != nil && below.Dir() && below.Mode == e.Mode) {
		return "a linked layer must not hold anything setuid or setgid"
	}
	return ""
}

// differ says how two entries for one path differ, or nothing if they agree.
func differ(a, b Entry) string {
	if a.Type == tar.TypeLink { // the same bytes, however they are stored
		a.Type, a.Link = tar.TypeReg, ""
	}
	if b.Type == tar.TypeLink {
		b.Type, b.Link = tar.TypeReg, ""
	}
	switch {
	case a.Type != b.Type:
		return fmt.Sprintf("one has a %s there, the other a %s", noun(a.Type), noun(b.Type))
	case a.Type == tar.TypeSymlink:
		if a.Link != b.Link {
			return fmt.Sprintf("one links to %s, the other to %s", a.Link, b.Link)
		}
		return ""
	case a.SHA256 != b.SHA256, a.Type == tar.TypeReg && a.SHA256 == "":
		return "the content differs"
	case a.Mode != b.Mode:
		return fmt.Sprintf("the mode differs: %#o and %#o", a.Mode, b.Mode)
	case a.UID != b.UID || a.GID != b.GID:
		return fmt.Sprintf("the owner differs: %d:%d and %d:%d", a.UID, a.GID, b.UID, b.GID)
	}
	return ""
}

func noun(typ byte) string {
	switch typ {
	case tar.TypeReg:
		return "file"
	case tar.TypeDir:
		return "directory"
	case tar.TypeSymlink:
		return "symlink"
	default:
		return "special file"
	}
}

func (t tree) paths() []string {
	ps := make([]string, 0, len(t))
	for p := range t {
		ps = append(ps, p)
	}
	sort.Strings(ps)
	return ps
}

package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Retention says what gc keeps beside names, pins and what builds under way use.
type Retention struct {
	// Runs is how many of the last runs keep all that they needed.
	Runs int `json:"runs"`
	// Quota is how many bytes the store may have; runs are given up for it, the
	// oldest first. 0 is no limit.
	Quota int64 `json:"quota,omitempty"`
	// DryRun only says what would go.
	DryRun bool `json:"dryRun,omitempty"`
}

// Collected is what gc did, or would do.
type Collected struct {
	Kept    Amount   `json:"kept"`
	Freed   Amount   `json:"freed"`
	Removed []string `json:"removed"`          // tags of records, sorted
	Runs    []int    `json:"runs"`             // that are given up
	Builds  int      `json:"builds,omitempty"` // processes that write just now
	Over    int64    `json:"over,omitempty"`   // bytes that names, pins and builds alone have above the quota
}

// Amount is what a part of the store comes to.
type Amount struct {
	Names   int   `json:"names"`
	Records int   `json:"records"`
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
}

// sweep is one collection. The server's index lock and the survey lock are held.
type sweep struct {
	folder  *folder
	idx     v1.IndexManifest
	byTag   map[string]v1.Descriptor
	lists   map[string]v1.Descriptor // of referrers, by the subject's hex
	files   map[string]fs.FileInfo   // blobs that there are, by hex
	kept    map[string]bool
	parsed  map[string]bool // kept, and what it names too
	bytes   int64
	pending []v1.Descriptor
}

func newSweep(f *folder) (*sweep, error) {
	w := &sweep{
		folder: f, byTag: map[string]v1.Descriptor{}, lists: map[string]v1.Descriptor{},
		files: map[string]fs.FileInfo{}, kept: map[string]bool{}, parsed: map[string]bool{},
	}
	var err error
	if w.idx, err = f.index(); err != nil {
		return nil, err
	}
	for _, d := range w.idx.Manifests {
		if tag := d.Annotations[annotationTag]; tag != "" {
			w.byTag[tag] = d
		}
		if h, err := v1.NewHash(d.Annotations[annotationSubject]); err == nil {
			w.lists[h.Hex] = d
		}
	}
	entries, err := os.ReadDir(f.blobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			w.files[e.Name()] = info
		}
	}
	return w, nil
}

// tag keeps what has a tag, if anything has.
func (w *sweep) tag(tag string) {
	if d, ok := w.byTag[tag]; ok {
		w.keep(d)
	}
}

// keep keeps a manifest and all that it leads to.
func (w *sweep) keep(d v1.Descriptor) {
	w.pending = append(w.pending, d)
	for len(w.pending) > 0 {
		d := w.pending[len(w.pending)-1]
		w.pending = w.pending[:len(w.pending)-1]
		w.blob(d.Digest.Hex)
		if w.parsed[d.Digest.Hex] {
			continue
		}
		w.parsed[d.Digest.Hex] = true
		m, err := w.folder.manifest(d.Digest.Hex)
		if err != nil {
			continue // damaged or gone: verify says so
		}
		for _, p := range append(m.Layers, deref(m.Config)...) {
			w.blob(p.Digest.Hex)
			w.list(p.Annotations[annotationDiffID])
		}
		if m.Config != nil && isImageConfig(string(m.Config.MediaType)) {
			for _, id := range w.diffIDs(m.Config.Digest.Hex) {
				w.list(id.String())
			}
		}
		w.pending = append(append(w.pending, m.Manifests...), deref(m.Subject)...)
		if l, ok := w.lists[d.Digest.Hex]; ok {
			w.pending = append(w.pending, l)
		}
	}
}

// list keeps the file list of a layer, and what is installed in it.
func (w *sweep) list(diffID string) {
	h, err := v1.NewHash(diffID)
	if err != nil {
		return
	}
	for _, kind := range []Kind{Files, Packages} {
		if d, ok := w.byTag[string(kind)+"-"+h.Hex]; ok {
			w.pending = append(w.pending, d)
		}
	}
}

func (w *sweep) blob(hex string) {
	info, there := w.files[hex]
	if there && !w.kept[hex] {
		w.bytes += info.Size()
	}
	w.kept[hex] = true
}

func (w *sweep) diffIDs(hex string) []v1.Hash {
	raw, err := os.ReadFile(w.folder.blob(hex))
	if err != nil {
		return nil
	}
	var cfg v1.ConfigFile
	if json.Unmarshal(raw, &cfg) != nil {
		return nil
	}
	return cfg.RootFS.DiffIDs
}

func deref(d *v1.Descriptor) []v1.Descriptor {
	if d == nil {
		return nil
	}
	return []v1.Descriptor{*d}
}

// gc removes what nothing keeps.
func (f *folder) gc(o Retention, runs []RunInfo, leases map[string]time.Time, pins []string, now time.Time) (Collected, error) {
	w, err := newSweep(f)
	if err != nil {
		return Collected{}, err
	}
	c := Collected{Builds: len(leases), Removed: []string{}, Runs: []int{}}
	for tag := range w.byTag {
		if _, record := parseTag(tag); !record || slices.Contains(pins, tag) {
			w.tag(tag)
		}
	}
	recent := w.recent(leases, now)
	for _, d := range w.idx.Manifests {
		if recent(d.Digest.Hex) {
			w.keep(d)
		}
	}
	var last []RunInfo
	for _, r := range runs {
		if r.Live || slices.Contains(pins, RunName(r.ID)) {
			for _, tag := range r.Records {
				w.tag(tag)
			}
			continue
		}
		last = append(last, r)
	}
	for hex := range w.files {
		if recent(hex) {
			w.blob(hex)
		}
	}
	if o.Quota > 0 {
		c.Over = max(0, w.bytes-o.Quota)
	}
	slices.SortFunc(last, func(a, b RunInfo) int { return cmp.Compare(b.ID, a.ID) })
	room := c.Over == 0
	for i, r := range last {
		if room = room && i < o.Runs; !room {
			c.Runs = append(c.Runs, r.ID)
			continue
		}
		before := *w
		before.kept, before.parsed = maps.Clone(w.kept), maps.Clone(w.parsed)
		for _, tag := range r.Records {
			w.tag(tag)
		}
		if o.Quota > 0 && w.bytes > o.Quota {
			*w, room = before, false
			c.Runs = append(c.Runs, r.ID)
		}
	}
	slices.Sort(c.Runs)
	return c, w.remove(o, &c)
}

// recent tells what was written, or asked for, since the oldest of the processes
// began that write now. Where the clock went back meanwhile, that is everything.
func (w *sweep) recent(leases map[string]time.Time, now time.Time) func(hex string) bool {
	if len(leases) == 0 {
		return func(string) bool { return false }
	}
	oldest := slices.MinFunc(slices.Collect(maps.Values(leases)), time.Time.Compare)
	return func(hex string) bool {
		info, there := w.files[hex]
		return there && (now.Before(oldest) || !info.ModTime().Before(oldest))
	}
}

// remove takes away what is not kept: out of the index first, so that a killed
// gc leaves blobs that nobody misses.
func (w *sweep) remove(o Retention, c *Collected) error {
	idx := w.idx
	idx.Manifests = nil
	for _, d := range w.idx.Manifests {
		tag := d.Annotations[annotationTag]
		_, record := parseTag(tag)
		amount := &c.Freed
		if w.kept[d.Digest.Hex] {
			amount = &c.Kept
			idx.Manifests = append(idx.Manifests, d)
		}
		switch {
		case record:
			amount.Records++
			if amount == &c.Freed {
				c.Removed = append(c.Removed, tag)
			}
		case tag != "":
			amount.Names++
		}
	}
	slices.Sort(c.Removed)
	var gone []string
	for hex, info := range w.files {
		amount := &c.Freed
		if w.kept[hex] {
			amount = &c.Kept
		} else {
			gone = append(gone, hex)
		}
		amount.Blobs++
		amount.Bytes += info.Size()
	}
	if o.DryRun {
		return nil
	}
	if len(idx.Manifests) != len(w.idx.Manifests) {
		if err := w.folder.writeIndex(idx); err != nil {
			return err
		}
	}
	for _, hex := range gone {
		if err := os.Remove(w.folder.blob(hex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, id := range c.Runs {
		if err := os.Remove(filepath.Join(w.folder.dir, runsDir, runFile(id))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

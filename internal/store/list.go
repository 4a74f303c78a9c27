package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Entry is a name or a record in a listing.
type Entry struct {
	Tag    string `json:"tag"`
	Kind   Kind   `json:"kind,omitempty"` // empty for a name
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // of the manifest and all that it names, shared or not
	Pinned bool   `json:"pinned,omitempty"`
}

// Contents is what a store holds.
type Contents struct {
	Names   []Entry   `json:"names"`
	Records []Entry   `json:"records"`
	Runs    []RunInfo `json:"-"`
	Pins    []string  `json:"pins,omitempty"`
	Blobs   int       `json:"blobs,omitempty"` // of the embedded store, manifests too
	Bytes   int64     `json:"bytes,omitempty"`
}

// List lists what the store holds, by tag; runs the oldest first.
func (s *Store) List(ctx context.Context) (Contents, error) {
	c := Contents{Names: []Entry{}, Records: []Entry{}}
	if s.embedded != nil {
		if err := s.listFolder(&c); err != nil {
			return c, fmt.Errorf("listing the store: %w", err)
		}
	}
	tags, err := s.Tags(ctx)
	if err != nil {
		return c, err
	}
	slices.Sort(tags)
	entries := make([]*Entry, len(tags))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * transfers)
	for i, t := range tags {
		g.Go(func() (err error) {
			entries[i], err = s.entry(gctx, t)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return c, err
	}
	for _, e := range entries {
		switch {
		case e == nil, strings.HasPrefix(e.Tag, "sha256-"), // a list of referrers where a registry lacks the API
			strings.HasPrefix(e.Tag, "log-"): // of what was published
			continue
		case e.Kind == "":
			e.Pinned = slices.Contains(c.Pins, e.Tag)
			c.Names = append(c.Names, *e)
		default:
			e.Pinned = slices.Contains(c.Pins, e.Tag)
			c.Records = append(c.Records, *e)
		}
	}
	return c, nil
}

// entry reads what a tag has; nil if it is gone.
func (s *Store) entry(ctx context.Context, tag string) (*Entry, error) {
	d, err := s.get(ctx, s.repo.Tag(tag))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &Entry{Tag: tag, Digest: d.Digest.String(), Size: d.Size}
	if r, ok := parseTag(tag); ok {
		e.Kind = r.Kind
	}
	m, err := readManifest(d.Manifest)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	once := map[string]bool{}
	for _, p := range m.parts() {
		if !once[p.Digest.Hex] {
			once[p.Digest.Hex] = true
			e.Size += p.Size
		}
	}
	return e, nil
}

func (s *Store) listFolder(c *Contents) error {
	var err error
	if c.Runs, err = s.embedded.runs(); err != nil {
		return err
	}
	if c.Pins, err = s.embedded.pins(); err != nil {
		return err
	}
	files, err := os.ReadDir(s.embedded.folder.blobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			c.Blobs++
			c.Bytes += info.Size()
		}
	}
	return nil
}

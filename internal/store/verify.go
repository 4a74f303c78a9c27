package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/image"
)

// Verified is what Verify found.
type Verified struct {
	Records  int       `json:"records"`
	Names    int       `json:"names"`
	Blobs    int       `json:"blobs"` // manifests too
	Bytes    int64     `json:"bytes"`
	Problems []Problem `json:"problems"`
	Removed  []string  `json:"removed,omitempty"` // tags of what was repaired
}

// Problem is something that is not as a record says.
type Problem struct {
	Record string `json:"record"` // tag or digest of what needs it; "" for a blob that nothing needs
	Digest string `json:"digest"` // of what is missing or damaged
	What   string `json:"what"`   // for people
}

// VerifyOptions say how thoroughly to look and what to do about it.
type VerifyOptions struct {
	// Quick asks whether blobs are there, with the right size, and reads none.
	Quick bool
	// Repair removes what is damaged from the embedded store, and the records that
	// are not whole without it: the next build makes them again.
	Repair bool
}

// Verify checks that every record's blobs are there with their digests, and that
// every referrer has its subject.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (Verified, error) {
	v := &verifier{store: s, options: o, seen: map[string]*look{}, manifests: map[string]manifest{}}
	if o.Repair && s.embedded == nil {
		return Verified{}, &Mistake{"only the embedded store can be repaired: push to the registry again what it has lost"}
	}
	err := v.run(ctx)
	slices.SortFunc(v.found.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Record, b.Record), strings.Compare(a.Digest, b.Digest), strings.Compare(a.What, b.What))
	})
	if err != nil {
		return v.found, fmt.Errorf("verifying the store: %w", err)
	}
	if o.Repair && len(v.found.Problems) > 0 {
		v.found.Removed, err = s.repair(ctx, v.damaged)
	}
	return v.found, err
}

type verifier struct {
	store   *Store
	options VerifyOptions
	found   Verified

	mu        sync.Mutex
	seen      map[string]*look // by the digest's hex
	manifests map[string]manifest
	damaged   []string // hex digests of blobs that are there with other content
}

// look is what was found out about a blob, by the first who needed it.
type look struct {
	done chan struct{} // closed when it was
	what string        // what is wrong with it
}

func (v *verifier) run(ctx context.Context) error {
	v.found.Problems = []Problem{}
	entries, err := v.entries(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for _, d := range entries {
		tag := d.Annotations[annotationTag]
		if _, record := parseTag(tag); record {
			v.found.Records++
		} else if tag != "" {
			v.found.Names++
		}
		g.Go(func() error { return v.manifest(gctx, label(d), d, 0) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if v.store.embedded == nil || v.options.Quick {
		return nil
	}
	// A blob that no record needs yet is taken for good by the next one that does.
	f := v.store.embedded.folder
	files, err := os.ReadDir(f.blobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range files {
		if v.seen[e.Name()] != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // gc took it
		}
		if _, err := v.blob(ctx, "", v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: e.Name()}, Size: info.Size()}); err != nil {
			return err
		}
	}
	return nil
}

// entries are the manifests to begin with.
func (v *verifier) entries(ctx context.Context) ([]v1.Descriptor, error) {
	if v.store.embedded != nil {
		idx, err := v.store.embedded.folder.index()
		return idx.Manifests, err
	}
	tags, err := v.store.Tags(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]v1.Descriptor, len(tags))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i, t := range tags {
		g.Go(func() error {
			d, err := v.store.puller.Head(gctx, v.store.repo.Tag(t))
			if err != nil {
				return v.store.explain("looking up "+t, err)
			}
			out[i] = *d
			out[i].Annotations = map[string]string{annotationTag: t}
			return nil
		})
	}
	return out, g.Wait()
}

func label(d v1.Descriptor) string {
	for _, a := range []string{annotationTag, annotationSubject} {
		if v := d.Annotations[a]; v != "" {
			return v
		}
	}
	return d.Digest.String()
}

func (v *verifier) problem(record string, h v1.Hash, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found.Problems = append(v.found.Problems, Problem{Record: record, Digest: h.String(), What: what})
}

// manifest checks a manifest and what it names. depth ends a circle of them.
func (v *verifier) manifest(ctx context.Context, record string, d v1.Descriptor, depth int) error {
	if depth > 4 {
		return nil
	}
	if what, err := v.blob(ctx, record, d); err != nil || what != "" {
		return err
	}
	m, known := v.parsed(d.Digest.Hex)
	if !known {
		raw, err := v.read(ctx, d)
		if err != nil {
			return err
		}
		if m, err = readManifest(raw); err != nil {
			v.problem(record, d.Digest, "is no manifest")
			return nil
		}
		v.mu.Lock()
		v.manifests[d.Digest.Hex] = m
		v.mu.Unlock()
	}
	for _, p := range append(append([]v1.Descriptor(nil), m.Layers...), deref(m.Config)...) {
		if _, err := v.blob(ctx, record, p); err != nil {
			return err
		}
	}
	for _, child := range m.Manifests {
		if err := v.manifest(ctx, record, child, depth+1); err != nil {
			return err
		}
	}
	if m.Subject != nil {
		_, err := v.blob(ctx, record, *m.Subject)
		return err
	}
	return nil
}

func (v *verifier) parsed(hex string) (manifest, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := v.manifests[hex]
	return m, ok
}

// blob checks a blob, once, and gives what is wrong with it; everybody who needs a
// bad one is named.
func (v *verifier) blob(ctx context.Context, record string, d v1.Descriptor) (what string, err error) {
	v.mu.Lock()
	l, other := v.seen[d.Digest.Hex]
	if !other {
		l = &look{done: make(chan struct{})}
		v.seen[d.Digest.Hex] = l
	}
	v.mu.Unlock()
	if other {
		<-l.done
		if l.what != "" {
			v.problem(record, d.Digest, l.what)
		}
		return l.what, nil
	}
	defer close(l.done)
	size, what, err := v.check(ctx, d)
	if err != nil {
		return "", err
	}
	l.what = what
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found.Blobs++
	v.found.Bytes += size
	if what == "" {
		return "", nil
	}
	v.found.Problems = append(v.found.Problems, Problem{Record: record, Digest: d.Digest.String(), What: what})
	if what != missing {
		v.damaged = append(v.damaged, d.Digest.Hex)
	}
	return what, nil
}

const missing = "is missing"

// check looks at one blob or manifest and says what is wrong with it.
func (v *verifier) check(ctx context.Context, d v1.Descriptor) (size int64, what string, err error) {
	if e := v.store.embedded; e != nil {
		info, err := os.Stat(e.folder.blob(d.Digest.Hex))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, missing, nil
		}
		if err != nil {
			return 0, "", err
		}
		if info.Size() != d.Size {
			return info.Size(), fmt.Sprintf("has %d bytes instead of %d", info.Size(), d.Size), nil
		}
		if v.options.Quick {
			return info.Size(), "", nil
		}
		got, err := hashFile(e.folder.blob(d.Digest.Hex))
		if err == nil && got != d.Digest.Hex {
			what = "is damaged: its content is sha256:" + got
		}
		return info.Size(), what, err
	}
	if isManifest(d.MediaType) {
		_, err := v.read(ctx, d)
		return v.remote(d, err)
	}
	if v.options.Quick {
		l, err := v.store.puller.Layer(ctx, v.store.repo.Digest(d.Digest.String()))
		if err == nil {
			_, err = l.Size()
		}
		if err != nil {
			err = v.store.explain("looking up "+d.Digest.String(), err)
		}
		return v.remote(d, err)
	}
	rc, err := v.store.blob(ctx, d.Digest)
	if err == nil {
		_, err = io.Copy(io.Discard, rc)
		err = errors.Join(err, rc.Close())
	}
	return v.remote(d, err)
}

// remote tells what a registry lacks from a registry that does not answer.
func (v *verifier) remote(d v1.Descriptor, err error) (int64, string, error) {
	switch {
	case err == nil:
		return d.Size, "", nil
	case isNotFound(err) || errors.Is(err, ErrNotFound):
		return 0, missing, nil
	case image.IsOtherBytes(err):
		return 0, "is damaged: " + err.Error(), nil
	}
	return 0, "", err
}

func (v *verifier) read(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if e := v.store.embedded; e != nil {
		return os.ReadFile(e.folder.blob(d.Digest.Hex))
	}
	got, err := v.store.get(ctx, v.store.repo.Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	return got.Manifest, nil
}

func isManifest(mt types.MediaType) bool { return mt.IsImage() || mt.IsIndex() }

// repair removes damaged blobs and every record that is not whole, until all are.
func (f *folder) repair(damaged []string) ([]string, error) {
	for _, hex := range damaged {
		got, err := hashFile(f.blob(hex))
		if err != nil || got == hex {
			continue // it was made again meanwhile
		}
		if err := os.Remove(f.blob(hex)); err != nil {
			return nil, err
		}
	}
	idx, err := f.index()
	if err != nil {
		return nil, err
	}
	removed := []string{}
	for again := true; again; {
		again = false
		there := map[string]bool{}
		for _, d := range idx.Manifests {
			there[d.Digest.Hex] = true
			if m, err := f.manifest(d.Digest.Hex); err == nil {
				for _, child := range m.Manifests {
					there[child.Digest.Hex] = true
				}
			}
		}
		var keep []v1.Descriptor
		for _, d := range idx.Manifests {
			if d.Annotations[annotationSubject] != "" {
				d = f.mendList(d)
			}
			if f.complete(d, there) {
				keep = append(keep, d)
				continue
			}
			removed, again = append(removed, label(d)), true
		}
		idx.Manifests = keep
	}
	slices.Sort(removed)
	return removed, f.writeIndex(idx)
}

// complete reports whether a manifest, its parts and its subject are there.
func (f *folder) complete(d v1.Descriptor, there map[string]bool) bool {
	m, err := f.manifest(d.Digest.Hex)
	if err != nil || m.Subject != nil && !there[m.Subject.Digest.Hex] {
		return false
	}
	for _, p := range m.parts() {
		if info, err := os.Stat(f.blob(p.Digest.Hex)); err != nil || info.Size() != p.Size {
			return false
		}
	}
	return d.Annotations[annotationSubject] == "" || len(m.Manifests) > 0
}

// mendList leaves out of a list of referrers what is not whole.
func (f *folder) mendList(d v1.Descriptor) v1.Descriptor {
	raw, err := os.ReadFile(f.blob(d.Digest.Hex))
	if err != nil {
		return d
	}
	var list v1.IndexManifest
	if json.Unmarshal(raw, &list) != nil {
		return d
	}
	before := len(list.Manifests)
	list.Manifests = slices.DeleteFunc(list.Manifests, func(c v1.Descriptor) bool {
		m, err := f.manifest(c.Digest.Hex)
		if err != nil {
			return true
		}
		return slices.ContainsFunc(m.names(), func(hex string) bool { _, err := os.Stat(f.blob(hex)); return err != nil })
	})
	if len(list.Manifests) == before {
		return d
	}
	if raw, err = json.Marshal(list); err != nil {
		return d
	}
	h, size, err := v1.SHA256(strings.NewReader(string(raw)))
	if err != nil || writeAtomic(f.blob(h.Hex), raw, 0o644) != nil {
		return d
	}
	d.Digest, d.Size = h, size
	return d
}

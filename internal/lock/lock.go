// Package lock resolves what a catalog names loosely, and writes jetcrate.lock.
//
// A base image by tag becomes a digest, a git tag or branch a commit, an address
// the SHA-256 of what is there, the requirements of a step that installs from a
// Python index a closed set of name==version with the hashes of wheels. An entry
// says who names it. What cannot be reached keeps the entry that it has, or stays
// unlocked, with the reason. Nothing is resolved that has an entry already unless
// its kind is to be updated, so that a second run changes no byte.
//
// Drift is the other direction: what a plan names and the lock does not have, and
// what the lock has and nothing names.
package lock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Kind is a section of the lock.
type Kind string

const (
	Apt       Kind = "apt"
	Bases     Kind = "bases"
	Refs      Kind = "refs"
	Downloads Kind = "downloads"
	Python    Kind = "python"
)

// Kinds are all of them, in the order of the file.
func Kinds() []Kind { return []Kind{Bases, Apt, Refs, Downloads, Python} }

// Options of Update.
type Options struct {
	// Packages whose steps are looked at; none means all, and the bases and the
	// apt epochs too.
	Packages []string
	// Update are the kinds that are resolved again; none means that only what has
	// no entry is resolved, of every kind but Python.
	Update []Kind
	// Today is the apt epoch of what gets one: 2026-11-25.
	Today string
	// Index is what Python requirements are resolved from: an address as pip's
	// --index-url takes it, or a folder of wheels. Empty is as pip is set up.
	Index string
	// Prune removes entries that nothing names.
	Prune bool

	Sources Sources
	// Say tells what is being done; it may be nil.
	Say func(string)
}

// Sources reach what is named. Reach gives the real ones.
type Sources struct {
	Digest   func(ctx context.Context, image string) (string, error)
	Commit   func(ctx context.Context, repository, ref string) (commit, from string, err error)
	Download func(ctx context.Context, url string) (sha256 string, size int64, err error)
	Pip      func(ctx context.Context, r Resolve) ([]Distribution, error)
}

// Outcome is what became of one thing.
type Outcome struct {
	Kind    Kind          `json:"kind"`
	What    string        `json:"what"`
	Status  Status        `json:"status"`
	Value   string        `json:"value,omitempty"`  // digest, commit, hash, epoch
	Before  string        `json:"before,omitempty"` // where it changed
	Reason  string        `json:"reason,omitempty"` // why it is unlocked, or could not be updated
	Because diag.Position `json:"because"`
}

// Status is what became of a thing.
type Status string

const (
	Kept     Status = "kept"
	Added    Status = "added"
	Changed  Status = "changed"
	Unlocked Status = "unlocked" // it has no entry, for a reason
	Stale    Status = "stale"    // it keeps its entry, for a reason
	// Unlockable is what no lock can have: what is installed follows from files
	// that only the build sees.
	Unlockable Status = "unlockable"
	Unused     Status = "unused"  // nothing names it
	Removed    Status = "removed" // nothing named it
)

// update is one run of Update.
type update struct {
	Options
	cat *spec.Catalog

	mu       sync.Mutex
	lock     spec.Lock
	outcomes []Outcome
	down     map[string]string // hosts that do not answer, and why
	answers  map[string]answer // of pip
}

// Update resolves what is loose. The lock that it gives is sorted; the outcomes
// are too, by kind and name.
func Update(ctx context.Context, cat *spec.Catalog, loose []plan.Loose, o Options) (*spec.Lock, []Outcome, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	u := &update{Options: o, cat: cat, lock: clone(cat.Lock), down: map[string]string{}, answers: map[string]answer{}}
	if len(o.Packages) == 0 {
		u.apt()
	}
	var g errgroup.Group
	g.SetLimit(4)
	for i := range loose {
		l := &loose[i]
		if l.Python != nil || !u.concerns(l) {
			continue
		}
		g.Go(func() error { return u.one(ctx, l) })
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	if err := u.python(ctx, loose); err != nil {
		return nil, nil, err
	}
	if len(o.Packages) == 0 {
		u.unused(loose)
	}
	sortLock(&u.lock)
	slices.SortFunc(u.outcomes, func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds(), a.Kind), slices.Index(Kinds(), b.Kind)), cmp.Compare(a.What, b.What))
	})
	return &u.lock, u.outcomes, nil
}

// concerns reports whether a thing is of the packages asked for.
func (u *update) concerns(l *plan.Loose) bool {
	return len(u.Packages) == 0 || slices.Contains(u.Packages, l.Package)
}

// wants reports whether a thing of a kind is to be resolved.
func (u *update) wants(k Kind, has bool) bool {
	if len(u.Update) > 0 {
		return slices.Contains(u.Update, k)
	}
	return !has
}

func (u *update) note(o Outcome) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.outcomes = append(u.outcomes, o)
}

// apt gives every OS of the matrix an epoch.
func (u *update) apt() {
	seen := map[string]bool{}
	for i := range u.cat.Matrix.Platforms {
		p := &u.cat.Matrix.Platforms[i]
		os := p.OS.ID + " " + p.OS.Version
		if seen[os] {
			continue
		}
		seen[os] = true
		because := p.Pos.Pos("os")
		at := slices.IndexFunc(u.lock.Apt, func(a spec.LockedApt) bool { return a.OS == os })
		o := Outcome{Kind: Apt, What: os, Because: because}
		switch {
		case !u.wants(Apt, at >= 0):
			if at < 0 {
				continue
			}
			o.Status, o.Value = Kept, u.lock.Apt[at].Epoch
		case at < 0:
			u.lock.Apt = append(u.lock.Apt, spec.LockedApt{OS: os, Epoch: u.Today, Because: place(because)})
			o.Status, o.Value = Added, u.Today
		case u.lock.Apt[at].Epoch == u.Today:
			o.Status, o.Value = Kept, u.Today
		default:
			o.Status, o.Value, o.Before = Changed, u.Today, u.lock.Apt[at].Epoch
			u.lock.Apt[at].Epoch = u.Today
		}
		u.note(o)
	}
}

// one resolves a base, a ref or a download. Only a run that is interrupted is
// an error.
func (u *update) one(ctx context.Context, l *plan.Loose) error {
	o := Outcome{Because: l.Pos}
	var resolve func() (value string, set func(), err error)
	has := ""
	var host string
	because := place(l.Pos)
	u.mu.Lock()
	switch {
	case l.Image != "":
		o.Kind, o.What, host = Bases, l.Image, registryOf(l.Image)
		for _, b := range u.lock.Bases {
			if b.Image == l.Image {
				has = b.Digest
			}
		}
		resolve = func() (string, func(), error) {
			digest, err := u.Sources.Digest(ctx, l.Image)
			e := spec.LockedBase{Image: l.Image, Digest: digest, Because: because}
			return digest, func() { u.lock.Bases = put(u.lock.Bases, e, func(b spec.LockedBase) string { return b.Image }) }, err
		}
	case l.Repository != "":
		o.Kind, o.What, host = Refs, l.Repository+" "+l.Ref, hostOf(l.Repository)
		for _, r := range u.lock.Refs {
			if r.Repository == l.Repository && r.Ref == l.Ref {
				has = r.Commit
			}
		}
		resolve = func() (string, func(), error) {
			commit, from, err := u.Sources.Commit(ctx, l.Repository, l.Ref)
			e := spec.LockedRef{Repository: l.Repository, Ref: l.Ref, Commit: commit, From: from, Because: because}
			return commit, func() {
				u.lock.Refs = put(u.lock.Refs, e, func(r spec.LockedRef) string { return r.Repository + "\n" + r.Ref })
			}, err
		}
	default:
		o.Kind, o.What, host = Downloads, l.URL, hostOf(l.URL)
		for _, d := range u.lock.Downloads {
			if d.URL == l.URL {
				has = d.SHA256
			}
		}
		resolve = func() (string, func(), error) {
			sum, size, err := u.Sources.Download(ctx, l.URL)
			e := spec.LockedDownload{URL: l.URL, SHA256: sum, Size: size, Because: because}
			return sum, func() {
				u.lock.Downloads = put(u.lock.Downloads, e, func(d spec.LockedDownload) string { return d.URL })
			}, err
		}
	}
	down := u.down[host]
	u.mu.Unlock()
	if !u.wants(o.Kind, has != "") {
		if has != "" {
			o.Status, o.Value = Kept, has
			u.note(o)
		}
		return nil
	}
	var value string
	var set func()
	var err error
	if down != "" {
		err = errors.New(down)
	} else {
		u.Say("resolving " + o.What)
		value, set, err = resolve()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var away *Unreachable
	if errors.As(err, &away) && host != "" {
		u.down[host] = host + " does not answer: " + away.Why
	}
	switch {
	case err != nil:
		o.Status, o.Value, o.Reason = Unlocked, has, err.Error()
		if has != "" {
			o.Status = Stale
		}
	case has == "":
		o.Status, o.Value = Added, value
		set()
	case has != value:
		o.Status, o.Value, o.Before = Changed, value, has
		set()
	default:
		o.Status, o.Value = Kept, value
		set() // who names it may have moved
	}
	u.outcomes = append(u.outcomes, o)
	return nil
}

// unused finds entries that nothing names. The epochs of apt stay: the OS may be
// one of an overlay.
func (u *update) unused(loose []plan.Loose) {
	for _, s := range stale(&u.lock, loose) {
		o := Outcome{Kind: s.kind, What: s.what, Status: Unused, Value: s.value}
		if u.Prune {
			o.Status = Removed
			s.remove(&u.lock)
		}
		u.outcomes = append(u.outcomes, o)
	}
}

// put replaces the entry with the same name, or adds it.
func put[T any](list []T, e T, id func(T) string) []T {
	if i := slices.IndexFunc(list, func(x T) bool { return id(x) == id(e) }); i >= 0 {
		list[i] = e
		return list
	}
	return append(list, e)
}

func clone(l *spec.Lock) spec.Lock {
	out := *l
	out.Bases, out.Apt, out.Refs, out.Downloads = slices.Clone(l.Bases), slices.Clone(l.Apt), slices.Clone(l.Refs), slices.Clone(l.Downloads)
	out.Python = slices.Clone(l.Python)
	for i := range out.Python {
		ds := slices.Clone(out.Python[i].Distributions)
		for j := range ds {
			ds[j].SHA256, ds[j].Packages = slices.Clone(ds[j].SHA256), slices.Clone(ds[j].Packages)
		}
		out.Python[i].Distributions = ds
	}
	return out
}

func sortLock(l *spec.Lock) {
	slices.SortFunc(l.Bases, func(a, b spec.LockedBase) int { return cmp.Compare(a.Image, b.Image) })
	slices.SortFunc(l.Apt, func(a, b spec.LockedApt) int { return cmp.Compare(a.OS, b.OS) })
	slices.SortFunc(l.Refs, func(a, b spec.LockedRef) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Ref, b.Ref))
	})
	slices.SortFunc(l.Downloads, func(a, b spec.LockedDownload) int { return cmp.Compare(a.URL, b.URL) })
	slices.SortFunc(l.Python, func(a, b spec.LockedPython) int { return a.Place().Compare(b.Place()) })
	for i := range l.Python {
		slices.SortFunc(l.Python[i].Distributions, func(a, b spec.LockedDistribution) int {
			return cmp.Or(cmp.Compare(spec.DistributionName(a.Name), spec.DistributionName(b.Name)), cmp.Compare(a.Version, b.Version))
		})
		for j := range l.Python[i].Distributions {
			d := &l.Python[i].Distributions[j]
			slices.Sort(d.SHA256)
			slices.Sort(d.Packages)
		}
	}
}

// place is a position without its column.
func place(p diag.Position) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// count says how many outcomes have a status.
func Count(all []Outcome, s Status) int {
	n := 0
	for _, o := range all {
		if o.Status == s {
			n++
		}
	}
	return n
}

// hostOf is the host of an address; empty where it has none.
func hostOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	return ""
}

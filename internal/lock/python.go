package lock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Resolve asks what requirements come to on a platform.
type Resolve struct {
	Place       spec.PythonPlace
	Arch        string // as Python names it: aarch64
	Wanted      []string
	Constraints []string
	Alone       bool              // without what they depend on
	Below       map[string]string // what is installed, by normal name; no version is any
	Index       string            // address or folder; empty: as pip is set up
	Extra       string            // a second address
}

// Distribution is what a resolver chose.
type Distribution struct{ Name, Version, SHA256 string }

// python resolves the requirements of steps that install from an index, one
// place after the other, and in each what lies below before what stands on it.
func (u *update) python(ctx context.Context, loose []plan.Loose) error {
	var all []*plan.Loose
	for i := range loose {
		if l := &loose[i]; l.Python != nil && u.concerns(l) {
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b *plan.Loose) int {
		return cmp.Or(a.Python.Place.Compare(b.Python.Place), cmp.Compare(len(a.Python.Below), len(b.Python.Below)), cmp.Compare(a.Python.For(), b.Python.For()))
	})
	asked := slices.Contains(u.Update, Python) || len(u.Update) == 0 && u.Index != ""
	var at *site
	for _, l := range all {
		if at == nil || at.place != l.Python.Place {
			at = newSite(&u.lock, l.Python.Place, slices.Contains(u.Update, Python) && len(u.Packages) == 0)
		}
		if err := u.need(ctx, at, l, asked); err != nil {
			return err
		}
	}
	return nil
}

// site is what is known of a place: who brings what, and which version other
// packages have of a distribution.
type site struct {
	place  spec.PythonPlace
	brings map[string][]Distribution // by who needs them
	prefer map[string]string
	fresh  map[string]bool // who was resolved in this run
}

func newSite(l *spec.Lock, at spec.PythonPlace, anew bool) *site {
	s := &site{place: at, brings: map[string][]Distribution{}, prefer: map[string]string{}, fresh: map[string]bool{}}
	for _, p := range l.Python {
		if p.Place() != at {
			continue
		}
		for _, d := range p.Distributions {
			for _, pkg := range d.Packages {
				s.brings[pkg] = append(s.brings[pkg], Distribution{Name: d.Name, Version: d.Version, SHA256: d.SHA256[0]})
			}
			if !anew {
				s.prefer[spec.DistributionName(d.Name)] = d.Version
			}
		}
	}
	return s
}

// need resolves what one step wants.
func (u *update) need(ctx context.Context, at *site, l *plan.Loose, asked bool) error {
	r := l.Python
	who := r.For()
	o := Outcome{Kind: Python, What: who + " on " + r.Place.String(), Because: l.Pos}
	has := len(at.brings[who]) > 0 && !at.fresh[who]
	if has && !u.wants(Python, true) {
		o.Status = Kept
		u.note(o)
		return nil
	}
	got, err := u.resolve(ctx, at, r, asked)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var away *Unreachable
	if errors.As(err, &away) {
		u.down[indexDown] = away.Why
	}
	if err != nil {
		o.Status, o.Reason = Unlocked, err.Error()
		switch {
		case !plan.Lockable(r.Wanted):
			o.Status = Unlockable
		case has:
			o.Status = Stale
		}
		u.note(o)
		return nil
	}
	before := at.brings[who]
	if !at.fresh[who] {
		at.brings[who] = nil
		u.forget(at.place, who)
	}
	at.fresh[who] = true
	for _, d := range got {
		if !slices.ContainsFunc(at.brings[who], func(x Distribution) bool { return x.Name == d.Name }) {
			at.brings[who] = append(at.brings[who], d)
		}
		if !r.Build {
			at.prefer[spec.DistributionName(d.Name)] = d.Version
		}
		u.lockDistribution(at.place, who, d, place(l.Pos))
	}
	o.Status = Kept
	o.Value = words(at.brings[who])
	if old := words(before); !has {
		o.Status = Added
	} else if old != o.Value {
		o.Status, o.Before = Changed, old
	}
	u.note(o)
	return nil
}

// indexDown is the name under which an index that does not answer is noted.
const indexDown = "python index"

func (u *update) resolve(ctx context.Context, at *site, r *plan.Requirements, asked bool) ([]Distribution, error) {
	switch down := u.down[indexDown]; {
	case !plan.Lockable(r.Wanted):
		return nil, errors.New("what is installed follows from files of a source tree, or from wheels that the build makes")
	case len(r.Constraints) > 0 && !plan.Lockable(r.Constraints):
		return nil, fmt.Errorf("one of the constraints %q does not name a distribution with a range of versions", r.Constraints)
	case !asked:
		return nil, errors.New("it is resolved with --update python, or with --index")
	case down != "":
		return nil, errors.New(down)
	}
	q := Resolve{
		Place: r.Place, Arch: "aarch64", Wanted: r.Wanted, Constraints: r.Constraints, Alone: r.Alone, Index: u.Index, Extra: r.Index,
		Below: map[string]string{},
	}
	add := func(name, v string) error {
		name = spec.DistributionName(name)
		have, ok := q.Below[name]
		if ok && (v == "" || have == v) {
			return nil
		}
		if have != "" {
			return fmt.Errorf("what lies below brings %s %s and %s", name, have, v)
		}
		q.Below[name] = v
		return nil
	}
	for _, b := range r.Below {
		for _, pin := range b.Brings {
			name, v, _ := strings.Cut(pin, "==")
			if err := add(name, v); err != nil {
				return nil, err
			}
		}
		for _, d := range at.brings[b.Package] {
			if err := add(d.Name, d.Version); err != nil {
				return nil, err
			}
		}
	}
	if !r.Build { // an earlier step of the same package
		for _, d := range at.brings[r.Package] {
			if at.fresh[r.Package] {
				_ = add(d.Name, d.Version)
			}
		}
	}
	u.Say("resolving what " + r.For() + " installs on " + r.Place.String())
	// Others have chosen versions here: the same ones, where that is possible,
	// so that two of them fit into one image.
	hard := q.Constraints
	for _, name := range sortedNames(at.prefer) {
		if _, below := q.Below[name]; !below {
			q.Constraints = append(q.Constraints[:len(q.Constraints):len(q.Constraints)], name+"=="+at.prefer[name])
		}
	}
	got, err := u.pip(ctx, q)
	var away *Unreachable
	if err != nil && !errors.As(err, &away) && ctx.Err() == nil && len(q.Constraints) > len(hard) {
		q.Constraints = hard
		got, err = u.pip(ctx, q)
	}
	return got, err
}

// answer is what pip said.
type answer struct {
	got []Distribution
	err error
}

// pip asks once where places differ in what pip does not see.
func (u *update) pip(ctx context.Context, q Resolve) ([]Distribution, error) {
	seen := q
	seen.Place.L4T, seen.Place.Flavour, seen.Place.CUDA = "", "", ""
	key := fmt.Sprintf("%q", fmt.Sprint(seen)) // fmt sorts maps
	a, ok := u.answers[key]
	if !ok {
		a.got, a.err = u.Sources.Pip(ctx, q)
		if ctx.Err() == nil {
			u.answers[key] = a
		}
	}
	return a.got, a.err
}

func sortedNames(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func words(list []Distribution) string {
	var out []string
	for _, d := range list {
		out = append(out, d.Name+"=="+d.Version)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// forget takes what somebody needs at a place out of the lock.
func (u *update) forget(at spec.PythonPlace, who string) {
	for _, p := range slices.Clone(u.lock.Python) {
		if p.Place() != at {
			continue
		}
		for _, d := range slices.Clone(p.Distributions) {
			removeDistribution(&u.lock, at, d, []string{who})
		}
	}
}

// lockDistribution adds a distribution that somebody needs at a place.
func (u *update) lockDistribution(at spec.PythonPlace, who string, d Distribution, because string) {
	i := slices.IndexFunc(u.lock.Python, func(p spec.LockedPython) bool { return p.Place() == at })
	if i < 0 {
		p := spec.LockedPython{L4T: at.L4T, Flavour: at.Flavour, OS: at.OS, Python: at.Python, CUDA: at.CUDA}
		if p.Flavour == "tegra" {
			p.Flavour = ""
		}
		u.lock.Python = append(u.lock.Python, p)
		i = len(u.lock.Python) - 1
	}
	p := &u.lock.Python[i]
	p.Index = indexName(u.Index)
	j := slices.IndexFunc(p.Distributions, func(x spec.LockedDistribution) bool {
		return spec.DistributionName(x.Name) == spec.DistributionName(d.Name) && x.Version == d.Version
	})
	if j < 0 {
		p.Distributions = append(p.Distributions, spec.LockedDistribution{
			Name: d.Name, Version: d.Version, SHA256: []string{d.SHA256}, Packages: []string{who}, Because: because,
		})
		return
	}
	x := &p.Distributions[j]
	if !slices.Contains(x.SHA256, d.SHA256) {
		x.SHA256 = append(x.SHA256, d.SHA256)
	}
	if !slices.Contains(x.Packages, who) {
		x.Packages = append(x.Packages, who)
	}
}

// indexName is how the lock says what was asked: it names no folder of a machine
// and no password.
func indexName(index string) string {
	switch {
	case index == "":
		return "as pip is set up"
	case isFolder(index):
		return "a folder of wheels"
	}
	return redacted(index)
}

func isFolder(index string) bool {
	if strings.Contains(index, "://") {
		return false
	}
	info, err := os.Stat(index)
	return err == nil && info.IsDir()
}

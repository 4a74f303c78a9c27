package lock

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Drift reports what a plan names and the lock does not have; with whole, which
// says that the plan is of all that the catalog can be, also what the lock has
// and nothing names. They are errors, as who asks for them builds with --locked;
// what no lock can have is a warning.
func Drift(cat *spec.Catalog, loose []plan.Loose, whole bool) diag.List {
	var list diag.List
	type step struct {
		at  diag.Position
		who string
	}
	places := map[step][]spec.PythonPlace{}
	for i := range loose {
		l := &loose[i]
		switch {
		case l.Locked:
		case l.Python != nil:
			k := step{l.Pos, l.Python.For()}
			places[k] = append(places[k], l.Python.Place)
			if len(places[k]) == 1 && !plan.Lockable(l.Python.Wanted) {
				list.Warnf("unlockable", l.Pos, "what %s installs follows from files of a source tree, or from wheels that the build makes: no lock can have it", l.Python.For()).Hint =
					"name the distributions in the step"
			}
		default:
			list.Errorf("unlocked", l.Pos, "jetcrate.lock does not have %s", l).Hint = "jetcrate lock resolves it"
		}
	}
	for i := range loose {
		l := &loose[i]
		if l.Python == nil || l.Locked || !plan.Lockable(l.Python.Wanted) {
			continue
		}
		k := step{l.Pos, l.Python.For()}
		at := places[k]
		if len(at) == 0 {
			continue // told
		}
		delete(places, k)
		slices.SortFunc(at, spec.PythonPlace.Compare)
		on := at[0].String()
		if n := len(at) - 1; n > 0 {
			on += fmt.Sprintf(" and on %d more", n)
		}
		list.Errorf("unlocked", l.Pos, "jetcrate.lock does not have what %s installs from a Python index on %s", k.who, on).Hint =
			"jetcrate lock --update python resolves it"
	}
	seen := map[string]bool{}
	for i := range cat.Matrix.Platforms {
		p := &cat.Matrix.Platforms[i]
		os := p.OS.ID + " " + p.OS.Version
		if !seen[os] && whole && !slices.ContainsFunc(cat.Lock.Apt, func(a spec.LockedApt) bool { return a.OS == os }) {
			list.Errorf("unlocked", p.Pos.Pos("os"), "jetcrate.lock has no apt epoch of %s", os).Hint = "jetcrate lock gives it one"
		}
		seen[os] = true
	}
	if whole {
		for _, s := range stale(cat.Lock, loose) {
			list.Errorf("unused-lock", cat.Lock.Doc.Pos(s.path...), "nothing in the catalog names %s", s.what).Hint = "jetcrate lock --prune removes it"
		}
	}
	list.Sort()
	return list.Distinct()
}

// staleEntry is an entry that nothing names.
type staleEntry struct {
	kind        Kind
	what, value string
	path        []any // in the file
	remove      func(*spec.Lock)
}

func stale(l *spec.Lock, loose []plan.Loose) []staleEntry {
	named := map[string]bool{}
	for _, x := range loose {
		switch {
		case x.Image != "":
			named[string(Bases)+x.Image] = true
		case x.Repository != "":
			named[string(Refs)+x.Repository+" "+x.Ref] = true
		case x.URL != "":
			named[string(Downloads)+x.URL] = true
		default:
			named[string(Python)+x.Python.Place.String()+x.Python.For()] = true
		}
	}
	var out []staleEntry
	for i, b := range l.Bases {
		if !named[string(Bases)+b.Image] {
			out = append(out, staleEntry{Bases, b.Image, b.Digest, []any{"bases", i, "image"}, func(l *spec.Lock) {
				l.Bases = slices.DeleteFunc(l.Bases, func(x spec.LockedBase) bool { return x.Image == b.Image })
			}})
		}
	}
	for i, r := range l.Refs {
		if what := r.Repository + " " + r.Ref; !named[string(Refs)+what] {
			out = append(out, staleEntry{Refs, what, r.Commit, []any{"refs", i, "ref"}, func(l *spec.Lock) {
				l.Refs = slices.DeleteFunc(l.Refs, func(x spec.LockedRef) bool { return x.Repository == r.Repository && x.Ref == r.Ref })
			}})
		}
	}
	for i, d := range l.Downloads {
		if !named[string(Downloads)+d.URL] {
			out = append(out, staleEntry{Downloads, d.URL, d.SHA256, []any{"downloads", i, "url"}, func(l *spec.Lock) {
				l.Downloads = slices.DeleteFunc(l.Downloads, func(x spec.LockedDownload) bool { return x.URL == d.URL })
			}})
		}
	}
	for i, p := range l.Python {
		for j, d := range p.Distributions {
			var gone []string
			for _, pkg := range d.Packages {
				if !named[string(Python)+p.Place().String()+pkg] {
					gone = append(gone, pkg)
				}
			}
			if len(gone) == 0 {
				continue
			}
			what := d.Name + " " + d.Version + " of " + strings.Join(gone, ", ") + " on " + p.Place().String()
			out = append(out, staleEntry{Python, what, "", []any{"python", i, "distributions", j, "name"}, func(l *spec.Lock) {
				removeDistribution(l, p.Place(), d, gone)
			}})
		}
	}
	return out
}

// removeDistribution takes packages off a distribution, and the distribution
// where none is left.
func removeDistribution(l *spec.Lock, at spec.PythonPlace, d spec.LockedDistribution, pkgs []string) {
	for i := range l.Python {
		if l.Python[i].Place() != at {
			continue
		}
		list := l.Python[i].Distributions
		for j := range list {
			if list[j].Name == d.Name && list[j].Version == d.Version {
				list[j].Packages = slices.DeleteFunc(list[j].Packages, func(p string) bool { return slices.Contains(pkgs, p) })
			}
		}
		l.Python[i].Distributions = slices.DeleteFunc(list, func(x spec.LockedDistribution) bool { return len(x.Packages) == 0 })
	}
	l.Python = slices.DeleteFunc(l.Python, func(p spec.LockedPython) bool { return len(p.Distributions) == 0 })
}

package solve

import (
	"fmt"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Lint looks at the conditions of a catalog over its whole matrix: every
// platform with each of its stacks and Pythons. Its list holds warnings:
// conditions that hold nowhere, versions and packages that are possible nowhere,
// and defaults that leave some platform without one.
func (s *Solver) Lint() diag.List {
	var list diag.List
	l := linter{list: &list}
	for i := range s.cat.Matrix.Platforms {
		l.places = append(l.places, places(&s.cat.Matrix.Platforms[i])...)
	}
	if len(l.places) == 0 {
		return nil
	}
	for _, p := range s.packages {
		l.pack(p)
	}
	list.Sort()
	return list
}

type place struct {
	Platform
	facts facts
}

// places are a platform with each of its stacks and Pythons.
func places(p *spec.Platform) []place {
	var out []place
	for _, stack := range Stacks(p) {
		for _, python := range p.Python {
			x := Platform{Platform: p, Stack: stack, Python: python}
			out = append(out, place{x, x.facts()})
		}
	}
	return out
}

type linter struct {
	list   *diag.List
	places []place
}

// somewhere reports whether a condition holds on some platform.
func (l *linter) somewhere(holds func(*place) bool) bool {
	for i := range l.places {
		if holds(&l.places[i]) {
			return true
		}
	}
	return false
}

func (l *linter) pack(p *pack) {
	possible := l.conditions(p, p.requires, nil, "requires")
	if !possible {
		l.list.Warnf("never-possible", p.Doc.Pos("requires"), "no platform of the matrix meets what %s requires", p.Name)
		return
	}
	for i := range p.versions {
		v := &p.versions[i]
		name := p.Name + " " + v.Version.Version
		if !l.conditions(p, v.requires, p.requires, "versions", i, "requires") {
			l.list.Warnf("never-possible", p.Doc.Pos("versions", i, "requires"), "no platform of the matrix meets what %s requires", name)
			continue
		}
		if v.Default == nil {
			continue
		}
		if !l.conditions(p, v.prefers, p.requires, "versions", i, "default") || !l.somewhere(func(x *place) bool {
			return v.prefers.holds(x.Platform, &x.facts) && v.requires.holds(x.Platform, &x.facts) && p.requires.holds(x.Platform, &x.facts)
		}) {
			l.list.Warnf("never-default", p.Doc.Pos("versions", i, "default"), "%s is the default nowhere: where the condition holds, the version is not possible", name)
		}
	}
	l.defaults(p)
}

// conditions reports whether a list of conditions holds somewhere where another
// does, and tells of each condition of a longer list that holds nowhere.
func (l *linter) conditions(p *pack, r, besides requirement, at ...any) bool {
	for i := range r {
		holds := l.somewhere(func(x *place) bool { return r[i].holds(x.Platform, &x.facts) })
		if !holds && len(r) > 1 {
			l.list.Warnf("never-holds", p.Doc.Pos(append(at, i)...), "no platform of the matrix meets this condition of %s", p.Name)
		}
	}
	return l.somewhere(func(x *place) bool { return r.holds(x.Platform, &x.facts) && besides.holds(x.Platform, &x.facts) })
}

// defaults: where a package has defaults and a choice, one of them holds.
func (l *linter) defaults(p *pack) {
	has := false
	for i := range p.versions {
		has = has || p.versions[i].Default != nil
	}
	if !has {
		return
	}
	var gaps []string
	for i := range l.places {
		x := &l.places[i]
		if !p.requires.holds(x.Platform, &x.facts) {
			continue
		}
		choice, preferred := 0, false
		for j := range p.versions {
			v := &p.versions[j]
			if v.requires.holds(x.Platform, &x.facts) {
				choice++
				preferred = preferred || v.Default != nil && v.prefers.holds(x.Platform, &x.facts)
			}
		}
		if choice > 1 && !preferred {
			gaps = append(gaps, x.inFull())
		}
	}
	gaps = dedupe(gaps)
	if len(gaps) == 0 {
		return
	}
	n := len(gaps)
	if n > 4 {
		gaps = append(gaps[:3:3], fmt.Sprintf("%d others", n-3))
	}
	last := len(gaps) - 1
	where := gaps[last]
	if last > 0 {
		where = strings.Join(gaps[:last], ", ") + " and " + where
	}
	l.list.Warnf("default-gap", p.Doc.KeyPos("versions"), "no default of %s holds on %s, where it has several versions: the newest is taken", p.Name, where).Hint =
		"let the conditions of `default` cover every platform, or give the newest version default: {}"
}

// inFull names a platform with its stack, and its Python where there is a choice.
func (p Platform) inFull() string {
	s := p.String()
	if p.Stack.Version != "" {
		s += " with CUDA " + p.Stack.Version
	}
	if len(p.Platform.Python) > 1 {
		s += " with Python " + p.Python
	}
	return s
}

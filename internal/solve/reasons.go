package solve

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// reasons tells the facts that a contradiction was resolved from, packages that
// stand on others first: who needs what, then what speaks against the versions
// that are left.
func (t *Site) reasons(end *clause) []string {
	facts := leaves(end)
	about := map[*pack]*account{}
	var packs []*pack
	of := func(p *pack) *account {
		if about[p] == nil {
			about[p] = &account{}
			packs = append(packs, p)
		}
		return about[p]
	}
	for _, c := range facts {
		switch {
		case c.barred != nil:
			of(c.barred).barred = true
		case c.pinned != nil:
			of(c.pinned.to).pin = c.pinned
		case c.asked != nil:
			a := of(c.asked.to)
			a.asked = append(a.asked, c.asked)
		case c.supposed != nil:
			of(c.supposed).supposed = append(of(c.supposed).supposed, c.terms[0].in)
		case c.need != nil:
			a := of(c.need.from)
			a.needs = append(a.needs, c)
			of(c.need.to).wanted = append(of(c.need.to).wanted, c.need)
		}
	}
	sort.Slice(packs, func(i, j int) bool { return packs[i].rank > packs[j].rank })
	var out []string
	for _, p := range packs {
		a := about[p]
		out = append(out, t.against(p, a)...)
		out = append(out, t.needsOf(p, a)...)
	}
	return dedupe(out)
}

// account is what a contradiction says of a package.
type account struct {
	asked    []*askedFor
	pin      *askedFor
	barred   bool
	supposed []set     // versions that are not tried
	needs    []*clause // what it needs
	wanted   []*need   // who needs it, and how
}

// leaves are the clauses that one was resolved from, each once, left to right.
func leaves(end *clause) []*clause {
	seen := map[*clause]bool{}
	var out []*clause
	todo := []*clause{end} // a stack: a long search makes a deep tree
	for len(todo) > 0 {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if c == nil || seen[c] {
			continue
		}
		seen[c] = true
		if c.left == nil {
			out = append(out, c)
			continue
		}
		todo = append(todo, c.right, c.left)
	}
	return out
}

// left are the versions of a package that all who want it allow, or, where they
// agree on none, those that one of them allows.
func (t *Site) left(p *pack, a *account) (all set, agreed bool) {
	all = p.present
	var one set
	for _, x := range a.asked {
		in, _ := p.matching(x.ref.Version, "")
		all, one = all.and(in), one.or(in)
	}
	if a.pin != nil {
		in, _ := p.matching(a.pin.ref.Version, "")
		all = all.and(in)
	}
	for _, not := range a.supposed {
		all = all.minus(not)
	}
	for _, n := range a.wanted {
		if !n.conflict {
			all, one = all.and(n.in), one.or(n.in)
		}
	}
	if all.empty() {
		return one, false
	}
	return all, true
}

// against says what speaks against the versions of a package that are wanted.
func (t *Site) against(p *pack, a *account) []string {
	left, agreed := t.left(p, a)
	if a.barred && !p.requires.holds(t.Platform, &t.facts) {
		return []string{fmt.Sprintf("%s is not possible on %s: %s", p.Name, t.Platform, p.requires.lacks(t.Platform, &t.facts))}
	}
	var out []string
	for _, x := range a.asked {
		if x.option != "" || x.ref.Version != "" && len(a.wanted)+len(a.asked) > 1 {
			out = append(out, describe(x.ref)+" was asked for")
		}
	}
	if a.pin != nil {
		in, _ := p.matching(a.pin.ref.Version, "")
		if in.empty() {
			return []string{fmt.Sprintf("%s is pinned to %s, and there are %s", p.Name, a.pin.ref.Version, p.some(p.present))}
		}
		out = append(out, fmt.Sprintf("%s is pinned to %s", p.Name, a.pin.ref.Version))
	}
	if a.barred {
		// One sentence for all versions that lack the same.
		lacks, order := map[string]set{}, []string{}
		for _, v := range p.newest {
			if e := &p.versions[v-1]; left.has(v) && !e.requires.holds(t.Platform, &t.facts) {
				why := e.requires.lacks(t.Platform, &t.facts)
				if lacks[why].empty() {
					order = append(order, why)
				}
				lacks[why] = lacks[why].or(only(v))
			}
		}
		rest := 0
		if len(order) > maxLacks { // the one that comes nearest says most
			best := max(0, slices.IndexFunc(order, func(why string) bool { return t.near(p, lacks[why]) }))
			for i, why := range order {
				if i != best {
					rest += lacks[why].count()
				}
			}
			order = order[best : best+1]
		}
		for _, why := range order {
			verb, text := "has", why
			if lacks[why].count() > 1 {
				verb, text = "have", strings.Replace(why, "it needs", "they need", 1)
			}
			out = append(out, fmt.Sprintf("%s %s no build for %s: %s", p.some(lacks[why]), verb, t.Platform, text))
		}
		if rest > 0 {
			out = append(out, fmt.Sprintf("its %d other versions are for other platforms or stacks", rest))
		}
	}
	if !agreed && len(a.wanted)+len(a.asked) > 1 {
		out = append(out, "no version of "+p.Name+" is right for "+map[bool]string{true: "both", false: "all of them"}[len(a.wanted)+len(a.asked) == 2])
	}
	return out
}

// maxLacks is how many different lacks are told.
const maxLacks = 2

// near reports whether some version of a package would be possible with another
// stack or Python on the same platform.
func (t *Site) near(p *pack, in set) bool {
	if t.siblings == nil {
		t.siblings = places(t.Platform.Platform)
	}
	for i := range p.versions {
		if in.has(i+1) && slices.ContainsFunc(t.siblings, func(x place) bool { return p.versions[i].requires.holds(x.Platform, &x.facts) }) {
			return true
		}
	}
	return false
}

// needsOf says what a package needs, versions that need the same together.
func (t *Site) needsOf(p *pack, a *account) []string {
	left, _ := t.left(p, a)
	type line struct {
		what string
		when set
	}
	var lines []*line
	for _, c := range a.needs {
		what := "needs " + describe(c.need.ref)
		if c.need.conflict {
			what = "cannot be together with " + describe(c.need.ref)
		}
		if c.need.build {
			what += " to be built"
		}
		if c.need.in.empty() {
			what += ", of which there is none"
		}
		when := c.terms[0].in
		for _, x := range c.terms {
			if x.variable == p.index {
				when = x.in
			}
		}
		i := slices.IndexFunc(lines, func(l *line) bool { return l.what == what })
		if i < 0 {
			lines = append(lines, &line{what: what})
			i = len(lines) - 1
		}
		lines[i].when = lines[i].when.or(when)
	}
	var out []string
	for _, l := range lines {
		when := l.when.and(left)
		switch {
		case when.empty():
			when = l.when
		}
		who := p.Name
		if !l.when.equal(p.present) || len(p.versions) == 1 {
			who = p.some(when)
		}
		if when.count() > 1 && who != p.Name {
			l.what = strings.Replace(l.what, "needs ", "need ", 1)
		}
		out = append(out, who+" "+l.what)
	}
	return out
}

// maxNamed is how many versions a sentence names.
const maxNamed = 4

// some names versions of a package, newest first: "torch 2.8.0, 2.7.0 and 2.6.0".
func (p *pack) some(in set) string {
	var names []string
	for _, v := range p.newest {
		if in.has(v) {
			names = append(names, p.versions[v-1].Version.Version)
		}
	}
	if more := len(names) - maxNamed; more > 1 {
		names = append(names[:maxNamed], fmt.Sprintf("%d older ones", more))
	}
	switch n := len(names); n {
	case 0:
		return p.Name
	case 1:
		return p.Name + " " + names[0]
	default:
		return p.Name + " " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

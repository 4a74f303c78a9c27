package solve

import (
	"slices"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// maxNearest is how many targets an explanation names.
const maxNearest = 3

// neighbours is where a target resolves, found when first asked for.
type neighbours struct {
	found map[Platform]string // "": it does not
}

// Nearest lists up to three targets near a query that do resolve: the same
// packages in other versions on the platform; as asked on the platform's other
// stacks, then on other platforms, the nearest release first, one for each
// major release; and, if there is nothing else, each of several targets alone.
// It is not for several goroutines at a time.
func (s *Solver) Nearest(q Query) []string {
	var out []string
	free := Query{Platform: q.Platform}
	for _, t := range q.Targets {
		t, _ = s.cat.Canonical(t) // ros:humble names a package by its version
		t.Version = ""
		if !slices.ContainsFunc(free.Targets, func(x spec.Target) bool { return x.String() == t.String() }) {
			free.Targets = append(free.Targets, t)
		}
	}
	asked := words(q.Targets)
	if words(free.Targets) != asked || len(q.Pins) > 0 {
		if text := s.resolves(free, q.Platform); text != "" {
			out = append(out, text)
		}
	}
	majors := map[string]bool{}
	for _, p := range s.around(q.Platform) {
		if len(out) == maxNearest {
			break
		}
		major, _, _ := strings.Cut(p.L4T, ".")
		foreign := orTegra(p.Flavour) != orTegra(q.Platform.Flavour)
		if majors[major] || foreign && len(out) > 0 {
			continue
		}
		text := s.resolves(Query{Targets: q.Targets, Pins: q.Pins}, p)
		if text == "" {
			continue
		}
		majors[major] = true
		if p.Platform == q.Platform.Platform { // what would have to be chosen there
			if p.Stack != q.Platform.Stack && !strings.Contains(text, " with CUDA ") {
				text += " with CUDA " + p.Stack.Version
			}
			if p.Python != q.Platform.Python && !strings.Contains(text, " with Python ") {
				text += " with Python " + p.Python
			}
		}
		out = append(out, text)
	}
	if len(out) == 0 && len(q.Targets) > 1 {
		for _, t := range q.Targets {
			if text := s.resolves(Query{Targets: []spec.Target{t}, Pins: q.Pins}, q.Platform); text != "" && len(out) < maxNearest {
				out = append(out, strings.Replace(text, " on ", " alone on ", 1))
			}
		}
	}
	return dedupe(out)
}

// resolves says which versions a target holds on a platform; "" if it is
// impossible there.
func (s *Solver) resolves(q Query, p Platform) string {
	var key strings.Builder
	key.WriteString(words(q.Targets))
	names := make([]string, 0, len(q.Pins))
	for n := range q.Pins {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		key.WriteString("\n" + n + ":" + q.Pins[n])
	}
	near := s.near[key.String()]
	if near == nil {
		near = &neighbours{found: map[Platform]string{}}
		s.near[key.String()] = near
	}
	text, known := near.found[p]
	if !known {
		if r, err := s.At(p).Solve(q.Targets, q.Pins); err == nil {
			text = named(r)
		}
		near.found[p] = text
	}
	return text
}

// around lists the platforms of the matrix with each of their stacks, and the
// one given with each of its Pythons: the nearest first, newer before older.
func (s *Solver) around(here Platform) []Platform {
	if have := s.circles[here]; have != nil {
		return have
	}
	own := here.facts()
	type place struct {
		Platform
		release version.Release
		far     [6]int // smaller is nearer; the first difference decides
	}
	var out []place
	add := func(p Platform) {
		f := p.facts()
		x := place{Platform: p, release: f.of[l4t]}
		x.far = [...]int{
			differ(p.Platform != here.Platform), differ(p.Stack != here.Stack), differ(f.flavour != own.flavour),
			distance(f.of[l4t].Major(), own.of[l4t].Major()), differ(f.of[l4t].Line() != own.of[l4t].Line()),
			differ(f.of[l4t].Compare(own.of[l4t]) < 0),
		}
		if p.Platform != here.Platform {
			x.far[1] = 0
		}
		out = append(out, x)
	}
	for _, p := range s.Platforms() {
		if p.Platform != here.Platform {
			add(p)
			continue
		}
		for _, python := range p.Platform.Python {
			if p.Python = python; p != here {
				add(p)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		for k := range a.far {
			if a.far[k] != b.far[k] {
				return a.far[k] < b.far[k]
			}
		}
		// Of two newer releases the older is nearer, of two older ones the newer.
		if a.far[len(a.far)-1] == 0 {
			return a.release.Compare(b.release) < 0
		}
		return a.release.Compare(b.release) > 0
	})
	platforms := make([]Platform, len(out))
	for i := range out {
		platforms[i] = out[i].Platform
	}
	s.circles[here] = platforms
	return platforms
}

func differ(b bool) int {
	if b {
		return 1
	}
	return 0
}

func distance(a, b int) int { return max(a-b, b-a) }

// Platforms lists every platform of the matrix with each of its stacks and its
// default Python, as the matrix has them.
func (s *Solver) Platforms() []Platform {
	var out []Platform
	for i := range s.cat.Matrix.Platforms {
		p := &s.cat.Matrix.Platforms[i]
		for _, stack := range Stacks(p) {
			x := Platform{Platform: p, Stack: stack}
			if len(p.Python) > 0 {
				x.Python = p.Python[0]
			}
			out = append(out, x)
		}
	}
	return out
}

// Stacks lists those of a platform; one that has none has the zero one.
func Stacks(p *spec.Platform) []spec.Stack {
	if len(p.CUDA) == 0 {
		return []spec.Stack{{}}
	}
	return p.CUDA
}

// named says which versions of the targets a resolution holds, and where.
func named(r *Resolution) string {
	var parts []string
	for _, c := range r.Targets {
		parts = append(parts, c.Package.Name+" "+c.Version.Version)
	}
	s := strings.Join(parts, " with ") + " on " + r.Platform.String()
	if len(r.Platform.CUDA) > 0 && r.Platform.Stack != r.Platform.CUDA[0] {
		s += " with CUDA " + r.Platform.Stack.Version
	}
	if len(r.Platform.Platform.Python) > 0 && r.Platform.Python != r.Platform.Platform.Python[0] {
		s += " with Python " + r.Platform.Python
	}
	return s
}

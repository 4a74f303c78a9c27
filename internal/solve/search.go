package solve

import "fmt"

// The search is PubGrub's (https://github.com/dart-lang/pub/blob/master/doc/solver.md),
// over sets of values: a clause is a list of terms that never hold all at once.
// What is known of a variable only ever shrinks. Where all terms of a clause but
// one hold, the last one cannot: that is a derivation. Where nothing follows, the
// package that no other undecided one may depend on gets the version that it
// prefers. A clause whose terms all hold is a conflict; resolving it with what
// caused its terms gives a clause that would have shown earlier, and the search
// goes back to there. Where no term is left, the target is impossible, and the
// clauses that were resolved are why.

// term says that a variable has one of some values.
type term struct {
	variable int
	in       set
}

// clause is a list of terms that cannot hold all at once, each variable once,
// and why: exactly one of its causes is set.
type clause struct {
	terms []term

	need        *need     // a dependency or a conflict
	barred      *pack     // versions that the platform rules out
	asked       *askedFor // the target
	pinned      *askedFor // from outside
	supposed    *pack     // a version of it is tried, to see what speaks against it
	left, right *clause   // resolved with each other
}

// join adds a term. Two on one variable hold where both do.
func join(terms []term, t term) []term {
	for i := range terms {
		if terms[i].variable == t.variable {
			terms[i].in = terms[i].in.and(t.in)
			return terms
		}
	}
	return append(terms, t)
}

// state is what is known of a variable.
type state struct {
	touched bool
	decided bool // a package whose version was chosen, with what it asks for
	open    bool // in search.open
	now     set
	at      []int     // places in the trail
	clauses []*clause // that mention it
	general bool      // a package: what holds for all its versions is among the clauses
	added   []*picked // a package: versions whose clauses are among them
	pick    *picked   // a package: what was decided last
	closure *Closure  // a package: of the resolution
}

// step is an entry of the trail: a variable's values became fewer.
type step struct {
	variable    int
	before, now set
	level       int
	cause       *clause // nil: decided
	decides     bool    // marks the package as decided
}

type search struct {
	site    *Site
	state   []state
	touched []int
	open    []*pack // required at some time
	trail   []step
	level   int
	queue   []int // variables to look at, from head on
	head    int
	texts   map[int][]string // of options that take any text: those that only the query names
	learned int
	failed  error
}

// maxLearned bounds the search; a real catalog learns a few clauses per target.
const maxLearned = 5_000

// gaveUp says that the search took too long.
type gaveUp struct{}

func (gaveUp) Error() string { return fmt.Sprintf("gave up after %d contradictions", maxLearned) }

// reset forgets the last target.
func (s *search) reset() {
	for _, v := range s.touched {
		x := &s.state[v]
		*x = state{at: x.at[:0], clauses: x.clauses[:0], added: x.added[:0]}
	}
	s.touched, s.open, s.trail, s.queue = s.touched[:0], s.open[:0], s.trail[:0], s.queue[:0]
	s.level, s.learned, s.head, s.failed = 0, 0, 0, nil
	clear(s.texts)
}

// touch gives a variable the values that it can have at all.
func (s *search) touch(v int) *state {
	x := &s.state[v]
	if x.touched {
		return x
	}
	x.touched = true
	s.touched = append(s.touched, v)
	x.now = s.site.solver.vars[v].full
	if v < len(s.site.packages) {
		l, err := s.site.local(s.site.solver.packages[v])
		if err != nil && s.failed == nil {
			s.failed = err
		}
		x.now = l.domain
	}
	return x
}

// add makes a clause known, and draws what follows from it at once.
func (s *search) add(c *clause) *clause {
	for _, t := range c.terms {
		x := s.touch(t.variable)
		x.clauses = append(x.clauses, c)
	}
	return s.apply(c)
}

// addAll makes all of them known, whatever follows, and returns the first conflict.
func (s *search) addAll(list []*clause) (conflict *clause) {
	for _, c := range list {
		if found := s.add(c); conflict == nil {
			conflict = found
		}
	}
	return conflict
}

// apply draws what follows from a clause: a derivation, or a conflict, which is
// returned.
func (s *search) apply(c *clause) *clause {
	last := -1
	for i := range c.terms {
		x := &s.state[c.terms[i].variable]
		if x.now.within(c.terms[i].in) {
			continue
		}
		if last >= 0 || x.now.apart(c.terms[i].in) {
			return nil
		}
		last = i
	}
	if last < 0 {
		return c
	}
	t := c.terms[last]
	s.set(t.variable, s.state[t.variable].now.minus(t.in), c)
	return nil
}

// set records that a variable has fewer values.
func (s *search) set(v int, now set, cause *clause) {
	x := &s.state[v]
	x.at = append(x.at, len(s.trail))
	s.trail = append(s.trail, step{variable: v, before: x.now, now: now, level: s.level, cause: cause})
	x.now = now
	s.queue = append(s.queue, v)
	if v < len(s.site.packages) && !x.open && !now.has(absent) {
		x.open = true
		s.open = append(s.open, s.site.solver.packages[v])
	}
}

// propagate draws what follows until nothing does. It returns a conflict.
func (s *search) propagate() *clause {
	for s.head < len(s.queue) {
		v := s.queue[s.head]
		s.head++
		x := &s.state[v]
		if v < len(s.site.packages) && !x.general && !x.now.has(absent) {
			x.general = true
			if conflict := s.addAll(s.site.packages[v].clauses); conflict != nil {
				return conflict
			}
		}
		for i := 0; i < len(s.state[v].clauses); i++ {
			if conflict := s.apply(s.state[v].clauses[i]); conflict != nil {
				return conflict
			}
		}
	}
	s.queue, s.head = s.queue[:0], 0
	return nil
}

// run searches. It returns the clause without terms where there is no answer.
func (s *search) run(roots []*clause) (*clause, error) {
	conflict := s.addAll(roots)
	for {
		if conflict == nil {
			conflict = s.propagate()
		}
		if s.failed != nil {
			return nil, s.failed
		}
		if conflict != nil {
			c, level := s.analyse(conflict)
			if len(c.terms) == 0 {
				return c, nil
			}
			if s.learned++; s.learned > maxLearned {
				return nil, gaveUp{}
			}
			s.back(level)
			if c == conflict {
				conflict = s.apply(c)
			} else {
				conflict = s.add(c)
			}
			continue
		}
		p := s.next()
		if p == nil {
			return nil, nil
		}
		if conflict = s.decide(p); s.failed != nil {
			return nil, s.failed
		}
	}
}

// next is the undecided package that ranks highest: all that may depend on it
// are decided.
func (s *search) next() *pack {
	var best *pack
	for _, p := range s.open {
		if x := &s.state[p.index]; !x.decided && !x.now.has(absent) && (best == nil || p.rank > best.rank) {
			best = p
		}
	}
	return best
}

// decide gives an undecided option of a package its usual value or, when none
// is left, the package the version that it prefers.
func (s *search) decide(p *pack) *clause {
	s.level++
	chosen := make([]int, len(p.options))
	for i, id := range p.options {
		x, v := s.touch(id), &s.site.solver.vars[id]
		chosen[i] = x.now.first()
		if x.now.count() > 1 {
			if x.now.has(v.usual) {
				chosen[i] = v.usual
			}
			s.set(id, only(chosen[i]), nil)
			return nil
		}
	}
	x, l := &s.state[p.index], &s.site.packages[p.index]
	for _, v := range l.order {
		if !x.now.has(v) {
			continue
		}
		pick, err := s.site.pick(p, l, v, chosen)
		if err != nil {
			s.failed = err
			return nil
		}
		s.set(p.index, only(v), nil)
		s.trail[len(s.trail)-1].decides = true
		x.decided = true
		x.pick = pick
		for _, have := range x.added {
			if have == pick {
				return nil
			}
		}
		x.added = append(x.added, pick)
		return s.addAll(pick.clauses)
	}
	return nil
}

// back undoes what is above a level.
func (s *search) back(level int) {
	for len(s.trail) > 0 {
		last := &s.trail[len(s.trail)-1]
		if last.level <= level {
			break
		}
		x := &s.state[last.variable]
		x.now = last.before
		x.at = x.at[:len(x.at)-1]
		if last.decides {
			x.decided = false
		}
		s.trail = s.trail[:len(s.trail)-1]
	}
	s.level = level
	s.queue, s.head = s.queue[:0], 0
}

// base is the place before the trail: what the platform makes of a variable.
const base = -1

// since is the place in the trail from which on a term that holds did so.
func (s *search) since(t term) int {
	x := &s.state[t.variable]
	for _, i := range x.at {
		if s.trail[i].before.within(t.in) {
			break
		}
		if s.trail[i].now.within(t.in) {
			return i
		}
	}
	return base
}

func (s *search) levelOf(i int) int {
	if i < 0 {
		return 0
	}
	return s.trail[i].level
}

// analyse resolves a conflict until it says something that would have followed
// at a lower level, which it returns too; or nothing, which is the end.
func (s *search) analyse(c *clause) (*clause, int) {
	for len(c.terms) > 0 {
		latest, second, at := base-1, base-1, 0
		for i, t := range c.terms {
			since := s.since(t)
			if since > latest {
				latest, second, at = since, latest, i
			} else if since > second {
				second = since
			}
		}
		t := c.terms[at]
		cause := (*clause)(nil)
		if latest == base {
			cause = s.site.packages[t.variable].barred
		} else if cause = s.trail[latest].cause; cause == nil || s.levelOf(second) < s.trail[latest].level {
			return c, s.levelOf(second)
		}
		c = resolve(c, cause, t.variable, s.site.solver.vars[t.variable].full)
	}
	return c, 0
}

// resolve joins two clauses over a variable: where all other terms of both
// hold, it can have the values of neither.
func resolve(a, b *clause, variable int, full set) *clause {
	out := &clause{terms: make([]term, 0, len(a.terms)+len(b.terms)), left: a, right: b}
	var on set
	for _, c := range []*clause{a, b} {
		for _, t := range c.terms {
			if t.variable == variable {
				on = on.or(t.in)
			} else {
				out.terms = join(out.terms, t)
			}
		}
	}
	if !on.equal(full) {
		out.terms = append(out.terms, term{variable, on})
	}
	return out
}

// text is the value of an option: one that the catalog names, or one that only
// the query does.
func (s *search) text(id, value int) any {
	v := &s.site.solver.vars[id]
	if v.values[value] != nil {
		return v.values[value]
	}
	return s.texts[id][value-(len(v.values)-2)]
}

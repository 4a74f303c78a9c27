package version

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Range is a set of releases: sorted disjoint intervals. The zero value is the
// empty set. Two ranges that hold the same releases have the same String, but
// for leading zeros.
type Range struct {
	// cuts are strictly increasing places in the order of releases. Membership
	// changes at each: out before the first, in after it, out after the second.
	// An interval without an upper end has no second cut. This form is unique.
	cuts []cut
}

// cut is the place just before a release, or just after it.
type cut struct {
	at    Release // canonical
	after bool
}

func (c cut) compare(o cut) int {
	if d := c.at.Compare(o.at); d != 0 {
		return d
	}
	return cmp.Compare(b2i(c.after), b2i(o.after))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func before(r Release) cut { return cut{at: r.canonical()} }
func after(r Release) cut  { return cut{at: r.canonical(), after: true} }

// first is the place before every release.
func first() cut { return before(Release{text: "0", n: 1}) }

// Everything is the range that holds every release.
func Everything() Range { return Range{cuts: []cut{first()}} }

// Exactly is the range that holds r alone.
func Exactly(r Release) Range { return Range{cuts: []cut{before(r), after(r)}} }

// rangeForms is what the error of a range shows.
func rangeForms() []string {
	return []string{">=36.4 <37", ">=11.4,<12", "36.4.*", "==12.6", "!=12.4", "12.6 || >=12.8", "*"}
}

// ParseRange reads a range of dotted numbers: clauses of an operator
// (>= > <= < == = !=) and a version; == and != also take a prefix (36.4.*). A
// space or comma between clauses means AND, || means OR, * is everything. A
// version without an operator is exact, with missing parts 0.
func ParseRange(s string) (Range, error) {
	return parseRange(s, ParseRelease, rangeForms())
}

// ParseL4TRange is ParseRange for L4T releases: it also reads r36.4.
func ParseL4TRange(s string) (Range, error) {
	return parseRange(s, ParseL4T, rangeForms())
}

func parseRange(s string, parse func(string) (Release, error), forms []string) (Range, error) {
	fail := func(reason string) (Range, error) {
		return Range{}, &SyntaxError{What: "range", Found: s, Reason: reason, Allowed: forms}
	}
	if len(s) > maxText {
		return fail(fmt.Sprintf("is longer than %d characters", maxText))
	}
	if strings.TrimSpace(s) == "" {
		return fail("is empty")
	}
	var all Range
	for _, alternative := range strings.Split(s, "||") {
		clauses, reason := splitClauses(alternative)
		if reason != "" {
			return fail(reason)
		}
		one := Everything()
		for _, c := range clauses {
			r, reason := c.parse(parse)
			if reason != "" {
				return fail(reason)
			}
			one = one.Intersect(r)
		}
		all = all.Union(one)
	}
	return all, nil
}

// clause is an operator ("" where none was written) and what follows it.
type clause struct{ op, text string }

// splitClauses cuts ">= 36.4, <37" into its clauses. It returns why it cannot.
func splitClauses(s string) (clauses []clause, reason string) {
	rest := strings.TrimSpace(s)
	if rest == "" {
		return nil, "has nothing beside ||"
	}
	for {
		n := len(rest) - len(strings.TrimLeft(rest, "<>=!~^"))
		op := rest[:n]
		rest = strings.TrimLeft(rest[n:], " \t")
		n = strings.IndexAny(rest, " \t,<>=!~^")
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			if op == "" {
				return nil, "has a comma without a version before it"
			}
			return nil, fmt.Sprintf("has no version after %q", op)
		}
		clauses = append(clauses, clause{op, rest[:n]})
		rest = strings.TrimLeft(rest[n:], " \t")
		if rest == "" {
			return clauses, ""
		}
		if rest[0] == ',' {
			rest = strings.TrimLeft(rest[1:], " \t")
			if rest == "" {
				return nil, "ends with a comma"
			}
		}
	}
}

func (c clause) parse(parse func(string) (Release, error)) (r Range, reason string) {
	equality := c.op == "" || c.op == "=" || c.op == "==" || c.op == "!="
	switch c.op {
	case "", "=", "==", "!=", ">=", ">", "<=", "<":
	default:
		return Range{}, fmt.Sprintf("has the unknown operator %q (there are >= > <= < == = !=)", c.op)
	}
	if c.text == "*" {
		if c.op != "" {
			return Range{}, fmt.Sprintf("has an operator before *: %s*", c.op)
		}
		return Everything(), ""
	}
	number, prefix := strings.CutSuffix(c.text, ".*")
	if prefix && !equality {
		return Range{}, fmt.Sprintf("has a prefix after %s: %s (only == and != take one)", c.op, c.text)
	}
	v, err := parse(number)
	if err != nil {
		if e, ok := err.(*SyntaxError); ok {
			return Range{}, fmt.Sprintf("holds %q, which %s", e.Found, e.Reason)
		}
		return Range{}, "holds " + err.Error()
	}
	low, high := before(v), after(v)
	if prefix {
		if v.parts[v.n-1] == maxPart {
			return Range{}, fmt.Sprintf("has a prefix with a part above %d: %s", maxPart-1, c.text)
		}
		high = before(v.next())
	}
	switch c.op {
	case ">=":
		return between(&low, nil), ""
	case ">":
		return between(&high, nil), ""
	case "<=":
		return between(nil, &high), ""
	case "<":
		return between(nil, &low), ""
	case "!=":
		return between(&low, &high).Complement(), ""
	}
	return between(&low, &high), ""
}

// between is the range from low to high; nil is the very beginning or end.
func between(low, high *cut) Range {
	start := first()
	if low != nil {
		start = *low
	}
	if high == nil {
		return Range{cuts: []cut{start}}
	}
	if start.compare(*high) >= 0 {
		return Range{}
	}
	return Range{cuts: []cut{start, *high}}
}

// Contains reports whether v is in the range.
func (r Range) Contains(v Release) bool {
	if v.IsZero() {
		return false
	}
	place := cut{at: v}
	n := sort.Search(len(r.cuts), func(i int) bool { return r.cuts[i].compare(place) > 0 })
	return n%2 == 1
}

// Intersect returns the releases that are in both.
func (r Range) Intersect(o Range) Range {
	return combine(r, o, func(a, b bool) bool { return a && b })
}

// Union returns the releases that are in one of the two.
func (r Range) Union(o Range) Range {
	return combine(r, o, func(a, b bool) bool { return a || b })
}

// Complement returns the releases that are not in r.
func (r Range) Complement() Range {
	return combine(r, Everything(), func(a, b bool) bool { return b && !a })
}

// combine walks over the cuts of both and keeps those at which in changes.
func combine(a, b Range, in func(a, b bool) bool) Range {
	var out Range
	i, j := 0, 0
	for i < len(a.cuts) || j < len(b.cuts) {
		var c cut
		switch {
		case j == len(b.cuts) || i < len(a.cuts) && a.cuts[i].compare(b.cuts[j]) < 0:
			c = a.cuts[i]
			i++
		case i == len(a.cuts) || a.cuts[i].compare(b.cuts[j]) > 0:
			c = b.cuts[j]
			j++
		default:
			c = a.cuts[i]
			i++
			j++
		}
		if in(i%2 == 1, j%2 == 1) != (len(out.cuts)%2 == 1) {
			out.cuts = append(out.cuts, c)
		}
	}
	return out
}

// Empty reports whether no release is in the range.
func (r Range) Empty() bool { return len(r.cuts) == 0 }

// Equal reports whether both hold the same releases.
func (r Range) Equal(o Range) bool {
	return slices.EqualFunc(r.cuts, o.cuts, func(a, b cut) bool { return a.compare(b) == 0 })
}

// String writes the range so that ParseRange reads it back: its intervals in
// order, joined by ||. Everything is "*", the empty range is "<0".
func (r Range) String() string {
	if r.Empty() {
		return "<0"
	}
	if r.Equal(Everything()) {
		return "*"
	}
	var intervals []string
	for i := 0; i < len(r.cuts); i += 2 {
		low := r.cuts[i]
		var clauses []string
		switch {
		case low.after:
			clauses = append(clauses, ">"+low.at.text)
		case low.compare(first()) != 0 || i+1 == len(r.cuts):
			clauses = append(clauses, ">="+low.at.text)
		}
		if i+1 < len(r.cuts) {
			high := r.cuts[i+1]
			switch {
			case high.after && !low.after && high.at.Compare(low.at) == 0:
				clauses = []string{"==" + high.at.text}
			case high.after:
				clauses = append(clauses, "<="+high.at.text)
			default:
				clauses = append(clauses, "<"+high.at.text)
			}
		}
		intervals = append(intervals, strings.Join(clauses, " "))
	}
	return strings.Join(intervals, " || ")
}

// ParseOSRange reads an OS and a range of its versions, such as
// "ubuntu >=22.04" or "debian 12". An OS alone means all its versions.
func ParseOSRange(s string) (id string, versions Range, err error) {
	forms := []string{"ubuntu >=22.04", "debian 12", "ubuntu"}
	fail := func(reason string) (string, Range, error) {
		return "", Range{}, &SyntaxError{What: "OS", Found: s, Reason: reason, Allowed: forms}
	}
	text := strings.TrimSpace(s)
	end := strings.IndexFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
	if end < 0 {
		end = len(text)
	}
	id, rest := text[:end], strings.TrimSpace(text[end:])
	switch {
	case text == "":
		return fail("is empty")
	case id == "" || id[0] < 'a' || id[0] > 'z':
		return fail("does not begin with the id of an OS in lower case")
	case rest == "":
		return id, Everything(), nil
	case strings.ContainsAny(text[end:end+1], " \t<>=!"):
		// the id ends here
	default:
		return fail(fmt.Sprintf("has %q in the id of the OS", text[end:end+1]))
	}
	versions, err = parseRange(rest, ParseRelease, forms)
	if err != nil {
		return "", Range{}, err
	}
	return id, versions, nil
}

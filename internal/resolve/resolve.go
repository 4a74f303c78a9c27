// Package resolve chooses the image for a host from the table, and says why.
//
// An image runs on a host when the row's hosts range holds the host's L4T
// release: nothing else makes a yes. A range that is open at an end speaks only
// for the major of its image. A host of a major that the table has nothing about
// is unknown, a host without a known release gets no image at all. Flavour, GPU, CUDA and Python
// rule out rows where they are known or asked for and differ. A row with a
// failed test is never chosen, and one that is not built cannot be.
//
// Of the rows that remain the first in this order is chosen: real before
// testbed, tested before untested, made for exactly these packages before
// larger ones, newest versions, nearest release at or below the host's. Every
// row that holds the packages is a Candidate with its reasons, for and against.
package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Query is what is asked: packages, and the host that has to run them.
type Query struct {
	Packages []Wanted
	L4T      version.Release // of the host; the zero value is unknown
	Unknown  string          // why L4T is unknown, in words
	Flavour  string          // tegra or sbsa; "" is tegra
	GPU      string          // architecture of the host's GPU, sm_87; "" is unknown
	CUDA     string          // asked for: 12.6 matches 12.6.1; "" is any
	Python   string          // asked for; "" is any
}

// Answer is the choice, or why there is none.
type Answer struct {
	// Chosen is the candidate that was chosen; nil where none can be.
	Chosen *Candidate `json:"-"`
	// Why says in one or more lines why this one, or why none.
	Why []string `json:"why"`
	// Candidates holds every row that was weighed: the chosen one first, then
	// the other possible ones, then those ruled out, nearest first.
	Candidates []Candidate `json:"candidates"`
}

// Verdict says whether a host can run a row's image.
type Verdict string

const (
	Yes     Verdict = "yes"
	No      Verdict = "no"
	Unknown Verdict = "unknown"
)

// Candidate is a row of the table, weighed.
type Candidate struct {
	Row     *table.Row `json:"-"`
	Name    string     `json:"name"`                // pytorch 2.8.0 for r36.4.0, CUDA 12.6
	Image   string     `json:"reference,omitempty"` // host/repo:tag
	Digest  string     `json:"digest,omitempty"`
	Verdict Verdict    `json:"verdict"`
	For     []string   `json:"for,omitempty"`
	Against []string   `json:"against,omitempty"`
}

// Choose chooses. The error is the user's: a package that the table does not
// have. That nothing is compatible is no error, but an Answer without a choice.
func Choose(t *table.Table, q Query) (Answer, error) {
	if len(q.Packages) == 0 {
		var l diag.List
		l.Errorf("no-package", diag.Position{}, "no package was asked for")
		return Answer{}, l.Err()
	}
	c := readCatalog(t)
	wanted, err := c.expand(q.Packages)
	if err != nil {
		return Answer{}, err
	}
	q.Packages = wanted
	if q.Flavour == "" {
		q.Flavour = "tegra"
	}
	w := weigher{query: q, majors: majors(t)}
	var a Answer
	for i := range t.Rows {
		if r := &t.Rows[i]; r.Status == table.Current && holds(r, wanted) {
			a.Candidates = append(a.Candidates, w.weigh(r))
		}
	}
	slices.SortStableFunc(a.Candidates, w.compare)
	if len(a.Candidates) > 0 && a.Candidates[0].Verdict == Yes {
		a.Chosen = &a.Candidates[0]
		a.Why = a.Chosen.For
		return a, nil
	}
	a.Why = w.explain(c, a.Candidates)
	return a, nil
}

// holds reports whether a row is about all wanted packages. A cell without an
// image is judged by what its target names: it may hold no resolution.
func holds(r *table.Row, wanted []Wanted) bool {
	for _, w := range wanted {
		p, ok := r.Package(w.Name)
		if !ok {
			if r.State == table.Built || !slices.Contains(r.Roots, w.Name) {
				return false
			}
			continue
		}
		if !versionMatches(p.Version, w.Version) {
			return false
		}
	}
	return true
}

// majors are the L4T majors that the table has platforms of: what it knows.
func majors(t *table.Table) []int {
	var out []int
	for i := range t.Rows {
		if r, err := version.ParseL4T(t.Rows[i].Platform.L4T); err == nil {
			out = append(out, r.Major())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type weigher struct {
	query  Query
	majors []int
}

func (w weigher) weigh(r *table.Row) Candidate {
	c := Candidate{Row: r, Verdict: Yes, Name: w.name(r)}
	if r.Image != nil {
		c.Image, c.Digest = r.Image.Reference, r.Image.Digest
	}
	against := func(v Verdict, format string, args ...any) {
		if c.Verdict != No {
			c.Verdict = v
		}
		c.Against = append(c.Against, fmt.Sprintf(format, args...))
	}
	if r.State != table.Built {
		against(No, "%s: %s", r.State, r.Reason)
	}
	q := w.query
	switch v, why := w.hostVerdict(r); v {
	case Yes:
		c.For = append(c.For, why)
	default:
		against(v, "%s", why)
	}
	if r.Platform.Flavour != q.Flavour {
		against(No, "it is made for %s, this host is %s", r.Platform.Flavour, q.Flavour)
	}
	if r.Platform.Arch != "arm64" {
		against(No, "it is an image for %s, a Jetson is arm64", r.Platform.Arch)
	}
	if q.GPU != "" && len(r.Platform.GPU) > 0 && !slices.Contains(r.Platform.GPU, q.GPU) {
		against(No, "it is made for GPUs %s, this host has %s", strings.Join(r.Platform.GPU, ", "), q.GPU)
	}
	if q.CUDA != "" {
		switch have := r.Platform.CUDA; {
		case have == nil:
			against(No, "it has no CUDA, CUDA %s was asked for", q.CUDA)
		case !versionMatches(have.Version, q.CUDA):
			against(No, "it has CUDA %s, CUDA %s was asked for", have.Version, q.CUDA)
		}
	}
	if q.Python != "" && !versionMatches(r.Platform.Python, q.Python) {
		against(No, "it has Python %s, Python %s was asked for", cmp.Or(r.Platform.Python, "of an unknown version"), q.Python)
	}
	for _, want := range q.Packages {
		p, ok := r.Package(want.Name)
		if ok && !maps.Equal(p.Options, want.Options) {
			against(No, "it holds %s with %s, asked for was %s", want.Name, optionText(p.Options), optionText(want.Options))
		}
	}
	if r.Evidence.Failed > 0 {
		against(No, "%s", failedText(r))
	}
	if r.State == table.Built && r.Evidence.Failed == 0 {
		c.For = append(c.For, testedText(r.Evidence))
	}
	return c
}

// hostVerdict judges the host by the row's range alone.
func (w weigher) hostVerdict(r *table.Row) (Verdict, string) {
	h := w.query.L4T
	if h.IsZero() {
		return Unknown, "the L4T release of the host is unknown"
	}
	hosts, err := version.ParseL4TRange(r.Hosts)
	if err != nil {
		return Unknown, "its hosts range cannot be read: " + err.Error()
	}
	known := slices.Contains(w.majors, h.Major())
	image, err := version.ParseL4T(r.Platform.L4T)
	switch {
	case !hosts.Contains(h) && known:
		return No, fmt.Sprintf("it runs on hosts %s, this one is r%s", r.Hosts, h)
	case !hosts.Contains(h):
		return Unknown, fmt.Sprintf("it runs on hosts %s, and nothing in the table is about L4T %d", r.Hosts, h.Major())
	case openEnded(hosts) && (err != nil || image.Major() != h.Major()):
		// ">=36.4" was not written with other majors in mind: containers depend
		// on the driver libraries of the host's own major.
		return Unknown, fmt.Sprintf("its range %s is open, and says nothing certain about L4T %d", r.Hosts, h.Major())
	}
	return Yes, fmt.Sprintf("it runs on hosts %s, this one is r%s", r.Hosts, h)
}

// openEnded reports whether a range has no lower or no upper end.
func openEnded(r version.Range) bool {
	for _, end := range []string{"0", "999999999"} {
		if v, err := version.ParseL4T(end); err != nil || r.Contains(v) {
			return true
		}
	}
	return false
}

// compare puts the better candidate first.
func (w weigher) compare(a, b Candidate) int {
	if d := cmp.Compare(rank(a.Verdict), rank(b.Verdict)); d != 0 {
		return d
	}
	if a.Verdict != Yes {
		// Ruled out: nearest first, which has the fewest reasons against it.
		if d := cmp.Compare(len(a.Against), len(b.Against)); d != 0 {
			return d
		}
	}
	return cmp.Or(
		compareBool(!a.Row.Platform.Testbed, !b.Row.Platform.Testbed),
		compareBool(a.Row.Evidence.Tested(), b.Row.Evidence.Tested()),
		compareBool(w.exact(a.Row), w.exact(b.Row)),
		w.compareVersions(a.Row, b.Row),
		w.compareRelease(a.Row, b.Row),
		cmp.Compare(len(a.Row.Packages), len(b.Row.Packages)),
		// The platform's own defaults come first in a matrix; a table has lost
		// that order, so the newest CUDA and Python stand in for it.
		-compareVersions(cudaOf(a.Row), cudaOf(b.Row)),
		-compareVersions(a.Row.Platform.Python, b.Row.Platform.Python),
		strings.Compare(a.Row.Target, b.Row.Target),
		strings.Compare(a.Image, b.Image),
	)
}

func rank(v Verdict) int {
	return slices.Index([]Verdict{Yes, Unknown, No}, v)
}

// compareBool puts true first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// exact reports whether the target names the wanted packages and no others.
func (w weigher) exact(r *table.Row) bool {
	names := map[string]bool{}
	for _, want := range w.query.Packages {
		names[want.Name] = true
	}
	for _, root := range r.Roots {
		if !names[root] {
			return false
		}
	}
	return len(r.Roots) == len(names)
}

// compareVersions puts newer versions of the wanted packages first, in the
// order in which they were asked for.
func (w weigher) compareVersions(a, b *table.Row) int {
	for _, want := range w.query.Packages {
		pa, _ := a.Package(want.Name)
		pb, _ := b.Package(want.Name)
		if d := compareVersions(pa.Version, pb.Version); d != 0 {
			return -d
		}
	}
	return 0
}

// compareRelease puts the release first that is nearest at or below the host's;
// releases above it come after, nearest first.
func (w weigher) compareRelease(a, b *table.Row) int {
	ra, errA := version.ParseL4T(a.Platform.L4T)
	rb, errB := version.ParseL4T(b.Platform.L4T)
	if errA != nil || errB != nil {
		return 0
	}
	h := w.query.L4T
	belowA, belowB := ra.Compare(h) <= 0, rb.Compare(h) <= 0
	if d := compareBool(belowA, belowB); d != 0 {
		return d
	}
	if belowA {
		return -ra.Compare(rb)
	}
	return ra.Compare(rb)
}

func cudaOf(r *table.Row) string {
	if r.Platform.CUDA == nil {
		return ""
	}
	return r.Platform.CUDA.Version
}

package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

type weigher struct {
	source   Source
	query    Query
	catalog  catalog
	majors   []int             // L4T majors that the table has platforms of: what it knows
	orders   map[[2]string]int // of versions that were compared: parsing is slow
	flavours []string          // of the platforms that run on the host, where it says none
}

func newWeigher(src Source, q Query) weigher {
	w := weigher{source: src, query: q, catalog: catalog(src.Names()), orders: map[[2]string]int{}}
	for _, p := range src.Placements() {
		image, err := version.ParseL4T(p.Platform.L4T)
		if err != nil {
			continue
		}
		w.majors = append(w.majors, image.Major())
		hosts, err := version.ParseL4TRange(p.Hosts)
		if err != nil || q.L4T.IsZero() || !hosts.Contains(q.L4T) {
			continue
		}
		w.flavours = append(w.flavours, p.Platform.Flavour)
		// The platform says the flavour: where there is a tegra platform with this
		// GPU, a host with a Tegra SoC is what it is for.
		if q.Flavour == "" && q.Tegra && p.Platform.Flavour == "tegra" && slices.Contains(p.Platform.GPU, q.GPU) {
			w.query.Flavour = "tegra"
		}
	}
	slices.Sort(w.majors)
	slices.Sort(w.flavours)
	w.majors, w.flavours = slices.Compact(w.majors), slices.Compact(w.flavours)
	return w
}

func (c *Candidate) against(v Verdict, format string, args ...any) {
	if c.Verdict != No {
		c.Verdict = v
	}
	c.Against = append(c.Against, fmt.Sprintf(format, args...))
}

func (w weigher) weigh(r *table.Row) Candidate {
	c := Candidate{Row: r, Verdict: Yes, Name: w.name(r)}
	if r.Image != nil {
		c.Image, c.Digest = r.Image.Reference, r.Image.Digest
	}
	if r.State != table.Built {
		c.against(No, "%s: %s", r.State, r.Reason)
	}
	w.weighPlatform(&c)
	for _, want := range w.query.Packages {
		p, ok := r.Package(want.Name)
		if ok && !maps.Equal(p.Options, want.Options) {
			c.against(No, "it holds %s with %s, asked for was %s", want.Name, optionText(p.Options), optionText(want.Options))
		}
	}
	w.weighEvidence(&c)
	return c
}

func (w weigher) weighEvidence(c *Candidate) {
	r := c.Row
	if r.Evidence.Failed > 0 {
		c.against(No, "%s", failedText(r))
	}
	if r.State == table.Built && r.Evidence.Failed == 0 {
		c.For = append(c.For, testedText(r.Evidence))
	}
}

// weighPlatform judges what the image was made for, against host and query.
func (w weigher) weighPlatform(c *Candidate) {
	p, q := c.Row.Platform, w.query
	switch v, why := w.hostVerdict(c.Row); v {
	case Yes:
		c.For = append(c.For, why)
	default:
		c.against(v, "%s", why)
	}
	switch {
	case q.Flavour != "" && p.Flavour != q.Flavour:
		c.against(No, "it is made for %s, this host is %s", p.Flavour, q.Flavour)
	case q.Flavour == "" && len(w.flavours) > 1:
		c.against(Unknown, "it is made for %s, and nothing says whether this host is %s: say it with --flavour", p.Flavour, strings.Join(w.flavours, " or "))
	}
	switch {
	case q.Arch != "" && p.Arch != q.Arch:
		c.against(No, "it is an image for %s, this host is %s", p.Arch, q.Arch)
	case p.Arch != "arm64":
		c.against(No, "it is an image for %s, a Jetson is arm64", p.Arch)
	}
	if q.GPU != "" && len(p.GPU) > 0 && !slices.Contains(p.GPU, q.GPU) {
		c.against(No, "it is made for GPUs %s, this host has %s", strings.Join(p.GPU, ", "), q.GPU)
	}
	if q.CUDA != "" {
		switch have := p.CUDA; {
		case have == nil:
			c.against(No, "it has no CUDA, CUDA %s was asked for", q.CUDA)
		case !versionMatches(have.Version, q.CUDA):
			c.against(No, "it has CUDA %s, CUDA %s was asked for", have.Version, q.CUDA)
		}
	}
	if q.Python != "" && !versionMatches(p.Python, q.Python) {
		c.against(No, "it has Python %s, Python %s was asked for", cmp.Or(p.Python, "of an unknown version"), q.Python)
	}
}

// hostVerdict judges the host by the row's range alone.
func (w weigher) hostVerdict(r *table.Row) (Verdict, string) {
	h := w.query.L4T
	if h.IsZero() {
		return Unknown, "the L4T release of the host is unknown"
	}
	if r.Hosts == "" {
		return Unknown, fmt.Sprintf("the table does not say which hosts run images of %s", r.Platform.L4T)
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
	if d := compareBool(!a.ignored, !b.ignored); d != 0 {
		return d
	}
	if a.Verdict != Yes {
		// Ruled out: nearest first, which has the fewest reasons against it.
		if d := cmp.Compare(len(a.Against), len(b.Against)); d != 0 {
			return d
		}
	}
	preferred := 0
	switch w.query.Prefer {
	case Newest:
		preferred = w.compareVersions(a.Row, b.Row)
	case OnHost:
		preferred = compareBool(a.Local, b.Local)
	case Remote:
		preferred = compareBool(!a.Local, !b.Local)
	}
	return cmp.Or(
		compareBool(!a.Row.Platform.Testbed, !b.Row.Platform.Testbed),
		preferred,
		compareBool(a.Row.Evidence.Tested(), b.Row.Evidence.Tested()),
		compareBool(w.exact(a.Row), w.exact(b.Row)),
		w.compareVersions(a.Row, b.Row),
		w.compareRelease(a.Row, b.Row),
		cmp.Compare(len(a.Row.Packages), len(b.Row.Packages)),
		// The platform's own defaults come first in a matrix; a table has lost
		// that order, so the newest CUDA and Python stand in for it.
		-w.order(cudaOf(a.Row), cudaOf(b.Row)),
		-w.order(a.Row.Platform.Python, b.Row.Platform.Python),
		compareBool(a.Local, b.Local),
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
		if d := w.order(pa.Version, pb.Version); d != 0 {
			return -d
		}
	}
	return 0
}

// order is table.CompareVersions, which remembers.
func (w weigher) order(a, b string) int {
	if a == b {
		return 0
	}
	known, ok := w.orders[[2]string{a, b}]
	if !ok {
		known = table.CompareVersions(a, b)
		w.orders[[2]string{a, b}] = known
	}
	return known
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

// Package resolve chooses the image for a host from the table, and says why.
//
// An image runs on a host when the row's hosts range holds the host's L4T
// release: nothing else makes a yes. A range that is open at an end speaks only
// for the major of its image. A host of a major that the table has nothing about
// is unknown, a host without a known release gets no image at all. Flavour, GPU,
// CUDA and Python rule out rows where they are known or asked for and differ. A
// row with a failed test is never chosen, and one that is not built cannot be.
// Images that Docker has are judged like rows, by what their labels say.
//
// Of those that remain the first in this order is chosen: real before testbed,
// tested before untested, made for exactly these packages before larger ones,
// newest versions, nearest release at or below the host's, local before remote.
package resolve

import (
	"slices"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Source holds the rows that are chosen from: a table, or its index.
type Source interface {
	Names() table.Names
	Placements() []table.Placement
	Select(table.Selection) ([]table.Row, error)
	ByKey(key string) ([]table.Row, error)
}

// Query is what is asked: packages, and the host that has to run them.
type Query struct {
	Packages []Wanted
	L4T      version.Release // of the host; the zero value is unknown
	Unknown  string          // why L4T is unknown, in words
	Flavour  string          // tegra or sbsa; "" is what the table has for this release
	GPU      string          // architecture of the host's GPU, sm_87; "" is unknown
	Arch     string          // of the host, arm64; "" is unknown
	Tegra    bool            // the host's device tree names a Tegra SoC
	CUDA     string          // asked for: 12.6 matches 12.6.1; "" is any
	Python   string          // asked for; "" is any
	Prefer   Preference      // what comes before the order of the package comment
	Local    []Local         // images that Docker has
	All      bool            // weigh every row, also those that cannot matter
}

// SetHost says what the host is, from its facts.
func (q *Query) SetHost(f host.Facts) {
	release, known := f.Release()
	q.L4T, q.Unknown = release, ""
	if !known {
		q.Unknown = f.L4T.Reason
	}
	q.Flavour, q.GPU, q.Arch = f.Flavour.Value, f.GPU.Value, f.Arch.Value
	q.Tegra = f.SoC.Known()
}

// Preference is a criterion that goes before all others among images that run.
type Preference string

const (
	Tested Preference = "tested" // the order as it is
	Newest Preference = "newest" // newest versions first
	OnHost Preference = "local"  // what Docker has first
	Remote Preference = "remote" // nothing that Docker alone has
)

// Preferences lists what there is, for messages and completion.
func Preferences() []string {
	return []string{string(Tested), string(Newest), string(OnHost), string(Remote)}
}

// Answer is the choice, or why there is none.
type Answer struct {
	// Chosen is the candidate that was chosen; nil where none can be.
	Chosen *Candidate `json:"-"`
	// Why says in one or more lines why this one, or why none.
	Why []string `json:"why"`
	// Candidates holds what was weighed: the chosen one first, then the other
	// possible ones, then those ruled out, nearest first.
	Candidates []Candidate `json:"candidates"`
	// Build says what could be built where nothing is chosen; nil is nothing.
	Build *Build `json:"build,omitempty"`
}

// Build is a target that is declared for a platform of the host's release.
type Build struct {
	Packages []string       `json:"packages"` // as jetcrate build takes them
	Platform table.Platform `json:"platform"`
}

// Verdict says whether a host can run a row's image.
type Verdict string

const (
	Yes     Verdict = "yes"
	No      Verdict = "no"
	Unknown Verdict = "unknown"
)

// Candidate is a row of the table, or an image that Docker has, weighed.
type Candidate struct {
	Row     *table.Row `json:"-"`
	Name    string     `json:"name"`                // pytorch 2.8.0 for r36.4.0, CUDA 12.6
	Image   string     `json:"reference,omitempty"` // host/repo:tag
	Digest  string     `json:"digest,omitempty"`
	Local   bool       `json:"local,omitempty"` // Docker has it
	Verdict Verdict    `json:"verdict"`
	For     []string   `json:"for,omitempty"`
	Against []string   `json:"against,omitempty"`

	pinned  string
	ignored bool // an image of Docker that does not say what it holds: told, never near
}

// Pinned is the reference that always means the same image.
func (c *Candidate) Pinned() string {
	switch {
	case c.pinned != "":
		return c.pinned
	case c.Row.Image != nil:
		return c.Row.Image.Pinned()
	}
	return c.Image
}

// Choose chooses. The user's error is a package that the table does not have.
// That nothing is compatible is no error, but an Answer without a choice.
func Choose(src Source, q Query) (Answer, error) {
	if len(q.Packages) == 0 {
		var l diag.List
		l.Errorf("no-package", diag.Position{}, "no package was asked for")
		return Answer{}, l.Err()
	}
	w := newWeigher(src, q)
	wanted, err := w.catalog.expand(q.Packages)
	if err != nil {
		return Answer{}, err
	}
	w.query.Packages = wanted
	local, err := w.locals()
	if err != nil {
		return Answer{}, err
	}
	if !q.All {
		// Most platforms cannot have the answer, and of rows that are alike the
		// best is enough.
		a, err := w.answer(table.Selection{Keep: w.possible, Best: 1}, local)
		if err != nil || a.Chosen != nil {
			return a, err
		}
	}
	sel := table.Selection{Best: nearest}
	if q.All {
		sel.Best = 0
	}
	a, err := w.answer(sel, local)
	if err != nil || a.Chosen != nil {
		return a, err
	}
	if a.Build, err = w.build(); err != nil {
		return Answer{}, err
	}
	a.Why = w.explain(a.Candidates)
	return a, nil
}

// answer weighs a selection of rows and the local images.
func (w weigher) answer(sel table.Selection, local []Candidate) (Answer, error) {
	for _, want := range w.query.Packages {
		sel.Packages = append(sel.Packages, table.Selected{Name: want.Name, Accept: want.accepts})
	}
	rows, err := w.source.Select(sel)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Candidates: slices.Clone(local)}
	for i := range rows {
		a.Candidates = append(a.Candidates, w.weigh(&rows[i]))
	}
	slices.SortStableFunc(a.Candidates, w.compare)
	if len(a.Candidates) > 0 && a.Candidates[0].Verdict == Yes {
		a.Chosen = &a.Candidates[0]
		a.Why = a.Chosen.For
	}
	return a, nil
}

func (w Wanted) accepts(version string) bool { return versionMatches(version, w.Version) }

// possible reports whether images of a platform can be a yes for this query.
func (w weigher) possible(p table.Placement) bool {
	r := table.Row{Platform: p.Platform, Hosts: p.Hosts, State: table.Built}
	c := Candidate{Row: &r, Verdict: Yes}
	w.weighPlatform(&c)
	return c.Verdict == Yes
}

// build looks for the newest platform of this host on which each of the
// packages is declared or built.
func (w weigher) build() (*Build, error) {
	var common []table.Platform
	for i, want := range w.query.Packages {
		rows, err := w.source.Select(table.Selection{
			Packages: []table.Selected{{Name: want.Name, Accept: want.accepts}}, Keep: w.possible, Best: nearest,
		})
		if err != nil {
			return nil, err
		}
		var here []table.Platform
		for _, r := range rows {
			known := i == 0 || slices.ContainsFunc(common, func(p table.Platform) bool { return p.String() == r.Platform.String() })
			// A cell without a resolution was declared for any version or for none:
			// only one without a version asked says yes.
			if _, resolved := r.Package(want.Name); r.State != table.Impossible && !r.Platform.Testbed && known && (resolved || want.Version == "") {
				here = append(here, r.Platform)
			}
		}
		common = here
	}
	if len(common) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(common, func(a, b table.Platform) int {
		return w.compareRelease(&table.Row{Platform: a}, &table.Row{Platform: b})
	})
	b := &Build{Platform: common[0]}
	for _, want := range w.query.Packages {
		b.Packages = append(b.Packages, want.target())
	}
	return b, nil
}

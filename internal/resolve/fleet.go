package resolve

import (
	"fmt"
	"slices"

	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Member is a device of a fleet: the fields of its Query that say what it is.
type Member struct {
	Name string
	Host Query
}

// FleetAnswer is one image for all devices, with what has to change for it.
type FleetAnswer struct {
	// Chosen is the image; nil where no upgrade makes one fit all.
	Chosen *Candidate `json:"-"`
	Why    []string   `json:"why"`
	// Upgrades are needed before Chosen runs on all; none where it does now.
	Upgrades []Upgrade `json:"upgrades,omitempty"`
	// Alone says what each device gets by itself, in the order of members.
	Alone []Alone `json:"alone"`
}

// Upgrade is a device with the L4T release that it needs at least.
type Upgrade struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Alone is the answer for one device.
type Alone struct {
	Name      string   `json:"name"`
	L4T       string   `json:"l4t,omitempty"`
	Reference string   `json:"reference,omitempty"`
	Why       []string `json:"why"`
}

// Fleet chooses one image for all members, else the one that the fewest of them
// have to be upgraded for. q says what is wanted. A device is upgraded to a
// release of the table above its own, and only where the image then is a yes.
func Fleet(src Source, q Query, members []Member) (FleetAnswer, error) {
	var a FleetAnswer
	var weighers []weigher
	for _, m := range members {
		own := q.on(m.Host)
		alone, err := Choose(src, own)
		if err != nil {
			return a, err
		}
		entry := Alone{Name: m.Name, L4T: own.L4T.String(), Why: alone.Why}
		if alone.Chosen != nil {
			entry.Reference = alone.Chosen.Image
		}
		a.Alone = append(a.Alone, entry)
		w := newWeigher(src, own)
		if w.query.Packages, err = w.catalog.expand(q.Packages); err != nil {
			return a, err
		}
		weighers = append(weighers, w)
	}
	sel := table.Selection{Best: 1}
	for _, want := range weighers[0].query.Packages {
		sel.Packages = append(sel.Packages, table.Selected{Name: want.Name, Accept: want.accepts})
	}
	rows, err := src.Select(sel)
	if err != nil {
		return a, err
	}
	best := -1
	for i := range rows {
		upgrades, ok := needed(src, &rows[i], members, weighers)
		if !ok {
			continue
		}
		if best < 0 || len(upgrades) < len(a.Upgrades) || len(upgrades) == len(a.Upgrades) && weighers[0].better(&rows[i], &rows[best]) {
			best, a.Upgrades = i, upgrades
		}
	}
	if best < 0 {
		a.Why = []string{"no image runs on all of them, and no upgrade makes one run on all"}
		return a, nil
	}
	c := weighers[0].weigh(&rows[best])
	a.Chosen = &c
	a.Why = []string{fmt.Sprintf("%s runs on all %d", c.Name, len(members))}
	if n := len(a.Upgrades); n > 0 {
		a.Why = []string{fmt.Sprintf("no image runs on all %d as they are; with %d upgraded, %s does", len(members), n, c.Name)}
	}
	return a, nil
}

// on is the query for a device.
func (q Query) on(host Query) Query {
	q.L4T, q.Unknown, q.Flavour, q.GPU, q.Arch, q.Tegra = host.L4T, host.Unknown, host.Flavour, host.GPU, host.Arch, host.Tegra
	return q
}

// better compares two rows that run everywhere.
func (w weigher) better(a, b *table.Row) bool {
	return w.compare(Candidate{Row: a, Verdict: Yes, Image: imageOf(a)}, Candidate{Row: b, Verdict: Yes, Image: imageOf(b)}) < 0
}

func imageOf(r *table.Row) string {
	if r.Image == nil {
		return ""
	}
	return r.Image.Reference
}

// needed are the upgrades after which a row's image runs on all members; false
// where there are none that help.
func needed(src Source, r *table.Row, members []Member, weighers []weigher) ([]Upgrade, bool) {
	var out []Upgrade
	for i, w := range weighers {
		if w.weigh(r).Verdict == Yes {
			continue
		}
		from := w.query.L4T
		to, ok := w.upgrade(src, r)
		if from.IsZero() || !ok {
			return nil, false
		}
		out = append(out, Upgrade{Name: members[i].Name, From: from.String(), To: to.String()})
	}
	return out, true
}

// upgrade is the lowest release of the table above the host's on which a row's
// image is a yes. Between majors the flavour of the host may change.
func (w weigher) upgrade(src Source, r *table.Row) (version.Release, bool) {
	hosts, err := version.ParseL4TRange(r.Hosts)
	if err != nil {
		return version.Release{}, false
	}
	var above []version.Release
	for _, p := range src.Placements() {
		release, err := version.ParseL4T(p.Platform.L4T)
		// A platform for other GPUs is no release for this device.
		if err == nil && hosts.Contains(release) && release.Compare(w.query.L4T) > 0 &&
			(w.query.GPU == "" || len(p.Platform.GPU) == 0 || slices.Contains(p.Platform.GPU, w.query.GPU)) {
			above = append(above, release)
		}
	}
	slices.SortFunc(above, version.Release.Compare)
	for _, release := range above {
		then := w.query
		then.L4T = release
		if release.Major() >= 38 && w.query.L4T.Major() < 38 {
			then.Flavour = ""
		}
		next := newWeigher(src, then)
		if next.weigh(r).Verdict == Yes {
			return release, true
		}
	}
	return version.Release{}, false
}

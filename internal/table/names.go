package table

import (
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Names is what the rows of a table say about the names of packages.
type Names struct {
	Versions map[string][]string // of a package: those that a row has, newest first
	Aliases  map[string]Alias    // torch, ros:humble
}

// Alias is what another name stands for: a package, or a version of it.
type Alias struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Names reads the names of all rows, of those that no longer count too.
func (t *Table) Names() Names {
	n := Names{Versions: map[string][]string{}, Aliases: map[string]Alias{}}
	seen := map[[2]string]bool{}
	for i := range t.Rows {
		for _, root := range t.Rows[i].Roots {
			if n.Versions[root] == nil {
				n.Versions[root] = []string{}
			}
		}
		for _, p := range t.Rows[i].Packages {
			if id := [2]string{p.Name, p.Version}; !seen[id] {
				seen[id] = true
				n.Versions[p.Name] = append(n.Versions[p.Name], p.Version)
			}
			for _, alias := range p.Aliases {
				to := Alias{Name: p.Name}
				// ros:humble names a version, torch the package.
				if _, pin, ok := strings.Cut(alias, ":"); ok {
					to.Version = pin
				}
				n.Aliases[alias] = to
			}
		}
	}
	for _, versions := range n.Versions {
		slices.SortStableFunc(versions, func(a, b string) int { return -CompareVersions(a, b) })
	}
	return n
}

// CompareVersions orders versions of one package. Of versions that are not PEP
// 440 nothing says which is newer: they are equal, and older than all others.
func CompareVersions(a, b string) int {
	if a == b {
		return 0 // parsing is slow, and most comparisons are of this kind
	}
	va, errA := version.ParsePEP440(a)
	vb, errB := version.ParsePEP440(b)
	switch {
	case errA == nil && errB == nil:
		return va.Compare(vb)
	case errA == nil:
		return 1
	case errB == nil:
		return -1
	}
	return 0
}

// Placement is a platform with the hosts that its images run on.
type Placement struct {
	Platform Platform `json:"platform"`
	Hosts    string   `json:"hosts"`
}

// Placements lists the distinct platforms of all rows, in the order of rows.
func (t *Table) Placements() []Placement {
	var out []Placement
	seen := map[string]bool{}
	for i := range t.Rows {
		p := Placement{Platform: t.Rows[i].Platform, Hosts: t.Rows[i].Hosts}
		if id := p.id(); !seen[id] {
			seen[id] = true
			out = append(out, p)
		}
	}
	return out
}

// Selection says which current rows are looked for.
type Selection struct {
	// Packages are those that a row holds, all of them. Accept judges the version
	// that it holds; nil accepts all. A cell without a resolution has no version:
	// it counts when its target names the package.
	Packages []Selected
	// Keep judges platforms; nil keeps all.
	Keep func(Placement) bool
	// Best, above 0, is how many rows an index may return of those that differ in
	// nothing but state, evidence, size and target: the best of them. See Index.
	Best int
}

// Selected is a package of a Selection.
type Selected struct {
	Name   string
	Accept func(version string) bool
}

// Select returns rows in their order. A table in memory returns all that fit.
func (t *Table) Select(s Selection) ([]Row, error) {
	var out []Row
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Status == Current && s.holds(r) && (s.Keep == nil || s.Keep(Placement{r.Platform, r.Hosts})) {
			out = append(out, *r)
		}
	}
	return out, nil
}

func (s Selection) holds(r *Row) bool {
	for _, want := range s.Packages {
		p, ok := r.Package(want.Name)
		switch {
		case ok:
			if want.Accept != nil && !want.Accept(p.Version) {
				return false
			}
		case r.State == Built || !slices.Contains(r.Roots, want.Name):
			return false
		}
	}
	return true
}

// ByKey returns the rows, of any status, whose image has a key.
func (t *Table) ByKey(key string) ([]Row, error) {
	var out []Row
	for i := range t.Rows {
		if img := t.Rows[i].Image; img != nil && img.Key == key {
			out = append(out, t.Rows[i])
		}
	}
	return out, nil
}

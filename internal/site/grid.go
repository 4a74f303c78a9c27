package site

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// standing is what is known of a cell: a class of the style sheet, a symbol that
// tells it without colours, and a word.
type standing struct{ Class, Symbol, Word, Means string }

// standings are all, in the order of the legend. The first four have an image.
func standings() []standing {
	return []standing{
		{"t", "✓", "tested", "the image exists and its tests passed"},
		{"g", "◐", "untested on GPU", "its tests passed, but those that need a GPU did not run"},
		{"u", "○", "untested", "the image exists, no test of it passed or failed"},
		{"f", "✕", "failed", "a test failed; jet never chooses it"},
		{"w", "⊘", "withdrawn", "it was published and taken back"},
		{"d", "·", "not built", "possible, and not built"},
		{"n", "–", "not available", "ruled out; its page says why"},
	}
}

// standingOf judges a row by its evidence. takenBack are cells of which an image
// was withdrawn.
func standingOf(r *table.Row, takenBack map[string]bool) standing {
	all := standings()
	e := r.Evidence
	switch {
	case r.Status == table.Withdrawn, r.State == table.NotBuilt && takenBack[r.CellID()]:
		return all[4]
	case r.State == table.Impossible:
		return all[6]
	case r.State == table.NotBuilt:
		return all[5]
	case e.Failed > 0:
		return all[3]
	case e.Passed == 0:
		return all[2]
	}
	for _, t := range e.Tests {
		if t.LackedGPU() {
			return all[1]
		}
	}
	return all[0]
}

// grid is the whole table as it is shown.
type grid struct {
	Title    string
	Policy   string
	Groups   []group
	Columns  []*column
	Lines    []*line
	Legend   []standing
	Releases []string // L4T releases of hosts that can be asked for
	CUDAs    []string
	Devices  []Device
	Runs     []Run
	Images   int
	Tested   int
	Source   string // repository of the images

	options Options
	at      map[string]*column
}

// group is a release with its columns.
type group struct {
	Release, JetPack string
	Span             int
	Even             bool
}

// column is a platform with the hosts that its images run on.
type column struct {
	ID      string // 36.4.0-cu12.6-py3.10
	Release string
	JetPack string
	CUDA    string
	Python  string
	Flavour string // "" is tegra
	Testbed bool
	OS      string
	GPU     string // separated by spaces
	Hosts   string
	Runs    string // of grid.Releases, those in Hosts
	Title   string
	stack   *table.CUDA
}

// line is a target across all columns.
type line struct {
	Target string
	File   string // of its page, without p/ and .html
	Words  string // what it is found by
	Holds  string // names of the packages that its images hold beside it
	Cells  []cell
}

// cell is one target on one platform.
type cell struct {
	standing
	Version string
	row     *table.Row
}

func newGrid(t *table.Table, o Options) *grid {
	g := &grid{Title: o.Title, Policy: policy, Legend: standings(), Devices: o.Devices, Runs: o.Runs, Source: t.Repository, options: o, at: map[string]*column{}}
	rows := slices.Clone(t.Rows)
	sorted := table.Table{Rows: rows}
	sorted.Sort()
	takenBack := t.TakenBack()
	gpus := map[string]bool{}
	for i := range rows {
		c := columnOf(&rows[i])
		if g.at[c.ID] == nil {
			g.at[c.ID] = c
			g.Columns = append(g.Columns, c)
		}
		for _, gpu := range rows[i].Platform.GPU {
			gpus[gpu] = true
		}
	}
	slices.SortStableFunc(g.Columns, compareColumns)
	g.choices(gpus)
	g.group()
	place := map[string]int{}
	for i, c := range g.Columns {
		place[c.ID] = i
	}
	var last *line
	for i := range rows {
		r := &rows[i]
		if r.Status == table.Superseded {
			continue
		}
		if last == nil || last.Target != r.Target {
			last = &line{Target: r.Target, File: fileOf(root(r)), Cells: make([]cell, len(g.Columns))}
			g.Lines = append(g.Lines, last)
		}
		at := place[columnOf(r).ID]
		if last.Cells[at].row != nil && r.Status == table.Withdrawn {
			continue // what is current counts
		}
		last.Cells[at] = cell{standingOf(r, takenBack), versionOf(r), r}
		last.find(r)
		if r.Image != nil && r.Status == table.Current {
			g.Images++
			if r.Evidence.Tested() {
				g.Tested++
			}
		}
	}
	return g
}

// find adds the names by which a row is looked for, and what else it holds.
func (l *line) find(r *table.Row) {
	for _, name := range r.Roots {
		l.Words = withWord(l.Words, name)
		if p, ok := r.Package(name); ok {
			for _, alias := range p.Aliases {
				l.Words = withWord(l.Words, alias)
			}
		}
	}
	for _, p := range r.Packages {
		if !slices.Contains(r.Roots, p.Name) && r.Image != nil {
			l.Holds = withWord(l.Holds, p.Name)
		}
	}
}

func withWord(list, word string) string {
	if slices.Contains(strings.Fields(list), word) {
		return list
	}
	return strings.TrimSpace(list + " " + word)
}

func root(r *table.Row) string {
	if len(r.Roots) == 0 {
		return r.Target
	}
	return r.Roots[0]
}

// versionOf is that of the only package which the target names.
func versionOf(r *table.Row) string {
	if len(r.Roots) != 1 {
		return ""
	}
	p, _ := r.Package(r.Roots[0])
	return p.Version
}

func columnOf(r *table.Row) *column {
	p := r.Platform
	c := &column{
		Release: p.L4T, JetPack: p.JetPack, Python: p.Python, Testbed: p.Testbed, OS: p.OS.ID + " " + p.OS.Version,
		GPU: strings.Join(p.GPU, " "), Hosts: r.Hosts, Title: p.String(), stack: p.CUDA,
	}
	parts := []string{p.L4T}
	if p.Flavour != "tegra" {
		c.Flavour = p.Flavour
		parts = append(parts, p.Flavour)
	}
	if p.CUDA != nil {
		c.CUDA = p.CUDA.Version
		parts = append(parts, "cu"+p.CUDA.Version)
	}
	if p.Python != "" {
		parts = append(parts, "py"+p.Python)
	}
	if p.Testbed {
		c.Title += " (testbed)"
		parts = append(parts, "testbed")
	}
	c.ID = slug(strings.Join(parts, "-"))
	return c
}

func compareColumns(a, b *column) int {
	testbed := map[bool]int{true: 1}
	return cmp.Or(
		testbed[a.Testbed]-testbed[b.Testbed],
		-compareReleases(a.Release, b.Release),
		strings.Compare(a.Flavour, b.Flavour),
		-table.CompareVersions(a.CUDA, b.CUDA),
		-table.CompareVersions(a.Python, b.Python),
		strings.Compare(a.ID, b.ID),
	)
}

func compareReleases(a, b string) int {
	ra, errA := version.ParseL4T(a)
	rb, errB := version.ParseL4T(b)
	if errA != nil || errB != nil {
		return strings.Compare(a, b)
	}
	return ra.Compare(rb)
}

// choices fills in what can be asked for: every release that some platform is,
// with the columns whose images run there.
func (g *grid) choices(gpus map[string]bool) {
	for _, c := range g.Columns {
		if !slices.Contains(g.Releases, c.Release) {
			g.Releases = append(g.Releases, c.Release)
		}
		if c.CUDA != "" && !slices.Contains(g.CUDAs, c.CUDA) {
			g.CUDAs = append(g.CUDAs, c.CUDA)
		}
	}
	slices.SortFunc(g.Releases, func(a, b string) int { return -compareReleases(a, b) })
	slices.SortFunc(g.CUDAs, func(a, b string) int { return -table.CompareVersions(a, b) })
	for _, c := range g.Columns {
		hosts, err := version.ParseL4TRange(c.Hosts)
		if err != nil {
			continue // a range that says nothing covers nothing
		}
		var on []string
		for _, text := range g.Releases {
			if r, err := version.ParseL4T(text); err == nil && hosts.Contains(r) {
				on = append(on, text)
			}
		}
		c.Runs = strings.Join(on, " ")
	}
	g.Devices = slices.DeleteFunc(slices.Clone(g.Devices), func(d Device) bool { return !gpus[d.GPU] })
	if len(g.Devices) == 0 {
		for gpu := range gpus {
			g.Devices = append(g.Devices, Device{gpu, gpu})
		}
	}
	slices.SortFunc(g.Devices, func(a, b Device) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.GPU, b.GPU)) })
}

func (g *grid) group() {
	for i, c := range g.Columns {
		if i > 0 && g.Columns[i-1].Release == c.Release && g.Columns[i-1].Testbed == c.Testbed {
			g.Groups[len(g.Groups)-1].Span++
			continue
		}
		g.Groups = append(g.Groups, group{Release: c.Release, JetPack: c.JetPack, Span: 1, Even: len(g.Groups)%2 == 1})
	}
}

// Label names what the table shows, for readers of screens.
func (g *grid) Label() string {
	return fmt.Sprintf("%s on %s", count(len(g.Lines), "target"), count(len(g.Columns), "platform"))
}

var notSlug = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// slug is a word for an anchor. Two texts may share one only if they differ in
// nothing but characters that names of packages and versions do not have.
func slug(s string) string { return strings.Trim(notSlug.ReplaceAllString(s, "-"), "-.") }

// fileOf is the name of a package's page. A table may come from anywhere: a name
// that is none leads to no other folder and to no file that is not a page.
func fileOf(pkg string) string {
	s := slug(pkg)
	if s == "" {
		return "package"
	}
	return s
}

func humanSize(n int64) string { return units.BytesSize(float64(n)) }

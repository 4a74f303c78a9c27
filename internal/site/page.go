package site

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/table"
)

// page is what is known of one package: every target that names it.
type page struct {
	Title   string // of the site
	Policy  string
	Name    string
	File    string
	About   Package
	Aliases []string
	Runs    []string // what to type, whatever the device: the package, and targets with an image that say more
	Entries []entry  // with an image
	Others  []entry  // without
	Past    []past
	Least   int64 // bytes of the smallest image to pull
	Most    int64
	// Notes are what the grid shows beside a cell: by target, then column.
	Notes map[string]map[string]note
}

// entry is one target on one platform.
type entry struct {
	standing
	ID       string // its anchor
	Target   string
	Column   *column
	Version  string
	Run      string
	Docker   string
	Image    *table.Image
	Reason   string
	Tests    []table.TestResult
	Counts   string
	Packages []table.Package
}

// past is an image that no longer counts.
type past struct {
	Target, Platform, Version, Digest string
	Status                            string
	When                              time.Time // zero is unknown
	Reason                            string
}

// note is short: a package's notes are read at once.
type note struct {
	Anchor  string   `json:"a"`
	Word    string   `json:"w"`
	Lines   []string `json:"l,omitempty"`
	Command string   `json:"r,omitempty"`
}

// pages are those of all packages that a target names, by name.
func (g *grid) pages(t *table.Table) []*page {
	var out []*page
	byFile := map[string]*page{}
	pageOf := func(name string) *page {
		file := fileOf(name)
		if p := byFile[file]; p != nil {
			return p
		}
		p := &page{
			Title: g.Title, Policy: policy, Name: name, File: file, About: g.options.Packages[name],
			Runs: []string{"jet run " + quoted(name)}, Notes: map[string]map[string]note{},
		}
		byFile[file] = p
		out = append(out, p)
		return p
	}
	for _, l := range g.Lines {
		for i, c := range l.Cells {
			if c.row == nil {
				continue
			}
			e := entryOf(l, g.Columns[i], c)
			for _, name := range roots(c.row) {
				pageOf(name).add(e, c.row, name)
			}
			p := byFile[l.File]
			if p.Notes[l.Target] == nil {
				p.Notes[l.Target] = map[string]note{}
			}
			p.Notes[l.Target][g.Columns[i].ID] = e.note()
		}
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Status == table.Current || r.Image == nil {
			continue
		}
		for _, name := range roots(r) {
			p := pageOf(name)
			p.Past = append(p.Past, pastOf(r))
		}
	}
	slices.SortFunc(out, func(a, b *page) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range out {
		slices.SortStableFunc(p.Past, func(a, b past) int { return b.When.Compare(a.When) })
	}
	return out
}

// Facts reports whether anything is known of the package itself.
func (p *page) Facts() bool {
	a := p.About
	return len(p.Aliases) > 0 || p.Least > 0 || a.Licence != "" || a.Homepage != "" || a.Image != "" || a.Models != ""
}

func roots(r *table.Row) []string {
	if len(r.Roots) == 0 {
		return []string{r.Target}
	}
	return r.Roots
}

func (p *page) add(e entry, r *table.Row, name string) {
	if e.Image != nil {
		p.Entries = append(p.Entries, e)
		if e.Run != "" && !slices.Contains(p.Runs, e.Run) {
			p.Runs = append(p.Runs, e.Run)
		}
	} else {
		p.Others = append(p.Others, e)
	}
	if pkg, ok := r.Package(name); ok {
		for _, a := range pkg.Aliases {
			if !slices.Contains(p.Aliases, a) {
				p.Aliases = append(p.Aliases, a)
			}
		}
	}
	if e.Image == nil {
		return
	}
	if p.Least == 0 || e.Image.Size < p.Least {
		p.Least = e.Image.Size
	}
	p.Most = max(p.Most, e.Image.Size)
}

func entryOf(l *line, c *column, at cell) entry {
	r := at.row
	e := entry{
		standing: at.standing, ID: slug(l.Target + "-" + c.ID), Target: l.Target, Column: c, Version: at.Version,
		Reason: r.Reason, Tests: r.Evidence.Tests, Packages: r.Packages,
	}
	if r.Withdrawal != nil {
		e.Reason = r.Withdrawal.Reason
	}
	if r.Image != nil && r.Status == table.Current {
		e.Image = r.Image
		if r.Evidence.Failed == 0 { // jet never chooses what failed
			e.Run = "jet run " + quoted(strings.Fields(l.Target)...)
		}
		e.Docker = "docker run --runtime nvidia -it --rm " + quoted(r.Image.Pinned())
	}
	var counts []string
	for _, n := range []struct {
		n    int
		what string
	}{{r.Evidence.Passed, "passed"}, {r.Evidence.Failed, "failed"}, {r.Evidence.Skipped, "skipped"}, {r.Evidence.Simulated, "simulated"}} {
		if n.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	e.Counts = strings.Join(counts, ", ")
	return e
}

// note is the entry in a few lines.
func (e entry) note() note {
	n := note{Anchor: e.ID, Word: e.Word, Command: e.Run}
	if e.Reason != "" {
		n.Lines = append(n.Lines, e.Reason)
	}
	if e.Counts != "" {
		n.Lines = append(n.Lines, "Tests: "+e.Counts)
	}
	shown := 0
	for _, t := range e.Tests {
		if t.Status == table.Passed {
			continue
		}
		if shown++; shown > 3 {
			n.Lines = append(n.Lines, "…")
			break
		}
		text := fmt.Sprintf("%s %s: %s", t.Package, t.Name, t.Status)
		if t.Reason != "" {
			text += ", " + t.Reason
		}
		n.Lines = append(n.Lines, text)
	}
	if e.Image != nil {
		n.Lines = append(n.Lines, humanSize(e.Image.Size)+" to pull")
	}
	return n
}

func pastOf(r *table.Row) past {
	p := past{Target: r.Target, Platform: r.Platform.String(), Version: versionOf(r), Digest: r.Image.Digest, Status: string(r.Status)}
	when := ""
	if r.Published != nil {
		when = r.Published.Time
	}
	if r.Withdrawal != nil {
		when, p.Reason = r.Withdrawal.Time, r.Withdrawal.Reason
	}
	p.When, _ = time.Parse(time.RFC3339, when) // a table may come from anywhere
	return p
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:,@%+][A-Za-z0-9_./:,@%+=-]*$`)

// quoted writes words so that a shell reads them back as they are.
func quoted(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w; !plainWord.MatchString(w) {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

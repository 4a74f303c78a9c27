package release

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/table"
)

// Changes are the combinations that a table has and the one before it had not, or
// the other way round.
type Changes struct {
	New, Updated, Dropped []Line
}

// Line is a combination with what there is to say of it.
type Line struct {
	Cell  string // pytorch on r36.4.0, CUDA 12.6, Python 3.10
	Image string // host/path/NAME:TAG
	Text  string // what changed, or why it was dropped
}

// Diff compares two tables; before may be nil, which is an empty one.
func Diff(before, after *table.Table) Changes {
	var c Changes
	old := built(before)
	now := built(after)
	for _, id := range sorted(now) {
		r, was := now[id], old[id]
		switch {
		case was == nil:
			c.New = append(c.New, Line{r.Cell(), r.Image.Reference, ""})
		case was.Image.Digest != r.Image.Digest:
			c.Updated = append(c.Updated, Line{r.Cell(), r.Image.Reference, versions(was, r)})
		}
	}
	for _, id := range sorted(old) {
		if now[id] == nil {
			c.Dropped = append(c.Dropped, Line{old[id].Cell(), old[id].Image.Reference, why(after, old[id])})
		}
	}
	return c
}

func built(t *table.Table) map[string]*table.Row {
	out := map[string]*table.Row{}
	if t == nil {
		return out
	}
	for i := range t.Rows {
		if r := &t.Rows[i]; r.Status == table.Current && r.State == table.Built && r.Image != nil {
			out[r.CellID()] = r
		}
	}
	return out
}

func sorted(rows map[string]*table.Row) []string {
	ids := make([]string, 0, len(rows))
	for id := range rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(strings.Compare(rows[a].Target, rows[b].Target), strings.Compare(a, b))
	})
	return ids
}

// versions says which packages differ: numpy 1.26 -> 2.0.
func versions(was, is *table.Row) string {
	var out []string
	for _, p := range is.Packages {
		old, ok := was.Package(p.Name)
		switch {
		case !ok:
			out = append(out, p.Name+" "+p.Version+" came in")
		case old.Version != p.Version:
			out = append(out, p.Name+" "+old.Version+" -> "+p.Version)
		}
	}
	for _, p := range was.Packages {
		if _, ok := is.Package(p.Name); !ok {
			out = append(out, p.Name+" went out")
		}
	}
	if len(out) == 0 {
		return "made again, the same versions"
	}
	return strings.Join(out, ", ")
}

// why says why a table has an image no more.
func why(t *table.Table, gone *table.Row) string {
	for i := range t.Rows {
		switch r := &t.Rows[i]; {
		case r.Image != nil && r.Image.Digest == gone.Image.Digest && r.Withdrawal != nil:
			return "withdrawn: " + r.Withdrawal.Reason
		case r.Image == nil && r.CellID() == gone.CellID():
			return r.Reason
		}
	}
	return "no more in the matrix"
}

// escape keeps text from being Markdown.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "<", "&lt;", "[", "\\[", "|", "\\|", "\n", " ", "@", "&#64;", "#", "&#35;").Replace(s)
}

// Notes writes what changed as Markdown. since is the release before; "" is none.
func (c Changes) Notes(since string) string {
	var b bytes.Buffer
	switch {
	case since == "" && len(c.New) == 0:
		fmt.Fprintln(&b, "No images yet.")
	case len(c.New)+len(c.Updated)+len(c.Dropped) == 0:
		fmt.Fprintln(&b, "The same images as before.")
	case since != "":
		fmt.Fprintf(&b, "Since %s: %d new combinations, %d updated, %d dropped.\n", escape(since), len(c.New), len(c.Updated), len(c.Dropped))
	default:
		fmt.Fprintf(&b, "%d combinations.\n", len(c.New))
	}
	for _, part := range []struct {
		title string
		lines []Line
	}{{"New", c.New}, {"Updated", c.Updated}, {"Dropped", c.Dropped}} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		for i, l := range part.lines {
			// GitHub takes 125,000 characters; the table has all of them.
			if b.Len() > 100_000 {
				fmt.Fprintf(&b, "- and %d more, see table.md\n", len(part.lines)-i)
				break
			}
			fmt.Fprintf(&b, "- %s", escape(l.Cell))
			if part.title != "Dropped" {
				fmt.Fprintf(&b, ": `%s`", strings.ReplaceAll(l.Image, "`", ""))
			}
			if l.Text != "" {
				fmt.Fprintf(&b, " (%s)", escape(l.Text))
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}

package table

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Markdown writes the table for people: targets down, platforms across, the
// state of every cell, and below it why a cell is empty or less than tested.
// It shows current rows only, and says nothing that the rows do not say.
func (t *Table) Markdown(w io.Writer) error {
	sorted := *t
	sorted.Rows = slices.DeleteFunc(slices.Clone(t.Rows), func(r Row) bool { return r.Status != Current })
	sorted.Sort()

	var b bytes.Buffer
	b.WriteString("# Compatibility table\n\n")
	if len(sorted.Rows) == 0 {
		b.WriteString("The table has no rows.\n")
	} else {
		sorted.grid(&b, t.TakenBack())
		sorted.notes(&b)
		b.WriteString(legend)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

const legend = `
## What the words mean

| word | meaning |
|---|---|
| tested | the image exists, its tests passed and none failed; skipped and simulated tests are counted beside them and prove nothing |
| FAILED | the image exists and at least one of its tests failed; ` + "`jet`" + ` never chooses it |
| untested | the image exists, no test of it passed or failed |
| withdrawn | the image was published and taken back; the reason is under Why |
| declared | the catalog says that it is possible; nothing was built |
| impossible | the catalog rules it out |
| (empty) | not in the matrix |

An image runs on the host releases of its column and on no others: what a range does not cover is unknown or known not to work.
Columns marked (testbed) are stand-ins for checks, with another base than a Jetson's.
`

// grid is the table proper. takenBack are cells of which an image was withdrawn.
func (t *Table) grid(b *bytes.Buffer, takenBack map[string]bool) {
	type column struct{ title, hosts string }
	var columns []column
	var targets []string
	cells := map[column]map[string]string{}
	// Newest release first; rows of one release follow the table's order.
	byRelease := slices.Clone(t.Rows)
	slices.SortStableFunc(byRelease, func(x, y Row) int { return -compareReleases(x.Platform.L4T, y.Platform.L4T) })
	for i := range byRelease {
		r := &byRelease[i]
		title := r.Platform.String()
		if r.Platform.Testbed {
			title += " (testbed)"
		}
		c := column{title: title, hosts: r.Hosts}
		if cells[c] == nil {
			cells[c] = map[string]string{}
			columns = append(columns, c)
		}
		cells[c][r.Target] = r.Standing()
		if r.State == NotBuilt && takenBack[r.CellID()] {
			cells[c][r.Target] = "withdrawn"
		}
	}
	for i := range t.Rows {
		if name := t.Rows[i].Target; len(targets) == 0 || targets[len(targets)-1] != name {
			targets = append(targets, name)
		}
	}

	b.WriteString("| target |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", inCell(c.title))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n| *hosts* |")
	for _, c := range columns {
		fmt.Fprintf(b, " *%s* |", inCell(c.hosts))
	}
	b.WriteString("\n")
	for _, name := range targets {
		fmt.Fprintf(b, "| %s |", inCell(name))
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", inCell(cells[c][name]))
		}
		b.WriteString("\n")
	}
}

// Standing says in a few words what is known of the cell.
func (r *Row) Standing() string {
	e := r.Evidence
	var more []string
	if e.Skipped > 0 {
		more = append(more, fmt.Sprintf("%d skipped", e.Skipped))
	}
	if e.Simulated > 0 {
		more = append(more, fmt.Sprintf("%d simulated", e.Simulated))
	}
	list := func(first ...string) string {
		all := append(first, more...)
		if len(all) == 0 {
			return ""
		}
		return " (" + strings.Join(all, ", ") + ")"
	}
	switch {
	case r.State == Impossible:
		return "impossible"
	case r.State == NotBuilt:
		return "declared"
	case e.Failed > 0:
		return "FAILED" + list(fmt.Sprintf("%d failed", e.Failed), fmt.Sprintf("%d passed", e.Passed))
	case e.Passed > 0:
		return "tested" + list(fmt.Sprintf("%d passed", e.Passed))
	default:
		return "untested" + list()
	}
}

// notes lists the reasons: of cells without an image, and of tests that failed
// or did not run.
func (t *Table) notes(b *bytes.Buffer) {
	var lines []string
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Reason != "" {
			lines = append(lines, fmt.Sprintf("- %s: %s: %s", r.Cell(), r.State, r.Reason))
		}
		for _, test := range r.Evidence.Tests {
			if test.Status == Passed {
				continue
			}
			line := fmt.Sprintf("- %s: test %s of %s: %s", r.Cell(), test.Name, test.Package, test.Status)
			if test.Reason != "" {
				line += ": " + test.Reason
			}
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n## Why\n\n")
	for _, line := range lines {
		b.WriteString(inLine(line) + "\n")
	}
}

// inLine keeps text from others on one line of Markdown, as text: no markup,
// no HTML, no control characters.
func inLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.NewReplacer("<", "&lt;", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[").Replace(s)
}

func inCell(s string) string {
	return strings.ReplaceAll(inLine(s), "|", "\\|")
}

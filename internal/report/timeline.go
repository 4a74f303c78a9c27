package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"github.com/jetcrate/jetcrate/internal/execute"
)

//go:embed timeline.html
var timelinePage string

// bar is a node in the timeline.
type bar struct {
	Left, Width float64 // percent of the run
	Name, Class string
	Title       string
}

// HTML writes a run as one page with a timeline: a row for each that was at work
// at the same time. It has no scripts and loads nothing.
func (r *Run) HTML(w io.Writer) error {
	page, err := template.New("timeline").Parse(timelinePage)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	type cause struct {
		Title string
		Lines []string
	}
	type row struct {
		Node
		Class, Where, Seconds, Added string
		Lines                        []string
		Changes                      []cause
	}
	var rows []row
	for _, n := range r.Nodes {
		x := row{Node: n, Class: class(n.Status), Where: n.where()}
		if n.Took > 0 {
			x.Seconds = seconds(n.Took)
		}
		if n.Size > 0 {
			x.Added = size(n.Size)
		}
		for _, c := range n.Causes {
			x.Changes = append(x.Changes, cause{oneLine(c.Title()), change{Cause: c}.lines()})
		}
		if n.Status == execute.Failed {
			x.Lines = tailOf(n.Log)
		}
		rows = append(rows, x)
	}
	err = page.Execute(w, map[string]any{
		"Run": r, "Title": r.title() + r.What, "Totals": r.Totals(), "Lanes": r.lanes(), "Rows": rows,
		"Started": r.Started.UTC().Format(time.DateTime + " UTC"), "Took": r.Ended.Sub(r.Started).Round(time.Second).String(),
	})
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// lanes puts the nodes that were made into as few rows as their times allow.
func (r *Run) lanes() [][]bar {
	nodes := slices.DeleteFunc(slices.Clone(r.Nodes), func(n Node) bool { return n.Began.IsZero() || n.Ended.IsZero() || n.Status == execute.Reused })
	slices.SortStableFunc(nodes, func(a, b Node) int { return a.Began.Compare(b.Began) })
	whole := max(r.Ended.Sub(r.Started), time.Millisecond)
	percent := func(d time.Duration) float64 { return min(100, max(0, 100*float64(d)/float64(whole))) }
	var lanes [][]bar
	var free []time.Time
	for _, n := range nodes {
		at := slices.IndexFunc(free, func(t time.Time) bool { return !t.After(n.Began) })
		if at < 0 {
			at = len(free)
			free, lanes = append(free, time.Time{}), append(lanes, nil)
		}
		free[at] = n.Ended
		left := percent(n.Began.Sub(r.Started))
		lanes[at] = append(lanes[at], bar{
			Left: left, Width: min(100-left, max(0.1, percent(n.Ended.Sub(n.Began)))), Name: n.Name, Class: class(n.Status),
			Title: fmt.Sprintf("%s: %s, %s %s", n.Name, n.Status, seconds(n.Ended.Sub(n.Began)), n.Reason),
		})
	}
	return lanes
}

// class is the colour of a status.
func class(s execute.Status) string {
	switch s {
	case execute.Failed:
		return "bad"
	case execute.Blocked, execute.Canceled, "":
		return "held"
	case execute.Skipped:
		return "skipped"
	case execute.Reused:
		return "reused"
	}
	return "good"
}

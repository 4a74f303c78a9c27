package report

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/execute"
)

// summary collects how nodes ended.
type summary struct {
	ended       []execute.Event
	first, last time.Time
}

func (s *summary) event(e execute.Event) {
	if s.first.IsZero() {
		s.first = e.Time
	}
	s.last = e.Time
	if e.Kind == execute.NodeEnded {
		s.ended = append(s.ended, e)
	}
}

// write prints a table of the nodes (tests last), the totals and the logs.
func (s *summary) write(w io.Writer, paint painter) error {
	if len(s.ended) == 0 {
		_, err := io.WriteString(w, "nothing was to be done\n")
		return err
	}
	nodes := slices.Clone(s.ended)
	slices.SortStableFunc(nodes, func(a, b execute.Event) int {
		return cmp.Or(cmp.Compare(kindRank(a.What), kindRank(b.What)), strings.Compare(a.Name, b.Name), strings.Compare(a.Node, b.Node))
	})
	width := 0
	for _, e := range nodes {
		width = max(width, utf8.RuneCountInString(oneLine(e.Name)))
	}
	width = min(width, 60)
	folder, shared := logFolder(nodes)

	var b strings.Builder
	for _, e := range nodes {
		took, added := "", ""
		if e.Took > 0 {
			took = seconds(e.Took)
		}
		if e.Size > 0 {
			added = size(e.Size)
		}
		row := fmt.Sprintf("%s  %-*s  %8s  %10s", paint.status(e.Status, 9), width, oneLine(e.Name), took, added)
		if e.Reason != "" {
			row += "  " + oneLine(e.Reason)
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
		if e.Log != "" && (e.Status == execute.Failed || !shared) {
			fmt.Fprintf(&b, "           log: %s\n", oneLine(e.Log))
		}
	}
	b.WriteString("\n" + s.totals(nodes) + "\n")
	if shared && folder != "" {
		fmt.Fprintf(&b, "full logs of all steps: %s\n", oneLine(folder))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// totals counts by status, tests apart: "2 built, 5 reused; tests: 3 passed, 1 skipped (no GPU); 34.5s, 12 MiB added".
func (s *summary) totals(nodes []execute.Event) string {
	order := []execute.Status{execute.Built, execute.Assembled, execute.Passed, execute.Simulated, execute.Reused, execute.Failed, execute.Skipped, execute.Blocked, execute.Canceled}
	made, tests := map[execute.Status]int{}, map[execute.Status]int{}
	var reasons []string
	var added int64
	for _, e := range nodes {
		added += e.Size
		if e.What != "test" {
			made[e.Status]++
			continue
		}
		tests[e.Status]++
		if e.Status == execute.Skipped {
			if reason := oneLine(e.Reason); reason != "" && !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
		}
	}
	count := func(counts map[execute.Status]int) string {
		var out []string
		for _, status := range order {
			n := counts[status]
			if n == 0 {
				continue
			}
			text := fmt.Sprintf("%d %s", n, status)
			if status == execute.Skipped && len(reasons) > 0 {
				text += " (" + strings.Join(reasons, ", ") + ")"
			}
			out = append(out, text)
		}
		return strings.Join(out, ", ")
	}
	var parts []string
	if len(made) > 0 {
		parts = append(parts, count(made))
	}
	if len(tests) > 0 {
		parts = append(parts, "tests: "+count(tests))
	}
	end := seconds(s.last.Sub(s.first))
	if added > 0 {
		end += ", " + size(added) + " added"
	}
	return strings.Join(append(parts, end), "; ")
}

// kindRank orders kinds of nodes from the bottom of an image to its tests.
func kindRank(kind string) int {
	switch kind {
	case "base":
		return 0
	case "source":
		return 1
	case "artifact":
		return 2
	case "image":
		return 4
	case "test":
		return 5
	}
	return 3 // layers
}

// logFolder is the folder of all logs, when they lie in one.
func logFolder(nodes []execute.Event) (folder string, shared bool) {
	for _, e := range nodes {
		if e.Log == "" {
			continue
		}
		dir := filepath.Dir(e.Log)
		if folder != "" && dir != folder {
			return "", false
		}
		folder = dir
	}
	return folder, true
}

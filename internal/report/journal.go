package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
)

// Run is what a journal tells of a run.
type Run struct {
	Schema   int               `json:"schema"` // 1
	ID       int               `json:"id,omitempty"`
	What     string            `json:"what"`
	Started  time.Time         `json:"started"`
	Ended    time.Time         `json:"ended"`   // of its last line
	Outcome  Outcome           `json:"outcome"` //
	Reason   string            `json:"reason,omitempty"`
	Jobs     int               `json:"jobs,omitempty"` // nodes at work at once
	Cells    []execute.Outcome `json:"cells,omitempty"`
	Nodes    []Node            `json:"nodes"` // in the order in which they ended; those at work last
	Messages []string          `json:"messages,omitempty"`
}

// Outcome is how a run ended.
type Outcome string

const (
	Done       Outcome = "done"
	Failed     Outcome = "failed"
	Canceled   Outcome = "canceled"
	Unfinished Outcome = "unfinished" // it goes on, or was killed
)

// Node is what a run did with a node.
type Node struct {
	Key      string         `json:"key"`
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`
	Package  string         `json:"package,omitempty"`
	Version  string         `json:"version,omitempty"`
	Line     string         `json:"line,omitempty"`   // of L4T releases
	Status   execute.Status `json:"status,omitempty"` // none: it was at work when the journal ended
	Reason   string         `json:"reason,omitempty"`
	Why      string         `json:"why,omitempty"`    // it was made
	Before   string         `json:"before,omitempty"` // key of what Causes compare it with; no journal has either
	Causes   []plan.Cause   `json:"causes,omitempty"` // why it has another
	Engine   string         `json:"engine,omitempty"`
	Attempts int            `json:"attempts,omitempty"`
	Began    time.Time      `json:"began,omitzero"`
	Ended    time.Time      `json:"ended,omitzero"`
	Took     time.Duration  `json:"took,omitempty"` // nanoseconds
	Size     int64          `json:"size,omitempty"`
	Digest   string         `json:"digest,omitempty"`
	Log      string         `json:"log,omitempty"`
}

// Read reads a journal, or what -o jsonl printed. The last line of a run that was
// killed may be torn; any other that cannot be read is an error.
func Read(r io.Reader) (*Run, error) {
	run := &Run{Schema: 1, Outcome: Unfinished, Nodes: []Node{}}
	began := map[string]execute.Entry{}
	var order []string
	var torn error
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for at := 1; sc.Scan(); at++ {
		if torn != nil {
			return nil, torn
		}
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 {
			continue
		}
		var e execute.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			torn = fmt.Errorf("reading a run: line %d: %w", at, err)
			continue
		}
		if run.Started.IsZero() {
			run.Started = e.Time
		}
		run.Ended = e.Time
		switch e.Kind {
		case execute.RunStarted:
			run.What, run.Jobs = oneLine(e.Name), e.Jobs
		case execute.Message:
			run.Messages = append(run.Messages, oneLine(e.Text))
		case execute.NodeStarted:
			began[e.Node] = e
			order = append(order, e.Node)
		case execute.NodeEnded:
			run.Nodes = append(run.Nodes, nodeOf(e, began[e.Node]))
			delete(began, e.Node)
		case execute.RunEnded:
			run.Reason = oneLine(e.Reason)
			for _, c := range e.Cells {
				run.Cells = append(run.Cells, execute.Outcome{ID: oneLine(c.ID), Tag: oneLine(c.Tag), Digest: oneLine(c.Digest), Good: c.Good})
			}
			switch {
			case e.Status == execute.Canceled:
				run.Outcome = Canceled
			case e.Reason != "":
				run.Outcome = Failed
			default:
				run.Outcome = Done
			}
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading a run: %w", err)
	}
	for _, k := range order {
		if e, ok := began[k]; ok {
			run.Nodes = append(run.Nodes, nodeOf(execute.Entry{Event: execute.Event{Node: k, Name: e.Name, What: e.What}}, e))
		}
	}
	return run, nil
}

func nodeOf(e, began execute.Entry) Node {
	n := Node{
		Key: oneLine(e.Node), Name: oneLine(e.Name), Kind: oneLine(e.What), Package: oneLine(cmp.Or(e.Package, began.Package)),
		Version: oneLine(cmp.Or(e.Version, began.Version)), Line: oneLine(cmp.Or(e.Line, began.Line)),
		Status: execute.Status(oneLine(string(e.Status))), Reason: oneLine(e.Reason), Why: oneLine(began.Why), Engine: oneLine(e.Engine),
		Attempts: e.Attempts, Began: e.Began, Took: e.Took, Size: e.Size, Digest: oneLine(e.Digest), Log: e.Log,
	}
	if n.Began.IsZero() {
		n.Began = began.Time
	}
	if e.Status != "" {
		n.Ended = e.Time
	}
	return n
}

// tailOf gives the last lines of a node's log; none where it is gone.
func tailOf(log string) []string {
	if log == "" {
		return nil
	}
	f, err := os.Open(log)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	b, err := io.ReadAll(f)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	t := tail{most: failedLines}
	t.write(b)
	t.flush()
	return t.lines
}

// events gives the nodes as events, for the summary.
func (r *Run) events() []execute.Event {
	var out []execute.Event
	for _, n := range r.Nodes {
		status := n.Status
		if status == "" {
			status = "at work"
		}
		out = append(out, execute.Event{
			Kind: execute.NodeEnded, Node: n.Key, Name: n.Name, What: n.Kind, Status: status, Reason: n.Reason, Took: n.Took, Size: n.Size, Log: n.Log,
		})
	}
	return out
}

// Text writes a run as people read it on a terminal.
func (r *Run) Text(w io.Writer, colour bool) error {
	if _, err := fmt.Fprintf(w, "%s%s, %s, %s\n", r.title(), r.What, r.Started.UTC().Format(time.DateTime+" UTC"), r.Outcome); err != nil {
		return err
	}
	if r.Reason != "" {
		if _, err := fmt.Fprintln(w, r.Reason); err != nil {
			return err
		}
	}
	s := summary{ended: r.events(), first: r.Started, last: r.Ended}
	if err := s.write(w, painter{colour}); err != nil {
		return err
	}
	return r.writeChanges(w)
}

func (r *Run) title() string {
	if r.ID == 0 {
		return ""
	}
	return fmt.Sprintf("run-%d: ", r.ID)
}

// Totals says what became of the nodes in one line.
func (r *Run) Totals() string {
	s := summary{first: r.Started, last: r.Ended}
	return s.totals(r.events())
}

// with gives the nodes of some statuses.
func (r *Run) with(statuses ...execute.Status) []Node {
	var out []Node
	for _, n := range r.Nodes {
		if slices.Contains(statuses, n.Status) {
			out = append(out, n)
		}
	}
	return out
}

// slowest gives the nodes that took the longest, the longest first.
func (r *Run) slowest(most int) []Node {
	nodes := slices.DeleteFunc(slices.Clone(r.Nodes), func(n Node) bool { return n.Took < time.Second })
	slices.SortStableFunc(nodes, func(a, b Node) int { return cmp.Compare(b.Took, a.Took) })
	return nodes[:min(most, len(nodes))]
}

// where says on what a node was made.
func (n Node) where() string {
	var parts []string
	if n.Engine != "" {
		parts = append(parts, "on "+n.Engine)
	}
	if n.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("%d attempts", n.Attempts))
	}
	return strings.Join(parts, ", ")
}

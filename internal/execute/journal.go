package execute

import (
	"context"
	"time"
)

// Entry is a line of a run's journal: an event, and what is told nowhere else.
type Entry struct {
	Event
	Package string    `json:"package,omitempty"`
	Version string    `json:"version,omitempty"`
	Line    string    `json:"line,omitempty"`  // of the L4T release of its platform
	Began   time.Time `json:"began,omitzero"`  // of a node that ended
	Cells   []Outcome `json:"cells,omitempty"` // of a run that ended
	Good    bool      `json:"good,omitempty"`
}

// Outcome is what came of a cell.
type Outcome struct {
	ID     string `json:"id"`
	Tag    string `json:"tag"`
	Digest string `json:"digest,omitempty"`
	Good   bool   `json:"good"`
}

// note adds an event to the run's journal. The output of steps is in the logs.
func (r *run) note(e Event) {
	if r.noted == nil || e.Kind == StepProgress {
		return
	}
	entry := Entry{Event: e}
	if n := r.Plan.Node(e.Node); n != nil {
		entry.Package, entry.Version, entry.Line = n.Package, n.Version, r.lines[n.Key]
		if s := r.states[n.Key]; e.Kind == NodeEnded && s != nil {
			entry.Began = s.started
		}
	}
	r.journalFault(r.noted.Note(entry))
}

// journalFault tells once that the journal cannot be written.
func (r *run) journalFault(err error) {
	if err != nil && r.Events != nil {
		r.journalOnce.Do(func() { r.Events(Event{Time: time.Now(), Kind: Message, Text: err.Error()}) })
	}
}

// sumUp ends the journal.
func (r *run) sumUp(ctx context.Context, res *Result, err error) {
	e := Event{Time: time.Now(), Kind: RunEnded}
	if err != nil {
		e.Reason = r.mask.text(err.Error())
	}
	if ctx.Err() != nil {
		e.Status = Canceled
	}
	entry := Entry{Event: e, Good: err == nil}
	for _, c := range res.Cells {
		entry.Cells = append(entry.Cells, Outcome{ID: c.Cell.ID, Tag: c.Cell.Tag, Digest: c.Digest, Good: c.Good})
	}
	r.journalFault(r.noted.Note(entry))
}

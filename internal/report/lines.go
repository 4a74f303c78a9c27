package report

import (
	"encoding/json"
	"io"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
)

// lines draws one JSON object a line.
type lines struct{ enc *json.Encoder }

func newLines(w io.Writer) *lines {
	enc := json.NewEncoder(diag.Visible(w))
	enc.SetEscapeHTML(false)
	return &lines{enc}
}

// line is an event with the progress of its step.
type line struct {
	execute.Event
	Step *step `json:"step,omitempty"`
}

type step struct {
	Name   string `json:"name"`
	State  string `json:"state"` // started, log, done, cached
	Stream int    `json:"stream,omitempty"`
	Text   string `json:"text,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (l *lines) event(e execute.Event) error {
	e.Name, e.Reason, e.Text = diag.Clean(e.Name), diag.Clean(e.Reason), diag.Clean(e.Text)
	out := line{Event: e}
	if s := e.Step; s != nil {
		out.Step = &step{Name: diag.Clean(s.Name), Stream: s.Stream, Text: diag.Clean(string(s.Data)), Error: diag.Clean(s.Error)}
		switch s.Kind {
		case engine.Started:
			out.Step.State = "started"
		case engine.Log:
			out.Step.State = "log"
		case engine.Done:
			out.Step.State = "done"
		case engine.Cached:
			out.Step.State = "cached"
		}
	}
	return l.enc.Encode(out)
}

func (l *lines) close() error { return nil }

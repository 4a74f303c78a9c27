package report

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
)

// live draws with BuildKit's display: a vertex for each node, and one for each
// step of a node, with the output of the step below it.
type live struct {
	status   chan *client.SolveStatus
	finished chan error
	translator
}

func newLive(w io.Writer) (*live, error) {
	display, err := progressui.NewDisplay(w, progressui.TtyMode, progressui.WithPhase("jetcrate"))
	if err != nil {
		return nil, fmt.Errorf("a live view needs a terminal: %w", err)
	}
	l := &live{status: make(chan *client.SolveStatus, 64), finished: make(chan error, 1), translator: newTranslator()}
	go func() {
		_, err := display.UpdateFrom(context.Background(), l.status)
		l.finished <- err
	}()
	return l, nil
}

func (l *live) event(e execute.Event) error {
	if s := l.translate(e); s != nil {
		l.status <- s
	}
	return nil
}

func (l *live) close() error {
	close(l.status)
	return <-l.finished
}

// translator turns events into the statuses that the display takes.
type translator struct {
	vertexes map[digest.Digest]*client.Vertex
	steps    map[string][]*client.Vertex // of a node
	messages int
}

func newTranslator() translator {
	return translator{vertexes: map[digest.Digest]*client.Vertex{}, steps: map[string][]*client.Vertex{}}
}

// translate returns nil for what the display has no place for.
func (t *translator) translate(e execute.Event) *client.SolveStatus {
	when := e.Time
	switch e.Kind {
	case execute.Message:
		t.messages++
		v := t.vertex(digest.FromString(fmt.Sprintf("message %d", t.messages)), oneLine(e.Text), when)
		v.Completed = &when
		return vertexStatus(v)
	case execute.NodeStarted:
		return vertexStatus(t.vertex(nodeID(e), oneLine(e.Name), when))
	case execute.NodeEnded:
		v := t.vertex(nodeID(e), oneLine(e.Name), when.Add(-e.Took))
		v.Completed = &when
		switch e.Status {
		case execute.Reused:
			v.Cached = true
		case execute.Failed:
			v.Error = oneLine(e.Reason)
			if v.Error == "" {
				v.Error = "failed"
			}
		case execute.Blocked, execute.Canceled:
			// The display shows an error of this kind as canceled.
			v.Error = context.Canceled.Error()
		case execute.Skipped:
			v.Name += " (skipped: " + oneLine(e.Reason) + ")"
		}
		return t.end(e, v)
	case execute.StepProgress:
		if e.Step != nil {
			return t.step(e)
		}
	}
	return nil
}

// end completes a node and those of its steps that nobody ended: the command of
// a test tells only its output.
func (t *translator) end(e execute.Event, node *client.Vertex) *client.SolveStatus {
	out := &client.SolveStatus{}
	for _, v := range append(t.steps[e.Node], node) {
		if v != node && v.Completed != nil {
			continue
		}
		v.Completed = node.Completed
		out.Vertexes = append(out.Vertexes, vertexStatus(v).Vertexes...)
	}
	delete(t.steps, e.Node)
	return out
}

func (t *translator) step(e execute.Event) *client.SolveStatus {
	when := e.Step.Time
	if when.IsZero() {
		when = e.Time
	}
	id := digest.FromString(e.Node + "\x00" + e.Step.Step)
	name := oneLine(e.Name)
	if step := oneLine(e.Step.Name); step != "" {
		name += ": " + step
	}
	_, known := t.vertexes[id]
	v := t.vertex(id, name, when)
	if !known {
		t.steps[e.Node] = append(t.steps[e.Node], v)
	}
	switch e.Step.Kind {
	case engine.Log:
		log := &client.VertexLog{Vertex: id, Stream: e.Step.Stream, Data: []byte(diag.Clean(string(e.Step.Data))), Timestamp: when}
		s := &client.SolveStatus{Logs: []*client.VertexLog{log}}
		if !known {
			s.Vertexes = vertexStatus(v).Vertexes
		}
		return s
	case engine.Done:
		v.Completed = &when
		v.Error = oneLine(e.Step.Error)
	case engine.Cached:
		v.Completed, v.Cached = &when, true
	}
	return vertexStatus(v)
}

// vertex returns the vertex of that identity, started if it was not.
func (t *translator) vertex(id digest.Digest, name string, started time.Time) *client.Vertex {
	v := t.vertexes[id]
	if v == nil {
		v = &client.Vertex{Digest: id, Name: name, Started: &started}
		t.vertexes[id] = v
	}
	return v
}

// vertexStatus copies the vertex: the display keeps what it is given.
func vertexStatus(v *client.Vertex) *client.SolveStatus {
	c := *v
	return &client.SolveStatus{Vertexes: []*client.Vertex{&c}}
}

func nodeID(e execute.Event) digest.Digest { return digest.FromString("node " + e.Node) }

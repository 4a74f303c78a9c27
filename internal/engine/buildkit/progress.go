package buildkit

import (
	"bytes"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// tailLines is how much of a failing step's output its error carries.
const tailLines = 40

// progress turns a build's status messages into events and remembers what a
// failure is explained by: the steps' names and the end of what they wrote.
// One goroutine feeds it.
type progress struct {
	emit  func(engine.Event)
	steps map[digest.Digest]*step
}

type step struct {
	name      string
	started   time.Time
	completed time.Time
	err       string
	tail      [][]byte // last lines; the last of them may be unfinished
}

func newProgress(emit func(engine.Event)) *progress {
	if emit == nil {
		emit = func(engine.Event) {}
	}
	return &progress{emit: emit, steps: map[digest.Digest]*step{}}
}

func (p *progress) observe(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		p.vertex(v)
	}
	for _, l := range s.Logs {
		st := p.step(l.Vertex)
		st.write(l.Data)
		p.emit(engine.Event{Step: l.Vertex.String(), Name: st.name, Time: l.Timestamp, Kind: engine.Log, Stream: l.Stream, Data: l.Data})
	}
}

// vertex tells the start and the end of a step, each once: BuildKit repeats
// itself, and starts a step again that several others wait for.
func (p *progress) vertex(v *client.Vertex) {
	st := p.step(v.Digest)
	if v.Name != "" {
		st.name = v.Name
	}
	e := engine.Event{Step: v.Digest.String(), Name: st.name}
	if v.Started != nil && v.Started.After(st.started) {
		again := !st.started.IsZero() && st.completed.IsZero() // its start is told already
		st.started, st.completed = *v.Started, time.Time{}
		if !again {
			e.Time, e.Kind = *v.Started, engine.Started
			p.emit(e)
		}
	}
	if v.Completed != nil && v.Completed.After(st.completed) {
		st.completed, st.err = *v.Completed, v.Error
		e.Time, e.Kind, e.Error = *v.Completed, engine.Done, v.Error
		if v.Cached && v.Error == "" {
			e.Kind = engine.Cached
		}
		p.emit(e)
	}
}

func (p *progress) step(d digest.Digest) *step {
	st, ok := p.steps[d]
	if !ok {
		st = &step{}
		p.steps[d] = st
	}
	return st
}

func (s *step) write(data []byte) {
	for _, line := range bytes.SplitAfter(data, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if n := len(s.tail); n > 0 && !bytes.HasSuffix(s.tail[n-1], []byte("\n")) {
			s.tail[n-1] = append(s.tail[n-1], line...)
			continue
		}
		s.tail = append(s.tail, bytes.Clone(line))
		if len(s.tail) > 2*tailLines { // now and then, not per line
			s.tail = append([][]byte(nil), s.tail[len(s.tail)-tailLines:]...)
		}
	}
}

// log is the end of what the step wrote.
func (s *step) log() string {
	lines := s.tail[max(0, len(s.tail)-tailLines):]
	return strings.TrimRight(string(bytes.Join(lines, nil)), "\n")
}

package execute

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
)

// nodeLog is the full log of a node: a file, and events for who watches. What a
// step writes is masked (see mask), and the file, which people show on a
// terminal, holds nothing that drives one.
type nodeLog struct {
	run  *run
	key  string
	name string

	mu   sync.Mutex
	file *os.File             // nil: none is kept
	wait map[stream]*withheld // what may be the beginning of a secret
}

// stream is an output of a step.
type stream struct {
	step string
	fd   int
}

type withheld struct {
	event engine.Event // that the data came with
	data  []byte
}

var notFileName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func (r *run) openLog(s *state) *nodeLog {
	l := &nodeLog{run: r, key: s.node.Key, name: s.node.Title(), wait: map[stream]*withheld{}}
	if r.Logs == "" {
		return l
	}
	name := filepath.Join(r.Logs, notFileName.ReplaceAllString(s.node.Title(), "-")+"-"+short(s.node.Key)+".log")
	f, err := os.Create(name)
	if err != nil {
		r.emit(Event{Kind: Message, Text: "no log is kept: " + err.Error()})
		return l
	}
	l.file, s.result.Log = f, name
	return l
}

// event takes progress of the engine.
func (l *nodeLog) event(e engine.Event) {
	l.mu.Lock()
	var told []engine.Event
	switch e.Kind {
	case engine.Log:
		at := stream{e.Step, e.Stream}
		data := e.Data
		if w := l.wait[at]; w != nil {
			data = append(w.data, data...)
			delete(l.wait, at)
		}
		var wait []byte
		e.Data, wait = l.run.mask.take(data, false)
		if len(wait) > 0 {
			l.wait[at] = &withheld{e, wait}
		}
		if len(e.Data) > 0 {
			told = append(told, e)
		}
	case engine.Done, engine.Cached:
		e.Error = l.run.mask.text(e.Error)
		told = append(l.flush(e.Step), e)
	default:
		told = append(told, e)
	}
	for _, e := range told {
		l.write(e)
	}
	l.mu.Unlock()
	for _, e := range told {
		l.run.emit(Event{Kind: StepProgress, Node: l.key, Name: l.name, Step: &e})
	}
}

// flush gives what was withheld of a step that has ended; "" is all of them.
func (l *nodeLog) flush(step string) []engine.Event {
	var told []engine.Event
	for at, w := range l.wait {
		if step != "" && at.step != step {
			continue
		}
		w.event.Data, _ = l.run.mask.take(w.data, true)
		told = append(told, w.event)
		delete(l.wait, at)
	}
	slices.SortFunc(told, func(a, b engine.Event) int {
		return cmp.Or(strings.Compare(a.Step, b.Step), cmp.Compare(a.Stream, b.Stream))
	})
	return told
}

func (l *nodeLog) write(e engine.Event) {
	if l.file == nil {
		return
	}
	switch e.Kind {
	case engine.Started:
		fmt.Fprintf(l.file, "==> %s\n", diag.Clean(e.Name))
	case engine.Log:
		_, _ = io.WriteString(l.file, diag.Clean(string(e.Data)))
	case engine.Done:
		if e.Error != "" {
			fmt.Fprintf(l.file, "==> %s: %s\n", diag.Clean(e.Name), diag.Clean(e.Error))
		}
	}
}

// writer takes the output of a command that runs in no step of an engine.
func (l *nodeLog) writer(step string, stream int) io.Writer { return &logWriter{l, step, stream} }

type logWriter struct {
	log    *nodeLog
	step   string
	stream int
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.log.event(engine.Event{Step: w.step, Name: w.step, Kind: engine.Log, Stream: w.stream, Data: append([]byte(nil), p...)})
	return len(p), nil
}

func (l *nodeLog) close(err error) {
	l.mu.Lock()
	told := l.flush("")
	for _, e := range told {
		l.write(e)
	}
	if l.file != nil {
		if err != nil {
			fmt.Fprintf(l.file, "==> %s\n", diag.Clean(err.Error()))
		}
		l.file.Close()
		l.file = nil
	}
	l.mu.Unlock()
	for _, e := range told {
		l.run.emit(Event{Kind: StepProgress, Node: l.key, Name: l.name, Step: &e})
	}
}

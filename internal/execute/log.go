package execute

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// nodeLog is the full log of a node: a file, and events for who watches.
type nodeLog struct {
	run  *run
	key  string
	name string

	mu   sync.Mutex
	file *os.File // nil: none is kept
}

var notFileName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func (r *run) openLog(s *state) *nodeLog {
	l := &nodeLog{run: r, key: s.node.Key, name: s.node.Title()}
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
	if l.file != nil {
		switch e.Kind {
		case engine.Started:
			fmt.Fprintf(l.file, "==> %s\n", e.Name)
		case engine.Log:
			_, _ = l.file.Write(e.Data)
		case engine.Done:
			if e.Error != "" {
				fmt.Fprintf(l.file, "==> %s: %s\n", e.Name, e.Error)
			}
		}
	}
	l.mu.Unlock()
	l.run.emit(Event{Kind: StepProgress, Node: l.key, Name: l.name, Step: &e})
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
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	if err != nil {
		fmt.Fprintf(l.file, "==> %v\n", err)
	}
	l.file.Close()
}

// Package report draws the events of a run: live on a terminal (BuildKit's
// progress display), as plain lines elsewhere, or as JSON lines; and sums the run
// up at its end.
//
// Plain output has a line when a node starts and one when it ends. The output of
// its steps follows only where the node failed (its last lines), or comes as it
// is written in verbose mode. JSON lines carry every event, one object a line.
//
// What a build prints never drives the terminal: escape sequences and control
// characters are taken out of everything that a Reporter prints. The full logs
// are files, and the summary says where they lie.
package report

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/jetcrate/jetcrate/internal/execute"
	"golang.org/x/term"
)

// Mode is how events are drawn.
type Mode string

const (
	Auto  Mode = "auto" // tty where the writer is a terminal, else plain
	TTY   Mode = "tty"
	Plain Mode = "plain"
	JSONL Mode = "jsonl"
	Quiet Mode = "quiet" // nothing; the summary is still to be had
)

// Options says how to draw.
type Options struct {
	Mode    Mode // "" is Auto
	Colour  bool // of plain lines and of the summary
	Verbose bool // plain: output of all steps, as it comes
}

// Reporter takes the events of one run. It is safe for concurrent use.
type Reporter struct {
	mu      sync.Mutex
	drawer  drawer
	summary summary
	colour  bool
	closed  bool
	err     error // the first one of the drawer
}

// drawer is one way to draw events. Its methods are called one at a time.
type drawer interface {
	event(execute.Event) error
	close() error
}

// New returns a Reporter that draws on w. It fails where tty was asked for and w
// is no terminal.
func New(w io.Writer, o Options) (*Reporter, error) {
	mode := o.Mode
	if mode == "" || mode == Auto {
		mode = Plain
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			mode = TTY
		}
	}
	r := &Reporter{colour: o.Colour}
	var err error
	switch mode {
	case TTY:
		r.drawer, err = newLive(w)
	case Plain:
		r.drawer = newPlain(w, o)
	case JSONL:
		r.drawer = newLines(w)
	case Quiet:
		r.drawer = quiet{}
	default:
		err = fmt.Errorf("no report mode %q: there are auto, tty, plain, jsonl, quiet", o.Mode)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Event draws an event. A writer that fails does not end the run: Close says it.
func (r *Reporter) Event(e execute.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.summary.event(e)
	if err := r.drawer.event(e); err != nil && r.err == nil {
		r.err = err
	}
}

// Close ends the drawing, so that others may write to the terminal again.
// Events that come later are dropped.
func (r *Reporter) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.err
	}
	r.closed = true
	if err := r.drawer.close(); err != nil && r.err == nil {
		r.err = err
	}
	if r.err != nil {
		r.err = fmt.Errorf("drawing progress: %w", r.err)
	}
	return r.err
}

// Summary writes what became of every node, the totals, and where logs lie.
func (r *Reporter) Summary(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary.write(w, painter{r.colour})
}

type quiet struct{}

func (quiet) event(execute.Event) error { return nil }
func (quiet) close() error              { return nil }

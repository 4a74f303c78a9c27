package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
)

// failedLines is how much of a failed node's log is shown.
const failedLines = 20

// plain draws lines.
type plain struct {
	w       io.Writer
	paint   painter
	verbose bool
	total   int
	ended   int
	logs    map[string]*tail // by node
}

func newPlain(w io.Writer, o Options) *plain {
	return &plain{w: w, paint: painter{o.Colour}, verbose: o.Verbose, logs: map[string]*tail{}}
}

func (p *plain) event(e execute.Event) error {
	var b strings.Builder
	switch e.Kind {
	case execute.RunStarted:
		p.total = e.Total
	case execute.Message:
		fmt.Fprintf(&b, "%s\n", oneLine(e.Text))
	case execute.NodeStarted:
		fmt.Fprintf(&b, "%s%-9s %s\n", p.margin(p.ended), "start", oneLine(e.Name))
	case execute.StepProgress:
		p.step(&b, e)
	case execute.NodeEnded:
		p.ended++
		p.end(&b, e)
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

func (p *plain) close() error { return nil }

// margin counts the nodes that have ended: "[ 3/12] ".
func (p *plain) margin(n int) string {
	if p.total == 0 {
		return ""
	}
	width := len(fmt.Sprint(p.total))
	return fmt.Sprintf("[%*d/%d] ", width, n, p.total)
}

func (p *plain) step(b *strings.Builder, e execute.Event) {
	if e.Step == nil {
		return
	}
	log := p.logs[e.Node]
	if log == nil {
		log = &tail{most: failedLines}
		p.logs[e.Node] = log
	}
	var lines []string
	switch e.Step.Kind {
	case engine.Started:
		if p.verbose {
			lines = []string{"==> " + oneLine(e.Step.Name)}
		}
	case engine.Log:
		lines = log.write(e.Step.Data)
	case engine.Done:
		lines = log.flush()
		if e.Step.Error != "" {
			lines = append(lines, log.write([]byte("==> "+e.Step.Error+"\n"))...)
		}
	}
	if p.verbose {
		for _, line := range lines {
			fmt.Fprintf(b, "%s | %s\n", oneLine(e.Name), line)
		}
	}
}

func (p *plain) end(b *strings.Builder, e execute.Event) {
	var details []string
	if e.Took > 0 {
		details = append(details, seconds(e.Took))
	}
	if e.Size > 0 {
		details = append(details, size(e.Size))
	}
	name := oneLine(e.Name)
	if len(details) > 0 {
		name += " (" + strings.Join(details, ", ") + ")"
	}
	if e.Reason != "" {
		name += ": " + oneLine(e.Reason)
	}
	fmt.Fprintf(b, "%s%s %s\n", p.margin(p.ended), p.paint.status(e.Status, 9), name)
	log := p.logs[e.Node]
	delete(p.logs, e.Node)
	if e.Status != execute.Failed {
		return
	}
	if log != nil && !p.verbose {
		log.flush()
		for _, line := range log.lines {
			fmt.Fprintf(b, "    | %s\n", line)
		}
	}
	if e.Log != "" {
		fmt.Fprintf(b, "    full log: %s\n", oneLine(e.Log))
	}
}

// painter colours words, or leaves them.
type painter struct{ on bool }

// status is the word of a status, at least width wide.
func (p painter) status(s execute.Status, width int) string {
	word := fmt.Sprintf("%-*s", width, s)
	if !p.on {
		return word
	}
	colour := ""
	switch s {
	case execute.Built, execute.Assembled, execute.Passed:
		colour = "\x1b[32m" // green
	case execute.Failed, execute.Blocked:
		colour = "\x1b[31m" // red
	case execute.Skipped, execute.Canceled:
		colour = "\x1b[33m" // yellow
	default:
		colour = "\x1b[2m" // faint
	}
	return colour + word + "\x1b[0m"
}

// seconds writes a duration; what takes no second is told in milliseconds.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

func size(n int64) string {
	return units.CustomSize("%.1f %s", float64(n), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"})
}

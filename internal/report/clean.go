package report

import (
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// oneLine is diag.Clean for text that has to stay on one line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(diag.Clean(s)), " ")
}

// tail collects the last lines of a log that comes in pieces.
type tail struct {
	most    int
	lines   []string
	partial string
}

// maxLine bounds a line that is kept: a build may print without any newline.
const maxLine = 2000

// write adds a piece and returns the lines that it completed, cleaned.
func (t *tail) write(data []byte) []string {
	text := t.partial + string(data)
	t.partial = ""
	var done []string
	for {
		line, rest, found := strings.Cut(text, "\n")
		if !found && len(text) <= maxLine {
			t.partial = text
			break
		}
		if !found {
			line, rest = text[:maxLine], text[maxLine:]
		}
		done = append(done, t.keep(line)...)
		text = rest
	}
	return done
}

// flush completes a line that has no newline.
func (t *tail) flush() []string {
	if t.partial == "" {
		return nil
	}
	line := t.partial
	t.partial = ""
	return t.keep(line)
}

func (t *tail) keep(line string) []string {
	lines := strings.Split(diag.Clean(strings.TrimSuffix(line, "\r")), "\n")
	t.lines = append(t.lines, lines...)
	if over := len(t.lines) - t.most; over > 0 {
		t.lines = append([]string(nil), t.lines[over:]...)
	}
	return lines
}

package workflow

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/jetcrate/jetcrate/internal/execute"
)

// maxLine is when a line of output is told in parts.
const maxLine = 64 << 10

// log takes the output of a step: commands are obeyed, secrets masked, and lines
// handed on.
type log struct {
	mask *execute.Mask
	line func(string)
	note func(Annotation)

	mu      sync.Mutex
	stopped string // the token that lets commands in again
	refused error
}

// stream is one of a step's outputs. Each has lines of its own.
type stream struct {
	log  *log
	wait []byte
	long bool // the beginning of this line was told
}

func (s *stream) Write(p []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.wait = append(s.wait, p...)
	for {
		i := bytes.IndexByte(s.wait, '\n')
		if i < 0 {
			break
		}
		line := string(s.wait[:i])
		s.wait = s.wait[i+1:]
		s.tell(line)
	}
	if len(s.wait) > maxLine {
		told, wait := s.log.mask.Take(s.wait, false)
		s.log.line(string(told))
		s.wait, s.long = wait, true
	}
	return len(p), nil
}

// end tells what has no newline at its end.
func (s *stream) end() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if len(s.wait) > 0 {
		s.tell(string(s.wait))
		s.wait = nil
	}
}

func (s *stream) tell(line string) {
	line = strings.TrimSuffix(line, "\r")
	if s.long {
		s.long = false
	} else if s.log.obey(line) {
		return
	}
	s.log.line(s.log.mask.Text(line))
}

// obey does what a command says, and reports whether the line was one that is
// not to be told.
func (l *log) obey(line string) bool {
	c, ok := parseCommand(line)
	if !ok {
		return false
	}
	if l.stopped != "" {
		if c.name == strings.ToLower(l.stopped) {
			l.stopped = ""
			return true
		}
		return false
	}
	switch c.name {
	case "error", "warning", "notice":
		a := c.annotation()
		a.Message, a.Title, a.File = l.mask.Text(a.Message), l.mask.Text(a.Title), l.mask.Text(a.File)
		l.note(a)
	case "add-mask":
		if strings.TrimSpace(c.data) != "" {
			l.mask.Add(c.data)
		}
	case "stop-commands":
		l.stopped = c.data
	case "group":
		l.line(l.mask.Text(c.data))
	case "endgroup", "debug", "echo":
	case "set-output", "set-env", "add-path", "save-state":
		l.refused = fmt.Errorf("::%s:: is not supported: %s", c.name, replacement(c.name))
	default:
		return false
	}
	return true
}

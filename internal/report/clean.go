package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text of a build safe for a terminal: escape sequences go as a
// whole, other control characters, characters that reorder text and invalid
// UTF-8 one by one. Newlines and tabs stay; a carriage return, with which
// progress bars draw over themselves, begins a new line.
func clean(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '\x1b' {
			i += escapeLength(s[i:])
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\r' && strings.HasPrefix(s[i+1:], "\n"):
		case r == '\r':
			b.WriteByte('\n')
		case r == '\n', r == '\t', unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			b.WriteString(s[i : i+size])
		case r == utf8.RuneError:
			b.WriteRune(utf8.RuneError)
		case unicode.IsSpace(r): // no-break space and its like
			b.WriteByte(' ')
		}
		i += size
	}
	return b.String()
}

// escapeLength is the length of the escape sequence that s begins with
// (ECMA-48). One that is cut off reaches to the end of s.
func escapeLength(s string) int {
	if len(s) == 1 {
		return 1
	}
	switch s[1] {
	case '[': // CSI: parameters, then one final byte
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < 0x20 || s[i] > 0x7e {
				return i // broken: what follows is text again
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_': // strings, ended by BEL or ESC \
		for i := 2; i < len(s); i++ {
			switch {
			case s[i] == '\a':
				return i + 1
			case s[i] == '\x1b' && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == '\n': // never closed: do not swallow the log
				return i
			}
		}
		return len(s)
	}
	return 1 // ESC goes, and its letter is harmless text
}

// oneLine is clean for text that has to stay on one line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(clean(s)), " ")
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
	lines := strings.Split(clean(strings.TrimSuffix(line, "\r")), "\n")
	t.lines = append(t.lines, lines...)
	if over := len(t.lines) - t.most; over > 0 {
		t.lines = append([]string(nil), t.lines[over:]...)
	}
	return lines
}

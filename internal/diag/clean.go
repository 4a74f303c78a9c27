package diag

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text of a build safe for a terminal: escape sequences go as a
// whole, other hidden characters and invalid UTF-8 one by one. Newlines and tabs
// stay; a carriage return, with which progress bars draw over themselves, begins
// a new line. Unlike Escape it leaves nothing in their place.
func Clean(s string) string {
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
		case r == '\n', r == '\t', !Hidden(r) && (r != utf8.RuneError || size > 1):
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

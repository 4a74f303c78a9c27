package diag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// ANSI sequences of the text printer.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	faint  = "\x1b[2m"
	reset  = "\x1b[0m"
)

// WriteText prints one line per diagnostic, in the shape that editors and CI
// systems recognise, with what is allowed and the hint indented below it:
//
//	packages/ml/pytorch/package.yaml:4:1: error: unknown key "dependz" [unknown-key]
//	    allowed: depends, env
//	    hint: did you mean "depends"?
//
// The list is printed sorted; the caller's is left as it is.
func WriteText(w io.Writer, list List, colour bool) error {
	paint := func(code, s string) string {
		if !colour || s == "" {
			return s
		}
		return code + s + reset
	}
	var b strings.Builder
	for _, d := range sorted(list) {
		if p := Escape(d.Position.String()); p != "" {
			b.WriteString(paint(bold, p+":") + " ")
		}
		severity := red
		if d.Severity == Warning {
			severity = yellow
		}
		b.WriteString(paint(severity, string(d.Severity)+":") + " " + Escape(d.Message))
		if d.Code != "" {
			b.WriteString(" " + paint(faint, "["+Escape(d.Code)+"]"))
		}
		b.WriteByte('\n')
		if len(d.Allowed) > 0 {
			b.WriteString("    allowed: " + Escape(strings.Join(d.Allowed, ", ")) + "\n")
		}
		if d.Hint != "" {
			b.WriteString("    hint: " + Escape(d.Hint) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON prints the sorted list as a JSON array, [] when it is empty.
func WriteJSON(w io.Writer, list List) error {
	l := sorted(list)
	if l == nil {
		l = List{}
	}
	enc := json.NewEncoder(Visible(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(l)
}

// Visible is a writer of JSON that writes hidden characters as \u escapes,
// which mean the same to a reader and nothing to a terminal. Each Write must
// hold whole characters: json.Encoder writes a value at a time.
func Visible(w io.Writer) io.Writer { return visible{w} }

type visible struct{ w io.Writer }

func (v visible) Write(p []byte) (int, error) {
	if bytes.IndexFunc(p, hiddenInJSON) < 0 {
		return v.w.Write(p)
	}
	var b bytes.Buffer
	for _, r := range string(p) {
		if !hiddenInJSON(r) {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	if _, err := v.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// hiddenInJSON leaves out what JSON itself is laid out with: within its strings
// a newline is an escape already.
func hiddenInJSON(r rune) bool { return r != '\n' && Hidden(r) }

// Hidden reports whether people do not see a character as what it is: control
// characters, those that reorder text or have no width, line separators, spaces
// other than the common one, fillers that look like a space, selectors of
// variants, and what Unicode has not assigned. Newline and tab are among them.
func Hidden(r rune) bool {
	switch {
	case !unicode.IsPrint(r), unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return true
	}
	return r == '\u2800' // a pattern of Braille without dots
}

// Escape makes a string safe to print on one line of a terminal: hidden
// characters and invalid UTF-8 become escapes.
func Escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !Hidden(r):
			b.WriteString(s[i : i+size])
		case unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

func sorted(list List) List {
	l := append(List(nil), list...)
	l.Sort()
	return l
}

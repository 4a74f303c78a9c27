// Package diag holds what jetcrate says about a user's mistake.
//
// A Diagnostic names its code (docs/lint.md lists them), the place (file, line and
// column, 1-based; 0 where there is none), what was found, what is allowed and
// the nearest suggestion. All mistakes of a run are collected in a List, sorted
// by position, and printed together as text, JSON or SARIF. Anything that is not
// the user's mistake is an ordinary Go error, never a Diagnostic.
package diag

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Severity tells whether a diagnostic stops the run.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Position is a place in a file of the catalog. File is slash-separated and
// relative to the catalog's root. Line and Col count from 1; 0 means unknown.
type Position struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

func (p Position) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
	}
}

// Diagnostic is one mistake, in the user's words.
type Diagnostic struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Position `json:"position"`
	Message  string   `json:"message"`           // what was found and why it is wrong, one sentence, no full stop
	Allowed  []string `json:"allowed,omitempty"` // what is allowed in its place
	Hint     string   `json:"hint,omitempty"`    // what to do, such as the nearest suggestion
}

// List collects diagnostics. The zero value is ready to use.
type List []Diagnostic

// Errorf adds an error.
func (l *List) Errorf(code string, pos Position, format string, args ...any) *Diagnostic {
	*l = append(*l, Diagnostic{Code: code, Severity: Error, Position: pos, Message: fmt.Sprintf(format, args...)})
	return &(*l)[len(*l)-1]
}

// Warnf adds a warning.
func (l *List) Warnf(code string, pos Position, format string, args ...any) *Diagnostic {
	d := l.Errorf(code, pos, format, args...)
	d.Severity = Warning
	return d
}

// HasErrors reports whether any diagnostic stops the run.
func (l List) HasErrors() bool {
	for _, d := range l {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Sort orders by file, line, column, code and message.
func (l List) Sort() {
	sort.SliceStable(l, func(i, j int) bool {
		a, b := l[i], l[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Col != b.Col {
			return a.Col < b.Col
		}
		if a.Code != b.Code {
			return a.Code < b.Code
		}
		return a.Message < b.Message
	})
}

// MaxOfFile is how many mistakes of one file are told: nobody reads more.
const MaxOfFile = 100

// Distinct returns the list sorted, without what was found twice, and cut where
// a file has more mistakes than MaxOfFile. The list itself is sorted too.
func (l List) Distinct() List {
	l.Sort()
	distinct := slices.CompactFunc(slices.Clone(l), func(a, b Diagnostic) bool {
		return a.Position == b.Position && a.Code == b.Code && a.Message == b.Message
	})
	count := map[string]int{}
	for _, d := range distinct {
		count[d.File]++
	}
	told := map[string]int{}
	last := map[string]int{} // where in out more-mistakes stands
	var out List
	for _, d := range distinct {
		told[d.File]++
		switch n := told[d.File]; {
		case n <= MaxOfFile:
			out = append(out, d)
			continue
		case n == MaxOfFile+1:
			last[d.File] = len(out)
			out.Warnf("more-mistakes", d.Position, "%d more mistakes in this file begin here", count[d.File]-MaxOfFile)
		}
		if d.Severity == Error { // an error that is not told is one all the same
			out[last[d.File]].Severity = Error
		}
	}
	return out
}

// Err returns the list as an error when it holds errors, and nil otherwise.
// cli prints an *Errors as diagnostics and exits with 1.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	l.Sort()
	return &Errors{List: l}
}

// Errors carries diagnostics through an error return.
type Errors struct{ List List }

func (e *Errors) Error() string {
	var b strings.Builder
	for i, d := range e.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		if p := d.Position.String(); p != "" {
			b.WriteString(p + ": ")
		}
		b.WriteString(d.Message)
	}
	return b.String()
}

// From returns the diagnostics that err carries, if it carries any.
func From(err error) (List, bool) {
	var e *Errors
	if errors.As(err, &e) {
		return e.List, true
	}
	return nil, false
}

// Package version knows the versions that jetcrate compares, and ranges of them.
//
// A Release is a dotted number (L4T 36.4.0, CUDA 12.6, cuDNN 9.3.0.75); missing
// parts are 0, so 36.4 equals 36.4.0. A Range is a set of releases, written as
// clauses joined by a space or comma (AND) and by || (OR): ">=36.4 <37",
// "36.4.*", "!=12.4", "*". A version without an operator is exact: "36.4" is
// 36.4.0 alone, and the line is written "36.4.*". PEP 440 versions and
// specifiers (">=1.26,<2", "~=2.8") are for Python packages. A pin ("2.8" in
// pytorch:2.8) matches the version it equals and everything below it.
// Every parser answers a mistake with a *SyntaxError that says what is allowed.
package version

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxParts = 6         // 10.3.0.30 has four
	maxPart  = 999999999 // keeps the successor of a part in range
	maxText  = 1000      // bytes of any text that a parser of this package reads
)

// Release is a dotted number. It keeps the text that it was read from.
// The zero value is no release. Use Compare, not ==: 36.4 and 36.4.0 differ in
// text alone.
type Release struct {
	text  string
	n     int
	parts [maxParts]uint32
}

// ParseRelease reads a dotted number such as 12.6 or 9.3.0.
func ParseRelease(s string) (Release, error) {
	r, err := parseRelease(s, "version")
	if err != nil {
		return Release{}, err
	}
	return r, nil
}

// ParseL4T reads an L4T release or line: 36.4.0, 36.4, r36.4 or R36.4.0.
func ParseL4T(s string) (Release, error) {
	number := s
	if len(s) > 1 && (s[0] == 'r' || s[0] == 'R') {
		number = s[1:]
	}
	r, err := parseRelease(number, "L4T release")
	if err != nil {
		err.Found = s
		err.Allowed = []string{"36.4.0", "36.4", "r36.4"}
		return Release{}, err
	}
	if r.n > 3 {
		return Release{}, &SyntaxError{What: "L4T release", Found: s, Reason: "has more than three parts", Allowed: []string{"36.4.0", "36.4", "r36.4"}}
	}
	return r, nil
}

// ParseJetPack reads a JetPack release: 6.1, and also 6.0-DP (developer
// preview) and 7.2-EA (early access), which compare like the number alone.
func ParseJetPack(s string) (Release, error) {
	number := strings.TrimSuffix(strings.TrimSuffix(s, "-DP"), "-EA")
	r, err := parseRelease(number, "JetPack release")
	if err != nil {
		err.Found = s
		err.Allowed = []string{"6.1", "6.0-DP", "7.2-EA"}
		return Release{}, err
	}
	r.text = s
	return r, nil
}

// parseRelease returns the concrete type so that callers can complete the error;
// it never wraps a nil *SyntaxError in an error itself.
func parseRelease(s, what string) (Release, *SyntaxError) {
	fail := func(reason string) (Release, *SyntaxError) {
		return Release{}, &SyntaxError{What: what, Found: s, Reason: reason, Allowed: []string{"numbers joined by dots such as 12.6 or 36.4.0"}}
	}
	if s == "" {
		return fail("is empty")
	}
	if len(s) > maxText {
		return fail(fmt.Sprintf("is longer than %d characters", maxText))
	}
	r := Release{text: s}
	for _, part := range strings.Split(s, ".") {
		if r.n == maxParts {
			return fail(fmt.Sprintf("has more than %d parts", maxParts))
		}
		if part == "" {
			return fail("has an empty part")
		}
		for _, c := range part {
			if c < '0' || c > '9' {
				return fail(fmt.Sprintf("has %q where a number is needed", part))
			}
		}
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || n > maxPart {
			return fail(fmt.Sprintf("has a part above %d", maxPart))
		}
		r.parts[r.n] = uint32(n)
		r.n++
	}
	return r, nil
}

// String returns the release as it was written, without the r of r36.4.
func (r Release) String() string { return r.text }

// IsZero reports whether r is the zero value, which is no release.
func (r Release) IsZero() bool { return r.n == 0 }

// Compare returns -1, 0 or 1. Missing parts are 0.
func (r Release) Compare(o Release) int {
	for i := range r.parts {
		if c := cmp.Compare(r.parts[i], o.parts[i]); c != 0 {
			return c
		}
	}
	return 0
}

// Major returns the first part: 36 of 36.4.0.
func (r Release) Major() int { return int(r.parts[0]) }

// Line returns the first two parts: 36.4 of 36.4.0, and 36.0 of 36.
func (r Release) Line() string {
	if r.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d", r.parts[0], r.parts[1])
}

// IsLine reports whether r was written with fewer than three parts, so that it
// names a line (36.4) where a release (36.4.0) is meant.
func (r Release) IsLine() bool { return r.n > 0 && r.n < 3 }

// canonical drops trailing parts that are 0, so that equal releases read alike,
// but for leading zeros: 22.04 stays 22.04.
func (r Release) canonical() Release {
	number, _, _ := strings.Cut(r.text, "-") // JetPack 6.0-DP
	texts := strings.Split(number, ".")
	for r.n > 1 && r.parts[r.n-1] == 0 {
		r.n--
	}
	r.text = strings.Join(texts[:r.n], ".")
	if r.n <= 1 && r.parts[0] == 0 {
		r.text, r.n = "0", 1
	}
	return r
}

// next returns the first release after every release that begins with r's
// parts: 36.5 for 36.4.
func (r Release) next() Release {
	last := r.n - 1
	r.parts[last]++
	texts := strings.Split(r.text, ".")
	texts[last] = fmt.Sprintf("%0*d", len(texts[last]), r.parts[last])
	r.text = strings.Join(texts, ".")
	return r
}

// SyntaxError is a text that is not what a parser of this package reads.
type SyntaxError struct {
	What    string   // what was expected: "L4T release"
	Found   string   // the text
	Reason  string   // what is wrong with it: "has an empty part"
	Allowed []string // examples of what is allowed
}

func (e *SyntaxError) Error() string {
	found := e.Found
	if len(found) > 80 {
		found = strings.ToValidUTF8(found[:80], "") + "..."
	}
	s := fmt.Sprintf("%s %q %s", e.What, found, e.Reason)
	if len(e.Allowed) > 0 {
		s += "; allowed: " + strings.Join(e.Allowed, ", ")
	}
	return s
}

package version

import (
	"fmt"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

// PEP440 is a Python version (https://peps.python.org/pep-0440/).
type PEP440 struct{ v pep440.Version }

// ParsePEP440 reads a version such as 2.8.0, 1.0rc1 or 2.8.0+cu126.
func ParsePEP440(s string) (PEP440, error) {
	fail := func(reason string) (PEP440, error) {
		return PEP440{}, &SyntaxError{What: "Python version", Found: s, Reason: reason, Allowed: []string{"2.8.0", "1.0rc1", "2.8.0.post1", "2.8.0+cu126"}}
	}
	if len(s) > maxText {
		return fail(fmt.Sprintf("is longer than %d characters", maxText))
	}
	v, err := pep440.Parse(s)
	if err != nil {
		return fail("is not a PEP 440 version")
	}
	return PEP440{v}, nil
}

// String returns the version in normal form.
func (p PEP440) String() string { return p.v.String() }

// Compare returns -1, 0 or 1 in the order of PEP 440.
func (p PEP440) Compare(o PEP440) int { return p.v.Compare(o.v) }

// IsPreRelease reports whether p is an alpha, beta, candidate or dev release.
func (p PEP440) IsPreRelease() bool { return p.v.IsPreRelease() }

// Local returns what follows the +, such as cu126.
func (p PEP440) Local() string { return p.v.Local() }

// padded gives the release at least n parts: the library compares prefixes
// part by part and would not find 2 in ==2.0.*.
func (p PEP440) padded(n int) pep440.Version {
	base := p.v.BaseVersion()
	parts := strings.Count(base, ".") + 1
	if parts >= n {
		return p.v
	}
	rest := strings.TrimPrefix(p.v.String(), base)
	for ; parts < n; parts++ {
		base += ".0"
	}
	v, err := pep440.Parse(base + rest)
	if err != nil {
		return p.v // zeros cannot make a version invalid
	}
	return v
}

// Specifier is a conjunction of PEP 440 clauses, such as ">=1.26,<2". The zero
// value contains every version.
type Specifier struct {
	text    string
	clauses []specifierClause
}

type specifierClause struct {
	check pep440.Specifiers
	parts int // parts of its release
}

// ParseSpecifier reads clauses of ~= == != <= >= < > and a version, joined by
// commas; == and != also take a prefix (2.8.*). Pre-releases are not left out:
// the versions of a catalog are all there on purpose.
func ParseSpecifier(s string) (Specifier, error) {
	fail := func(reason string) (Specifier, error) {
		return Specifier{}, &SyntaxError{What: "version specifier", Found: s, Reason: reason, Allowed: []string{">=1.26,<2", "==2.8.*", "~=2.8", "!=1.5"}}
	}
	if len(s) > maxText {
		return fail(fmt.Sprintf("is longer than %d characters", maxText))
	}
	var spec Specifier
	var texts []string
	for _, part := range strings.Split(s, ",") {
		part = strings.TrimSpace(part)
		n := len(part) - len(strings.TrimLeft(part, "<>=!~^"))
		op, text := part[:n], strings.TrimSpace(part[n:])
		switch {
		case part == "":
			return fail("has an empty clause")
		case op == "":
			return fail(fmt.Sprintf("has no operator before %q", text))
		case text == "":
			return fail(fmt.Sprintf("has no version after %q", op))
		}
		switch op {
		case "~=", "==", "!=", "<=", ">=", "<", ">":
		default:
			return fail(fmt.Sprintf("has the unknown operator %q (there are ~= == != <= >= < >)", op))
		}
		number, prefix := strings.CutSuffix(text, ".*")
		v, err := ParsePEP440(number)
		if err != nil {
			return fail(fmt.Sprintf("holds %q, which is not a PEP 440 version", number))
		}
		base := v.v.BaseVersion()
		switch {
		case prefix && op != "==" && op != "!=":
			return fail(fmt.Sprintf("has a prefix after %s: %s (only == and != take one)", op, text))
		case prefix && base != v.String():
			return fail(fmt.Sprintf("has more than numbers before .*: %s", text))
		}
		// The normal form, because the library reads capitals in one place and
		// not in another.
		normal := op + v.String()
		if prefix {
			normal += ".*"
		}
		check, err := pep440.NewSpecifiers(normal)
		if err != nil {
			return fail(fmt.Sprintf("has a clause %q that PEP 440 forbids: %s", part, err))
		}
		spec.clauses = append(spec.clauses, specifierClause{check, strings.Count(base, ".") + 1})
		texts = append(texts, normal)
	}
	spec.text = strings.Join(texts, ",")
	return spec, nil
}

// String returns the clauses in normal form.
func (s Specifier) String() string { return s.text }

// Contains reports whether a version satisfies every clause. A text that is no
// PEP 440 version satisfies only the zero Specifier.
func (s Specifier) Contains(version string) bool {
	if len(s.clauses) == 0 {
		return true
	}
	v, err := ParsePEP440(version)
	return err == nil && s.Holds(v)
}

// Holds is Contains for a version that was read already.
func (s Specifier) Holds(v PEP440) bool {
	for _, c := range s.clauses {
		if !c.check.Check(v.padded(c.parts)) {
			return false
		}
	}
	return true
}

// MatchesPin reports whether a version is the one that a pin names, or one
// below it: 2.8 matches 2.8, 2.8.0, 2.8.1 and 2.8.1+cu126, not 2.80. A pin
// without a local part (+cu126) matches any. Versions that are not PEP 440
// match a pin that they equal or that is a dotted prefix of them.
func MatchesPin(version, pin string) bool {
	if pin == "" {
		return false
	}
	if rest, ok := strings.CutPrefix(version, pin); ok && (rest == "" || rest[0] == '.' || rest[0] == '+') {
		return !strings.Contains(pin, "+") || rest == ""
	}
	v, err := ParsePEP440(version)
	if err != nil {
		return false
	}
	p, err := ParsePEP440(pin)
	if err != nil {
		return false
	}
	if p.Local() == "" {
		return pep440Equal(v.v.Public(), p)
	}
	return v.Compare(p) == 0
}

func pep440Equal(public string, p PEP440) bool {
	v, err := ParsePEP440(public)
	return err == nil && v.Compare(p) == 0
}

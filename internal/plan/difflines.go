package plan

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

const aptEpoch = "apt epoch"

// setting reads a line that instruction writes in front of a script.
func setting(line string) (name, value string, ok bool) {
	if epoch, ok := strings.CutPrefix(line, "# "+aptEpoch+" "); ok {
		return aptEpoch, epoch, true
	}
	rest, ok := strings.CutPrefix(line, "export ")
	if !ok {
		return "", "", false
	}
	name, value, ok = strings.Cut(rest, "=")
	value = strings.TrimSuffix(value, fmt.Sprintf(`"${%s:+:$%s}"`, name, name))
	return name, unquote(value), ok && isVariable(name)
}

// unquote takes the plain quotes off a word, for reading; those of an empty one
// stay, to tell it from none.
func unquote(s string) string {
	if len(s) > 2 && s[0] == '\'' && s[len(s)-1] == '\'' && strings.Count(s, "'") == 2 {
		return s[1 : len(s)-1]
	}
	return s
}

// lines are those that only one of two texts has.
func lines(old, new string) (minus, plus []string) {
	d := string(diff.Diff("old", []byte(old), "new", []byte(new)))
	hunk := false
	for line := range strings.SplitSeq(d, "\n") {
		switch {
		case strings.HasPrefix(line, "@@ "):
			hunk = true
		case !hunk:
		case strings.HasPrefix(line, "-"):
			minus = append(minus, line[1:])
		case strings.HasPrefix(line, "+"):
			plus = append(plus, line[1:])
		}
	}
	return minus, plus
}

// body is an instruction for people: its mounts and its script, without what
// follows from the package's files and artifact.
func body(text string) string {
	head, script, ok := strings.Cut(text, "<<'")
	if !ok {
		return text
	}
	var b strings.Builder
	for _, word := range strings.Fields(strings.TrimPrefix(head, "RUN ")) {
		if strings.HasPrefix(word, "--mount=") && !strings.HasSuffix(word, ",target=/pkg") && !strings.HasSuffix(word, ",target=/artifact") {
			b.WriteString(word + "\n")
		}
	}
	_, script, _ = strings.Cut(script, "\n")
	if at := strings.LastIndex(script, "\n"); at >= 0 {
		script = script[:at]
	}
	b.WriteString(strings.TrimPrefix(script, "set -eu\n"))
	return b.String()
}

// script is the body of an instruction without the variables and the apt epoch
// that it was rendered with, which differ for each package that uses a step.
func script(text string) string {
	all := body(text)
	var rest []string
	for line := range strings.SplitSeq(all, "\n") {
		if _, _, ok := setting(line); !ok {
			rest = append(rest, line)
		}
	}
	return cmp.Or(strings.Join(rest, "\n"), all)
}

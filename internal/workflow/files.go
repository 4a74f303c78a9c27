package workflow

import (
	"fmt"
	"regexp"
	"strings"
)

// Limits of what a step may write to its files.
const (
	maxFile    = 1 << 20 // GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY, bytes each
	maxOutputs = 50 << 20
)

// Files are what a step wrote to the files that GitHub's runner gives it.
type Files struct {
	Output, Env, Path, Summary []byte
}

// setting is a line of GITHUB_OUTPUT or GITHUB_ENV.
type setting struct{ name, value string }

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// parseSettings reads lines NAME=value and, for values of several lines,
// NAME<<DELIMITER up to a line that is DELIMITER.
func parseSettings(file string, data []byte) ([]setting, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d KiB", file, maxFile>>10)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var out []setting
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" {
			continue
		}
		equals, here := strings.Index(line, "="), strings.Index(line, "<<")
		var s setting
		switch {
		case equals >= 0 && (here < 0 || equals < here):
			s = setting{line[:equals], line[equals+1:]}
		case here >= 0:
			end := line[here+2:]
			if line[:here] == "" || end == "" {
				return nil, fmt.Errorf("%s: line %d is neither NAME=value nor NAME<<DELIMITER", file, i+1)
			}
			start := i + 1
			for i++; i < len(lines) && lines[i] != end; i++ {
			}
			if i == len(lines) {
				return nil, fmt.Errorf("%s: the value of %s has no line %q at its end", file, line[:here], end)
			}
			s = setting{line[:here], strings.Join(lines[start:i], "\n")}
		default:
			return nil, fmt.Errorf("%s: line %d is neither NAME=value nor NAME<<DELIMITER", file, i+1)
		}
		if !settingName.MatchString(s.name) {
			return nil, fmt.Errorf("%s: %q is no name", file, s.name)
		}
		out = append(out, s)
	}
	return out, nil
}

// parsePath reads GITHUB_PATH: a folder a line; later ones are found first.
func parsePath(data []byte) ([]string, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("GITHUB_PATH is larger than %d KiB", maxFile>>10)
	}
	var out []string
	for line := range strings.SplitSeq(string(data), "\n") {
		if line = strings.TrimSuffix(line, "\r"); line != "" {
			out = append([]string{line}, out...)
		}
	}
	return out, nil
}

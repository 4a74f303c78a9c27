package wheel

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// Line is what a tree of wheels is for: a major JetPack on a flavour, with one
// CUDA. A wheel of the line runs on its releases as far as their drivers go.
type Line struct {
	JetPack string `json:"jetpack"` // jp6; jp7-sbsa; l4t32 where a release has no JetPack
	CUDA    string `json:"cuda"`    // cu126, or cpu
}

// LineOf is the line of a platform.
func LineOf(t plan.Tuple) Line {
	major := func(s string) string { m, _, _ := strings.Cut(s, "."); return m }
	l := Line{JetPack: "jp" + major(t.JetPack), CUDA: "cpu"}
	if t.JetPack == "" {
		l.JetPack = "l4t" + major(t.L4T)
	}
	if t.Flavour != "" && t.Flavour != "tegra" {
		l.JetPack += "-" + t.Flavour
	}
	if t.CUDA != "" {
		l.CUDA = "cu" + strings.ReplaceAll(t.CUDA, ".", "")
	}
	return l
}

// String is the path of the tree: jp6/cu126.
func (l Line) String() string { return l.JetPack + "/" + l.CUDA }

// tag is the name of its record in a store.
func (l Line) tag() string { return tagPrefix + l.JetPack + "-" + l.CUDA }

const tagPrefix = "wheels-"

// tagForm finds the line in the name of a record: the CUDA is its last part.
var tagForm = regexp.MustCompile(`^` + tagPrefix + `((?:jp|l4t)[0-9]+(?:-[a-z]+)?)-(cu[0-9]+|cpu)$`)

func lineOfTag(tag string) (Line, bool) {
	m := tagForm.FindStringSubmatch(tag)
	if m == nil {
		return Line{}, false
	}
	return Line{JetPack: m[1], CUDA: m[2]}, true
}

var lineForm = regexp.MustCompile(`^((?:jp|l4t)[0-9]+(?:-[a-z]+)?)/(cu[0-9]+|cpu)$`)

// ParseLine reads jp6/cu126.
func ParseLine(s string) (Line, error) {
	m := lineForm.FindStringSubmatch(s)
	if m == nil {
		return Line{}, fmt.Errorf("%q is no line; one looks like jp6/cu126, jp7-sbsa/cu130 or jp6/cpu", s)
	}
	return Line{JetPack: m[1], CUDA: m[2]}, nil
}

// major is the major CUDA: 12, or "" for none.
func (l Line) major() string {
	digits, ok := strings.CutPrefix(l.CUDA, "cu")
	if !ok || len(digits) < 2 {
		return ""
	}
	return digits[:len(digits)-1] // minors have one digit
}

var (
	cudaLabel = regexp.MustCompile(`^cu(?:da)?([0-9]+)$`)
	lineLabel = regexp.MustCompile(`^(jp|l4t|r)([0-9]+)$`)
)

// accepts reports why a wheel with this local version label (+...) does not
// belong into the line. says reports that the label names the CUDA.
func (l Line) accepts(local string) (says bool, err error) {
	for _, word := range strings.FieldsFunc(strings.ToLower(local), func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		digits := strings.TrimPrefix(l.CUDA, "cu")
		cuda, line := cudaLabel.FindStringSubmatch(word), lineLabel.FindStringSubmatch(word)
		switch {
		case cuda != nil && cuda[1] != digits && cuda[1] != l.major():
			return false, fmt.Errorf("its label +%s names another CUDA than %s", local, l)
		case cuda != nil:
			says = true
		case (word == "cpu" || strings.HasPrefix(word, "rocm") || word == "xpu") && l.CUDA != "cpu":
			return false, fmt.Errorf("its label +%s names a build without CUDA, and the line is %s", local, l)
		case line != nil && line[1] == "jp" && strings.HasPrefix(l.JetPack, "jp"):
			// jp6 and jp62 are both of JetPack 6.
			if major, _, _ := strings.Cut(strings.TrimPrefix(l.JetPack, "jp"), "-"); !strings.HasPrefix(line[2], major) {
				return false, fmt.Errorf("its label +%s names another JetPack than %s", local, l)
			}
		}
	}
	return says, nil
}

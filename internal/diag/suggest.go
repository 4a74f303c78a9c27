package diag

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// Suggest returns the candidate that is nearest to name by edit distance, or ""
// when none is near enough to be a slip of the keyboard. Case does not count.
// Of equally near candidates the first in alphabetical order answers, whatever
// the order of candidates.
func Suggest(name string, candidates []string) string {
	if name == "" || len(name) > 200 {
		return ""
	}
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	lower := strings.ToLower(name)
	best, bestDistance := "", 0
	for _, c := range sorted {
		if c == "" || len(c) > 200 || c == name {
			continue
		}
		// A third of the letters may differ, so that short names do not suggest
		// anything of the same length.
		limit := max(1, (max(len(c), len(name))+1)/3)
		if min(len(c), len(name)) < 2 {
			limit = 0
		}
		if limit == 1 && sameLetters(lower, strings.ToLower(c)) {
			limit = 2 // two letters that changed places
		}
		if len(c) > len(name)+limit*utf8.UTFMax || len(name) > len(c)+limit*utf8.UTFMax {
			continue // too many letters differ, whichever they are
		}
		d := levenshtein.Distance(lower, strings.ToLower(c), nil)
		if d <= limit && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// DidYouMean is the hint that goes with Suggest: `did you mean "x"?`, or "".
func DidYouMean(name string, candidates []string) string {
	if s := Suggest(name, candidates); s != "" {
		return `did you mean "` + s + `"?`
	}
	return ""
}

func sameLetters(a, b string) bool {
	x, y := []rune(a), []rune(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

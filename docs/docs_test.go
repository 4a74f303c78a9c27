package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPagesAreFound: README.md names every page, and every link leads to a file
// of this repository.
func TestPagesAreFound(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	generated, err := filepath.Glob("packages/*.md")
	require.NoError(t, err)
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, page := range pages {
		require.Contains(t, string(readme), "(docs/"+page, "README.md does not name it")
	}
	link := regexp.MustCompile(`\]\(<?([^)>\s]+)>?\)`)
	n := 0
	for _, page := range append(append(pages, "../README.md"), generated...) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			to, _, _ := strings.Cut(found[1], "#")
			if to == "" || strings.Contains(to, "://") {
				continue
			}
			n++
			_, err := os.Stat(filepath.Join(filepath.Dir(page), to))
			require.NoError(t, err, page)
		}
	}
	require.Greater(t, n, 100)
}

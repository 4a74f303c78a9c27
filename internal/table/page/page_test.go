package page_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table/page"
)

var update = flag.Bool("update", false, "write docs/packages and the golden files anew")

const root = "../../.."

func catalog(t testing.TB) *spec.Catalog {
	t.Helper()
	cat, list := spec.Load(os.DirFS(root), spec.Options{})
	require.NoError(t, list.Err())
	return cat
}

// TestPagesOfThisCatalog holds docs/packages to the catalog.
func TestPagesOfThisCatalog(t *testing.T) {
	files, err := page.Pages(catalog(t), page.Options{Root: "../.."})
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, bytes.HasPrefix(f.Content, []byte(page.Mark)), f.Name)
		if f.Name != page.Index {
			require.Contains(t, string(f.Content), "Evidence: "+page.Untested+".\n", f.Name)
		}
	}
	areTables(t, files)
	lead(t, files)

	dir := filepath.Join(root, "docs/packages")
	if *update {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, f := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o644))
		}
		return
	}
	const how = "docs/packages is not what the catalog says: jetcrate docs writes it"
	have, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, have, len(files), how)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name))
		require.NoError(t, err, how)
		require.Equal(t, string(f.Content), string(b), how)
	}
}

// areTables checks that each row of a table has as many cells as its head: else
// a reader's Markdown shows another page than the one that was written.
func areTables(t *testing.T, files []page.File) {
	t.Helper()
	for _, f := range files {
		cells := 0
		for i, line := range strings.Split(string(f.Content), "\n") {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			n := strings.Count(strings.ReplaceAll(line, "\\|", ""), "|")
			if cells == 0 {
				cells = n
			}
			require.Equal(t, cells, n, "%s:%d: %s", f.Name, i+1, line)
		}
	}
}

// lead checks that every link to a page or a spec leads to one.
func lead(t *testing.T, files []page.File) {
	t.Helper()
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	for _, f := range files {
		for _, part := range strings.Split(string(f.Content), "](")[1:] {
			to, _, _ := strings.Cut(part, ")")
			if to = strings.Trim(to, "<>"); strings.HasPrefix(to, "../") {
				_, err := os.Stat(filepath.Join(root, "docs/packages", to))
				require.NoError(t, err, f.Name)
				continue
			}
			require.True(t, names[to], "%s: %s", f.Name, to)
		}
	}
}

func BenchmarkPages(b *testing.B) {
	cat := catalog(b)
	for b.Loop() {
		if _, err := page.Pages(cat, page.Options{Root: "../.."}); err != nil {
			b.Fatal(err)
		}
	}
}

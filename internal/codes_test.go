package internal_test

import (
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCodesAreDocumented: every code of a diagnostic that any room emits has a
// section in docs/lint.md.
func TestCodesAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../docs/lint.md")
	require.NoError(t, err)
	code := regexp.MustCompile(`(?:(?:Errorf|Warnf|refuse|reportParse|parse|report|notOne)\(|code = |, )"([a-z0-9]+(?:-[a-z0-9]+)+)"[,)\s]`)
	emitted := map[string]bool{}
	for _, room := range []string{"execute", "lock", "matrix", "plan", "recipe", "solve", "spec", "workflow"} {
		err := fs.WalkDir(os.DirFS(room), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			src, err := os.ReadFile(room + "/" + name)
			for _, m := range code.FindAllSubmatch(src, -1) {
				emitted[string(m[1])] = true
			}
			return err
		})
		require.NoError(t, err)
	}
	for _, no := range notCodes() {
		delete(emitted, no)
	}
	require.Greater(t, len(emitted), 60)
	var missing []string
	for c := range emitted {
		if !strings.Contains(string(docs), "\n## "+c+"\n") {
			missing = append(missing, c)
		}
	}
	sort.Strings(missing)
	require.Empty(t, missing)
}

// notCodes are words of the same form that are something else.
func notCodes() []string {
	return strings.Fields(`apt-get branches-ignore cancel-in-progress continue-on-error fail-fast id-token ls-remote ls-tree
		max-parallel paths-ignore pull-requests runs-on set-env tags-ignore timeout-minutes tool-cache
		working-directory yaml-language-server`)
}

package jetcrate

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUpstream proposes, writes, and then has nothing to say.
func TestUpstream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/simple/typed/":
			fmt.Fprint(w, `{"versions":["1.0","1.2"],"files":[{"filename":"typed-1.2-py3-none-any.whl","yanked":false}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("matrix.yaml", "platforms:\n  - {l4t: \"36.4.0\", os: {id: debian, version: \"12\"}, python: [\"3.11\"], base: \"example.org/base:1\", hosts: \">=36 <37\"}\n")
	write("packages/g/typed/package.yaml", "name: typed\ngroup: g\nsummary: typed # a comment\nversions:\n  # the newest\n  - version: \"1.0\"\n    source: https://pypi.org/project/typed/1.0/\ninstall: {steps: [{run: \"true\"}]}\n")
	write("packages/g/gone/package.yaml", "name: gone\ngroup: g\nsummary: gone\nversions:\n  - version: \"1\"\n    source: https://github.com/owner/gone/releases/tag/v1\ninstall: {steps: [{run: \"true\"}]}\n")
	run := func(code int, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"-C", dir, "upstream", "--github-api", server.URL, "--index", server.URL + "/simple"}, args...)
		require.Equal(t, code, Main(args, strings.NewReader(""), &out, &errs), "%s", errs.String())
		return out.String(), errs.String()
	}
	out, errs := run(exitDone)
	require.Equal(t, `typed: 1.2 (was 1.0): https://pypi.org/project/typed/1.2/
diff a/packages/g/typed/package.yaml b/packages/g/typed/package.yaml
--- a/packages/g/typed/package.yaml
+++ b/packages/g/typed/package.yaml
@@ -3,6 +3,8 @@
 summary: typed # a comment
 versions:
   # the newest
+  - version: "1.2"
+    source: https://pypi.org/project/typed/1.2/
   - version: "1.0"
     source: https://pypi.org/project/typed/1.0/
 install: {steps: [{run: "true"}]}
`, out)
	require.Equal(t, "gone: skipped: GitHub has no owner/gone\n", errs)
	out, _ = run(exitDone, "typed", "--write", "-o", "markdown")
	require.Equal(t, "- **typed** 1.2 (was 1.0): https://pypi.org/project/typed/1.2/\n", out)
	out, errs = run(exitDone, "typed")
	require.Empty(t, out+errs)
	_, errs = run(exitMistake, "tpyed")
	require.Contains(t, errs, `the catalog has no package "tpyed"`)
	server.Close()
	_, errs = run(exitEnvironment, "typed")
	require.Contains(t, errs, "asking the index for typed")
}

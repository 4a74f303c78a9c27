package testbed_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
	"github.com/jetcrate/jetcrate/internal/spec"
)

const fromIndexYAML = `name: from-index
group: python
summary: Two distributions of an index, on what was built from source
depends: [python, pycparser]
requires: {python: "3.11"}
versions: [{version: "1.0"}]
build:
  depends: [python-dev]
  steps:
    - uses: python/collect-wheels
      env: {PIP_INDEX_URL: "%s/simple/", PIP_RETRIES: "1", NONCE: "%d"}
      with: {distributions: [cffi, MarkupSafe]}
install:
  steps: [{uses: python/install-wheels}]
tests:
  - name: imports
    run: python3 -c 'import cffi, markupsafe, pycparser; print(markupsafe.escape("<"))'
`

// An index of our own, with wheels that were built here: pip resolves it on this
// machine, the lock names bytes, and a step in an ARM64 container takes them and
// no others.
func TestLockedPython(t *testing.T) {
	if os.Getenv("JETCRATE_ALL") == "" {
		t.Skip("it builds under emulation; make test-all (JETCRATE_ALL=1) has it")
	}
	b := made(t, os.DirFS(".."), testbedMatrix, "markupsafe", "cffi")
	wheels := t.TempDir()
	for _, pkg := range []string{"markupsafe", "cffi"} {
		require.NoError(t, os.CopyFS(wheels, os.DirFS(b.artifact(pkg))))
	}
	var damaged atomic.Bool
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
		files, _ := filepath.Glob(filepath.Join(wheels, "*.whl"))
		found := false
		for _, f := range files {
			dist, _, _ := strings.Cut(filepath.Base(f), "-")
			switch {
			case filepath.Base(f) == name:
				data, _ := os.ReadFile(f)
				if damaged.Load() {
					data = append(data, 0)
				}
				_, _ = w.Write(data)
				return
			case spec.DistributionName(dist) == name:
				found = true
				fmt.Fprintf(w, "<a href=%q>%s</a>\n", "/simple/"+filepath.Base(f), filepath.Base(f))
			}
		}
		if !found {
			http.NotFound(w, r)
		}
	}))
	defer index.Close()

	dir := t.TempDir()
	for _, part := range []string{"packages", "pipelines", "testbed"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS("../"+part)))
	}
	for _, file := range []string{"matrix.yaml", "jetcrate.lock"} {
		data, err := os.ReadFile("../" + file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
	}
	pkg := filepath.Join(dir, "packages/python/from-index/package.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(pkg), 0o755))
	write := func() {
		require.NoError(t, os.WriteFile(pkg, fmt.Appendf(nil, fromIndexYAML, index.URL, time.Now().UnixNano()), 0o644))
	}
	write()
	for k, v := range real(t) {
		t.Setenv(k, v)
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		args = append(args, "--catalog", dir, "--matrix", testbedMatrix[0], "--matrix", testbedMatrix[1])
		code := jetcrate.Main(args, strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	code, out := run("build", "from-index", "--l4t", "36.4.0", "--locked")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "jetcrate.lock does not have what from-index 1.0 installs from a Python index on L4T 36.4 (debian 12), Python 3.11, CUDA 12.6")

	code, out = run("lock", "from-index", "--update", "python", "--index", index.URL+"/simple/")
	require.Equal(t, 0, code, out)
	lock, err := os.ReadFile(filepath.Join(dir, "jetcrate.lock"))
	require.NoError(t, err)
	require.Contains(t, string(lock), "- name: cffi\n")
	require.Contains(t, string(lock), "- name: markupsafe\n")
	require.NotContains(t, string(lock), "- name: pycparser\n", "it lies below")

	code, out = run("build", "from-index", "--l4t", "36.4.0", "--locked")
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "test imports")

	// Other bytes under the same name are refused.
	damaged.Store(true)
	write()
	code, out = run("build", "from-index", "--l4t", "36.4.0", "--locked")
	require.Equal(t, 3, code, out)
	require.Contains(t, out, "DO NOT MATCH THE HASHES")
}

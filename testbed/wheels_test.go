package testbed_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

// indexed folds what was built into an index in a store of its own, beside wheels
// that must not be taken: for another Python, machine or release of Python, one
// that is yanked, and the same name in the index of another line.
func indexed(b *bench, packages ...string) (data string) {
	b.Helper()
	ctx := context.Background()
	c, err := wheel.Collect(ctx, b.plan, b.store, wheel.Options{Testbed: true})
	require.NoError(b, err)
	require.Len(b, c.Lines, 1)
	line := c.Lines[0]
	require.Equal(b, "jp6/cu126", line.String())
	require.Len(b, c.Wheels[line], len(packages), "%v", c.Left)

	data = b.TempDir()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(data, "jetcrate/store")})
	require.NoError(b, err)
	defer st.Close()
	for i, pkg := range packages {
		_, err := st.PutFiles(ctx, store.Artifact, strings.Repeat(fmt.Sprint(i), 64), b.artifact(pkg), nil)
		require.NoError(b, err)
	}
	decoys := b.TempDir()
	var others []wheel.Wheel
	for _, w := range []wheeltest.Wheel{
		{Name: "MarkupSafe", Version: "3.0.1", Tags: "cp310-cp310-linux_aarch64"},
		{Name: "MarkupSafe", Version: "3.0.2", Tags: "cp311-cp311-linux_x86_64"},
		{Name: "MarkupSafe", Version: "3.0.3", Python: ">=3.12"},
		{Name: "MarkupSafe", Version: "3.0.4"}, // yanked
		{Name: "MarkupSafe", Version: "3.0.5"}, // in the other line
	} {
		w.Content = "raise SystemExit('the wrong one: " + w.Version + "')\n"
		name := filepath.Join(decoys, w.File())
		require.NoError(b, os.WriteFile(name, w.Bytes(), 0o644))
		f, _, err := wheel.ReadFile(name)
		require.NoError(b, err)
		others = append(others, wheel.Wheel{File: f, Package: "decoy"})
	}
	_, err = st.PutFiles(ctx, store.Artifact, strings.Repeat("d", 64), decoys, nil)
	require.NoError(b, err)
	_, left, err := c.Record(ctx, st, false, true)
	require.NoError(b, err)
	require.Empty(b, left)
	for l, wheels := range map[wheel.Line][]wheel.Wheel{line: others[:4], {JetPack: "jp6", CUDA: "cu128"}: others[4:]} {
		_, err = wheel.Update(ctx, st, l, func(t *wheel.Tree) error {
			t.Testbed, t.Wheels = true, append(slices.Clone(t.Wheels), wheels...)
			t.Yank("markupsafe", "3.0.4", "it was wrong")
			return nil
		})
		require.NoError(b, err)
	}
	return data
}

// What the index serves, real pip installs in an ARM64 container, which reaches
// this machine's loopback address; and it takes nothing whose hash is not that of
// the index.
func TestPipInstallsFromTheIndex(t *testing.T) {
	b := made(t, os.DirFS(".."), testbedMatrix, "markupsafe", "cffi", "python")
	data := indexed(b, "markupsafe", "cffi")
	s := startServe(t, data)

	// A mirror that was tampered with: the page's hash and the file's differ.
	ctx := context.Background()
	mirror := filepath.Join(t.TempDir(), "mirror")
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(data, "jetcrate/store")})
	require.NoError(t, err)
	trees, err := wheel.Trees(ctx, st)
	require.NoError(t, err)
	_, err = wheel.Site{Trees: trees, Store: st}.Write(ctx, mirror)
	require.NoError(t, err)
	require.NoError(t, st.Close())
	tamper := func(pattern string) {
		found, err := filepath.Glob(filepath.Join(mirror, "files/*/*", pattern))
		require.NoError(t, err)
		require.Len(t, found, 1)
		raw, err := os.ReadFile(found[0])
		require.NoError(t, err)
		raw[len(raw)/2] ^= 1
		require.NoError(t, os.WriteFile(found[0], raw, 0o644))
	}
	tamper("MarkupSafe-2.1.2-*.whl")
	tamper("cffi-*.whl.metadata")
	h := httptest.NewServer(http.FileServer(http.Dir(mirror)))
	defer h.Close()

	out, code := b.run(2, fmt.Sprintf(`
		export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/dev/null
		python3 -m pip install --target /tmp/x --no-deps --index-url %[1]s/wheels/jp6/cu126/simple MarkupSafe
		PYTHONPATH=/tmp/x python3 -c 'import markupsafe; assert markupsafe.escape.__module__ == "markupsafe._speedups"; print("version", markupsafe.__version__)'
		echo "MarkupSafe==2.1.2 --hash=sha256:%064[3]d" > /tmp/r
		if python3 -m pip download --no-deps -d /tmp/y --require-hashes --index-url %[1]s/wheels/jp6/cu126/simple -r /tmp/r; then exit 9; fi
		if python3 -m pip download --no-deps -d /tmp/y --index-url %[2]s/jp6/cu126/simple MarkupSafe==2.1.2; then exit 8; fi`, s.url, h.URL, 0))
	require.Zero(t, code, out)
	require.Contains(t, out, "version 2.1.2")
	require.Equal(t, 2, strings.Count(out, "THESE PACKAGES DO NOT MATCH THE HASHES"), out)

	// The metadata alone (PEP 658), by HTTP and with its hash. This pip uses it where
	// a page is HTML, as the mirror's are: it got as far as the wheel.
	for _, tt := range []struct{ url, project, version, metadata, file string }{
		{s.url + "/wheels", "markupsafe", "2.1.2", "", ""},
		{h.URL, "markupsafe", "2.1.2", "", "the index says"},
		{h.URL, "cffi", "1.15.1", "the index says", ""},
	} {
		i, err := wheel.Open(ctx, tt.url+"/jp6/cu126/simple")
		require.NoError(t, err)
		files, err := i.Files(ctx, tt.project)
		require.NoError(t, err)
		at := slices.IndexFunc(files, func(f wheel.File) bool { return f.Version == tt.version })
		require.NotEmpty(t, files[at].Metadata)
		m, err := i.Metadata(ctx, files[at])
		if tt.metadata != "" {
			require.ErrorContains(t, err, tt.metadata)
		} else {
			require.NoError(t, err)
			require.Equal(t, tt.version, m.Version)
		}
		if err := i.Fetch(ctx, files[at], io.Discard); tt.file != "" {
			require.ErrorContains(t, err, tt.file)
		} else {
			require.NoError(t, err)
		}
	}
}

// The server that our uploads are tested with takes those of Debian's twine, and
// both send the same.
func TestUploadsAreThoseOfTwine(t *testing.T) {
	twine, err := exec.LookPath("twine")
	if err != nil {
		if os.Getenv("JETCRATE_REAL") != "" {
			t.Fatal("this machine lacks twine on PATH: make setup-tests")
		}
		t.Skip("this machine lacks twine on PATH; make test has it")
	}
	w := wheeltest.Wheel{
		Name: "Some.Thing", Version: "1.0+cu126", Tags: "cp310-cp310-linux_aarch64", Python: ">=3.8", Requires: []string{"a>=1", "b; extra == 'c'"},
		Metadata: "Home-page: https://example.com\nAuthor: Someone\nAuthor-email: someone@example.com\nLicense: MIT\nKeywords: a,b\nPlatform: linux\n" +
			"Classifier: Programming Language :: Python\nClassifier: Topic :: Other\nProject-URL: Source, https://example.com\nProvides-Extra: c\nDescription-Content-Type: text/plain\n",
	}
	name := filepath.Join(t.TempDir(), w.File())
	require.NoError(t, os.WriteFile(name, w.Bytes(), 0o644))
	theirs, ours := &wheeltest.Index{User: "lab", Password: "secret"}, &wheeltest.Index{User: "lab", Password: "secret"}
	h := httptest.NewServer(theirs)
	defer h.Close()
	cmd := exec.Command(twine, "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", h.URL+"/legacy/", name)
	cmd.Env = append(os.Environ(), "TWINE_USERNAME=lab", "TWINE_PASSWORD=secret", "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.Equal(t, []string{w.File()}, theirs.Files())

	g := httptest.NewServer(ours)
	defer g.Close()
	f, m, err := wheel.ReadFile(name)
	require.NoError(t, err)
	content, err := os.Open(name)
	require.NoError(t, err)
	defer content.Close()
	up := &wheel.Uploader{URL: g.URL + "/legacy/", Login: wheel.Login{User: "lab", Password: "secret"}}
	sent, err := up.Send(context.Background(), f, m, content)
	require.NoError(t, err)
	require.Equal(t, wheel.Uploaded, sent)
	want, got := theirs.Form(w.File()), ours.Form(w.File())
	for _, key := range []string{"blake2_256_digest", "comment", "gpg_signature"} { // what indexes do not ask for
		delete(want, key)
	}
	for key, values := range want {
		if strings.Join(values, "") == "" {
			continue
		}
		trimmed := slices.Clone(values)
		for i := range trimmed {
			trimmed[i] = strings.TrimRight(trimmed[i], "\n")
		}
		require.Equal(t, trimmed, got[key], key)
	}

	// twine, told that the file is there, has nothing to add; ours finds it the same.
	cmd = exec.Command(twine, "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", g.URL+"/legacy/", name)
	cmd.Env = append(os.Environ(), "TWINE_USERNAME=lab", "TWINE_PASSWORD=secret", "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
	text, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	up.URL = h.URL + "/legacy/"
	up.Index, err = wheel.Open(context.Background(), h.URL+"/simple/")
	require.NoError(t, err)
	sent, err = up.Send(context.Background(), f, m, content)
	require.NoError(t, err)
	require.Equal(t, wheel.Already, sent)
}

package wheel_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct{ file, project, version, build, python, err string }{
		{file: "MarkupSafe-2.1.2-cp311-cp311-linux_aarch64.whl", project: "markupsafe", version: "2.1.2", python: "cp311"},
		{file: "torch-2.8.0+cu126-cp310-cp310-linux_aarch64.whl", project: "torch", version: "2.8.0+cu126", python: "cp310"},
		{file: "torch-2.8.0_jp6.cu126-cp310-cp310-linux_aarch64.whl", project: "torch", version: "2.8.0+jp6.cu126", python: "cp310"},
		{file: "a_b.c-1.0-2abc-py2.py3-none-any.whl", project: "a-b-c", version: "1.0", build: "2abc", python: "py2"},
		{file: "x-1.0.tar.gz", err: "not a wheel"},
		{file: "x-1.0-py3-none.whl", err: "elements"},
		{file: "x-one-py3-none-any.whl", err: "Python version"},
		{file: "../x-1.0-py3-none-any.whl", err: "characters"},
		{file: "x\"-1.0-py3-none-any.whl", err: "characters"},
		{file: "..-1.0-py3-none-any.whl", err: "no name"},
		{file: strings.Repeat("x", 300) + "-1.0-py3-none-any.whl", err: "characters"},
	} {
		t.Run(tt.file[:min(30, len(tt.file))], func(t *testing.T) {
			n, err := wheel.ParseName(tt.file)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{tt.project, tt.version, tt.build, tt.python}, []string{n.Project, n.Version.String(), n.Build, n.Python()})
		})
	}
}

func write(t *testing.T, dir string, w wheeltest.Wheel) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, w.File()), w.Bytes(), 0o644))
}

func TestAFolderOfWheels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, wheeltest.Wheel{Name: "Some.Thing", Version: "1.9", Python: ">=3.8"})
	write(t, dir, wheeltest.Wheel{Name: "Some.Thing", Version: "1.10"})
	write(t, dir, wheeltest.Wheel{Name: "other", Version: "2", Requires: []string{"some-thing>=1; python_version > '3'", "x; extra == 'y'"}})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), nil, 0o644))
	ctx := context.Background()
	i, err := wheel.Open(ctx, dir)
	require.NoError(t, err)
	projects, err := i.Projects(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"other", "some-thing"}, projects)
	files, err := i.Files(ctx, "Some_Thing")
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Equal(t, []string{"1.10", "1.9"}, []string{files[0].Version, files[1].Version}, "the newest first, by PEP 440")
	require.Equal(t, ">=3.8", files[1].RequiresPython)
	require.True(t, files[1].Installs("3.10"))
	require.False(t, files[1].Installs("3.6"))
	_, err = i.Files(ctx, "absent")
	require.ErrorIs(t, err, wheel.ErrNotFound)
	other, err := i.Files(ctx, "other")
	require.NoError(t, err)
	m, err := i.Metadata(ctx, other[0])
	require.NoError(t, err)
	require.Equal(t, []wheel.Requirement{{Project: "some-thing", Range: ">=1", Marker: "python_version > '3'"}, {Project: "x", Marker: "extra == 'y'"}}, m.Requires)
	var b bytes.Buffer
	require.NoError(t, i.Fetch(ctx, other[0], &b))
	require.Equal(t, other[0].SHA256, wheeltest.SHA256(b.Bytes()))
}

func TestWheelsWhoseMetadataIsOfAnother(t *testing.T) {
	dir := t.TempDir()
	w := wheeltest.Wheel{Name: "a", Version: "1"}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b-1-py3-none-any.whl"), w.Bytes(), 0o644))
	i, err := wheel.Open(context.Background(), dir)
	require.NoError(t, err)
	_, err = i.Files(context.Background(), "b")
	require.ErrorContains(t, err, "is of a by its METADATA")
}

// elsewhere serves one project in a form.
func elsewhere(t *testing.T, form string) string {
	w := wheeltest.Wheel{Name: "a", Version: "1", Python: ">=3.8", Requires: []string{"b<2"}}
	raw := w.Bytes()
	sha := wheeltest.SHA256(raw)
	m, err := wheel.ReadMetadata(bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	meta := wheeltest.SHA256(m.Raw)
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/a/", func(rw http.ResponseWriter, r *http.Request) {
		switch form {
		case "json":
			require.Contains(t, r.Header.Get("Accept"), "application/vnd.pypi.simple.v1+json")
			rw.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_, _ = rw.Write([]byte(`{"meta":{"api-version":"1.1"},"name":"a","files":[
				{"filename":"a-1.tar.gz","url":"../../f/a-1.tar.gz","hashes":{}},
				{"filename":"a-1-py3-none-any.whl","url":"../../f/a-1-py3-none-any.whl","hashes":{"sha256":"` + sha + `"},"requires-python":">=3.8",
				 "core-metadata":{"sha256":"` + meta + `"},"yanked":"bad"}]}`))
		case "html":
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = rw.Write([]byte(`<html><body><a href="../../f/a-1.tar.gz">a-1.tar.gz</a>
				<a href="../../f/a-1-py3-none-any.whl#sha256=` + sha + `" data-requires-python="&gt;=3.8" data-core-metadata="sha256=` + meta + `" data-yanked="bad">a</a></body></html>`))
		case "wrong":
			rw.Header().Set("Content-Type", "text/html")
			zero := strings.Repeat("0", 64)
			_, _ = rw.Write([]byte(`<a href="/f/a-1-py3-none-any.whl#sha256=` + zero + `" data-core-metadata="sha256=` + zero + `">a</a>`))
		case "version 2":
			rw.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_, _ = rw.Write([]byte(`{"meta":{"api-version":"2.0"}}`))
		default:
			rw.Header().Set("Content-Type", "image/png")
		}
	})
	mux.HandleFunc("/f/a-1-py3-none-any.whl", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(raw) })
	mux.HandleFunc("/f/a-1-py3-none-any.whl.metadata", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(m.Raw) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/simple"
}

func TestIndexesOfOthers(t *testing.T) {
	ctx := context.Background()
	for _, form := range []string{"json", "html"} {
		t.Run(form, func(t *testing.T) {
			i, err := wheel.Open(ctx, elsewhere(t, form))
			require.NoError(t, err)
			files, err := i.Files(ctx, "A")
			require.NoError(t, err)
			require.Len(t, files, 1)
			f := files[0]
			require.Equal(t, []string{"a", "1", ">=3.8", "bad"}, []string{f.Project, f.Version, f.RequiresPython, f.Reason})
			require.True(t, f.Yanked)
			m, err := i.Metadata(ctx, f)
			require.NoError(t, err)
			require.Equal(t, "b", m.Requires[0].Project)
			require.NoError(t, i.Fetch(ctx, f, &bytes.Buffer{}))
			f.Metadata = "" // an index without PEP 658
			whole, err := i.Metadata(ctx, f)
			require.NoError(t, err)
			require.Equal(t, m.Raw, whole.Raw)
		})
	}
	i, err := wheel.Open(ctx, elsewhere(t, "wrong"))
	require.NoError(t, err)
	files, err := i.Files(ctx, "a")
	require.NoError(t, err)
	require.ErrorContains(t, i.Fetch(ctx, files[0], &bytes.Buffer{}), "the index says 0000")
	_, err = i.Metadata(ctx, files[0])
	require.ErrorContains(t, err, "the index says 0000")

	for form, want := range map[string]string{"version 2": `api-version is "2.0"`, "picture": "image/png and no page"} {
		i, err := wheel.Open(ctx, elsewhere(t, form))
		require.NoError(t, err)
		_, err = i.Files(ctx, "a")
		require.ErrorContains(t, err, want)
	}
	_, err = wheel.Open(ctx, filepath.Join(t.TempDir(), "absent"))
	require.ErrorContains(t, err, "opening the index")
}

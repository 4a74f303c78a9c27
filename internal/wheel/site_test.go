package wheel_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// contents reads all files below a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	}))
	return out
}

var hexes = regexp.MustCompile(`[0-9a-f]{64}`)

func TestAnIndexWithoutWheelsSaysSo(t *testing.T) {
	dir := t.TempDir()
	_, err := wheel.Site{}.Write(context.Background(), dir)
	require.NoError(t, err)
	page := contents(t, dir)["index.html"]
	require.Contains(t, page, "There are no wheels yet.")
	require.NotContains(t, page, "pip install")
}

func TestTheIndexAsFiles(t *testing.T) {
	l := newLab(t, "pure", "gpu")
	l.build()
	l.index(wheel.Options{})
	ctx := context.Background()
	_, err := wheel.Update(ctx, l.store, wheel.Line{JetPack: "jp6", CUDA: "cu128"}, func(t *wheel.Tree) error {
		t.Yank("pure", "1.0", `wrong "results" & <more>`)
		return nil
	})
	require.NoError(t, err)
	trees, err := wheel.Trees(ctx, l.store)
	require.NoError(t, err)
	dir := t.TempDir()
	fresh, err := wheel.Site{Trees: trees, Store: l.store}.Write(ctx, dir)
	require.NoError(t, err)
	require.Equal(t, 3+2*2*3+2, fresh) // 3 wheels; 2 projects and their list on each of 2 lines, twice; the root
	files := contents(t, dir)

	var golden strings.Builder // without hashes, which follow the compressor of this Go
	pages, err := wheel.Site{Trees: trees, Store: l.store}.Pages()
	require.NoError(t, err)
	for _, p := range pages {
		require.Equal(t, string(p.Content), files[p.Path])
		text := regexp.MustCompile(`files/[0-9a-f]{2}/`).ReplaceAllString(hexes.ReplaceAllString(string(p.Content), "HASH"), "files/HH/")
		golden.WriteString("-- " + p.Path + " --\n" + regexp.MustCompile(`"size":[0-9]+`).ReplaceAllString(text, `"size":0`))
	}
	if *update {
		require.NoError(t, os.WriteFile("testdata/pages.golden", []byte(golden.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/pages.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), golden.String(), "go test ./internal/wheel -update rewrites it")

	// Every link of every page leads to a file with the hash it names.
	links := 0
	for name, page := range files {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		for _, m := range regexp.MustCompile(`href="([^"#]+)(?:#sha256=([0-9a-f]+))?"`).FindAllStringSubmatch(page, -1) {
			to := filepath.ToSlash(filepath.Join(filepath.Dir(name), strings.ReplaceAll(m[1], "%2B", "+")))
			if m[2] == "" {
				to += "/index.html"
			}
			require.Contains(t, files, to, name)
			if m[2] != "" {
				require.Contains(t, to, m[2])
				require.Contains(t, files, to+".metadata")
				links++
			}
		}
	}
	require.Equal(t, 4, links)

	// The same index is read back by our own reader, as HTML from the folder.
	i, err := wheel.Open(ctx, filepath.Join(dir, "jp6/cu128/simple"))
	require.NoError(t, err)
	projects, err := i.Projects(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"gpu", "pure"}, projects)
	got, err := i.Files(ctx, "gpu")
	require.NoError(t, err)
	require.Equal(t, "2.0+cu128", got[0].Version)
	m, err := i.Metadata(ctx, got[0])
	require.NoError(t, err)
	require.Equal(t, "2.0+cu128", m.Version)

	fresh, err = wheel.Site{Trees: trees, Store: l.store}.Write(ctx, dir)
	require.NoError(t, err)
	require.Zero(t, fresh)
}

func TestAMirrorFromACopyOfTheStore(t *testing.T) {
	l := newLab(t, "pure", "gpu")
	l.build()
	trees, _ := l.index(wheel.Options{})
	ctx := context.Background()
	first := t.TempDir()
	_, err := wheel.Site{Trees: trees, Store: l.store}.Write(ctx, first)
	require.NoError(t, err)
	require.NoError(t, l.store.Close())

	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(l.dir)))
	require.NoError(t, os.RemoveAll(l.dir))
	st, err := store.Open(ctx, store.Options{Dir: copied})
	require.NoError(t, err)
	defer st.Close()
	// Of the copy only what the index's own records name may be needed.
	known, err := st.Known(ctx)
	require.NoError(t, err)
	var tags []string
	for tag := range known {
		tags = append(tags, tag)
	}
	_, err = st.Remove(ctx, tags)
	require.NoError(t, err)
	_, err = st.GC(ctx, store.Retention{})
	require.NoError(t, err)
	again, err := wheel.Trees(ctx, st)
	require.NoError(t, err)
	second := t.TempDir()
	_, err = wheel.Site{Trees: again, Store: st}.Write(ctx, second)
	require.NoError(t, err)
	require.Equal(t, contents(t, first), contents(t, second))

	// The handler and an archive have the same bytes.
	h := httptest.NewServer(http.StripPrefix("/wheels", wheel.NewHandler(st)))
	defer h.Close()
	for name, want := range contents(t, first) {
		resp, err := http.Get(h.URL + "/wheels/" + strings.ReplaceAll(name, "+", "%2B"))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, name)
		require.Equal(t, want, string(got), name)
	}
	var one, two bytes.Buffer
	require.NoError(t, wheel.Site{Trees: again, Store: st}.WriteTar(ctx, &one))
	require.NoError(t, wheel.Site{Trees: again, Store: st}.WriteTar(ctx, &two))
	require.True(t, bytes.Equal(one.Bytes(), two.Bytes()))
	in := contents(t, first)
	for r := tar.NewReader(&one); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		raw, err := io.ReadAll(r)
		require.NoError(t, err)
		if head.Name == "SHA256SUMS" {
			require.Len(t, in, strings.Count(string(raw), "\n"))
			continue
		}
		require.Equal(t, in[head.Name], string(raw), head.Name)
	}
}

func TestWhoReadsWhileItIsWrittenSeesNoHalf(t *testing.T) {
	l := newLab(t, "pure", "gpu")
	l.build()
	trees, _ := l.index(wheel.Options{})
	ctx := context.Background()
	// The first state has one project, the second both.
	small, _, err := trees[0].Select([]string{"pure"}, false)
	require.NoError(t, err)
	read := func(dir string) error {
		i, err := wheel.Open(ctx, filepath.Join(dir, "jp6/cu126/simple"))
		if err != nil {
			return err
		}
		projects, err := i.Projects(ctx)
		if err != nil || len(projects) == 0 {
			return errors.Join(err, fmt.Errorf("it has %v", projects))
		}
		for _, p := range projects {
			files, err := i.Files(ctx, p)
			if err != nil || len(files) == 0 {
				return errors.Join(err, fmt.Errorf("%s: %v", p, files))
			}
			for _, f := range files {
				if err := i.Fetch(ctx, f, io.Discard); err != nil {
					return err
				}
				if _, err := i.Metadata(ctx, f); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for range 5 {
		dir := t.TempDir()
		_, err = wheel.Site{Trees: []*wheel.Tree{small}, Store: l.store}.Write(ctx, dir)
		require.NoError(t, err)
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			for {
				err := read(dir)
				select {
				case <-stop:
					ended <- err
					return
				default:
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
		_, err = wheel.Site{Trees: trees[:1], Store: l.store}.Write(ctx, dir)
		require.NoError(t, err)
		close(stop)
		require.NoError(t, <-ended)
	}
}

func TestNegotiation(t *testing.T) {
	l := newLab(t, "pure")
	l.build()
	l.index(wheel.Options{})
	h := httptest.NewServer(http.StripPrefix("/wheels", wheel.NewHandler(l.store)))
	defer h.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(path, accept string, head ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, h.URL+"/wheels"+path, nil)
		require.NoError(t, err)
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		for i := 0; i < len(head); i += 2 {
			req.Header.Set(head[i], head[i+1])
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	const page = "/jp6/cu126/simple/pure/"
	for accept, want := range map[string]string{
		"":          "text/html; charset=utf-8",
		"text/html": "text/html; charset=utf-8",
		"*/*":       "text/html; charset=utf-8",
		"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01": "application/vnd.pypi.simple.v1+json",
		"application/vnd.pypi.simple.v1+html, text/html;q=0.1":                                               "application/vnd.pypi.simple.v1+html",
		"application/vnd.pypi.simple.latest+json":                                                            "application/vnd.pypi.simple.v1+json",
		"application/vnd.pypi.simple.v1+json;q=0, text/html":                                                 "text/html; charset=utf-8",
		"nonsense;;;q": "text/html; charset=utf-8",
	} {
		resp := get(page, accept)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, want, resp.Header.Get("Content-Type"), accept)
		require.Equal(t, "Accept", resp.Header.Get("Vary"))
	}
	ctx := context.Background()
	i, err := wheel.Open(ctx, h.URL+"/wheels/jp6/cu126/simple")
	require.NoError(t, err)
	files, err := i.Files(ctx, "pure")
	require.NoError(t, err)
	require.Equal(t, ">=3.8", files[0].RequiresPython)
	require.NotEmpty(t, files[0].Metadata)
	_, err = i.Metadata(ctx, files[0])
	require.NoError(t, err)

	resp := get("/jp6/cu126/simple/pure", "")
	require.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
	require.Equal(t, "pure/", resp.Header.Get("Location"))
	etag := get(page, "").Header.Get("ETag")
	require.Equal(t, http.StatusNotModified, get(page, "", "If-None-Match", etag).StatusCode)
	file := strings.TrimPrefix(files[0].URL, h.URL+"/wheels")
	part := get(file, "", "Range", "bytes=2-5")
	require.Equal(t, http.StatusPartialContent, part.StatusCode)
	b, err := io.ReadAll(part.Body)
	require.NoError(t, err)
	require.Len(t, b, 4)
	for _, bad := range []string{"/nothing", "/jp6/cu126/simple/../../..", "/files/..%2f..%2f", "/jp6/cu126/simple/pure/index.xml", file + "x", "/files/" + strings.Repeat("0", 64)} {
		require.Equal(t, http.StatusNotFound, get(bad, "").StatusCode, bad)
	}
	resp, err = http.Post(h.URL+"/wheels"+page, "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

package site_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/jetcrate/jetcrate/internal/site"
	"github.com/jetcrate/jetcrate/internal/site/sitetest"
	"github.com/jetcrate/jetcrate/internal/table"
)

func files(t testing.TB, tb *table.Table, o site.Options) map[string]string {
	t.Helper()
	require.NoError(t, tb.Validate())
	list, err := site.Files(tb, o)
	require.NoError(t, err)
	out := map[string]string{}
	for _, f := range list {
		require.NotContains(t, out, f.Name, "two files of one name")
		out[f.Name] = string(f.Content)
	}
	return out
}

func TestFiveThousandCellsAreSmall(t *testing.T) {
	all := files(t, sitetest.Table(100, 50), site.Options{})
	page := all["index.html"] + all["site.css"] + all["site.js"]
	require.Equal(t, 5000, strings.Count(all["index.html"], "<td"))
	require.Less(t, len(page), 300_000, "bytes of all that the grid loads")
	t.Logf("index.html %d, site.css %d, site.js %d bytes", len(all["index.html"]), len(all["site.css"]), len(all["site.js"]))
}

func TestEveryStandingShowsAsClassSymbolAndWord(t *testing.T) {
	all := files(t, sitetest.Table(8, 8), site.Options{})
	index, err := html.Parse(strings.NewReader(all["index.html"]))
	require.NoError(t, err)
	symbols := map[string]string{}
	for n := range index.Descendants() {
		if n.Data == "td" && len(n.Attr) > 0 {
			symbols[n.Attr[0].Val] = strings.Fields(n.FirstChild.Data)[0]
		}
	}
	require.Equal(t, map[string]string{"t": "✓", "g": "◐", "u": "○", "f": "✕", "w": "⊘", "d": "·", "n": "–"}, symbols)
	for _, word := range []string{"tested", "untested on GPU", "untested", "failed", "withdrawn", "not built", "not available"} {
		require.Contains(t, all["index.html"], "</b> "+word+"<span>")
	}
}

// A table that was published has two rows for a cell whose image was withdrawn:
// the image's, and one that says that there is none now.
func TestAWithdrawnCellIsMoreThanNotBuilt(t *testing.T) {
	tb := sitetest.Table(8, 8)
	before := strings.Count(files(t, tb, site.Options{})["index.html"], "<td class=w>")
	i := slices.IndexFunc(tb.Rows, func(r table.Row) bool { return r.Status == table.Withdrawn })
	now := tb.Rows[i]
	now.Status, now.State, now.Image, now.Withdrawal, now.Evidence = table.Current, table.NotBuilt, nil, nil, table.Evidence{}
	now.Reason = "its image was withdrawn: it overheats"
	tb.Rows = append(tb.Rows, now)
	all := files(t, tb, site.Options{})
	require.Equal(t, before, strings.Count(all["index.html"], "<td class=w>"))
	page := all["p/"+now.Roots[0]+".html"]
	require.Contains(t, page, "its image was withdrawn: it overheats")
	require.Contains(t, page, "<time>2026-11-20 10:00</time>")

	var md bytes.Buffer
	require.NoError(t, tb.Markdown(&md))
	require.Equal(t, 2, strings.Count(md.String(), " withdrawn |"), "the cell, and the legend")
}

func TestAPageWithoutFactsHasNoHeadingForThem(t *testing.T) {
	tb := sitetest.Table(8, 8)
	tb.Rows = slices.DeleteFunc(tb.Rows, func(r table.Row) bool { return r.State != table.NotBuilt })
	page := files(t, tb, site.Options{})["p/"+tb.Rows[0].Roots[0]+".html"]
	require.NotEmpty(t, page)
	require.NotContains(t, page, "Facts")
}

func TestPackagePage(t *testing.T) {
	tb := sitetest.Table(8, 8)
	all := files(t, tb, site.Options{
		Packages: map[string]site.Package{"pytorch": {Summary: "Tensors", Licence: "BSD-3-Clause", Image: "9GiB", Models: "2GiB"}},
	})
	page := all["p/pytorch.html"]
	for _, want := range []string{
		"<code>jet run pytorch</code>", "Tensors", "BSD-3-Clause", "9GiB", "2GiB", "torch",
		"docker run --runtime nvidia -it --rm registry.example/jetcrate@sha256:", "no GPU",
		"superseded", "withdrawn: it overheats",
	} {
		require.Contains(t, page, want)
	}
	var notes map[string]map[string]struct{ A, W, R string }
	script := all["p/pytorch.js"]
	script = script[strings.Index(script, "jetcrateNotes(")+len(`jetcrateNotes("pytorch",`):]
	require.NoError(t, json.NewDecoder(strings.NewReader(script)).Decode(&notes))
	require.NotEmpty(t, notes["pytorch"])
	for column, n := range notes["pytorch"] {
		require.Contains(t, page, `<article id="`+n.A+`"`, column)
		require.Contains(t, all["index.html"], `id="`+column+`"`)
	}
}

// A table may come from anybody.
func TestHostileTable(t *testing.T) {
	tb := sitetest.Table(1, 1)
	r := &tb.Rows[0]
	const evil = `"><script>alert(1)</script>`
	r.Target, r.Roots = "../../x "+evil, []string{"../../x " + evil}
	r.Packages = []table.Package{{Name: "../../x " + evil, Version: evil, Aliases: []string{evil}}}
	r.Evidence.Tests[0].Reason = evil + "</script>"
	other := sitetest.Table(3, 1).Rows[1]
	other.Target, other.State, other.Image, other.Packages, other.Reason = "..", table.Impossible, nil, nil, evil
	other.Roots, other.Evidence = []string{".."}, table.Evidence{}
	tb.Rows = append(tb.Rows, other)
	all := files(t, tb, site.Options{Title: evil, Runs: []site.Run{{What: evil, State: evil}}})
	for name, content := range all {
		require.True(t, name == "index.html" || name == "site.css" || name == "site.js" || strings.HasPrefix(name, "p/"), name)
		require.NotContains(t, name, "..")
		require.NotContains(t, strings.ToLower(content), "<script>", name)
		require.LessOrEqual(t, strings.Count(name, "/"), 1)
	}
	require.Contains(t, all["p/x-script-alert-1-script.html"], "jet run &#39;../../x", "quoted for a shell")
	require.Contains(t, all, "p/package.html")
}

// Without JavaScript everything can be read: nothing is loaded, no script is in
// a page, and every link leads somewhere.
func TestPagesAreWhole(t *testing.T) {
	all := files(t, sitetest.Table(8, 8), site.Options{Runs: []site.Run{{What: "build --all", State: "good", Began: time.Unix(0, 0), Took: "1m0s"}}})
	for name, content := range all {
		require.Contains(t, content[:200], "made by jetcrate site", name)
		if !strings.HasSuffix(name, ".html") {
			require.NotContains(t, content, "://", "%s loads something from elsewhere", name)
			continue
		}
		doc, err := html.Parse(strings.NewReader(content))
		require.NoError(t, err)
		ids := map[string]bool{}
		for n := range doc.Descendants() {
			for _, a := range n.Attr {
				require.False(t, strings.HasPrefix(a.Key, "on"), "%s has a handler in its markup", name)
				require.NotEqual(t, "style", a.Key, "the policy forbids styles in markup")
				switch {
				case a.Key == "id":
					require.False(t, ids[a.Val], "%s has the ID %s twice", name, a.Val)
					ids[a.Val] = true
				case (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "#") && a.Val != "data:,":
					to := filepath.Join(filepath.Dir(name), a.Val)
					require.Contains(t, all, to, "%s links to %s", name, a.Val)
				}
			}
			if n.Data == "script" {
				require.Nil(t, n.FirstChild, "a script in %s", name)
			}
		}
	}
}

func TestTheSameTableIsTheSameBytes(t *testing.T) {
	first := files(t, sitetest.Table(12, 12), site.Options{})
	for range 5 {
		require.Equal(t, first, files(t, sitetest.Table(12, 12), site.Options{}))
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	write := func(targets int) error {
		list, err := site.Files(sitetest.Table(targets, 2), site.Options{})
		require.NoError(t, err)
		return site.Write(dir, list)
	}
	require.NoError(t, write(3))
	require.FileExists(t, filepath.Join(dir, "p/package-2.html"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p/own.html"), []byte("mine"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "CNAME"), []byte("mine"), 0o644))
	before, err := os.Stat(filepath.Join(dir, "site.css"))
	require.NoError(t, err)
	require.NoError(t, write(2))
	require.NoFileExists(t, filepath.Join(dir, "p/package-2.html"))
	require.NoFileExists(t, filepath.Join(dir, "p/package-2.js"))
	require.FileExists(t, filepath.Join(dir, "p/own.html"))
	require.FileExists(t, filepath.Join(dir, "CNAME"))
	after, err := os.Stat(filepath.Join(dir, "site.css"))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "what did not change is not written")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte("<h1>mine</h1>"), 0o644))
	require.ErrorContains(t, write(2), "was not made by jetcrate site")
}

func TestHandler(t *testing.T) {
	list, err := site.Files(sitetest.Table(2, 2), site.Options{})
	require.NoError(t, err)
	s := httptest.NewServer(site.Handler(list))
	defer s.Close()
	for _, c := range []struct {
		method, path string
		code         int
		kind         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/site.css", 200, "text/css; charset=utf-8"},
		{"GET", "/site.js", 200, "text/javascript; charset=utf-8"},
		{"HEAD", "/p/pytorch.html", 200, "text/html; charset=utf-8"},
		{"GET", "/p/../../etc/passwd", 404, ""},
		{"GET", "/p/%2e%2e%2findex.html", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"POST", "/", 405, ""},
	} {
		req, err := http.NewRequest(c.method, s.URL+c.path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.code, resp.StatusCode, c.path)
		if c.kind == "" {
			continue
		}
		require.Equal(t, c.kind, resp.Header.Get("Content-Type"), c.path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
		req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		again, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, again.Body.Close())
		require.Equal(t, http.StatusNotModified, again.StatusCode)
	}
}

func BenchmarkFiles(b *testing.B) {
	tb := sitetest.Table(100, 50)
	for b.Loop() {
		list, err := site.Files(tb, site.Options{})
		require.NoError(b, err)
		require.True(b, bytes.Contains(list[len(list)-1].Content, []byte("<table>")))
	}
}

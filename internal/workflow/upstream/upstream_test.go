package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-github/v66/github"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/spec"
)

const matrixFile = `platforms:
  - l4t: "36.4.0"
    os: {id: debian, version: "12"}
    python: ["3.11"]
    base: example.org/base:1
    hosts: ">=36 <37"
`

func catalog(t *testing.T, packages map[string]string) *spec.Catalog {
	t.Helper()
	files := fstest.MapFS{"matrix.yaml": {Data: []byte(matrixFile)}}
	for name, text := range packages {
		files["packages/g/"+name+"/package.yaml"] = &fstest.MapFile{Data: []byte(text)}
	}
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	return cat
}

func pkg(name, versions string) string {
	return "name: " + name + "\ngroup: g\nsummary: a package\nversions:\n" + versions + "install:\n  steps: [{run: \"true\"}]\n"
}

// world plays GitHub and an index.
type world struct {
	*httptest.Server
	answers map[string]func(http.ResponseWriter, *http.Request)
	asked   []string
	slept   []time.Duration
}

func newWorld(t *testing.T) *world {
	w := &world{answers: map[string]func(http.ResponseWriter, *http.Request){}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		at := r.URL.Path
		if p := r.URL.Query().Get("page"); p != "" {
			at += "?page=" + p
		}
		w.asked = append(w.asked, at)
		if a, ok := w.answers[at]; ok {
			a(rw, r)
			return
		}
		http.NotFound(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *world) options(t *testing.T) Options {
	t.Helper()
	gh := github.NewClient(nil)
	base, err := url.Parse(w.URL + "/")
	require.NoError(t, err)
	gh.BaseURL = base
	return Options{
		GitHub: gh, Index: w.URL + "/simple", HTTP: w.Client(), Patience: time.Minute, Now: time.Now,
		Sleep: func(_ context.Context, d time.Duration) error {
			w.slept = append(w.slept, d)
			return nil
		},
	}
}

func text(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

// index is a project's page with a wheel of each version; a version that begins
// with - is yanked.
func index(versions ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/vnd.pypi.simple.v1+json" {
			http.Error(w, "ask for JSON", http.StatusNotAcceptable)
			return
		}
		var names, files []string
		for _, v := range versions {
			yanked := "false"
			if bare, is := strings.CutPrefix(v, "-"); is {
				v, yanked = bare, `"broken"`
			}
			names = append(names, fmt.Sprintf("%q", v))
			files = append(files, fmt.Sprintf(`{"filename":"x-%s-py3-none-any.whl","yanked":%s}`, v, yanked))
		}
		fmt.Fprintf(w, `{"versions":[%s],"files":[%s]}`, strings.Join(names, ","), strings.Join(files, ","))
	}
}

func TestPropose(t *testing.T) {
	w := newWorld(t)
	w.answers["/simple/typing-extensions/"] = index("4.9.0", "4.12.2", "5.0.0rc1", "-4.13.0", "not-a-version")
	w.answers["/simple/same/"] = index("1.0", "1.0.0", "0.9")
	w.answers["/repos/owner/tool/releases"] = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", fmt.Sprintf(`<%s/repos/owner/tool/releases?page=2>; rel="next"`, w.URL))
		fmt.Fprint(rw, `[{"tag_name":"v3.0.0-rc1","prerelease":true},{"tag_name":"v3.0.0","draft":true},{"tag_name":"nightly"},{"tag_name":"v2.0.9"}]`)
	}
	w.answers["/repos/owner/tool/releases?page=2"] = text(`[{"tag_name":"v2.1.0"},{"tag_name":"v1.0.0"}]`)
	w.answers["/repos/owner/archive/releases"] = text(`[{"tag_name":"2.0"}]`)

	before, err := os.ReadFile("testdata/before.yaml")
	require.NoError(t, err)
	cat := catalog(t, map[string]string{
		"tool":    string(before),
		"typed":   pkg("typed", "  - {version: \"4.9.0\", source: \"https://pypi.org/project/typing_extensions/4.9.0/\"}\n"),
		"same":    pkg("same", "  - version: \"1.0\"\n    source: https://pypi.org/project/same/1.0/\n"),
		"local":   pkg("local", "  - version: \"1\"\n    source: the distribution's, whichever its release brings\n"),
		"gone":    pkg("gone", "  - version: \"1\"\n    source: https://pypi.org/project/gone/1/\n"),
		"missing": pkg("missing", "  - version: \"1\"\n    source: https://github.com/owner/missing/releases/tag/1\n"),
		"archive": pkg("archive", "  - version: \"1.0\"\n    source: https://github.com/owner/archive/releases/tag/1.0\n"+
			"    archive: {sha256: "+strings.Repeat("0", 64)+", urls: [\"https://example.org/a.tar.gz\"]}\n"),
	})
	proposals, skips, err := Propose(t.Context(), cat, nil, w.options(t))
	require.NoError(t, err)
	require.Equal(t, []Skip{
		{"archive", "there is 2.0, https://github.com/owner/archive/releases/tag/2.0: the hash of its archive is not known"},
		{"gone", "the index has no gone"},
		{"local", "the source of 1 is neither a release of GitHub nor a project of PyPI"},
		{"missing", "GitHub has no owner/missing"},
	}, skips)
	require.Len(t, proposals, 2)

	require.Equal(t, "2.1.0", proposals[0].New)
	require.Equal(t, "https://github.com/owner/tool/releases/tag/v2.1.0", proposals[0].Source)
	want, err := os.ReadFile("testdata/after.yaml")
	require.NoError(t, err)
	require.Equal(t, string(want), string(proposals[0].Edited))

	require.Equal(t, "typed", proposals[1].Package)
	require.Equal(t, "4.12.2", proposals[1].New)
	require.Contains(t, string(proposals[1].Edited), "versions:\n  - {version: \"4.12.2\", source: \"https://pypi.org/project/typing_extensions/4.12.2/\"}\n"+
		"  - {version: \"4.9.0\", source: \"https://pypi.org/project/typing_extensions/4.9.0/\"}\n")

	// What is proposed is a catalog, and there is nothing more to propose.
	edited := catalog(t, map[string]string{"tool": string(proposals[0].Edited), "typed": string(proposals[1].Edited)})
	proposals, skips, err = Propose(t.Context(), edited, nil, w.options(t))
	require.NoError(t, err)
	require.Empty(t, proposals)
	require.Empty(t, skips)
}

func TestRateLimits(t *testing.T) {
	tool := func() map[string]string {
		return map[string]string{
			"tool":  pkg("tool", "  - version: \"1.0\"\n    source: https://github.com/owner/tool/releases/tag/v1.0\n"),
			"typed": pkg("typed", "  - version: \"1.0\"\n    source: https://pypi.org/project/typed/1.0/\n"),
		}
	}
	limited := func(reset time.Duration, times int, then func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if times--; times < 0 {
				then(w, r)
				return
			}
			w.Header().Set("X-RateLimit-Limit", "60")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", fmt.Sprint(time.Now().Add(reset).Unix()))
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"API rate limit exceeded"}`)
		}
	}
	busy := func(seconds string, times int, then func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if times--; times < 0 {
				then(w, r)
				return
			}
			w.Header().Set("Retry-After", seconds)
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}
	t.Run("waited for", func(t *testing.T) {
		w := newWorld(t)
		w.answers["/repos/owner/tool/releases"] = limited(-time.Second, 1, text(`[{"tag_name":"v1.1"}]`))
		w.answers["/simple/typed/"] = busy("7", 1, index("1.0", "1.2"))
		proposals, skips, err := Propose(t.Context(), catalog(t, tool()), nil, w.options(t))
		require.NoError(t, err)
		require.Empty(t, skips)
		require.Len(t, proposals, 2)
		require.Equal(t, []time.Duration{time.Second, 7 * time.Second}, w.slept)
	})
	t.Run("too long", func(t *testing.T) {
		w := newWorld(t)
		w.answers["/repos/owner/tool/releases"] = limited(2*time.Hour, 9, nil)
		w.answers["/simple/typed/"] = busy("3600", 9, nil)
		proposals, skips, err := Propose(t.Context(), catalog(t, tool()), nil, w.options(t))
		require.NoError(t, err)
		require.Empty(t, proposals)
		require.Len(t, skips, 2)
		for _, s := range skips {
			require.Contains(t, s.Reason, "a rate limit holds for")
		}
		require.Empty(t, w.slept)
	})
	t.Run("for ever", func(t *testing.T) {
		w := newWorld(t)
		w.answers["/simple/typed/"] = busy("1", 99, nil)
		_, skips, err := Propose(t.Context(), catalog(t, tool()), []string{"typed"}, w.options(t))
		require.NoError(t, err)
		require.Equal(t, []Skip{{"typed", "a rate limit holds on"}}, skips)
		require.Len(t, w.slept, maxTries)
	})
	t.Run("an index that fails", func(t *testing.T) {
		w := newWorld(t)
		w.answers["/simple/typed/"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		_, _, err := Propose(t.Context(), catalog(t, tool()), []string{"typed"}, w.options(t))
		require.ErrorContains(t, err, "502")
	})
}

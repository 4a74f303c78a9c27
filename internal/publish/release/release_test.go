package release_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/publish/release"
	"github.com/jetcrate/jetcrate/internal/publish/release/releasetest"
	"github.com/jetcrate/jetcrate/internal/table"
)

// desk is who makes releases on a hub.
type desk struct {
	*releasetest.Hub
	dir    string
	waited []time.Duration
	said   strings.Builder
}

func newDesk(t *testing.T) *desk { return &desk{Hub: releasetest.New(t), dir: t.TempDir()} }

func (d *desk) client() *release.Client {
	d.Helper()
	d.waited = nil
	c, err := release.New(release.Options{
		Repository: "o/r", Token: releasetest.Token, API: d.API.URL, Pause: time.Second,
		Say: func(s string) { d.said.WriteString(s + "\n") },
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
		Sleep: func(ctx context.Context, w time.Duration) error {
			d.waited = append(d.waited, w)
			return ctx.Err()
		},
	})
	require.NoError(d, err)
	return c
}

func (d *desk) file(name, content string) release.File {
	d.Helper()
	path := filepath.Join(d.dir, name)
	require.NoError(d, os.WriteFile(path, []byte(content), 0o644))
	f, err := release.NewFile(name, path)
	require.NoError(d, err)
	return f
}

func (d *desk) files4() []release.File {
	d.Helper()
	return []release.File{d.file("a-1.0+cu126-py3-none-any.whl", "wheel a"), d.file("b-1.0-py3-none-any.whl", strings.Repeat("b", 1<<20)), d.file("table.json", "{}"), d.file("SHA256SUMS", "sums")}
}

func (d *desk) publish(r release.Release) (*release.Result, error) {
	d.Helper()
	return d.client().Publish(context.Background(), r)
}

func TestRelease(t *testing.T) {
	d := newDesk(t)
	want := release.Release{Tag: "v1", Commit: "abc", Notes: "first", Files: d.files4()}
	res, err := d.publish(want)
	require.NoError(t, err)
	require.True(t, res.Created)
	require.Len(t, res.Uploaded, 4)
	require.Equal(t, "https://github.example/o/r/releases/tag/v1", res.URL)
	rel := d.Releases[0]
	require.False(t, rel.Draft)
	require.Equal(t, "first", rel.Body)
	require.Equal(t, "abc", rel.Target)
	require.Equal(t, "wheel a", d.Hub.Files("v1")["a-1.0+cu126-py3-none-any.whl"])

	// Again: nothing is sent.
	d.Reset(nil)
	res, err = d.publish(want)
	require.NoError(t, err)
	require.Len(t, res.Kept, 4)
	require.Zero(t, d.Count("POST")+d.Count("PATCH")+d.Count("DELETE"))

	// What is published is completed, never changed.
	want.Files = append(want.Files, d.file("c.whl", "c"))
	res, err = d.publish(want)
	require.NoError(t, err)
	require.Equal(t, []string{"c.whl"}, res.Uploaded)
	want.Files[0] = d.file("a-1.0+cu126-py3-none-any.whl", "wheel A")
	_, err = d.publish(want)
	var changed *release.ChangedError
	require.ErrorAs(t, err, &changed)
	require.Equal(t, "wheel a", d.Hub.Files("v1")["a-1.0+cu126-py3-none-any.whl"])

	// An older server has no digests: the bytes are compared.
	old := newDesk(t)
	old.Digests = false
	want = release.Release{Tag: "v1", Files: old.files4()}
	_, err = old.publish(want)
	require.NoError(t, err)
	res, err = old.publish(want)
	require.NoError(t, err)
	require.Len(t, res.Kept, 4)
	want.Files[2] = old.file("table.json", "[]")
	_, err = old.publish(want)
	require.ErrorAs(t, err, &changed)
}

// A release that was left halfway is completed: a file that was cut off, and one
// that the draft has with other content, are sent again.
func TestReleaseIsCompleted(t *testing.T) {
	d := newDesk(t)
	want := release.Release{Tag: "v1", Files: d.files4()}
	broken := false
	d.Reset(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Query().Get("name") == "b-1.0-py3-none-any.whl" {
			broken = true
			releasetest.Refuse(w, http.StatusForbidden, "Resource not accessible by integration")
			return true
		}
		return false
	})
	_, err := d.publish(want)
	require.ErrorContains(t, err, "uploading b-1.0-py3-none-any.whl")
	require.NotContains(t, err.Error(), releasetest.Token)
	require.True(t, broken)
	require.Empty(t, d.waited, "what is forbidden is not tried again")
	rel := d.Releases[0]
	require.True(t, rel.Draft, "it stays a draft until it is complete")
	rel.Assets = append(rel.Assets, &releasetest.Asset{ID: 900, Name: "b-1.0-py3-none-any.whl", State: "starter"})
	other := &releasetest.Asset{ID: 901, Name: "table.json"}
	d.Finish(other, []byte("[]"))
	rel.Assets = append(rel.Assets, other)
	// More releases than a page has, and drafts of other tags.
	for i := range 7 {
		d.Releases = append([]*releasetest.Release{{ID: int64(500 + i), Tag: fmt.Sprintf("w%d", i), Draft: i%2 == 0}}, d.Releases...)
	}

	d.Reset(nil)
	res, err := d.publish(want)
	require.NoError(t, err)
	require.False(t, res.Created)
	require.Equal(t, []string{"a-1.0+cu126-py3-none-any.whl"}, res.Kept)
	require.Equal(t, []string{"b-1.0-py3-none-any.whl", "table.json"}, res.Replaced)
	require.False(t, rel.Draft)
	for _, f := range want.Files {
		content, err := os.ReadFile(f.Path)
		require.NoError(t, err)
		require.Equal(t, string(content), d.Hub.Files("v1")[f.Name])
	}
}

// Whatever GitHub answers in between, the release is complete in the end, and
// every pause is the one that it asked for.
func TestGitHubFails(t *testing.T) {
	// nth lets a fault happen with every nth request that writes.
	nth := func(n int64, how func(w http.ResponseWriter, r *http.Request)) func(w http.ResponseWriter, r *http.Request) bool {
		var at atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) bool {
			if at.Add(1)%n != 0 {
				return false
			}
			how(w, r)
			return true
		}
	}
	for _, c := range []struct {
		name  string
		fault func(d *desk) func(w http.ResponseWriter, r *http.Request) bool
		wait  time.Duration // of every pause; 0 is whatever
	}{
		{name: "the primary limit", wait: 31 * time.Second, fault: func(*desk) func(http.ResponseWriter, *http.Request) bool {
			return nth(4, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-RateLimit-Limit", "5000")
				w.Header().Set("X-RateLimit-Remaining", "0")
				w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(1_800_000_030, 10))
				releasetest.Refuse(w, http.StatusForbidden, "API rate limit exceeded for user ID 1.")
			})
		}},
		{name: "a secondary limit", wait: 7 * time.Second, fault: func(*desk) func(http.ResponseWriter, *http.Request) bool {
			return nth(4, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				releasetest.Answer(w, http.StatusForbidden, map[string]string{
					"message":           "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
					"documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
				})
			})
		}},
		{name: "429", wait: 9 * time.Second, fault: func(*desk) func(http.ResponseWriter, *http.Request) bool {
			return nth(4, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "9")
				releasetest.Refuse(w, http.StatusTooManyRequests, "slow down")
			})
		}},
		{name: "502", fault: func(*desk) func(http.ResponseWriter, *http.Request) bool {
			return nth(3, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadGateway)
				_, _ = w.Write([]byte("<html>Unicorn!</html>"))
			})
		}},
		{name: "connections that break", fault: func(*desk) func(http.ResponseWriter, *http.Request) bool {
			return nth(3, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}},
		{name: "uploads that are cut off", fault: func(d *desk) func(http.ResponseWriter, *http.Request) bool {
			cut := map[string]bool{}
			return func(_ http.ResponseWriter, r *http.Request) bool {
				name := r.URL.Query().Get("name")
				d.Mu.Lock()
				if r.Method != http.MethodPost || name == "" || cut[name] {
					d.Mu.Unlock()
					return false
				}
				cut[name] = true
				rel := d.Releases[0]
				rel.Assets = append(rel.Assets, &releasetest.Asset{ID: d.NewID(), Name: name, State: "starter"})
				d.Mu.Unlock()
				panic(http.ErrAbortHandler)
			}
		}},
		{name: "answers that get lost", fault: func(d *desk) func(http.ResponseWriter, *http.Request) bool {
			lost := map[string]bool{}
			return func(w http.ResponseWriter, r *http.Request) bool {
				at := r.Method + r.URL.Path + r.URL.RawQuery
				d.Mu.Lock()
				fault := d.Fault
				if r.Method == http.MethodGet || lost[at] {
					d.Mu.Unlock()
					return false
				}
				lost[at], d.Fault = true, nil
				d.Mu.Unlock()
				d.Serve(&void{}, r)
				d.Mu.Lock()
				d.Fault = fault
				d.Mu.Unlock()
				panic(http.ErrAbortHandler)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			want := release.Release{Tag: "v1", Notes: "n", Files: d.files4()}
			d.Reset(c.fault(d))
			_, err := d.publish(want)
			require.NoError(t, err, d.said.String())
			require.NotEmpty(t, d.waited)
			for _, w := range d.waited {
				if c.wait != 0 {
					require.Equal(t, c.wait, w)
				}
			}
			require.Len(t, d.Releases, 1, "one release, however often it was asked for")
			require.False(t, d.Releases[0].Draft)
			require.Len(t, d.Hub.Files("v1"), 4)
			for _, f := range want.Files {
				content, err := os.ReadFile(f.Path)
				require.NoError(t, err)
				require.Equal(t, string(content), d.Hub.Files("v1")[f.Name])
			}
			require.NotContains(t, d.said.String(), releasetest.Token)
		})
	}
}

// void is an answer that nobody gets.
type void struct{ header http.Header }

func (v *void) Header() http.Header {
	if v.header == nil {
		v.header = http.Header{}
	}
	return v.header
}
func (v *void) Write(b []byte) (int, error) { return len(b), nil }
func (v *void) WriteHeader(int)             {}

func TestPatienceEnds(t *testing.T) {
	d := newDesk(t)
	d.Reset(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	_, err := d.publish(release.Release{Tag: "v1"})
	require.ErrorContains(t, err, "listing the releases of o/r")
	require.Len(t, d.waited, 5)
	require.Equal(t, 16*time.Second, d.waited[4])

	d.Reset(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(1_800_000_000+7200, 10))
		releasetest.Refuse(w, http.StatusForbidden, "API rate limit exceeded")
		return true
	})
	_, err = d.publish(release.Release{Tag: "v1"})
	require.ErrorContains(t, err, "GitHub asks to wait for 2h0m1s more")
	require.Empty(t, d.waited)

	wrong, err := release.New(release.Options{Repository: "o/r", Token: "ghp_wrong", API: d.API.URL})
	require.NoError(t, err)
	d.Reset(nil)
	_, err = wrong.Publish(context.Background(), release.Release{Tag: "v1"})
	require.ErrorContains(t, err, "Bad credentials")
	require.NotContains(t, err.Error(), "ghp_wrong")
	for _, repository := range []string{"", "o", "o/", "o/r/x"} {
		_, err = release.New(release.Options{Repository: repository})
		require.ErrorContains(t, err, "is not OWNER/NAME")
	}
}

func TestLatest(t *testing.T) {
	d := newDesk(t)
	tag, content, err := d.client().Latest(context.Background(), "v3", "table.json")
	require.NoError(t, err)
	require.Empty(t, tag)
	require.Nil(t, content)
	for i, name := range []string{"v1", "v2"} {
		_, err := d.publish(release.Release{Tag: name, Files: []release.File{d.file("table.json", fmt.Sprint(i))}})
		require.NoError(t, err)
	}
	tag, content, err = d.client().Latest(context.Background(), "v3", "table.json")
	require.NoError(t, err)
	require.Equal(t, "v2", tag)
	require.Equal(t, "1", string(content))
	tag, _, err = d.client().Latest(context.Background(), "v2", "table.json")
	require.NoError(t, err)
	require.Equal(t, "v1", tag)
}

func TestNotes(t *testing.T) {
	row := func(target, version, build string, change ...func(*table.Row)) table.Row {
		r := table.Row{
			Target: target, Roots: []string{target}, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built,
			Packages: []table.Package{{Name: target, Version: version}},
			Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}, Python: "3.10", CUDA: &table.CUDA{Version: "12.6"}},
			Image:    &table.Image{Reference: "registry.example/jetson/" + target + ":" + version, Digest: table.HashList([]string{target, version, build}), Key: build},
		}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	none := func(reason string) func(*table.Row) {
		return func(r *table.Row) { r.State, r.Image, r.Reason = table.NotBuilt, nil, reason }
	}
	gone := row("onnx", "1", "1", func(r *table.Row) {
		r.Status, r.Withdrawal = table.Withdrawn, &table.Withdrawal{Reason: "wrong *sums*\n@all"}
	})
	before := &table.Table{Rows: []table.Row{row("pytorch", "2.7", "1"), row("numpy", "1", "1"), row("onnx", "1", "1"), row("old", "1", "1"), row("same", "1", "1"), row("again", "1", "1")}}
	after := &table.Table{Rows: []table.Row{row("pytorch", "2.8", "2"), gone, row("onnx", "1", "2", none("its image was withdrawn")), row("numpy", "1", "1", none("it is not published")), row("vllm", "1", "1"), row("same", "1", "1"), row("again", "1", "2")}}
	changes := release.Diff(before, after)
	require.Equal(t, `Since v1: 1 new combinations, 2 updated, 3 dropped.

## New

- vllm on r36.4.0, CUDA 12.6, Python 3.10: `+"`registry.example/jetson/vllm:1`"+`

## Updated

- again on r36.4.0, CUDA 12.6, Python 3.10: `+"`registry.example/jetson/again:1`"+` (made again, the same versions)
- pytorch on r36.4.0, CUDA 12.6, Python 3.10: `+"`registry.example/jetson/pytorch:2.8`"+` (pytorch 2.7 -> 2.8)

## Dropped

- numpy on r36.4.0, CUDA 12.6, Python 3.10 (it is not published)
- old on r36.4.0, CUDA 12.6, Python 3.10 (no more in the matrix)
- onnx on r36.4.0, CUDA 12.6, Python 3.10 (withdrawn: wrong \*sums\* &#64;all)
`, changes.Notes("v1"))
	require.Equal(t, "The same images as before.\n", release.Diff(after, after).Notes("v1"))
	require.Equal(t, "No images yet.\n", release.Changes{}.Notes(""))
	require.Contains(t, release.Diff(nil, before).Notes(""), "6 combinations.\n")
	var many table.Table
	for i := range 5000 {
		many.Rows = append(many.Rows, row(fmt.Sprintf("p%d", i), "1", "1"))
	}
	notes := release.Diff(nil, &many).Notes("")
	require.Less(t, len(notes), 125_000)
	require.Regexp(t, `- and \d+ more, see table.md\n$`, notes)
}

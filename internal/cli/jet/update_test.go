package jet

import (
	"bytes"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/table"
)

// A table that was fetched answers when its place is gone; what is no table, or
// cannot be had, leaves the last one where it is.
func TestUpdate(t *testing.T) {
	var body []byte
	status, asked := http.StatusOK, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"one"`)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	home := t.TempDir()
	now := time.Now()
	jet := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		a := &app{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, clock: func() time.Time { return now },
			getenv: func(name string) string {
				return map[string]string{"HOME": home, "DOCKER_HOST": "unix:///no/docker.sock"}[name]
			},
		}
		code := a.run(t.Context(), args)
		return out.String(), errs.String(), code
	}
	tab := largeTable(40)
	var b bytes.Buffer
	require.NoError(t, tab.Write(&b))
	body = b.Bytes()
	ask := func() {
		t.Helper()
		out, errs, code := jet("autotag", "pytorch", "--host-l4t", "36.4.9")
		require.Zero(t, code, errs)
		require.Contains(t, out, "-r36.4.7")
	}

	_, errs, code := jet("autotag", "pytorch", "--host-l4t", "36.4.9")
	require.Equal(t, exitEnvironment, code)
	require.Contains(t, errs, "fetch one with jet update URL")
	_, errs, code = jet("update")
	require.Equal(t, exitMistake, code)
	require.Contains(t, errs, "no table was fetched yet")

	status = http.StatusNotFound
	_, errs, code = jet("update", server.URL+"/table.json")
	require.Equal(t, exitEnvironment, code)
	require.NotContains(t, errs, "stays", "there is none")
	status = http.StatusOK

	out, errs, code := jet("update", server.URL+"/table.json")
	require.Zero(t, code, errs)
	require.Contains(t, out, "40 images")
	require.Contains(t, out, "unsigned")
	ask()

	now = now.Add(time.Hour)
	out, _, code = jet("update")
	require.Zero(t, code)
	require.Contains(t, out, "as it was")
	info, err := os.Stat(filepath.Join(home, ".local/share/jetcrate/table.json"))
	require.NoError(t, err)
	require.WithinDuration(t, now, info.ModTime(), time.Second, "its age is that of the last look")
	ask()

	for name, c := range map[string]struct {
		body   string
		status int
		why    string
	}{
		"truncated":  {b.String()[:b.Len()/2], 200, "is not the JSON that it should be"},
		"a web page": {"<html>", 200, "is not the JSON that it should be"},
		"too large":  {strings.Repeat(" ", table.MaxBytes+1), 200, "larger than 64 MiB"},
		"not there":  {"", 404, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			body, status = []byte(c.body), c.status
			_, errs, code := jet("update", server.URL+"/"+strings.ReplaceAll(name, " ", "-"))
			require.Equal(t, exitEnvironment, code)
			require.Contains(t, errs, c.why)
			require.Contains(t, errs, "there stays")
			ask()
		})
	}

	for url, why := range map[string]string{
		"http://example.org/table.json":     "is not encrypted",
		"ftp://example.org/table.json":      "is no place of a table",
		"https://me:secret@example.org/t":   "holds a password",
		"file:///etc/passwd":                "is no place of a table",
		"https://":                          "is no place of a table",
		"--not-a-flag-but-looks-like-one=x": "unknown flag",
	} {
		_, errs, code := jet("update", url)
		require.Equal(t, exitMistake, code, url)
		require.Contains(t, errs, why)
		require.NotContains(t, errs, "secret")
	}

	server.Close()
	_, errs, code = jet("update")
	require.Equal(t, exitEnvironment, code)
	require.Contains(t, errs, "stays")
	ask()

	// From a registry.
	reg := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	defer reg.Close()
	ref := strings.TrimPrefix(reg.URL, "http://") + "/jetson:table"
	_, err = image.PushFile(t.Context(), ref, table.MediaType, b.Bytes(), true)
	require.NoError(t, err)
	out, errs, code = jet("update", "oci://"+ref)
	require.Zero(t, code, errs)
	require.Contains(t, out, "40 images")
	ask()
}

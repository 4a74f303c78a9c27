package lock

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
)

func TestDownload(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			fmt.Fprint(w, "bytes")
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/out":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/short":
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "abc")
		case "/empty":
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 2000))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	client := &http.Client{CheckRedirect: redirect}
	for path, want := range map[string]string{
		"/good": "", "/moved": "", "/out": "redirects", "/round": "redirects ten times", "/short": "unexpected EOF", "/empty": "it is empty",
		"/large": "more than 1000 bytes", "/gone": "404 Not Found",
	} {
		sum, size, err := download(context.Background(), client, srv.URL+path, 1000)
		if want != "" {
			require.ErrorContains(t, err, want, path)
			require.NotErrorAs(t, err, new(*Unreachable), path)
			continue
		}
		require.NoError(t, err, path)
		require.Equal(t, "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9", sum)
		require.EqualValues(t, 5, size)
	}
	srv.Close()
	_, _, err := download(context.Background(), client, srv.URL+"/good", 1000)
	require.ErrorAs(t, err, new(*Unreachable))
	_, _, err = download(context.Background(), client, strings.Replace(srv.URL, "http://", "http://user:word@", 1), 1000)
	require.NotContains(t, err.Error(), "word")
}

// A file of this machine is read like any other address.
func TestDownloadOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(file, []byte("bytes"), 0o644))
	sum, size, err := Reach().Download(context.Background(), "file://"+file)
	require.NoError(t, err)
	require.EqualValues(t, 5, size)
	require.True(t, strings.HasPrefix(sum, "277089d9"))
}

// git runs no program that an address names.
func TestCommitRunsNothing(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	for _, repository := range []string{"ext::touch% " + mark, "--upload-pack=touch " + mark} {
		_, _, err := commit(context.Background(), repository, "main")
		require.Error(t, err)
		require.NoFileExists(t, mark)
	}
}

// What pip would take for a file, an option or an address never reaches it.
func TestByName(t *testing.T) {
	for _, good := range []string{"numpy", "numpy==1.26.4", "transformers[torch]>=4.57,<5", "cmake<4", "a~=1.0", "x; python_version < '3.11'", "torch==2.8.0+cu126", "ruamel.yaml"} {
		require.True(t, plan.ByName(good), good)
	}
	for _, bad := range []string{"", "-r/src/requirements.txt", "--index-url=http://x", "/src", "./a", "a.whl", "a-1.tar.gz", "a @ https://x/a.whl", "a@git+https://x", "a==1\n--index-url x", "a==1 @x", "git+https://x/y", "a b"} {
		require.False(t, plan.ByName(bad), bad)
	}
}

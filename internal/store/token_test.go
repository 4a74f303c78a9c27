package store

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"
)

// Any program of the machine may read the embedded registry; only one that can
// read the folder's token writes.
func TestWritingTakesTheToken(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(context.Background(), Options{Dir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	s, other := open(), open()
	img, err := random.Image(100, 1)
	require.NoError(t, err)
	_, err = s.PutImage(context.Background(), Base, strings.Repeat("a", 64), img, nil)
	require.NoError(t, err)
	img, err = random.Image(100, 1)
	require.NoError(t, err)
	_, err = other.PutImage(context.Background(), Base, strings.Repeat("b", 64), img, nil)
	require.NoError(t, err, "through the process that serves")

	info, err := os.Stat(filepath.Join(dir, tokenFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	url := "http://" + s.Repository()[:strings.Index(s.Repository(), "/")] + "/v2/" + repository
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{http.MethodGet, "/tags/list", "", http.StatusOK},
		{http.MethodPost, "/blobs/uploads/", "", http.StatusForbidden},
		{http.MethodPost, "/blobs/uploads/", "wrong", http.StatusForbidden},
		{http.MethodPost, "/blobs/uploads/", s.transport.token, http.StatusAccepted},
		{http.MethodPut, "/manifests/base-" + strings.Repeat("c", 64), "", http.StatusForbidden},
		{http.MethodDelete, "/manifests/base-" + strings.Repeat("a", 64), "", http.StatusForbidden},
		{http.MethodPatch, "/blobs/uploads/x", "", http.StatusForbidden},
	} {
		req, err := http.NewRequest(c.method, url+c.path, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set(tokenHeader, c.token)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.want, resp.StatusCode, "%s %s with %q", c.method, c.path, c.token)
	}

	// One that was cut off is made anew.
	require.NoError(t, os.WriteFile(filepath.Join(dir, tokenFile), nil, 0o600))
	token, err := folderToken(dir)
	require.NoError(t, err)
	require.NotEqual(t, s.transport.token, token)
}

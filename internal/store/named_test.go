package store

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

func TestBundles(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.whl"), []byte("a wheel"), 0o644))
		rec, err := s.PutFiles(ctx, Artifact, key("a"), dir, nil)
		require.NoError(t, err)
		files, err := s.ListFiles(ctx, rec)
		require.NoError(t, err)

		_, _, err = s.Bundle(ctx, "some-name", "application/x.test")
		require.ErrorIs(t, err, ErrNotFound)
		digest, err := s.NameDigest(ctx, "some-name")
		require.NoError(t, err)
		require.Empty(t, digest)
		put, err := s.PutBundle(ctx, "some-name", "application/x.test", []Part{
			{Title: "doc.json", MediaType: "application/json", Content: []byte("{}")},
			{Title: "a.whl", MediaType: "application/octet-stream", Digest: files[0].Digest, Size: files[0].Size},
		}, nil)
		require.NoError(t, err)
		digest, err = s.NameDigest(ctx, "some-name")
		require.NoError(t, err)
		require.Equal(t, put.Digest, digest)
		got, parts, err := s.Bundle(ctx, "some-name", "application/x.test")
		require.NoError(t, err)
		require.Equal(t, put.Digest, got.Digest)
		require.Equal(t, []string{"doc.json", "a.whl"}, []string{parts[0].Title, parts[1].Title})
		require.Equal(t, files[0].Digest, parts[1].Digest)
		doc, err := s.ReadBlob(ctx, parts[0].Digest, 10)
		require.NoError(t, err)
		require.Equal(t, "{}", string(doc))
		_, err = s.ReadBlob(ctx, parts[1].Digest, 3)
		require.ErrorContains(t, err, "larger than 3 bytes")
		f, err := s.BlobFile(ctx, parts[1].Digest)
		require.NoError(t, err)
		raw, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, "a wheel", string(raw))
		_, err = s.BlobFile(ctx, "sha256:"+key("nothing"))
		require.ErrorIs(t, err, ErrNotFound)
		_, _, err = s.Bundle(ctx, "some-name", "application/x.other")
		require.ErrorContains(t, err, "some-name is of the type application/x.test")
		_, err = s.PutBundle(ctx, "no name", "application/x.test", nil, nil)
		require.ErrorContains(t, err, "storing no name")
	})
}

// The handler serves whoever serves the folder: this process, another, and this
// one again once the other ended.
func TestHandlerFollowsTheServer(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	first, err := Open(ctx, Options{Dir: dir})
	require.NoError(t, err)
	img, err := random.Image(1000, 2)
	require.NoError(t, err)
	rec, err := first.PutImage(ctx, Image, key("i"), img, nil)
	require.NoError(t, err)
	second := open(t, Options{Dir: dir})
	require.Nil(t, second.embedded.server)

	write := false
	h, err := second.Handler(func(*http.Request) bool { return write })
	require.NoError(t, err)
	srv := httptest.NewServer(h)
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	pull := func() {
		t.Helper()
		ref, err := name.ParseReference(host + "/jetcrate@" + rec.Digest)
		require.NoError(t, err)
		got, err := remote.Image(ref)
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
	}
	push := func(tag string) error {
		ref, err := name.ParseReference(host + "/jetcrate:" + tag)
		require.NoError(t, err)
		return remote.Write(ref, img)
	}
	pull()
	require.Error(t, push("refused"))
	write = true
	require.NoError(t, push("through-the-other"))
	resp, err := http.Post(srv.URL+adminPath+"gc", "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	require.NoError(t, first.Close())
	pull()
	require.NotNil(t, second.embedded.server)
	require.NoError(t, push("here"))
	write = false
	require.Error(t, push("refused"))

	other := open(t, Options{Location: host + "/elsewhere", Cache: t.TempDir()})
	_, err = other.Handler(nil)
	require.ErrorContains(t, err, "only the embedded store")
}

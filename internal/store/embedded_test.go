package store

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The test binary is also the other process of some tests.
func TestMain(m *testing.M) {
	dir, prefix := os.Getenv("JETCRATE_TEST_STORE"), os.Getenv("JETCRATE_TEST_PREFIX")
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := child(dir, prefix); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	records    = 50
	fewRecords = 2
)

// child writes records; with the prefix "serve" it serves until it is killed.
func child(dir, prefix string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println("open", s.Repository())
	if prefix == "serve" {
		time.Sleep(time.Minute)
	}
	if prefix == "claim" {
		if _, ok, err := s.Claim(Layer, key("claimed")); err != nil || !ok {
			return fmt.Errorf("claiming: %v %v", ok, err)
		}
		fmt.Println("claimed")
		time.Sleep(time.Minute)
	}
	if prefix == "run" {
		if _, err := s.BeginRun(ctx, "killed", time.Now(), []string{"image-" + key("made")}); err != nil {
			return err
		}
		img, err := random.Image(200, 1)
		if err != nil {
			return err
		}
		if _, err := s.PutImage(ctx, Image, key("made"), img, nil); err != nil {
			return err
		}
		fmt.Println("made")
		time.Sleep(time.Minute)
	}
	n := records
	if strings.HasPrefix(prefix, "few-") {
		n = fewRecords
	}
	for i := range n {
		img, err := random.Image(200, 1)
		if err != nil {
			return err
		}
		if _, err := s.PutImage(ctx, Image, key(fmt.Sprint(prefix, i)), img, nil); err != nil {
			return err
		}
	}
	return s.Close()
}

func startChild(t *testing.T, dir, prefix string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "JETCRATE_TEST_STORE="+dir, "JETCRATE_TEST_PREFIX="+prefix)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	rd := bufio.NewReader(out)
	line, err := rd.ReadString('\n')
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(line, "open "), line)
	if prefix == "claim" || prefix == "run" {
		line, err = rd.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, []string{"claimed\n", "made\n"}, line)
	}
	return cmd
}

// Whichever process comes first serves; when it ends, the other takes over in
// the middle of its work.
func TestTwoProcessesLoseNothing(t *testing.T) {
	const rounds = 2 // TestFiftyRoundsOfTwoWriters has more, and shorter ones
	dir := t.TempDir()
	for round := range rounds {
		a := startChild(t, dir, fmt.Sprintf("a%d-", round))
		b := startChild(t, dir, fmt.Sprintf("b%d-", round))
		require.NoError(t, a.Wait())
		require.NoError(t, b.Wait())
	}
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	known, err := s.Known(ctx)
	require.NoError(t, err)
	for round := range rounds {
		for i := range records {
			for _, p := range []string{"a", "b"} {
				k := key(fmt.Sprintf("%s%d-%d", p, round, i))
				require.Contains(t, known, "image-"+k)
				if i == 0 {
					img, _, err := s.Image(ctx, Image, k)
					require.NoError(t, err)
					require.NoError(t, validate.Image(img))
				}
			}
		}
	}
	require.Len(t, known, 2*rounds*records)
	tags, err := s.Tags(ctx)
	require.NoError(t, err)
	require.Len(t, tags, len(known))
}

// A process that is killed leaves nothing that keeps the next from serving.
func TestKilledServerIsReplaced(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	server := startChild(t, dir, "serve")
	s := open(t, Options{Dir: dir})
	where := s.Repository()
	img, err := random.Image(2000, 2)
	require.NoError(t, err)
	_, err = s.PutImage(ctx, Image, key("before"), img, nil)
	require.NoError(t, err)
	// An upload that the server's death interrupts.
	uploads := filepath.Join(dir, registryDir, repository, "_uploads")
	require.NoError(t, os.MkdirAll(uploads, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(uploads, "upload.left"), []byte("x"), 0o600))

	require.NoError(t, server.Process.Kill())
	_ = server.Wait()
	_, err = s.PutImage(ctx, Image, key("after"), img, nil)
	require.NoError(t, err)
	require.Equal(t, where, s.Repository(), "references that were printed stay valid")
	for _, k := range []string{"before", "after"} {
		got, _, err := s.Image(ctx, Image, key(k))
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
	}
	require.NoFileExists(t, filepath.Join(uploads, "upload.left"))
}

func TestNextStoreTakesOver(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	first, err := Open(ctx, Options{Dir: dir})
	require.NoError(t, err)
	second := open(t, Options{Dir: dir})
	require.Equal(t, first.Repository(), second.Repository())
	img, err := random.Image(100, 1)
	require.NoError(t, err)
	_, err = second.PutImage(ctx, Image, key("1"), img, nil)
	require.NoError(t, err)
	require.NoError(t, first.Close())
	_, ok, err := second.Lookup(ctx, Image, key("1"))
	require.NoError(t, err)
	require.True(t, ok)
	_, _, err = first.Lookup(ctx, Image, key("1"))
	require.ErrorContains(t, err, "the store is closed")
}

// A store that is to be served is, whoever else did so when that was said: one
// that asks from outside waits for a moment at most.
func TestServedOn(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	second := open(t, Options{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- second.Serve(ctx) }()
	require.NoError(t, first.Close())
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		resp, err := http.Get("http://" + second.Repository()[:strings.Index(second.Repository(), "/")] + "/v2/")
		if assert.NoError(t, err) {
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.NoError(t, resp.Body.Close())
		}
	}, patience, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-served)
	require.NoError(t, second.Close())
	require.ErrorContains(t, second.Serve(t.Context()), "the store is closed")
}

// Another program that got the port of a dead server is not mistaken for one.
func TestStrangerAtTheAddress(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	addr := strings.TrimPrefix(stranger.URL, "http://")
	dir := t.TempDir()
	require.NoError(t, writeServed(filepath.Join(dir, addressFile), served{Address: addr, ID: "dead"}))
	require.ErrorContains(t, probe(context.Background(), served{Address: addr, ID: "dead"}), "another program answers")
	s := open(t, Options{Dir: dir})
	require.NotContains(t, s.Repository(), addr)
}

func TestAddressFileDoesNotOpenTheNetwork(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeServed(filepath.Join(dir, addressFile), served{Address: "0.0.0.0:0", ID: "x"}))
	s := open(t, Options{Dir: dir})
	require.True(t, strings.HasPrefix(s.Repository(), "127.0.0.1:"), s.Repository())
}

// Clients built on an older containerd need the header after a blob upload.
func TestBlobUploadTellsItsDigest(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	seen := ""
	inner := s.transport.inner
	s.transport.inner = roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := inner.RoundTrip(r)
		if err == nil && r.Method == http.MethodPut {
			seen = resp.Header.Get("Docker-Content-Digest")
		}
		return resp, err
	})
	_, err := s.upload(context.Background(), static.NewLayer([]byte("blob"), fileType))
	require.NoError(t, err)
	require.Equal(t, "sha256:"+key("blob"), seen)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What has no tag any more stays, whoever closes and opens the store.
func TestNothingIsCollected(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	var digests []string
	for range 3 {
		s, err := Open(ctx, Options{Dir: dir})
		require.NoError(t, err)
		img, err := random.Image(100, 1)
		require.NoError(t, err)
		r, err := s.PutImage(ctx, Image, key("same"), img, nil)
		require.NoError(t, err)
		_, err = s.upload(ctx, static.NewLayer(fmt.Appendf(nil, "loose %d", len(digests)), fileType))
		require.NoError(t, err)
		digests = append(digests, r.Digest)
		require.NoError(t, s.Close())
	}
	s := open(t, Options{Dir: dir})
	for i, d := range digests {
		img, err := s.ImageAt(ctx, d)
		require.NoError(t, err)
		require.NoError(t, validate.Image(img))
		before := s.Pushes()
		_, err = s.upload(ctx, static.NewLayer(fmt.Appendf(nil, "loose %d", i), fileType))
		require.NoError(t, err)
		require.Equal(t, before, s.Pushes(), "the blob is still there")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	fast := remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 2}
	answer := func(code int, header ...string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" && code != http.StatusUnauthorized {
				return
			}
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(code)
		}))
		t.Cleanup(srv.Close)
		return strings.TrimPrefix(srv.URL, "http://") + "/repo"
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	tests := []struct{ name, location, want string }{
		{"no credentials", answer(401, "WWW-Authenticate", `Basic realm="x"`), "log in with: docker login"},
		{"forbidden", answer(403), "log in with: docker login"},
		{"too many requests", answer(429), "has had too many requests; try again later"},
		{"broken", answer(500), "fails; try again later"},
		{"unreachable", strings.TrimPrefix(gone.URL, "http://") + "/repo", "cannot be reached; check its name and the network"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(context.Background(), Options{Location: test.location, backoff: fast})
			require.NoError(t, err)
			_, _, err = s.Lookup(context.Background(), Image, key("x"))
			require.ErrorContains(t, err, test.want)
			require.NoError(t, s.Close())
		})
	}
	_, err := Open(context.Background(), Options{})
	require.ErrorContains(t, err, "neither a registry nor a folder")
	_, err = Open(context.Background(), Options{Location: "no repository"})
	require.ErrorContains(t, err, "it must be HOST/REPOSITORY")
}

// A registry that is busy for a moment is asked again.
func TestRetries(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	var mu sync.Mutex
	refused := map[string]bool{} // each method once
	inner := s.transport.inner
	s.transport.inner = roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		first := !refused[r.Method]
		refused[r.Method] = true
		mu.Unlock()
		if first {
			return &http.Response{StatusCode: http.StatusTooManyRequests, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
		}
		return inner.RoundTrip(r)
	})
	img, err := random.Image(100, 2)
	require.NoError(t, err)
	_, err = s.PutImage(context.Background(), Image, key("x"), img, nil)
	require.NoError(t, err)
}

func FuzzParseTag(f *testing.F) {
	f.Add("image-" + key("x"))
	f.Add("files-")
	f.Add("pytorch-2.8-r36.4")
	f.Fuzz(func(t *testing.T, tag string) {
		if r, ok := parseTag(tag); ok {
			require.Equal(t, tag, string(r.Kind)+"-"+r.Key)
		}
	})
}

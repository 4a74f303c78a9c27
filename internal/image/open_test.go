package image_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/image/registrytest"
)

// A base is pulled from a registry that fails: what passes by itself is borne, and
// what does not is an error that says what to do.
func TestOpenFromABrokenRegistry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  registrytest.Fault
		want   string
		reread bool // the image opens, and reading it fails
	}{
		{name: "works"},
		{name: "cut off twice", fault: registrytest.Fault{On: "GET /blobs/", Times: 2, Answer: registrytest.CutOff}},
		{name: "put off", fault: registrytest.Fault{On: "GET /", Times: 2, Answer: registrytest.Status(429, "Retry-After", "0")}},
		{name: "slow", fault: registrytest.Fault{On: "GET /blobs/", Answer: registrytest.Slow(30 * time.Millisecond)}},
		{name: "401", fault: registrytest.Fault{On: "GET /manifests/", Answer: registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`)}, want: "refuses access to base; log in with: docker login 127.0.0.1:"},
		{name: "404", fault: registrytest.Fault{On: "GET /manifests/", Answer: registrytest.Status(404)}, want: "has no such thing in base; check the reference"},
		{name: "a date instead of seconds", fault: registrytest.Fault{On: "GET /manifests/", Times: 1, Answer: registrytest.Status(http.StatusTeapot, "Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")}, want: "418"},
		{name: "other bytes", fault: registrytest.Fault{On: "GET /blobs/", Answer: registrytest.OtherBytes}, want: "error verifying", reread: true},
		{name: "cut off for ever", fault: registrytest.Fault{On: "GET /blobs/", Answer: registrytest.CutOff}, want: "after 3 attempts: unexpected EOF", reread: true},
		{name: "silent", fault: registrytest.Fault{On: "GET /blobs/", Answer: registrytest.Silent}, want: "the registry has stopped answering", reread: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := registrytest.New(t)
			ref := reg.Host + "/base:1"
			at, err := name.ParseReference(ref)
			require.NoError(t, err)
			img, err := random.Image(200_000, 2)
			require.NoError(t, err)
			require.NoError(t, remote.Write(at, img))
			if tt.fault.On != "" {
				reg.Break(tt.fault)
			}
			got, err := image.Open(context.Background(), ref, image.OpenOptions{
				Patience: image.Patience{Attempts: 3, Pause: time.Millisecond, Silence: 300 * time.Millisecond},
			})
			if err == nil {
				err = validate.Image(got)
			} else {
				require.False(t, tt.reread)
			}
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// Who stops waiting is not kept waiting by what the registry asks for.
func TestRetryAfterEndsWithTheContext(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	began := time.Now()
	_, err = image.Transport(nil, image.Patience{}).RoundTrip(req)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 10*time.Second)

	// Longer than it bears, the answer is handed on at once.
	req, err = http.NewRequest(http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	resp, err := image.Transport(nil, image.Patience{Longest: time.Second}).RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
}

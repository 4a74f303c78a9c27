package store

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/image/registrytest"
)

// hurried is a store whose patience a test can sit out.
func hurried(t *testing.T, host string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{
		Location: host + "/lab/store", Cache: t.TempDir(),
		backoff:  remote.Backoff{Duration: time.Millisecond, Factor: 2, Steps: 3},
		patience: image.Patience{Attempts: 3, Pause: time.Millisecond, Silence: 200 * time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Whatever a registry does, the error says what to do, and once the registry has
// recovered the same goes on from where it was.
func TestABrokenRegistryWhileReading(t *testing.T) {
	const blob, manifest = "GET /blobs/", "GET /manifests/"
	for _, tt := range []struct {
		name   string
		on     string
		answer func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)
		want   string
	}{
		{"401", manifest, registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`), "log in with: docker login 127.0.0.1:"},
		{"403", manifest, registrytest.Status(403), "log in with: docker login 127.0.0.1:"},
		{"429 for ever", manifest, registrytest.Status(429, "Retry-After", "0"), "has had too many requests; try again later, or log in"},
		{"500 for ever", manifest, registrytest.Status(500), "fails; try again later"},
		{"manifest cut off", manifest, registrytest.CutOff, "broke the connection off; the same command goes on from there"},
		{"blob cut off", blob, registrytest.CutOff, "broke the connection off; the same command goes on from there"},
		{"manifest of other bytes", manifest, registrytest.OtherBytes, "sent other bytes than the digest says"},
		{"blob of other bytes", blob, registrytest.OtherBytes, "sent other bytes than the digest says"},
		{"silent in a blob", blob, registrytest.Silent, "the registry has stopped answering: nothing for 200ms; try again later"},
		{"blob gone", blob, registrytest.Status(404), "not in the store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := registrytest.New(t)
			s := hurried(t, reg.Host)
			ctx := context.Background()
			img, err := random.Image(100_000, 3)
			require.NoError(t, err)
			r, err := s.PutImage(ctx, Base, key("b"), img, nil)
			require.NoError(t, err)

			reg.Break(registrytest.Fault{On: tt.on, Answer: tt.answer})
			_, err = s.Layout(ctx, r.Digest)
			require.ErrorContains(t, err, tt.want)
			entries, err := os.ReadDir(s.cache)
			require.NoError(t, err)
			for _, e := range entries {
				require.NotContains(t, e.Name(), "fetch-", "nothing half is left")
			}

			reg.Break()
			dir, err := s.Layout(ctx, r.Digest)
			require.NoError(t, err)
			other := open(t, Options{Dir: t.TempDir()})
			whole, err := other.Import(ctx, dir, r.Digest)
			require.NoError(t, err)
			require.NoError(t, validate.Image(whole))
		})
	}
}

// What passes by itself is no error.
func TestARegistryThatRecovers(t *testing.T) {
	for _, f := range []registrytest.Fault{
		{Name: "429, then well", On: "GET /manifests/", Times: 2, Answer: registrytest.Status(429, "Retry-After", "0")},
		{Name: "503 with Retry-After, then well", On: "GET /blobs/", Times: 2, Answer: registrytest.Status(503, "Retry-After", "0")},
		{Name: "500, then well", On: "GET /manifests/", Times: 1, Answer: registrytest.Status(500)},
		{Name: "cut off once", On: "GET /blobs/", Times: 1, Answer: registrytest.CutOff},
		{Name: "cut off twice", On: "GET /blobs/", Times: 2, Answer: registrytest.CutOff},
		{Name: "silent once", On: "GET /blobs/", Times: 1, Answer: registrytest.Silent},
		{Name: "slow", On: "GET /blobs/", Answer: registrytest.Slow(50 * time.Millisecond)},
	} {
		t.Run(f.Name, func(t *testing.T) {
			reg := registrytest.New(t)
			s := hurried(t, reg.Host)
			ctx := context.Background()
			img, err := random.Image(100_000, 1)
			require.NoError(t, err)
			r, err := s.PutImage(ctx, Base, key("b"), img, nil)
			require.NoError(t, err)
			reg.Break(f)
			_, err = s.Layout(ctx, r.Digest)
			require.NoError(t, err)
			require.Positive(t, reg.Hits(f.Name))
		})
	}
}

func TestABrokenRegistryWhileWriting(t *testing.T) {
	for _, tt := range []struct {
		name   string
		on     string
		answer func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)
		want   string
	}{
		{"401", "POST /blobs/", registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`), "log in with: docker login"},
		{"403", "PUT /manifests/", registrytest.Status(403), "log in with: docker login"},
		{"429", "PATCH /blobs/", registrytest.Status(429, "Retry-After", "0"), "has had too many requests"},
		{"500 at the very end", "PUT /manifests/", registrytest.Status(500), "fails; try again later"},
		{"507", "PATCH /blobs/", registrytest.Status(507), "has no space left"},
		{"upload cut off", "PATCH /blobs/", registrytest.CutOff, "the same command goes on from there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := registrytest.New(t)
			s := hurried(t, reg.Host)
			ctx := context.Background()
			img, err := random.Image(100_000, 2)
			require.NoError(t, err)
			reg.Break(registrytest.Fault{Name: tt.name, On: tt.on, Answer: tt.answer})
			_, err = s.PutImage(ctx, Image, key("i"), img, nil)
			require.ErrorContains(t, err, tt.want)
			require.LessOrEqual(t, reg.Hits(tt.name), 60, "tries are bounded")

			reg.Break()
			again := hurried(t, reg.Host)
			_, ok, err := again.Lookup(ctx, Image, key("i"))
			require.NoError(t, err)
			require.False(t, ok)
			_, err = again.PutImage(ctx, Image, key("i"), img, nil)
			require.NoError(t, err)
			v, err := again.Verify(ctx, VerifyOptions{})
			require.NoError(t, err)
			require.Empty(t, v.Problems)
			require.Equal(t, 1, v.Records)
		})
	}
}

func TestWhatSurroundsARegistry(t *testing.T) {
	s := hurried(t, "127.0.0.1:1")
	ctx := context.Background()
	_, _, err := s.Lookup(ctx, Image, key("x"))
	require.ErrorContains(t, err, "cannot be reached; check its name and the network")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"no network", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.example"}}, "cannot be found; check its name and the network"},
		{"a clock in 1970", x509.CertificateInvalidError{Reason: x509.Expired}, "the clock of this machine says " + time.Now().Format(time.DateOnly)},
		{"an unknown authority", x509.UnknownAuthorityError{}, "update-ca-certificates"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.transport.inner = roundTripper(func(*http.Request) (*http.Response, error) { return nil, tt.err })
			_, _, err := s.Lookup(ctx, Image, key("x"))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// A registry that lost a blob, or has other bytes, is found out.
func TestVerifyARegistry(t *testing.T) {
	reg := registrytest.New(t)
	s := hurried(t, reg.Host)
	ctx := context.Background()
	img, err := random.Image(1000, 2)
	require.NoError(t, err)
	r, err := s.PutImage(ctx, Image, key("i"), img, nil)
	require.NoError(t, err)
	_, err = s.PutEvidence(ctx, r.Descriptor(), key("t"), []byte(`{}`))
	require.NoError(t, err)
	v, err := s.Verify(ctx, VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, v.Problems)
	require.Equal(t, 2, v.Records)

	layers, err := img.Layers()
	require.NoError(t, err)
	lost := digestOf(t, layers[1])
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder){
		missing:      registrytest.Status(404),
		"is damaged": registrytest.OtherBytes,
	} {
		reg.Break(registrytest.Fault{On: "GET /blobs/" + lost, Answer: answer})
		v, err = s.Verify(ctx, VerifyOptions{})
		require.NoError(t, err)
		require.Len(t, v.Problems, 1)
		require.Equal(t, Problem{Record: "image-" + key("i"), Digest: lost, What: v.Problems[0].What}, v.Problems[0])
		require.Contains(t, v.Problems[0].What, name)
	}
	_, err = s.Verify(ctx, VerifyOptions{Repair: true})
	require.ErrorContains(t, err, "only the embedded store can be repaired")
	_, err = s.GC(ctx, Retention{})
	require.ErrorContains(t, err, "decides itself what it keeps")
}

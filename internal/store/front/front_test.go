package front_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/store/front"
)

const token = "a-token-that-nobody-guesses"

// port is a server on the loopback address with a store behind it.
type port struct {
	*testing.T
	host  string
	store *store.Store
	log   *buffer
	stop  func() error
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, o front.Options, config *tls.Config) *port {
	t.Helper()
	p := &port{T: t, log: &buffer{}}
	var err error
	p.store, err = store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	o.Registry, o.Log = p.store.Handler, slog.New(slog.NewTextHandler(p.log, nil))
	s, err := front.New(o)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.host = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, config) }()
	p.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { require.NoError(t, p.stop()) })
	return p
}

// ask sends one request and reads the answer.
func (p *port) ask(method, path, auth string, body io.Reader) (int, http.Header, string) {
	p.Helper()
	req, err := http.NewRequest(method, "http://"+p.host+path, body)
	require.NoError(p, err)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(p, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(p, err)
	return resp.StatusCode, resp.Header, string(b)
}

// image stores one, and gives its digest and that of a layer.
func (p *port) image(size int64) (img v1.Image, digest, layer string) {
	p.Helper()
	img, err := random.Image(size, 2)
	require.NoError(p, err)
	_, err = p.store.PutImage(context.Background(), store.Image, strings.Repeat("a", 64), img, nil)
	require.NoError(p, err)
	d, err := img.Digest()
	require.NoError(p, err)
	layers, err := img.Layers()
	require.NoError(p, err)
	l, err := layers[0].Digest()
	require.NoError(p, err)
	return img, d.String(), l.String()
}

func TestEveryoneReads(t *testing.T) {
	for _, with := range []struct {
		name   string
		tokens []string
	}{{"read-only", nil}, {"with tokens", []string{token}}} {
		t.Run(with.name, func(t *testing.T) {
			p := serve(t, front.Options{Tokens: with.tokens}, nil)
			want, digest, layer := p.image(1000)
			ref, err := name.ParseReference(p.host + "/jetcrate@" + digest)
			require.NoError(t, err)
			got, err := remote.Image(ref)
			require.NoError(t, err)
			require.NoError(t, validate.Image(got))
			d, err := got.Digest()
			require.NoError(t, err)
			require.Equal(t, digest, d.String())
			code, _, _ := p.ask("GET", "/v2/jetcrate/blobs/"+layer, "", nil) // as curl does
			require.Equal(t, http.StatusOK, code)

			// Writing is refused, whatever the client says of itself.
			to, err := name.ParseReference(p.host + "/jetcrate:mine")
			require.NoError(t, err)
			require.Error(t, remote.Write(to, want))
			require.Error(t, remote.Write(to, want, remote.WithAuth(&authn.Basic{Username: "x", Password: "another-token-that-is-wrong"})))
			for _, auth := range []string{"", "Bearer ", "Bearer another-token-that-is-wrong", "Basic eDo=", "Bearer r.99999999999.AAAA", "Bearer w.99999999999."} {
				for method, at := range map[string]string{"POST": "/v2/jetcrate/blobs/uploads/", "PUT": "/v2/jetcrate/manifests/mine", "PATCH": "/v2/jetcrate/blobs/uploads/x", "DELETE": "/v2/jetcrate/manifests/" + digest} {
					code, _, body := p.ask(method, at, auth, strings.NewReader("{}"))
					require.Contains(t, []int{401, 403, 405}, code, "%s %s: %s", method, at, body)
				}
			}
			_, err = remote.Head(to)
			require.Error(t, err)
		})
	}
}

func TestATokenWrites(t *testing.T) {
	p := serve(t, front.Options{Tokens: []string{"the-token-of-somebody-else", token}}, nil)
	img, err := random.Image(1000, 2)
	require.NoError(t, err)
	for who, auth := range map[string]authn.Authenticator{
		"password": &authn.Basic{Username: "anyone", Password: token},
		"bearer":   &authn.Bearer{Token: token},
	} {
		to, err := name.ParseReference(p.host + "/jetcrate:" + who)
		require.NoError(t, err)
		require.NoError(t, remote.Write(to, img, remote.WithAuth(auth)), who)
		got, err := remote.Image(to)
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
	}
	require.NotContains(t, p.log.String(), token)
	require.Contains(t, p.log.String(), "writer=token")
	code, _, body := p.ask("DELETE", "/v2/jetcrate/manifests/password", "Bearer "+token, nil)
	require.Equal(t, http.StatusMethodNotAllowed, code, body)

	// What is not of the registry does not become reachable, token or not.
	for _, at := range []string{"/jetcrate/gc", "/jetcrate/remove", "/v2/../jetcrate/gc", "/v2/%2e%2e/jetcrate/gc"} {
		code, _, body := p.ask("POST", at, "Bearer "+token, strings.NewReader("{}"))
		require.Contains(t, []int{400, 404, 405}, code, "%s: %s", at, body)
	}
	// The store's own token says nothing here.
	raw, err := os.ReadFile(filepath.Join(storeDir(p), "token"))
	require.NoError(t, err)
	req, err := http.NewRequest("POST", "http://"+p.host+"/v2/jetcrate/blobs/uploads/", nil)
	require.NoError(t, err)
	req.Header.Set("Jetcrate-Token", string(raw))
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	// A grant to read does not write; one to write does, until it ends.
	code, _, body = p.ask("GET", "/token?scope=repository:jetcrate:pull,push", "", nil)
	require.Equal(t, http.StatusOK, code)
	var grant struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &grant))
	code, _, _ = p.ask("POST", "/v2/jetcrate/blobs/uploads/", "Bearer "+grant.Token, nil)
	require.Equal(t, http.StatusUnauthorized, code)
	code, _, _ = p.ask("POST", "/v2/jetcrate/blobs/uploads/", "Bearer w"+grant.Token[1:], nil)
	require.Equal(t, http.StatusUnauthorized, code)
	code, _, _ = p.ask("GET", "/v2/", "Bearer "+grant.Token, nil)
	require.Equal(t, http.StatusOK, code)
	code, head, _ := p.ask("GET", "/v2/", "", nil)
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, `Bearer realm="http://`+p.host+`/token",service="jetcrate"`, head.Get("WWW-Authenticate"))
}

// storeDir is the folder of the store, which it does not tell.
func storeDir(p *port) string {
	dir, err := p.store.Layout(context.Background(), digestOf(p))
	require.NoError(p, err)
	return filepath.Dir(filepath.Dir(dir))
}

func digestOf(p *port) string { _, d, _ := p.image(10); return d }

func TestHostilePaths(t *testing.T) {
	secret := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(secret, "secret"), []byte("SECRET"), 0o600))
	site := filepath.Join(secret, "site")
	require.NoError(t, os.Mkdir(site, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(site, "index.html"), []byte("the site"), 0o644))
	require.NoError(t, os.Symlink(filepath.Join(secret, "secret"), filepath.Join(site, "link")))
	root, err := os.OpenRoot(site)
	require.NoError(t, err)
	p := serve(t, front.Options{Site: http.FileServerFS(root.FS())}, nil)
	code, _, body := p.ask("GET", "/", "", nil)
	require.Equal(t, 200, code)
	require.Equal(t, "the site", body)
	for _, at := range []string{
		"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/%2e%2e%2fsecret", "/.%2e/secret", "/x/../../secret", "//secret", "/./../secret",
		"/..\\secret", "/%5c..%5csecret", "/link", "/secret%00", "/%00", "/%0aGET", "/v2/jetcrate/blobs/../../../secret",
		"/v2/jetcrate/blobs/sha256:../../../../secret", "/v2/..%2f..%2fsecret/manifests/x", "/v2/jetcrate/manifests/..%2f..%2f..%2faddress.json", "/%ff", "/" + strings.Repeat("a/", 2000),
	} {
		conn, err := net.Dial("tcp", p.host)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", at)
		require.NoError(t, err)
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		status, _, _ := strings.Cut(string(all), "\r\n")
		require.Regexp(t, `^HTTP/1.1 (4\d\d|500|301) `, status, at)
		require.NotContains(t, string(all), "SECRET", at)
		require.NotContains(t, string(all), `"token"`, at)
	}
	require.NotContains(t, p.log.String(), "\x00")
}

func TestRanges(t *testing.T) {
	p := serve(t, front.Options{}, nil)
	_, _, layer := p.image(100_000)
	get := func(ranges string) (int, int) {
		req, err := http.NewRequest("GET", "http://"+p.host+"/v2/jetcrate/blobs/"+layer, nil)
		require.NoError(t, err)
		req.Header.Set("Range", ranges)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, len(b)
	}
	code, n := get("bytes=10-19")
	require.Equal(t, []int{206, 10}, []int{code, n})
	_, whole := get("")
	for ranges, most := range map[string]int{
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ","): 100,
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 8), ","):    whole + 100, // all of it eight times
		"bytes=99999999-": 1000, "bytes=5-2": whole, "bytes=-0": 1000, "bytes=a-b": whole, "bytes=-99999999999999999999": whole, "lines=1-2": whole,
	} {
		code, n := get(ranges)
		require.Contains(t, []int{200, 206, 400, 416}, code, ranges)
		require.LessOrEqual(t, n, most, "%.40s", ranges)
	}
}

// quick are limits that a test can wait for.
func quick() front.Limits {
	return front.Limits{Header: 300 * time.Millisecond, Idle: 500 * time.Millisecond, Grace: 500 * time.Millisecond, Pace: 100_000, Upload: 100_000}
}

func TestTheSlowAreCut(t *testing.T) {
	p := serve(t, front.Options{Tokens: []string{token}, Limits: quick()}, nil)
	_, _, layer := p.image(30_000_000)
	const start = "POST /v2/jetcrate/blobs/uploads/?digest=sha256:aa HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 90000\r\n\r\n"
	for _, tt := range []struct {
		name, first string
		drip        string // sent again and again
		reads       bool
		within      time.Duration
	}{
		{"nothing", "", "", true, 2 * time.Second},
		{"headers", "GET / HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", true, 2 * time.Second},
		{"a body", start, "x", true, 4 * time.Second},
		{"an idle connection", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "", true, 3 * time.Second},
		{"reading", "GET /v2/jetcrate/blobs/" + layer + " HTTP/1.1\r\nHost: x\r\n\r\n", "", false, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", p.host)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, tt.first)
			require.NoError(t, err)
			began := time.Now()
			go func() {
				for tt.drip != "" {
					if _, err := io.WriteString(conn, tt.drip); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
			require.NoError(t, conn.SetReadDeadline(began.Add(20*time.Second)))
			if !tt.reads {
				time.Sleep(tt.within)
			}
			n, err := io.Copy(io.Discard, conn)
			var timeout net.Error
			if t, ok := err.(net.Error); ok {
				timeout = t
			}
			require.False(t, timeout != nil && timeout.Timeout(), "the server kept it: %v", err)
			require.Less(t, n, int64(30_000_000))
			require.Less(t, time.Since(began), tt.within+10*time.Second)
		})
	}
	// Who keeps the pace is served to the end.
	resp, err := http.Get("http://" + p.host + "/v2/jetcrate/blobs/" + layer)
	require.NoError(t, err)
	defer resp.Body.Close()
	var total int64
	for begin := time.Now(); ; { // a second and more, beyond the grace
		n, err := io.CopyN(io.Discard, resp.Body, 1_000_000)
		total += n
		if err != nil {
			break
		}
		if time.Since(begin) < 1500*time.Millisecond {
			time.Sleep(100 * time.Millisecond)
		}
	}
	require.Equal(t, resp.ContentLength, total)
}

func TestTheLargeAreCut(t *testing.T) {
	p := serve(t, front.Options{Tokens: []string{token}, Limits: quick()}, nil)
	send := func(head string, n int) string {
		conn, err := net.Dial("tcp", p.host)
		require.NoError(t, err)
		defer conn.Close()
		go func() {
			_, _ = io.Copy(conn, io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, int64(n))))
		}()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		return strings.TrimSpace(line)
	}
	code, head, _ := p.ask("POST", "/v2/jetcrate/blobs/uploads/", "Bearer "+token, nil)
	require.Equal(t, http.StatusAccepted, code)
	at := head.Get("Location")
	const auth = " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n"
	require.Contains(t, send("PATCH "+at+auth+"Content-Length: 200000\r\n\r\n", 200_000), "413")
	require.Regexp(t, "HTTP/1.1 [45]", send("PATCH "+at+auth+"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", 1<<20))
	require.Regexp(t, "HTTP/1.1 [45]", send("PUT /v2/jetcrate/manifests/x"+auth+"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", 1<<20))
	require.Contains(t, send("GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", 0), "431")
	// Without a token, 30 GB are not read to say no.
	require.Contains(t, send("PUT /v2/jetcrate/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n", 0), "401")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestConnectionsAreCounted(t *testing.T) {
	l := quick()
	l.Connections, l.Idle, l.Header = 4, time.Second, time.Second
	p := serve(t, front.Options{Limits: l}, nil)
	for range 20 { // each is cut after a second
		conn, err := net.Dial("tcp", p.host)
		require.NoError(t, err)
		defer conn.Close()
	}
	c := &http.Client{Timeout: 20 * time.Second}
	resp, err := c.Get("http://" + p.host + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
}

func TestWhatIsUnderWayIsAnswered(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	p := serve(t, front.Options{Site: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = w.Write([]byte("answered"))
	})}, nil)
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + p.host + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	time.Sleep(100 * time.Millisecond)
	_, err := net.Dial("tcp", p.host)
	require.Error(t, err, "no new connections")
	close(finish)
	require.Equal(t, "answered", <-got)
	require.NoError(t, <-ended)
}

func TestTheLogIsCleanAndKeepsSecrets(t *testing.T) {
	p := serve(t, front.Options{Tokens: []string{token}}, nil)
	p.ask("GET", "/evil%1b%5b31mred?token="+token, "", nil)
	p.ask("GET", "/fine/%E2%80%AEevil", "Basic "+token, nil)
	p.ask("GET", "/fine", "Bearer "+token, nil)
	log := p.log.String()
	require.NotContains(t, log, token)
	require.NotContains(t, log, "\x1b")
	require.NotContains(t, log, "\u202e")
	require.Contains(t, log, "status=400")
	require.Contains(t, log, "path=/fine ")
}

func TestOptionsThatCannotBe(t *testing.T) {
	_, err := front.New(front.Options{Tokens: []string{"short"}})
	require.ErrorContains(t, err, "must have 20")
	_, err = front.New(front.Options{URL: "example.com"})
	require.ErrorContains(t, err, "https://host:port")
}

func TestHealth(t *testing.T) {
	bad := fmt.Errorf("the disk is gone, says /secret/path")
	p := serve(t, front.Options{Healthy: func(context.Context) error { return bad }}, nil)
	code, _, body := p.ask("GET", "/healthz", "", nil)
	require.Equal(t, 503, code)
	require.NotContains(t, body, "secret")
	bad = nil
	code, _, body = p.ask("GET", "/healthz", "", nil)
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"status":"ok"}`, body)
}

// authority signs certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the lab's authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	c, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	return authority{c, key}
}

func (a authority) sign(t *testing.T, cn string, use x509.ExtKeyUsage) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{use}, KeyUsage: x509.KeyUsageDigitalSignature}
	raw, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestACertificateWrites(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	p := serve(t, front.Options{}, &tls.Config{
		Certificates: []tls.Certificate{ours.sign(t, "server", x509.ExtKeyUsageServerAuth)}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12,
	})
	with := func(certs ...tls.Certificate) http.RoundTripper {
		return &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs, MinVersion: tls.VersionTLS12}}
	}
	img, err := random.Image(300_000, 2)
	require.NoError(t, err)
	to, err := name.ParseReference(p.host+"/jetcrate:mine", name.StrictValidation)
	require.NoError(t, err)
	require.Error(t, remote.Write(to, img, remote.WithTransport(with())))
	require.Error(t, remote.Write(to, img, remote.WithTransport(with(theirs.sign(t, "robot", x509.ExtKeyUsageClientAuth)))))
	require.NoError(t, remote.Write(to, img, remote.WithTransport(with(ours.sign(t, "robot", x509.ExtKeyUsageClientAuth)))))
	got, err := remote.Image(to, remote.WithTransport(with()))
	require.NoError(t, err)
	require.NoError(t, validate.Image(got))
	require.Contains(t, p.log.String(), `writer="certificate robot"`)
}

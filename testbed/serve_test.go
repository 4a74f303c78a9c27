package testbed_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

// served is `jetcrate serve` as a process of its own.
type served struct {
	url string
	cmd *exec.Cmd
}

// startServe serves the store below a data folder.
func startServe(t *testing.T, data string, args ...string) *served {
	t.Helper()
	program, err := exec.LookPath("jetcrate")
	require.NoError(t, err)
	s := &served{cmd: exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "-o", "json", "--quiet"}, args...)...)}
	s.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+data, "XDG_CACHE_HOME="+t.TempDir(), "XDG_STATE_HOME="+t.TempDir(), "JETCRATE_SERVE_TOKEN="+serveToken)
	var errs bytes.Buffer
	s.cmd.Stderr = &errs
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = s.cmd.Wait()
		require.Zero(t, s.cmd.ProcessState.ExitCode(), "%s", &errs)
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, "%s", &errs)
	var first struct{ URL string }
	require.NoError(t, json.Unmarshal(line, &first))
	s.url = first.URL
	return s
}

const serveToken = "a-token-that-nobody-guesses"

// memory is the most that the process ever had in memory, and what it has now.
func (s *served) memory(t *testing.T) (most, now int64) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	require.NoError(t, err)
	of := func(key string) int64 {
		m := regexp.MustCompile(key + `:\s+(\d+) kB`).FindSubmatch(raw)
		require.NotNil(t, m)
		kb, err := strconv.ParseInt(string(m[1]), 10, 64)
		require.NoError(t, err)
		return kb << 10
	}
	return of("VmHWM"), of("VmRSS")
}

// memoryLimit is what serving 200 clients may take.
const memoryLimit = 256 << 20

// 200 clients pull blobs, whole and in parts, manifests and index pages.
func TestServeUnderLoad(t *testing.T) {
	lasts := 5 * time.Second
	if os.Getenv("JETCRATE_ALL") != "" {
		lasts = time.Minute
	} else {
		t.Log("5 seconds; make test-all takes 60")
	}
	data := t.TempDir()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(data, "jetcrate/store")})
	require.NoError(t, err)
	img, err := random.Image(4<<20, 3)
	require.NoError(t, err)
	big, err := random.Layer(64<<20, "application/vnd.oci.image.layer.v1.tar")
	require.NoError(t, err)
	img, err = mutate.AppendLayers(img, big)
	require.NoError(t, err)
	rec, err := st.PutImage(ctx, store.Image, strings.Repeat("a", 64), img, nil)
	require.NoError(t, err)
	require.NoError(t, st.Tag(ctx, "big", rec.Digest))
	files := t.TempDir()
	var wheels []wheel.Wheel
	for i := range 100 {
		w := wheeltest.Wheel{Name: fmt.Sprintf("project%d", i), Version: "1.0", Content: strings.Repeat("x = 1\n", 1000*i)}
		name := filepath.Join(files, w.File())
		require.NoError(t, os.WriteFile(name, w.Bytes(), 0o644))
		f, _, err := wheel.ReadFile(name)
		require.NoError(t, err)
		wheels = append(wheels, wheel.Wheel{File: f, Package: w.Name})
	}
	_, err = st.PutFiles(ctx, store.Artifact, strings.Repeat("b", 64), files, nil)
	require.NoError(t, err)
	_, err = wheel.Update(ctx, st, wheel.Line{JetPack: "jp6", CUDA: "cu126"}, func(t *wheel.Tree) error { t.Wheels = wheels; return nil })
	require.NoError(t, err)
	require.NoError(t, st.Close())
	layers, err := img.Layers()
	require.NoError(t, err)
	var blobs []v1.Descriptor
	for _, l := range layers {
		d, err := l.Digest()
		require.NoError(t, err)
		size, err := l.Size()
		require.NoError(t, err)
		blobs = append(blobs, v1.Descriptor{Digest: d, Size: size})
	}

	s := startServe(t, data)
	const clients = 200
	transport := &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	var requests, bytesRead atomic.Int64
	get := func(at, ranges string, want int, size int64) error {
		req, err := http.NewRequest(http.MethodGet, s.url+at, nil)
		if err != nil {
			return err
		}
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		requests.Add(1)
		bytesRead.Add(n)
		if err != nil || resp.StatusCode != want || size >= 0 && n != size {
			return fmt.Errorf("%s %s: %s, %d bytes of %d: %w", at, ranges, resp.Status, n, size, err)
		}
		return nil
	}
	began := time.Now()
	var g errgroup.Group
	for i := range clients {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for first := true; first || time.Since(began) < lasts; first = false {
				var err error
				switch n := r.IntN(10); {
				case n < 2:
					b := blobs[r.IntN(3)]
					err = get("/v2/jetcrate/blobs/"+b.Digest.String(), "", 200, b.Size)
				case n == 2 && i%10 == 0:
					b := blobs[3]
					err = get("/v2/jetcrate/blobs/"+b.Digest.String(), "", 200, b.Size)
				case n < 4:
					b := blobs[3]
					at := r.Int64N(b.Size - 1000)
					err = get("/v2/jetcrate/blobs/"+b.Digest.String(), fmt.Sprintf("bytes=%d-%d", at, at+999), 206, 1000)
				case n < 5:
					err = get("/v2/jetcrate/manifests/big", "", 200, -1)
				case n < 6:
					err = get("/wheels/jp6/cu126/simple/", "", 200, -1)
				case n < 8:
					err = get(fmt.Sprintf("/wheels/jp6/cu126/simple/project%d/", r.IntN(100)), "", 200, -1)
				default:
					w := wheels[r.IntN(100)]
					err = get("/wheels/files/"+w.SHA256[:2]+"/"+w.SHA256+"/"+w.Name, "", 200, w.Size)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	most, now := s.memory(t)
	seconds := time.Since(began).Seconds()
	t.Logf("%d clients, %.1f s: %d requests (%.0f a second), %d MB read; memory of the server: at most %d MiB, then %d MiB",
		clients, seconds, requests.Load(), float64(requests.Load())/seconds, bytesRead.Load()>>20, most>>20, now>>20)
	require.Less(t, most, int64(memoryLimit))
	require.GreaterOrEqual(t, requests.Load(), int64(clients))
}

// Docker and skopeo pull without a login and push with one, over HTTP.
func TestServeIsARegistryForDockerAndSkopeo(t *testing.T) {
	d := startDocker(t)
	data := t.TempDir()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(data, "jetcrate/store")})
	require.NoError(t, err)
	img, err := random.Image(10_000, 2)
	require.NoError(t, err)
	img, err = mutate.Config(img, v1.Config{Cmd: []string{"/x"}})
	require.NoError(t, err)
	rec, err := st.PutImage(ctx, store.Image, strings.Repeat("a", 64), img, nil)
	require.NoError(t, err)
	require.NoError(t, st.Tag(ctx, "one", rec.Digest))
	require.NoError(t, st.Close())
	s := startServe(t, data)
	host := strings.TrimPrefix(s.url, "http://")

	run := func(want int, argv ...string) string {
		t.Helper()
		out, errs, code := d.run(nil, argv...)
		require.Equal(t, want, code, "%s: %s%s", argv, out, errs)
		return out + errs
	}
	run(0, "docker", "pull", "-q", host+"/jetcrate:one")
	run(0, "docker", "tag", host+"/jetcrate:one", host+"/jetcrate:two")
	require.Regexp(t, "(?i)denied|unauthorized|authentication|writing takes a token", run(1, "docker", "push", "-q", host+"/jetcrate:two"))
	out, errs, code := d.run(strings.NewReader("wrong-but-long-enough-to-be"), "docker", "login", "-u", "lab", "--password-stdin", host)
	require.NotZero(t, code, "%s%s", out, errs)
	out, errs, code = d.run(strings.NewReader(serveToken), "docker", "login", "-u", "lab", "--password-stdin", host)
	require.Zero(t, code, "%s%s", out, errs)
	run(0, "docker", "push", "-q", host+"/jetcrate:two")
	run(0, "docker", "logout", host)
	if _, err := exec.LookPath("skopeo"); err != nil {
		require.Empty(t, os.Getenv("JETCRATE_REAL"), "this machine lacks skopeo on PATH: make setup-tests")
		t.Skip("this machine lacks skopeo on PATH; make test has it")
	}
	require.Contains(t, run(0, "skopeo", "inspect", "--tls-verify=false", "docker://"+host+"/jetcrate:two"), `"Digest": "sha256:`)
	copied := []string{"skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://" + host + "/jetcrate:one", "docker://" + host + "/jetcrate:three"}
	run(1, copied...)
	run(0, append(copied, "--dest-creds", "lab:"+serveToken)...)
	require.Contains(t, run(0, "skopeo", "list-tags", "--tls-verify=false", "docker://"+host+"/jetcrate"), `"three"`)
}

package jetcrate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

// withWheels is a home folder whose store has an index of wheels of two lines.
func withWheels(t *testing.T) string {
	t.Helper()
	dir := home(t)
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: storeDir(dir)})
	require.NoError(t, err)
	defer st.Close()
	files := t.TempDir()
	library := wheeltest.Library(wheeltest.ARM64, true)
	var wheels []wheel.Wheel
	for _, w := range []wheeltest.Wheel{
		{Name: "pure", Version: "1.0", Requires: []string{"absent", "gpu"}}, {Name: "pure", Version: "1.1"},
		{Name: "gpu", Version: "2.0+cu126", Library: library}, {Name: "bare", Version: "3.0", Library: library},
	} {
		name := filepath.Join(files, w.File())
		require.NoError(t, os.WriteFile(name, w.Bytes(), 0o644))
		f, m, err := wheel.ReadFile(name)
		require.NoError(t, err)
		x := wheel.Wheel{File: f, GPU: w.Library != nil, Labelled: strings.Contains(w.Version, "+"), Package: w.Name}
		for _, r := range m.Requires {
			x.Requires = append(x.Requires, r.Project)
		}
		wheels = append(wheels, x)
	}
	_, err = st.PutFiles(ctx, store.Artifact, strings.Repeat("a", 64), files, nil)
	require.NoError(t, err)
	for _, line := range []wheel.Line{{JetPack: "jp6", CUDA: "cu126"}, {JetPack: "jp5", CUDA: "cpu"}} {
		_, err := wheel.Update(ctx, st, line, func(t *wheel.Tree) error {
			t.Wheels = wheels
			if line.CUDA == "cpu" {
				t.Wheels = wheels[:2]
			}
			return nil
		})
		require.NoError(t, err)
	}
	return dir
}

func TestWheelsOnTheCommandLine(t *testing.T) {
	withWheels(t)
	out, _ := try(t, 0, "wheels", "ls", "--line", "jp6/cu126")
	require.Regexp(t, `(?m)^jp6/cu126  bare-3\.0-py3-none-any\.whl  .*iB?  sha256:[0-9a-f]{12}  CUDA code, version without \+cu126$`, out)
	out, _ = try(t, 0, "wheels", "ls", "-o", "json")
	var trees []wheel.Tree
	require.NoError(t, json.Unmarshal([]byte(out), &trees))
	require.Len(t, trees, 2)

	// Static files, without a catalog.
	dir := filepath.Join(t.TempDir(), "public")
	out, errs := try(t, 0, "wheels", "index", "--mirror", dir)
	require.Contains(t, out, "jp6/cu126: 4 wheels in 3 projects\n")
	require.Contains(t, errs, "warning: jp6/cu126: bare-3.0-py3-none-any.whl holds CUDA code")
	require.FileExists(t, filepath.Join(dir, "jp6/cu126/simple/pure/index.html"))

	// Of a catalog of which nothing is built, nothing comes in, and nothing goes.
	catalog := t.TempDir()
	require.NoError(t, fill(catalog, os.DirFS("testdata/catalog")))
	out, _ = try(t, 0, "wheels", "index", "-C", catalog, "-o", "json")
	var indexed struct {
		Trees []wheel.Tree
		Left  []wheel.Left
	}
	require.NoError(t, json.Unmarshal([]byte(out), &indexed))
	require.Equal(t, trees, indexed.Trees)
	require.Empty(t, indexed.Left)

	// Yanked, and back.
	out, _ = try(t, 0, "wheels", "yank", "Pure==1.0", "--reason", "wrong\x1b[31m\nresults", "--line", "jp6/cu126")
	require.Equal(t, "yanked jp6/cu126: pure-1.0-py3-none-any.whl\n", out)
	out, _ = try(t, 0, "wheels", "ls", "--line", "jp6/cu126")
	require.Contains(t, out, "yanked: wrong results")
	try(t, 0, "wheels", "index", "--mirror", dir)
	page, err := os.ReadFile(filepath.Join(dir, "jp6/cu126/simple/pure/index.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), `data-yanked="wrong results"`)
	try(t, 0, "wheels", "yank", "pure==1.0", "--undo")

	// A bundle says what it lacks.
	tar := filepath.Join(t.TempDir(), "robot.tar")
	out, errs = try(t, 0, "wheels", "export", "--offline", tar, "pure", "--line", "jp6/cu126")
	require.Equal(t, tar+": jp6/cu126: 3 wheels\n", out)
	require.Contains(t, errs, "the device must: absent")
	require.FileExists(t, tar)
	into := t.TempDir()
	text, err := exec.Command("tar", "-xf", tar, "-C", into).CombinedOutput()
	require.NoError(t, err, "%s", text)
	check := exec.Command("sha256sum", "--quiet", "-c", "SHA256SUMS")
	check.Dir = into
	text, err = check.CombinedOutput()
	require.NoError(t, err, "%s", text)
	try(t, 0, "wheels", "export", filepath.Join(t.TempDir(), "usb"), "gpu", "--line", "jp6/cu126")

	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"ls", "--line", "jp6"}, "one looks like jp6/cu126"},
		{[]string{"ls", "--line", "jp6/cu128"}, "the store has no wheels of jp6/cu128; it has jp5/cpu, jp6/cu126"},
		{[]string{"yank", "pure"}, "no NAME==VERSION"},
		{[]string{"yank", "pure==1.0"}, "say why with --reason"},
		{[]string{"yank", "pure==9", "--reason", "x"}, "the index has no pure 9"},
		{[]string{"export"}, "needs a file"},
		{[]string{"export", tar + ".gz"}, "is a .tar"},
		{[]string{"export", tar, "nothing", "--line", "jp6/cu126"}, "jp6/cu126 has no wheel of nothing; it has bare, gpu, pure"},
		{[]string{"index", "--mirror"}, "name a folder"},
		{[]string{"push"}, "needs the URL"},
		{[]string{"push", "nowhere"}, "no URL"},
		{[]string{"push", "http://127.0.0.1:1/"}, "name one with --line (jp5/cpu, jp6/cu126)"},
	} {
		_, errs := try(t, 1, append([]string{"wheels"}, tt.args...)...)
		require.Contains(t, errs, tt.says)
	}
}

func TestPushOnTheCommandLine(t *testing.T) {
	dir := withWheels(t)
	x := &wheeltest.Index{User: "lab", Password: "secret"}
	h := httptest.NewServer(x)
	t.Cleanup(h.Close)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".pypirc"), []byte("[lab]\nrepository = "+h.URL+"/legacy/\nusername = lab\npassword = secret\n"), 0o600))
	try(t, 0, "wheels", "yank", "pure==1.0", "--reason", "bad")
	out, errs := try(t, 3, "wheels", "push", "lab", "--line", "jp6/cu126")
	require.Equal(t, `refused bare-3.0-py3-none-any.whl: it holds CUDA code, and its version does not say so (--unlabelled uploads it)
uploaded gpu-2.0+cu126-py3-none-any.whl
uploaded pure-1.1-py3-none-any.whl
skipped pure-1.0-py3-none-any.whl: yanked: bad
`, out)
	require.Empty(t, errs)
	require.Equal(t, []string{"gpu-2.0+cu126-py3-none-any.whl", "pure-1.1-py3-none-any.whl"}, x.Files())
	out, _ = try(t, 0, "wheels", "push", "lab", "gpu", "bare", "--unlabelled", "--line", "jp6/cu126", "-o", "json")
	var got []pushed
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, []pushed{{Name: "bare-3.0-py3-none-any.whl", Status: wheel.Uploaded}, {Name: "gpu-2.0+cu126-py3-none-any.whl", Status: wheel.Already}}, got)
}

// served is a `jetcrate serve` of its own process.
type served struct {
	url  string
	errs *bytes.Buffer
	stop func() int
}

func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	program, err := exec.LookPath("jetcrate")
	require.NoError(t, err)
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "-o", "json"}, args...)...)
	s := &served{errs: &bytes.Buffer{}}
	cmd.Stderr = s.errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s.stop = func() int {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			s.stop()
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, "%s", s.errs)
	var first struct{ URL string }
	require.NoError(t, json.Unmarshal(line, &first))
	s.url = first.URL
	return s
}

func TestServeOnTheCommandLine(t *testing.T) {
	dir := withWheels(t)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(storeDir(dir)), "table.json"), []byte(`{"a":"table"}`), 0o644))
	site := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(site, "index.html"), []byte("the site"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(site, "folder"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, ".local"), filepath.Join(site, "out")))
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("# the lab's\na-token-that-nobody-guesses\n"), 0o600))
	s := startServe(t, "--site", site, "--token-file", tokens)
	get := func(at string) (int, string) {
		t.Helper()
		resp, err := http.Get(s.url + at)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	for at, want := range map[string]string{
		"/": "the site", "/table.json": `{"a":"table"}`, "/healthz": `"ok"`, "/wheels/": "jp6/cu126/simple/",
		"/wheels/jp6/cu126/simple/pure/": "pure-1.1-py3-none-any.whl", "/v2/jetcrate/tags/list": "wheels-jp6-cu126",
	} {
		code, body := get(at)
		require.Equal(t, 200, code, at)
		require.Contains(t, body, want, at)
	}
	for _, at := range []string{"/folder/", "/out/", "/out/share/jetcrate/store/token", "/store/token", "/table.md", "/wheels/nothing"} {
		code, body := get(at)
		require.Equal(t, 404, code, "%s: %s", at, body)
	}
	// What is recorded while it serves shows soon, and other commands use the store.
	try(t, 0, "wheels", "yank", "pure==1.0", "--reason", "bad")
	require.Eventually(t, func() bool {
		_, body := get("/wheels/jp6/cu126/simple/pure/")
		return strings.Contains(body, `data-yanked="bad"`)
	}, 20*time.Second, 100*time.Millisecond)
	require.Zero(t, s.stop(), "%s", s.errs)
	require.Contains(t, s.errs.String(), `"path":"/table.json"`)
	require.NotContains(t, s.errs.String(), "nobody-guesses")

	// HTTPS, with a certificate that writes.
	other := httptest.NewTLSServer(nil)
	other.Close()
	pair := other.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o644))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	s = startServe(t, "--tls-cert", cert, "--tls-key", key, "--client-ca", cert, "-q")
	for at, want := range map[string]int{"/healthz": 200, "/wheels/jp6/cu126/simple/pure/": 200} {
		resp, err := other.Client().Get(s.url + at)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, at)
	}
	resp, err := other.Client().Post(s.url+"/v2/jetcrate/blobs/uploads/", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 403, resp.StatusCode)
	require.Zero(t, s.stop(), "%s", s.errs)
	require.Empty(t, s.errs.String())

	require.NoError(t, os.Chmod(tokens, 0o644))
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"--token-file", tokens}, "chmod 600"},
		{[]string{"--token-file", tokens + "x"}, "no such file"},
		{[]string{"--tls-cert", "x"}, "come together"},
		{[]string{"--client-ca", "x"}, "needs --tls-cert"},
		{[]string{"--max-upload", "much"}, "is no size"},
		{[]string{"--max-connections", "0"}, "at least 1"},
		{[]string{"--site", site + "x"}, "--site"},
		{[]string{"--url", "here"}, "https://host:port"},
		{[]string{"now"}, "takes no arguments"},
	} {
		_, errs := try(t, 1, append([]string{"serve"}, tt.args...)...)
		require.Contains(t, errs, tt.says)
	}
	for _, address := range []string{"here", ":99999", "256.0.0.1:80"} {
		_, errs := try(t, 1, "serve", "--listen", address)
		require.Contains(t, errs, `--listen "`+address+`": an address is HOST:PORT`)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, errs := try(t, 2, "serve", "--listen", l.Addr().String())
	require.Contains(t, errs, "something listens at "+l.Addr().String()+" already; name another port with --listen")
}

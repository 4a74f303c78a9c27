package testbed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lacking skips where a program is not to be had, and fails where it has to be.
func lacking(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("JETCRATE_REAL") != "" {
				t.Fatalf("this machine lacks %s on PATH: make setup-tests", program)
			}
			t.Skipf("this machine lacks %s on PATH; make test has it", program)
		}
	}
}

// startRegistry starts Debian's docker-registry on a folder of its own and returns
// its host.
func startRegistry(t testing.TB) string {
	t.Helper()
	lacking(t, "docker-registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host := l.Addr().String()
	require.NoError(t, l.Close())
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n", filepath.Join(dir, "data"), host)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o644))
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			resp.Body.Close()
			return host
		}
		if time.Since(start) > 30*time.Second {
			_ = cmd.Process.Kill()
			t.Fatalf("docker-registry does not answer: %s", err)
		}
	}
}

// publishing is a catalog, a registry to publish to, and a home with keys.
type publishing struct {
	*testing.T
	home, catalog, place string
	env                  []string
}

func newPublishing(t *testing.T) *publishing {
	vars := real(t)
	host := startRegistry(t)
	p := &publishing{T: t, home: t.TempDir(), catalog: t.TempDir(), place: host + "/jetson"}
	require.NoError(t, os.CopyFS(p.catalog, os.DirFS("testdata/small")))
	f, err := os.OpenFile(filepath.Join(p.catalog, "matrix.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	// The log lies in the registry too, as it does where several machines publish.
	_, err = fmt.Fprintf(f, "strategy: {matrix: {l4t: [36.4.0], package: [kit, low]}}\npublish:\n  repositories:\n    - {repository: %q, log: %q, testbed: true}\n", p.place, host+"/log")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "JETCRATE_KEY=") && !strings.HasPrefix(v, "JETCRATE_TRUST=") {
			p.env = append(p.env, v)
		}
	}
	for k, v := range vars {
		p.env = append(p.env, k+"="+v)
	}
	return p
}

func (p *publishing) run(code int, argv ...string) (stdout, stderr string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = p.catalog, p.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		require.IsType(p, &exec.ExitError{}, err)
	}
	require.Equal(p, code, cmd.ProcessState.ExitCode(), "%s\n%s%s", strings.Join(argv, " "), &out, &errs)
	return out.String(), errs.String()
}

// What is built and tested on the testbed goes to Debian's registry; skopeo and
// docker read it there; it is verified, withdrawn, and jet is told why.
func TestPublish(t *testing.T) {
	p := newPublishing(t)
	lacking(t, "skopeo")
	key := filepath.Join(p.home, "log.key")
	p.run(0, "jetcrate", "build", "--all", "--progress", "quiet")
	public, _ := p.run(0, "jetcrate", "keys", "new", "--origin", "testbed.example", "--out", key)
	publish := []string{"jetcrate", "publish", "--all", "--to", p.place, "--key", key}

	image := p.place + "/kit:1-r36.4.0-py311"
	out, _ := p.run(0, append(publish, "--dry-run")...)
	require.Contains(t, out, "+ "+image+" sha256:")
	require.Contains(t, out, "> "+p.place+"/kit:r36.4 new -> sha256:")
	p.run(3, "jetcrate", "verify", image, "--key", key)
	_, said := p.run(0, publish...)
	require.Contains(t, said, "its log has 3 entries")
	out, said = p.run(0, publish...)
	require.NotContains(t, out, "+ ")
	require.NotContains(t, out, "> ")
	require.Contains(t, said, "its log has 3 entries")

	// A place that matrix.yaml does not name takes nothing of the testbed.
	out, _ = p.run(3, "jetcrate", "publish", "kit", "--l4t", "36.4.0", "--to", p.place+"-other", "--key", key)
	require.Contains(t, out, "stand-in for checks (testbed)")

	out, _ = p.run(0, "skopeo", "inspect", "--tls-verify=false", "--override-arch", "arm64", "docker://"+image)
	var info struct {
		Digest, Architecture string
		RepoTags, Layers     []string
		Labels               map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &info))
	require.Equal(t, "arm64", info.Architecture)
	require.ElementsMatch(t, []string{"1-r36.4.0-py311", "r36.4", "1-r36.4"}, withoutReferrers(info.RepoTags))
	require.NotEmpty(t, info.Labels["io.jetcrate.key"])

	out, _ = p.run(0, "jetcrate", "verify", image, "--key", key)
	require.Contains(t, out, info.Digest+"\n")
	require.Contains(t, out, "\nverified\n")
	p.run(0, "jetcrate", "table", "--published", p.place, "--out", p.home)
	table := filepath.Join(p.home, "table.json")
	out, _ = p.run(0, "jetcrate", "verify", p.place+"/kit:r36.4", "--table", table, "--trust", strings.TrimSpace(public))
	require.Contains(t, out, "\nverified\n")

	// jet trusts the key and nothing else.
	p.env = append(p.env, "JETCRATE_TRUST="+strings.TrimSpace(public), "XDG_STATE_HOME="+p.home, "XDG_CACHE_HOME="+p.home)
	ask := []string{"jet", "autotag", "kit", "--host-l4t", "36.4.3", "--no-local", "--table", table}
	out, _ = p.run(0, ask...)
	require.Equal(t, image+"\n", out)
	old, err := os.ReadFile(table)
	require.NoError(t, err)

	t.Run("docker pull", func(t *testing.T) {
		d := startDocker(t)
		stdout, stderr, code := d.run(nil, "docker", "pull", "--platform", "linux/arm64", image)
		require.Zero(t, code, stdout+stderr)
		require.Contains(t, stdout, "Digest: "+info.Digest)
		stdout, stderr, code = d.run(nil, "docker", "run", "--rm", "--network", "none", image, "sh", "-c", "low && other")
		require.Zero(t, code, stdout+stderr)
	})

	_, said = p.run(1, "jetcrate", "withdraw", p.place+"/kit:r36.4", "--reason", "its sums are wrong", "--key", key)
	require.Contains(t, said, "those that never move, such as "+image)
	_, said = p.run(0, "jetcrate", "withdraw", image, "--reason", "its sums are wrong", "--key", key)
	require.Contains(t, said, "withdrew "+info.Digest)
	out, _ = p.run(3, "jetcrate", "verify", image, "--key", key)
	require.Contains(t, out, ": its sums are wrong")
	out, said = p.run(3, publish...)
	require.Contains(t, out, "! "+p.place+"/kit:r36.4 stays sha256:")
	require.Contains(t, out, "it was withdrawn: its sums are wrong")
	require.Contains(t, said, "1 there already, 1 refused")
	out, _ = p.run(0, "jetcrate", "table", "--published", p.place, "--out", p.home)
	require.Contains(t, out, "2 cells, 1 with an image, 1 of them tested")
	_, said = p.run(3, ask...)
	require.Contains(t, said, "its image was withdrawn: its sums are wrong")
	require.NoError(t, os.WriteFile(table, old, 0o644))
	_, said = p.run(3, ask...)
	require.Contains(t, said, "the table is refused: it forgets")
}

// withoutReferrers leaves out the lists of referrers of a registry that lacks the API.
func withoutReferrers(tags []string) []string {
	var out []string
	for _, t := range tags {
		if !strings.HasPrefix(t, "sha256-") {
			out = append(out, t)
		}
	}
	return out
}

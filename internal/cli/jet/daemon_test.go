package jet

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeDaemon answers some of Docker's questions; testbed/docker_test.go asks a
// real one.
func fakeDaemon(t *testing.T, answers map[string]string) (run func(args ...string) (stdout, stderr string, code int)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "jetcrate-fake-") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		for path, answer := range answers {
			if strings.HasSuffix(r.URL.Path, path) {
				if answer == "hang" {
					<-r.Context().Done()
					return
				}
				_, _ = w.Write([]byte(answer))
				return
			}
		}
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			http.Error(w, `{"message": "no such thing"}`, http.StatusNotFound)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "root"), 0o755))
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("JETCRATE_TABLE", "testdata/table.json")
	return func(args ...string) (string, string, int) {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, getenv: os.Getenv}
		code := a.run(context.Background(), append(args, "--root", filepath.Join(dir, "root"), "--host-l4t", "36.4.3"))
		return stdout.String(), stderr.String(), code
	}
}

func TestRuntimeIsMissing(t *testing.T) {
	run := fakeDaemon(t, map[string]string{"/images/json": "[]", "/info": `{"Runtimes": {"runc": {}}, "DockerRootDir": "/x", "ServerVersion": "24.0.1"}`})
	stdout, stderr, code := run("run", "pytorch", "--no-data", "--engine", "docker")
	require.Equal(t, exitEnvironment, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "jet: Docker has no runtime called nvidia, so the container would get no GPU\n  register it: sudo nvidia-ctk runtime configure --runtime=docker")

	stdout, stderr, code = run("run", "pytorch", "--no-data", "--engine", "docker", "--dry-run")
	require.Zero(t, code)
	require.Contains(t, stdout, "--runtime nvidia")
	require.Contains(t, stderr, "jet: warning: Docker has no runtime called nvidia")

	stdout, _, code = run("run", "pytorch", "--no-data", "--engine", "docker", "--dry-run", "--gpu-mode", "none")
	require.Zero(t, code)
	require.NotContains(t, stdout, "nvidia")
}

// The devices that Docker 28.2 and newer says it has.
func TestDaemonOffersCDI(t *testing.T) {
	run := fakeDaemon(t, map[string]string{"/images/json": "[]", "/info": `{"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]}`})
	stdout, _, code := run("run", "pytorch", "--no-data", "--engine", "docker", "--dry-run")
	require.Zero(t, code)
	require.Contains(t, stdout, "--device 'nvidia.com/gpu=all'")
}

// A daemon in trouble costs its images and a note, not the answer.
func TestDaemonInTrouble(t *testing.T) {
	for name, answers := range map[string]map[string]string{
		"it answers with junk":     {"/images/json": "<html>"},
		"it hangs":                 {"/images/json": "hang"},
		"it answers with an error": {},
	} {
		t.Run(name, func(t *testing.T) {
			run := fakeDaemon(t, answers)
			start := time.Now()
			stdout, stderr, code := run("autotag", "pytorch")
			require.Zero(t, code)
			require.Equal(t, "registry.example/jetcrate:pytorch-2.8.0-r36.4.0\n", stdout)
			require.Contains(t, stderr, "jet: note: Docker's images are not considered: listing Docker's images: ")
			require.Less(t, time.Since(start), 2*daemonTimeout)
		})
	}
}

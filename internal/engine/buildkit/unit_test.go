package buildkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

func TestCandidates(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want []string
	}{
		{"nothing named", Options{}, []string{"a buildkitd of its own", "Docker's own BuildKit"}},
		{"BUILDKIT_HOST", Options{BuildkitHost: "tcp://a:1"}, []string{"BUILDKIT_HOST=tcp://a:1", "a buildkitd of its own", "Docker's own BuildKit"}},
		{"address", Options{Address: "tcp://b:1", BuildkitHost: "tcp://a:1"}, []string{"tcp://b:1"}},
		{"private", Options{Address: "private", BuildkitHost: "tcp://a:1"}, []string{"a buildkitd of its own"}},
		{"docker", Options{Address: "docker"}, []string{"Docker's own BuildKit"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range candidates(tt.o) {
				got = append(got, c.name)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// nobody is an environment in which no engine is to be had.
func nobody(t *testing.T) Options {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "docker.sock"))
	return Options{StateDir: t.TempDir(), Binary: []string{filepath.Join(t.TempDir(), "buildkitd")}}
}

func TestUnavailableNamesEachCandidate(t *testing.T) {
	o := nobody(t)
	o.BuildkitHost = "unix://" + filepath.Join(t.TempDir(), "absent.sock")
	_, err := Connect(t.Context(), o)
	var none *engine.Unavailable
	require.ErrorAs(t, err, &none)
	require.Len(t, none.Tried, 4)
	require.Regexp(t, `^BUILDKIT_HOST=unix://.*: .*no such file`, none.Tried[0])
	require.Equal(t, "a buildkitd of its own: there is no buildkitd beside jetcrate or on PATH", none.Tried[1])
	require.Regexp(t, `^Docker's own BuildKit: no answer from Docker at unix://`, none.Tried[2])
	require.Contains(t, none.Tried[3], "install runc and qemu-user-static")
}

func TestNamedEngineThatIsWrongFails(t *testing.T) {
	o := nobody(t)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() { // something answers, but not BuildKit
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "hello\n")
			c.Close()
		}
	}()
	for name, tt := range map[string]struct{ address, says string }{
		"no address":     {"buildkitd", `"buildkitd" is no address`},
		"unknown scheme": {"gopher://x", "gopher://x: "},
		"no BuildKit":    {"unix://" + l.Addr().String(), "asking it for its workers"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Address = tt.address
			_, err := Connect(t.Context(), o)
			var none *engine.Unavailable
			require.ErrorAs(t, err, &none)
			require.Len(t, none.Tried, 1)
			require.Contains(t, none.Tried[0], tt.says)
		})
	}
}

func TestConnectIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Connect(ctx, nobody(t))
	require.ErrorIs(t, err, context.Canceled)
}

func TestProgress(t *testing.T) {
	at := func(s int) *time.Time { v := time.Unix(int64(s), 0); return &v }
	const d = digest.Digest("sha256:d")
	var got []string
	p := newProgress(func(e engine.Event) {
		got = append(got, fmt.Sprintf("%d %d %s%s", e.Kind, e.Time.Unix(), e.Data, e.Error))
	})
	for _, s := range []*client.SolveStatus{
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x"}}},
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(1)}}},
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(1)}}}, // repeated
		{Logs: []*client.VertexLog{{Vertex: d, Stream: 1, Data: []byte("a\nb"), Timestamp: *at(2)}}},
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(1), Completed: at(3)}}},
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(1), Completed: at(3)}}}, // repeated
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(4)}}},                   // again
		{Vertexes: []*client.Vertex{{Digest: d, Name: "RUN x", Started: at(4), Completed: at(5), Error: "no"}}},
		{Vertexes: []*client.Vertex{{Digest: "sha256:e", Name: "COPY", Started: at(6), Completed: at(6), Cached: true}}},
	} {
		p.observe(s)
	}
	require.Equal(t, []string{"0 1 ", "1 2 a\nb", "2 3 ", "0 4 ", "2 5 no", "0 6 ", "3 6 "}, got)
	require.Equal(t, "a\nb", p.steps[d].log())
}

func TestStepLogKeepsTheEnd(t *testing.T) {
	var s step
	for i := range 1000 {
		s.write([]byte("line "))
		s.write(fmt.Appendf(nil, "%d\n", i))
	}
	s.write([]byte("unfinished"))
	lines := strings.Split(s.log(), "\n")
	require.Len(t, lines, tailLines)
	require.Equal(t, "unfinished", lines[tailLines-1])
	require.Equal(t, "line 999", lines[tailLines-2])
	require.LessOrEqual(t, len(s.tail), 2*tailLines)
}

func TestFaults(t *testing.T) {
	a, b := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	tests := []struct{ message, want string }{
		{"failed to solve: digest mismatch " + a + ": " + b, "the checksum differs: the recipe says " + b + ", what was fetched has " + a},
		{`failed to solve: failed to compute cache key: failed to calculate checksum of ref x::y: "/f": not found`,
			`"/f": not found`},
		{`failed to solve: process "/bin/sh -c echo" did not complete successfully: open /q: no such file or directory`, "open /q: no such file or directory"},
		{"failed to solve: lstat /q: no such file or directory", "lstat /q: no such file or directory"},
		{`failed to solve: target stage "x" could not be found`, `target stage "x" could not be found`},
		{"failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN", "dockerfile parse error on line 2: unknown instruction: RUNN"},
		{`process "x" did not complete successfully: unable to find user nobody: no matching entries in passwd file`, "unable to find user nobody: no matching entries in passwd file"},
		{"dial tcp: lookup example.org: no such host", ""},
		{"rpc error: code = Unavailable desc = transport is closing", ""},
		{"write /var/lib/x: no space left on device", ""},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, FaultOf(tt.message), tt.message)
	}
}

func TestStartFailure(t *testing.T) {
	tests := []struct {
		name, wrote string
		code, want  int
		engine      string
	}{
		{"an ordinary failure", "assertion failed\n", 1, 1, ""},
		{"silent", "", 1, 1, ""},
		{"another code", "runc run failed: x", 3, 3, ""},
		{"quoted among more", "log:\nrunc run failed: x", 1, 1, ""},
		{"no such program", "runc run failed: unable to start container process: exec: \"x\": executable file not found in $PATH\n", 1, 127, ""},
		{"no permission", "runc run failed: unable to start container process: exec: \"/etc\": permission denied\n", 1, 126, ""},
		{"the engine's", "runc run failed: unable to apply cgroup configuration: no space left on device\n", 1, 0, "unable to apply cgroup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, err := StartFailure(tt.code, tt.wrote)
			require.Equal(t, tt.want, code)
			if tt.engine == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.engine)
			}
		})
	}
}

func TestErrorOfACancelledCall(t *testing.T) {
	why := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	require.EqualError(t, wrap(ctx, "building", "x", errors.New("rpc error")), "building x: the user left")
}

func TestEnvironment(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "A=2", "B=1", "C=3"},
		environment([]string{"A=1", "B=1", "PATH=/bin"}, []string{"A=2", "C=3"}))
	require.Equal(t, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, environment(nil, nil))
}

func TestDaemonEnv(t *testing.T) {
	require.Equal(t, []string{"HTTP_PROXY=p", "PATH=/s/bin:/own:" + systemPath},
		daemonEnv([]string{"PATH=/own", "NOTIFY_SOCKET=/run/x", "HTTP_PROXY=p"}, "/s/bin"))
}

func TestConfigWithEmulator(t *testing.T) {
	p := &private{dir: "/s", socket: "/s/buildkitd.sock"}
	require.NotContains(t, p.config(""), "platforms")
	require.Contains(t, p.config("/s/bin/buildkit-qemu-aarch64"), `"linux/arm64"]`)
	require.Contains(t, p.config(""), `root = "/s/root"`)
	require.Contains(t, p.config(""), `reservedSpace = "10%"`)
}

func TestSocketFolderOfSomebodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.ErrorContains(t, ownFolder(dir), "belongs to somebody else")
	link := filepath.Join(t.TempDir(), "l")
	require.NoError(t, os.Symlink(dir, link))
	require.ErrorContains(t, ownFolder(link), "belongs to somebody else")
}

func TestFindQEMUTakesStaticOnly(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	path, err := findQEMU()
	if err != nil {
		require.ErrorContains(t, err, "apt install qemu-user-static")
		return
	}
	require.Contains(t, path, "qemu-aarch64")
}

func TestOutputReportsWhatTheCallerHas(t *testing.T) {
	ctx := t.Context()
	have, out := t.TempDir(), t.TempDir()
	hs, err := contentlocal.NewStore(have)
	require.NoError(t, err)
	old := []byte("old")
	require.NoError(t, content.WriteBlob(ctx, hs, "r", bytes.NewReader(old), ocispecs.Descriptor{Digest: digest.FromBytes(old), Size: 3}))
	ws, err := contentlocal.NewStore(out)
	require.NoError(t, err)
	o := &output{Store: ws, have: []string{have}, sent: new(sync.Map)}

	info, err := o.Info(ctx, digest.FromBytes(old))
	require.NoError(t, err)
	require.Equal(t, int64(3), info.Size)
	_, err = o.Writer(ctx, content.WithRef("r"), content.WithDescriptor(ocispecs.Descriptor{Digest: digest.FromBytes(old)}))
	require.True(t, cerrdefs.IsAlreadyExists(err))
	_, err = o.Info(ctx, digest.FromString("absent"))
	require.True(t, cerrdefs.IsNotFound(err))
	require.NoError(t, content.WriteBlob(ctx, o, "n", strings.NewReader("new"), ocispecs.Descriptor{Digest: digest.FromString("new"), Size: 3}))
	require.FileExists(t, blobFile(out, digest.FromString("new")))
	require.NoFileExists(t, blobFile(out, digest.FromBytes(old)))
}

func TestImageManifestOfAnIndex(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) digest.Digest {
		d := digest.FromString(text)
		require.NoError(t, os.MkdirAll(filepath.Dir(blobFile(dir, d)), 0o755))
		require.NoError(t, os.WriteFile(blobFile(dir, d), []byte(text), 0o644))
		return d
	}
	arm := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	img := write(`{"config":{}}`)
	idx := write(fmt.Sprintf(`{"manifests":[{"digest":"sha256:1","platform":{"os":"unknown","architecture":"unknown"}},{"digest":%q,"platform":{"os":"linux","architecture":"arm64"}}]}`, img))
	for _, d := range []digest.Digest{img, idx} {
		got, err := imageManifest([]string{t.TempDir(), dir}, d, arm)
		require.NoError(t, err)
		require.Equal(t, img, got)
	}
	_, err := imageManifest([]string{dir}, write(`{"manifests":[{"digest":"sha256:1"}]}`), arm)
	require.ErrorContains(t, err, "names no image for linux/arm64")
	_, err = imageManifest([]string{dir}, "", arm)
	require.Error(t, err)
}

package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// checksum fetches from a server on loopback, which an engine on this machine
// reaches, and only there.
func checksum(t *testing.T, s *suite) {
	if !strings.HasPrefix(s.e.Info().Address, "unix://") {
		t.Skip("this engine may not run on this machine")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/file" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("hello\n"))
	}))
	defer srv.Close()
	const good = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	tests := []struct{ name, sum, path, fault string }{
		{"right", good, "/file", ""},
		{"wrong", strings.Repeat("0", 64), "/file", "the recipe says sha256:000"},
		{"gone", good, "/other", "the recipe says sha256:589"}, // BuildKit takes the error page for the file
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := s.build(fmt.Sprintf("FROM scratch\nADD --checksum=sha256:%s %s%s /\n", tt.sum, srv.URL, tt.path))
			b.Output.Dir = t.TempDir()
			_, err := s.e.Build(t.Context(), b)
			if tt.fault == "" {
				require.NoError(t, err)
				require.FileExists(t, filepath.Join(b.Output.Dir, "file"))
				return
			}
			var step *engine.StepError
			require.ErrorAs(t, err, &step)
			require.Contains(t, step.Fault, tt.fault)
		})
	}
}

func run(t *testing.T, s *suite) {
	r, out, errs := s.run("echo out; echo err >&2")
	begin := time.Now()
	exit, err := s.e.Run(t.Context(), r)
	require.NoError(t, err)
	t.Logf("a command takes %v", time.Since(begin).Round(time.Millisecond))
	require.Equal(t, engine.Exit{}, exit)
	require.Equal(t, "out\n", out.String())
	require.Equal(t, "err\n", errs.String())

	r.Stdout, r.Stderr = nil, nil
	exit, err = s.e.Run(t.Context(), r)
	require.NoError(t, err)
	require.Zero(t, exit.Code)
}

func exitCodes(t *testing.T, s *suite) {
	for _, code := range []int{0, 1, 7, 125, 255} {
		r, _, _ := s.run(fmt.Sprintf("exit %d", code))
		exit, err := s.e.Run(t.Context(), r)
		require.NoError(t, err, code)
		require.Equal(t, engine.Exit{Code: code}, exit)
	}
	for program, code := range map[string]int{"/bin/absent": 127, "absent": 127, "/etc/passwd": 126} {
		r, _, _ := s.run("")
		r.Args = []string{program}
		exit, err := s.e.Run(t.Context(), r)
		require.NoError(t, err, "a command that cannot be started is the image's affair")
		require.Equal(t, engine.Exit{Code: code}, exit, program)
	}
}

func runConfig(t *testing.T, s *suite) {
	r, out, _ := s.run("echo $FROM_IMAGE $OWN $PATH; id; pwd")
	r.Env = []string{"OWN=mine"}
	exit, err := s.e.Run(t.Context(), r)
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.Equal(t, "yes mine /usr/bin:/bin\n1000\n/tmp\n", out.String())

	r, out, _ = s.run("echo $FROM_IMAGE; pwd")
	r.Env, r.Dir = []string{"FROM_IMAGE=overridden"}, "/etc"
	_, err = s.e.Run(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "overridden\n/etc\n", out.String())
}

func mount(t *testing.T, s *suite) {
	a, b := t.TempDir(), t.TempDir()
	require.NoError(t, os.Chmod(a, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(b, "file"), []byte("b"), 0o644))
	for _, text := range []string{"one", "two"} {
		require.NoError(t, os.WriteFile(filepath.Join(a, "file"), []byte(text), 0o644))
		r, out, errs := s.run("cat /pkg/a/file /pkg/b/file; echo x > /pkg/a/new")
		r.Mounts = []engine.Mount{{Source: a, Target: "/pkg/a"}, {Source: b, Target: "/pkg/b"}}
		exit, err := s.e.Run(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, text+"b", out.String())
		if s.can.ReadOnlyMounts {
			require.NotZero(t, exit.Code, "a mount is read-only")
			require.NotEmpty(t, errs.String())
		}
	}
	require.NoFileExists(t, filepath.Join(a, "new"))
}

func runNotCached(t *testing.T, s *suite) {
	for range 2 {
		r, out, _ := s.run("cat /tmp/left; echo x > /tmp/left; echo ran")
		exit, err := s.e.Run(t.Context(), r)
		require.NoError(t, err)
		require.Zero(t, exit.Code)
		require.Equal(t, "ran\n", out.String(), "it ran, and the changes of the run before are lost")
	}
}

// notify calls a function at the first write.
type notify struct {
	bytes.Buffer
	call func()
}

func (n *notify) Write(p []byte) (int, error) {
	n.call()
	return n.Buffer.Write(p)
}

func timeout(t *testing.T, s *suite) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	r, out, _ := s.run("echo begun; sleep 60; echo ended")
	begin := time.Now()
	exit, err := s.e.Run(ctx, r)
	require.NoError(t, err)
	require.True(t, exit.TimedOut)
	require.NotZero(t, exit.Code)
	if s.can.OutputAtOnce {
		require.Equal(t, "begun\n", out.String())
	}
	require.Less(t, time.Since(begin), 15*time.Second)
}

func cancelledRun(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user left")
	r, _, _ := s.run("echo begun; sleep 60")
	r.Stdout = &notify{call: func() { cancel(why) }}
	if !s.can.OutputAtOnce {
		time.AfterFunc(2*time.Second, func() { cancel(why) })
	}
	begin := time.Now()
	_, err := s.e.Run(ctx, r)
	require.ErrorIs(t, err, why)
	require.Less(t, time.Since(begin), 15*time.Second)
}

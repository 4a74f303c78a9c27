package buildkit

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// helperState makes the test binary a process that uses the daemon of a state
// folder until it is killed.
const helperState = "JETCRATE_TEST_HELPER_STATE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperState); dir != "" {
		e, err := Connect(context.Background(), Options{Address: "private", StateDir: dir, Binary: []string{os.Getenv("JETCRATE_BUILDKITD")}})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("connected to", e.Info().Address)
		select {}
	}
	os.Exit(m.Run())
}

// pid is the daemon's process, 0 when there is none.
func pid(t *testing.T, o Options) int {
	t.Helper()
	p, err := findDaemon(filepath.Join(o.StateDir, "buildkitd.toml"))
	require.NoError(t, err)
	if p == nil {
		return 0
	}
	return p.Pid
}

// privateOptions makes a state folder whose daemon is gone after the test.
func privateOptions(t *testing.T) Options {
	t.Helper()
	o := Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}
	t.Cleanup(func() {
		if p, _ := findDaemon(filepath.Join(o.StateDir, "buildkitd.toml")); p != nil {
			require.NoError(t, endDaemon(p, endWait))
			t.Error("a daemon was left running")
		}
	})
	return o
}

func TestPrivateIsSharedAndEndedByTheLast(t *testing.T) {
	o := privateOptions(t)
	a, b := connect(t, o), connect(t, o)
	one := pid(t, o)
	require.NotZero(t, one)
	require.Equal(t, a.Info(), b.Info())
	require.Equal(t, "v0.30.0", a.Info().Version)
	sid, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", one))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(one), strings.Fields(string(sid))[5], "it leads a session of its own")

	require.NoError(t, a.Close())
	require.NoError(t, a.Close(), "closing twice is no mistake")
	require.Equal(t, one, pid(t, o))
	c := connect(t, o)
	require.NoError(t, b.Close())
	require.Equal(t, one, pid(t, o))
	require.NoError(t, c.Close())
	require.Zero(t, pid(t, o))
}

func TestPrivateStartsOnceForMany(t *testing.T) {
	o := privateOptions(t)
	engines, errs := make([]engine.Engine, 5), make([]error, 5)
	done := make(chan struct{})
	for i := range engines {
		go func() {
			engines[i], errs[i] = Connect(t.Context(), o)
			done <- struct{}{}
		}()
	}
	for range engines {
		<-done
	}
	one := pid(t, o)
	for i, e := range engines {
		require.NoError(t, errs[i])
		require.Equal(t, one, pid(t, o))
		require.NoError(t, e.Close())
	}
	require.Zero(t, pid(t, o))
}

func TestPrivateIsKept(t *testing.T) {
	o := privateOptions(t)
	o.Keep = true
	require.NoError(t, connect(t, o).Close())
	one := pid(t, o)
	require.NotZero(t, one)
	o.Keep = false
	e := connect(t, o)
	require.Equal(t, one, pid(t, o))
	require.NoError(t, e.Close())
	require.Zero(t, pid(t, o))
}

func TestPrivateOfAKilledProcessIsAdopted(t *testing.T) {
	o := privateOptions(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperState+"="+o.StateDir, "JETCRATE_BUILDKITD="+o.Binary[0])
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "connected to unix://")
	one := pid(t, o)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()

	require.Equal(t, one, pid(t, o))
	e := connect(t, o)
	require.Equal(t, one, pid(t, o))
	require.NoError(t, e.Close())
	require.Zero(t, pid(t, o))
}

func TestPrivateThatDiedOrHangsIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
	}{{"died", syscall.SIGKILL}, {"hangs", syscall.SIGSTOP}} {
		t.Run(tt.name, func(t *testing.T) {
			o := privateOptions(t)
			o.Keep = true
			require.NoError(t, connect(t, o).Close())
			one := pid(t, o)
			require.NoError(t, syscall.Kill(one, tt.signal))
			if tt.signal == syscall.SIGKILL {
				require.Eventually(t, func() bool { return pid(t, o) == 0 }, 5*time.Second, 10*time.Millisecond)
			}
			var said []string
			o.Keep, o.Progress = false, func(s string) { said = append(said, s) }
			e := connect(t, o)
			require.NotEqual(t, one, pid(t, o))
			require.Contains(t, said, "starting buildkitd")
			require.NoError(t, e.Close())
		})
	}
}

func TestPrivateOfAnotherMakeIsReplacedWhenNobodyUsesIt(t *testing.T) {
	o := privateOptions(t)
	a := connect(t, o)
	one := pid(t, o)
	require.NoError(t, os.WriteFile(filepath.Join(o.StateDir, "fingerprint"), []byte("other"), 0o644))
	b := connect(t, o)
	require.Equal(t, one, pid(t, o), "somebody uses it")
	require.NoError(t, a.Close())
	require.Equal(t, one, pid(t, o))
	require.NoError(t, b.Close())

	o.Keep = true
	require.NoError(t, connect(t, o).Close())
	two := pid(t, o)
	require.NoError(t, os.WriteFile(filepath.Join(o.StateDir, "fingerprint"), []byte("other"), 0o644))
	o.Keep = false
	c := connect(t, o)
	require.NotEqual(t, two, pid(t, o))
	require.NoError(t, c.Close())
}

func TestPrivateThatCannotStart(t *testing.T) {
	o := privateOptions(t)
	bad := filepath.Join(t.TempDir(), "buildkitd")
	require.NoError(t, os.WriteFile(bad, []byte("#!/bin/sh\necho no such option >&2\nexit 3\n"), 0o755))
	o.Binary = []string{bad}
	_, err := Connect(t.Context(), o)
	var none *engine.Unavailable
	require.ErrorAs(t, err, &none)
	require.Contains(t, err.Error(), "buildkitd ended at once (exit status 3): no such option")
}

func TestPrivateInALongOrOddFolder(t *testing.T) {
	for name, sub := range map[string]string{"long": strings.Repeat("folder/", 20), "odd": "a b%20 ü"} {
		t.Run(name, func(t *testing.T) {
			o := privateOptions(t)
			o.StateDir = filepath.Join(o.StateDir, sub)
			t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
			e := connect(t, o)
			note, err := os.ReadFile(filepath.Join(o.StateDir, "socket"))
			require.NoError(t, err)
			require.Equal(t, "unix://"+string(note), e.Info().Address)
			require.LessOrEqual(t, len(note), socketLimit)

			t.Setenv("XDG_RUNTIME_DIR", "") // the note decides, not the environment
			again := connect(t, o)
			require.Equal(t, e.Info().Address, again.Info().Address)
			require.NoError(t, again.Close())
			require.NoError(t, e.Close())
		})
	}
}

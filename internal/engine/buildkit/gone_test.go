package buildkit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// TestADaemonThatIsKilled ends the calls that run on it, and the next one clears
// away what it left.
func TestADaemonThatIsKilled(t *testing.T) {
	o := Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}
	t.Cleanup(func() { sweep(filepath.Join(o.StateDir, "root")) })
	base := enginetest.Base(t, true)
	nap := fmt.Sprint("sleep ", 1_000_000+rand.N(1_000_000)) // found by its name
	for _, call := range []string{"build", "run"} {
		t.Run(call, func(t *testing.T) {
			e := connect(t, o)
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				for range 300 { // until the command runs
					if out, _ := exec.Command("pgrep", "-f", nap+"$").Output(); len(out) > 0 {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if p, err := findDaemon(filepath.Join(o.StateDir, "buildkitd.toml")); err == nil && p != nil {
					_ = p.Kill()
				}
			}()
			var err error
			if call == "build" {
				_, err = e.Build(t.Context(), engine.Build{
					Dockerfile: []byte("FROM chain\nRUN " + nap + "\n"), Platform: enginetest.Platform,
					Images: map[string]engine.Image{"chain": base}, Output: engine.Output{Dir: t.TempDir()},
				})
			} else {
				_, err = e.Run(t.Context(), engine.Run{Image: base, Platform: enginetest.Platform, Args: []string{"/bin/sh", "-c", nap}})
			}
			<-killed
			require.ErrorIs(t, err, errGone)
			_ = e.Close()

			again := connect(t, o)
			out, _ := exec.Command("pgrep", "-f", nap+"$").Output()
			require.Empty(t, strings.TrimSpace(string(out)), "its commands are gone")
			_, err = again.Build(t.Context(), engine.Build{
				Dockerfile: []byte("FROM chain\nUSER 0\nRUN echo > /x\n"), Platform: enginetest.Platform,
				Images: map[string]engine.Image{"chain": base}, Output: engine.Output{Dir: t.TempDir()},
			})
			require.NoError(t, err)
			require.NoError(t, again.Close())
		})
	}
}

// TestASnapshotThatWasNotNoted is in nobody's way: a daemon that was killed
// between making a folder and noting it leaves one.
func TestASnapshotThatWasNotNoted(t *testing.T) {
	o := Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}
	base := enginetest.Base(t, true)
	build := func(e engine.Engine, n int) error {
		_, err := e.Build(t.Context(), engine.Build{
			Dockerfile: fmt.Appendf(nil, "FROM chain\nUSER 0\nRUN echo %d > /x\n", n), Platform: enginetest.Platform,
			Images: map[string]engine.Image{"chain": base}, Output: engine.Output{Dir: t.TempDir()},
		})
		return err
	}
	e := connect(t, o)
	require.NoError(t, build(e, 1))
	require.NoError(t, e.Close())
	snapshots := filepath.Join(o.StateDir, "root", "runc-overlayfs", "snapshots", "snapshots")
	for n := range 100 { // numbers that were not given yet
		_ = os.Mkdir(filepath.Join(snapshots, fmt.Sprint(n)), 0o755)
	}
	e = connect(t, o)
	require.NoError(t, build(e, 1))
	require.NoError(t, build(e, 2))
	require.NoError(t, e.Close())
}

package buildkit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// testBinary is the buildkitd that the tests start. Without one, or without
// root, a test skips and says why.
func testBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("JETCRATE_BUILDKITD")
	if path == "" {
		path = filepath.Join("..", "..", "..", "bin", "buildkitd")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no buildkitd: run make build, or set JETCRATE_BUILDKITD")
	}
	if os.Geteuid() != 0 {
		t.Skip("buildkitd needs root")
	}
	if _, err := lookPath("runc"); err != nil {
		t.Skip("buildkitd needs runc: apt install runc")
	}
	abs, err := filepath.Abs(path)
	require.NoError(t, err)
	return abs
}

func connect(t *testing.T, o Options) engine.Engine {
	t.Helper()
	begin := time.Now()
	e, err := Connect(t.Context(), o)
	require.NoError(t, err)
	t.Logf("connected to %+v in %v", e.Info(), time.Since(begin).Round(time.Millisecond))
	return e
}

func TestConformance(t *testing.T) {
	o := Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}
	e := connect(t, o)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(o.StateDir, "buildkitd.log"))
			t.Logf("buildkitd said:\n%s", log)
		}
		begin := time.Now()
		require.NoError(t, e.Close())
		t.Logf("closed in %v", time.Since(begin).Round(time.Millisecond))
	})
	enginetest.Run(t, func() engine.Engine { return e }, enginetest.Features{Executes: true, Steps: true, OutputAtOnce: true, ReadOnlyMounts: true})
}

package internal_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestJetIsASmallStaticBinary builds jet for a Jetson as `make build-arm64` does.
func TestJetIsASmallStaticBinary(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "jet")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../cmd/jet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	info, err := os.Stat(bin)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(15<<20))
	e, err := elf.Open(bin)
	require.NoError(t, err)
	defer e.Close()
	require.Equal(t, elf.EM_AARCH64, e.Machine)
	for _, p := range e.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs no loader")
	}
}

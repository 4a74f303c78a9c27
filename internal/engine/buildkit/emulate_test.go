package buildkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmulate says what this machine is: one that runs ARM64 programs by
// itself, one where QEMU helps, or one that lacks QEMU.
func TestEmulate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("trying what the kernel runs needs root")
	}
	bin := filepath.Join(t.TempDir(), "bin")
	link, err := emulate(bin)
	switch {
	case err != nil:
		require.ErrorContains(t, err, "apt install qemu-user-static")
	case link == "":
		t.Log("the kernel runs ARM64 programs")
		require.NoDirExists(t, bin)
	default:
		to, err := os.Readlink(link)
		require.NoError(t, err)
		t.Logf("%s runs ARM64 programs", to)
		require.Equal(t, filepath.Join(bin, "buildkit-qemu-aarch64"), link)
		again, err := emulate(bin)
		require.NoError(t, err)
		require.Equal(t, link, again)
	}
}

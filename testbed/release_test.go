package testbed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The release folder is what install.sh and dpkg take.
func TestReleaseFolder(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("this machine lacks dpkg-deb")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if name == "../cmd/jet/release.sh" {
			cmd.Dir, cmd.Env = "", os.Environ() // the toolchain's caches are HOME's
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	run("../cmd/jet/release.sh", dir)
	run("sha256sum", "--check", "--strict", "SHA256SUMS")
	run("sh", "install.sh", "--prefix", filepath.Join(dir, "prefix"), "--yes")
	require.Contains(t, run(filepath.Join(dir, "prefix/bin/autotag"), "--help"), "jet")

	packages, err := filepath.Glob(filepath.Join(dir, "jet_*_amd64.deb"))
	require.NoError(t, err)
	require.Len(t, packages, 1)
	run("dpkg-deb", "--extract", packages[0], "root")
	require.Contains(t, run(filepath.Join(dir, "root/usr/bin/autotag"), "--help"), "jet")
	info, err := os.Stat(filepath.Join(dir, "jet-linux-arm64"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(15_000_000), "it goes onto small devices")
}

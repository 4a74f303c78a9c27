package jetcrate

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadOnlyHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is not root, which mounting a read-only folder needs")
	}
	dir := home(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("no read-only folder can be mounted here: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	_, errs := try(t, 2, "store", "ls")
	require.Contains(t, errs, "read-only file system: name a folder that can be written with XDG_DATA_HOME")
	_, errs = try(t, 2, "build", "python", "--l4t", "36.4.0", "-C", "testdata/catalog")
	require.Contains(t, errs, "name a folder that can be written with XDG_DATA_HOME")
}

package buildkit

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
)

// sweep clears away what a daemon that was killed left below its state: the
// containers of its steps, which run on without it, its mounts, and snapshots
// that it did not note. Nothing of them belongs to anybody while no daemon runs there.
func sweep(root string) {
	pids, _ := processes()
	for _, pid := range pids {
		if standsOn(pid, root) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	own := mountPoints("self")
	slices.Reverse(own) // what lies on top goes first
	for _, m := range own {
		if strings.HasPrefix(m, root+"/") {
			_ = syscall.Unmount(m, syscall.MNT_DETACH)
		}
	}
	orphans(filepath.Join(root, "runc-overlayfs", "snapshots"))
}

// orphans removes snapshots that the daemon made and did not note before it
// was killed. It would give the next one the same number, and fail for ever
// because its folder is there.
func orphans(dir string) {
	file := filepath.Join(dir, "metadata.db")
	if _, err := os.Stat(file); err != nil {
		return
	}
	meta, err := storage.NewMetaStore(file)
	if err != nil {
		return
	}
	defer meta.Close()
	known := map[string]string{}
	if err := meta.WithTransaction(context.Background(), false, func(ctx context.Context) (err error) {
		known, err = storage.IDMap(ctx)
		return err
	}); err != nil {
		return
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "snapshots"))
	for _, e := range entries {
		if _, ok := known[e.Name()]; !ok {
			_ = os.RemoveAll(filepath.Join(dir, "snapshots", e.Name()))
		}
	}
}

// standsOn says whether the root of a process is an overlay of snapshots below
// a folder. Only a container's is.
func standsOn(pid int, root string) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/mountinfo")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(raw) {
		f := strings.Fields(string(line))
		if len(f) > 6 && f[4] == "/" {
			return strings.Contains(f[len(f)-1], "upperdir="+root+"/")
		}
	}
	return false
}

// mountPoints lists where a process sees file systems mounted, in the order in
// which they were.
func mountPoints(pid string) []string {
	raw, _ := os.ReadFile("/proc/" + pid + "/mountinfo")
	var out []string
	for line := range bytes.Lines(raw) {
		if f := strings.Fields(string(line)); len(f) > 4 {
			out = append(out, unescape.Replace(f[4]))
		}
	}
	return out
}

// unescape undoes how /proc writes blanks in names.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

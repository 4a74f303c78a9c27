package buildkit

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sweep clears away what a daemon that was killed left below its state: the
// containers of its steps, which run on without it, and its mounts. Nothing of
// either belongs to anybody while no daemon runs there.
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

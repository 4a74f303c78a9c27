package buildkit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// findDaemon finds the process that runs with these settings: the command line
// names them, so that no file must be trusted to hold a process's number. A
// process that has ended and was not waited for has no command line.
func findDaemon(config string) (*os.Process, error) {
	pids, err := processes()
	if err != nil {
		return nil, fmt.Errorf("looking for a running buildkitd: %w", err)
	}
	for _, pid := range pids {
		if !runsWith(pid, config) {
			continue
		}
		p, err := os.FindProcess(pid) // holds on to this very process, not to its number
		if err != nil {
			continue
		}
		if runsWith(pid, config) {
			return p, nil
		}
	}
	return nil, nil
}

// processes lists the numbers of all processes but this one.
func processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out, err
}

func runsWith(pid int, config string) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	args := strings.Split(string(bytes.TrimRight(raw, "\x00")), "\x00")
	return len(args) == 3 && args[1] == "--config" && args[2] == config
}

// endDaemon asks a daemon to end, and ends it if it has not after a while.
func endDaemon(p *os.Process, wait time.Duration) error {
	pid := strconv.Itoa(p.Pid)
	gone := func() bool {
		raw, err := os.ReadFile("/proc/" + pid + "/cmdline")
		return err != nil || len(raw) == 0
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Signal(sig); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return fmt.Errorf("ending buildkitd (process %s): %w", pid, err)
		}
		for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if gone() {
				return nil
			}
		}
	}
	return fmt.Errorf("ending buildkitd: process %s is still there", pid)
}

// lastLine is what a log ends with, for an error message.
func lastLine(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return lines[len(lines)-1]
}

package jetcrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jetcrate/jetcrate/internal/store"
)

// dirs are the folders that jetcrate writes to.
type dirs struct {
	data  string // store, engine, table
	cache string
	state string // logs
}

// findDirs follows the XDG base directory specification.
func findDirs() (dirs, error) {
	at := func(variable, fallback string) string {
		if d := os.Getenv(variable); filepath.IsAbs(d) {
			return filepath.Join(d, "jetcrate")
		}
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, fallback, "jetcrate")
		}
		return ""
	}
	d := dirs{data: at("XDG_DATA_HOME", ".local/share"), cache: at("XDG_CACHE_HOME", ".cache"), state: at("XDG_STATE_HOME", ".local/state")}
	if d.data == "" || d.cache == "" || d.state == "" {
		return d, errors.New("no home folder: set HOME, or XDG_DATA_HOME, XDG_CACHE_HOME and XDG_STATE_HOME")
	}
	return d, nil
}

type runDirs struct{ scratch, logs string }

// staleAfter is when a scratch folder of a run that was killed is swept away.
const staleAfter = 48 * time.Hour

// run makes the folders of one run, and sweeps what killed runs left.
func (d dirs) run() (runDirs, error) {
	base := filepath.Join(d.data, "scratch")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return runDirs{}, fmt.Errorf("making the scratch folder: %w", elsewhere(err, "XDG_DATA_HOME"))
	}
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(filepath.Join(base, e.Name()))
		}
	}
	scratch, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return runDirs{}, fmt.Errorf("making the scratch folder: %w", elsewhere(err, "XDG_DATA_HOME"))
	}
	logs := filepath.Join(d.state, "logs", time.Now().UTC().Format("20060102-150405")+"-"+strings.TrimPrefix(filepath.Base(scratch), "run-"))
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return runDirs{}, fmt.Errorf("making the log folder: %w", elsewhere(err, "XDG_STATE_HOME"))
	}
	return runDirs{scratch: scratch, logs: logs}, nil
}

func (a *app) openStore(ctx context.Context, d dirs) (*store.Store, error) {
	st, err := store.Open(ctx, store.Options{
		Location: a.storeAt, Insecure: a.insecure,
		Dir: filepath.Join(d.data, "store"), Cache: filepath.Join(d.cache, "blobs"),
	})
	return st, elsewhere(err, "XDG_DATA_HOME")
}

// opening opens the store while something else is done: open waits for it, and
// done closes it.
func (a *app) opening(ctx context.Context, d dirs) (open func() (*store.Store, error), done func()) {
	ctx, stop := context.WithCancel(ctx)
	open = sync.OnceValues(func() (*store.Store, error) { return a.openStore(ctx, d) })
	go open()
	return open, func() {
		stop()
		if st, err := open(); err == nil {
			st.Close()
		}
	}
}

// elsewhere adds to an error what to do about a folder that cannot be written.
func elsewhere(err error, variable string) error {
	for _, e := range []error{syscall.EROFS, fs.ErrPermission, syscall.ENOTDIR, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: name a folder that can be written with %s", err, variable)
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: free some of the disk, or name a folder on another with %s", err, variable)
	}
	return err
}

// besideProgram lists where a program that comes with jetcrate may lie.
func besideProgram(name string) []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return []string{filepath.Join(filepath.Dir(exe), name)}
}

// freeMemory is MemAvailable of /proc/meminfo in bytes; 0 where it is unknown.
func freeMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "MemAvailable:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

package jet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
)

// tablePath is where the table lies, and which setting says so.
func (q *question) tablePath() (path, setting string) {
	if q.table != "" {
		return q.table, "--table"
	}
	if path := q.app.getenv("JETCRATE_TABLE"); path != "" {
		return path, "$JETCRATE_TABLE"
	}
	return filepath.Join(q.app.dataDir(), "table.json"), ""
}

// dataDir is where the user's data of jetcrate lies.
func (a *app) dataDir() string { return a.xdg("XDG_DATA_HOME", ".local", "share") }

// xdg is jetcrate's folder in one of the folders of the XDG specification,
// which ignores relative ones.
func (a *app) xdg(name string, otherwise ...string) string {
	dir := a.getenv(name)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(append([]string{a.home()}, otherwise...)...)
	}
	return filepath.Join(dir, "jetcrate")
}

// home is the user's folder; a service of systemd has no HOME.
func (a *app) home() string {
	if dir := a.getenv("HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if u, err := user.Current(); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	return "/"
}

// tableInfo says which table was read.
type tableInfo struct {
	path     string
	modified time.Time
	signed   string // what is known of its signature
}

// source opens the table: its index where there is one of this very file, else
// the table itself, which leaves an index behind. close ends the reading.
func (q *question) source() (src resolve.Source, info tableInfo, close func(), err error) {
	none := func() {}
	path, setting := q.tablePath()
	trust, err := q.app.trust()
	if err != nil {
		return nil, info, none, err
	}
	if path == "-" {
		t, err := table.Read(q.app.stdin)
		if err != nil {
			return nil, info, none, environment("stdin: %w", err)
		}
		signed, err := trust.check(t)
		return t, tableInfo{path: "stdin", signed: signed}, none, err
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && setting == "":
		t, err := embedded()
		if err != nil {
			return nil, info, none, environment("%w", err)
		}
		if t == nil {
			return nil, info, none, environment("there is no compatibility table at %s\nfetch one with jet update URL, name one with --table FILE or JETCRATE_TABLE, or let `jetcrate table` write it there", path)
		}
		q.app.say("note: there is no table at %s: this is the one that jet was made with; fetch a newer one with jet update URL", path)
		signed, err := trust.check(t)
		return t, tableInfo{path: "jet itself", signed: signed}, none, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, info, none, mistake("%s names %s, which does not exist", setting, path)
	case err != nil:
		return nil, info, none, environment("reading the table: %w", err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, info, none, environment("reading the table: %w", err)
	}
	info = tableInfo{path: path, modified: stat.ModTime()}
	stamp := table.Stamp{Size: stat.Size(), Modified: stat.ModTime().UnixNano()}
	if x, file := openIndex(q.app.indexPath(path, trust), stamp); x != nil {
		info.signed = trust.says(x.Signed())
		return x, info, func() { _ = file.Close() }, nil
	}
	t, err := table.Read(f)
	if err != nil {
		again := ""
		if setting == "" {
			again = "\nfetch it again: jet update"
		}
		return nil, info, none, environment("%s: %w%s", path, err, again)
	}
	if info.signed, err = trust.check(t); err != nil {
		return nil, info, none, err
	}
	writeIndex(q.app.indexPath(path, trust), t, stamp)
	return t, info, none, nil
}

// indexPath is where the index of a table lies.
func (a *app) indexPath(path string, trust *trust) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	sum := sha256.Sum256([]byte(path + trust.id()))
	return filepath.Join(a.xdg("XDG_CACHE_HOME", ".cache"), "tables", hex.EncodeToString(sum[:8])+".index")
}

func openIndex(path string, stamp table.Stamp) (*table.Index, *os.File) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	info, err := f.Stat()
	if err == nil {
		if x, err := table.OpenIndex(f, info.Size()); err == nil && x.Stamp() == stamp {
			return x, f
		}
	}
	_ = f.Close()
	return nil, nil
}

// writeIndex leaves an index behind. Where that cannot be done the table is
// read each time, which is slower and nothing else.
func writeIndex(path string, t *table.Table, stamp table.Stamp) {
	var b bytes.Buffer
	if err := table.WriteIndex(&b, t, stamp); err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return
	}
	_ = renameio.WriteFile(path, b.Bytes(), 0o644)
}

package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Bounds on what is read: dpkg's status has a few MiB, the others a few lines.
const (
	maxStatus = 64 << 20
	maxLine   = 64 << 10
	maxConfig = 4 << 20
)

// Root opens a folder as a host's root. Links that lead out of it are not
// followed, unless it is the root of this machine: another device's links would
// show this machine's files. close ends its use.
func Root(dir string) (fsys fs.FS, close func() error, err error) {
	if dir == "/" {
		return os.DirFS(dir), func() error { return nil }, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the host's root: %w", err)
	}
	return root.FS(), root.Close, nil
}

// line reads the first line of a file; the device tree ends its own with NUL.
func line(fsys fs.FS, path string) Fact {
	data, err := read(fsys, path, maxLine)
	if err != nil {
		return Fact{Reason: reason(path, err)}
	}
	text, _, _ := strings.Cut(string(data), "\n")
	text = strings.TrimSpace(strings.TrimRight(text, "\x00"))
	if text == "" {
		return Fact{Reason: "/" + path + " is empty"}
	}
	return Fact{Value: printable(text), Source: "/" + path}
}

// text reads a whole file; why says why there is none.
func text(fsys fs.FS, path string) (content, why string) {
	data, err := read(fsys, path, maxConfig)
	if err != nil {
		return "", reason(path, err)
	}
	return string(data), ""
}

func read(fsys fs.FS, path string, limit int64) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := fs.Stat(fsys, path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a folder")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a file")
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d KiB", limit>>10)
	}
	return data, nil
}

// exists reports whether there is something at a path.
func exists(fsys fs.FS, path string) bool {
	_, err := fs.Stat(fsys, path)
	return err == nil
}

func reason(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no /" + path
	case errors.Is(err, fs.ErrPermission):
		return "/" + path + " may not be read"
	}
	var pe *fs.PathError
	if errors.As(err, &pe) { // its path is the opened one, said already
		err = pe.Err
	}
	return fmt.Sprintf("/%s: %s", path, err)
}

// clip shortens what is shown of a file that is not what it should be.
func clip(s string) string {
	const most = 100
	s = printable(s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// printable keeps a file's bytes from driving the terminal they are shown on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

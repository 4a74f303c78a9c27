// Package revision reads a catalog as a revision of its git repository has it.
//
// The git program answers, from its objects alone: the working tree, the index
// and what attributes or filters would make of a file are left out of it, so
// that two readings of a revision have the same bytes. A name that begins with
// "-" is refused before git sees it. Files keep their executable bit; a symbolic
// link is one, which no catalog may hold; submodules are passed over.
package revision

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// Unknown says that a repository has no such revision.
type Unknown struct{ Revision, Reason string }

func (u *Unknown) Error() string {
	return fmt.Sprintf("no revision %q: %s", u.Revision, u.Reason)
}

// Catalog is a catalog as git has it.
type Catalog struct {
	Commit string
	Files  fs.FS // from the catalog's root
}

// Read reads the catalog of a folder at a revision. The extra files, by their
// paths from the catalog, are read beside what every catalog has.
func Read(ctx context.Context, dir, name string, extra ...string) (*Catalog, error) {
	if name == "" || strings.HasPrefix(name, "-") {
		return nil, &Unknown{name, "the name of a revision does not begin with -, and is not empty"}
	}
	g := git{ctx, dir}
	prefix, err := g.output("rev-parse", "--show-prefix")
	if err != nil {
		return nil, &Unknown{name, err.Error()}
	}
	commit, err := g.output("rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return nil, &Unknown{name, "git knows no commit of that name in " + dir}
	}
	files, err := g.list(commit+":"+strings.TrimSuffix(prefix, "/"), extra)
	if err != nil {
		return nil, fmt.Errorf("listing the catalog at %s: %w", name, err)
	}
	fsys, err := g.read(files)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog at %s: %w", name, err)
	}
	return &Catalog{Commit: commit, Files: fsys}, nil
}

type git struct {
	ctx context.Context
	dir string
}

func (g git) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(g.ctx, "git", args...)
	c.Dir = g.dir
	return c
}

// output is what git prints, without the end of the line.
func (g git) output(args ...string) (string, error) {
	out, err := g.command(args...).Output()
	return strings.TrimSuffix(string(out), "\n"), explained(err)
}

// explained is an error with git's own words.
func explained(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(bytes.TrimSpace(exit.Stderr)) > 0 {
		return errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

// blob is a file of a tree.
type blob struct {
	name, hash string
	mode       fs.FileMode
}

// list lists the files of a catalog's tree.
func (g git) list(tree string, extra []string) ([]blob, error) {
	wanted := []string{"packages", "pipelines", "matrix.yaml", "jetcrate.lock"}
	for _, e := range extra {
		if e = path.Clean(e); e != "." && fs.ValidPath(e) {
			wanted = append(wanted, e)
		}
	}
	out, err := g.command(append([]string{"--literal-pathspecs", "ls-tree", "--full-tree", "-r", "-z", tree, "--"}, wanted...)...).Output()
	if err != nil {
		return nil, explained(err)
	}
	var files []blob
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		about, name, ok := strings.Cut(entry, "\t")
		words := strings.Fields(about) // mode type hash
		if !ok || len(words) != 3 {
			continue
		}
		b := blob{name: name, hash: words[2], mode: 0o644}
		switch words[0] {
		case "100755":
			b.mode = 0o755
		case "120000":
			b.mode = fs.ModeSymlink | 0o777
		case "160000": // a submodule
			continue
		}
		files = append(files, b)
	}
	return files, nil
}

// read reads blobs into an archive in memory, which is a file system.
func (g git) read(files []blob) (fs.FS, error) {
	var names strings.Builder
	for _, f := range files {
		names.WriteString(f.hash + "\n")
	}
	c := g.command("cat-file", "--batch")
	c.Stdin = strings.NewReader(names.String())
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	archive, err := pack(bufio.NewReader(out), files)
	if err != nil { // git may have more to say, which nobody reads
		_ = out.Close()
	}
	if failed := c.Wait(); failed != nil && (err == nil || stderr.Len() > 0) {
		err = fmt.Errorf("%w: %s", failed, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
}

// pack writes what cat-file prints into an archive.
func pack(in *bufio.Reader, files []blob) ([]byte, error) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, f := range files {
		head, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		words := strings.Fields(head) // hash type size
		if len(words) != 3 {
			return nil, fmt.Errorf("%s: git has lost it: %s", f.name, strings.TrimSpace(head))
		}
		size, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		h := &zip.FileHeader{Name: f.name, Method: zip.Store}
		h.SetMode(f.mode)
		to, err := w.CreateHeader(h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := io.CopyN(to, in, size); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := in.Discard(1); err != nil { // the end of the line
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}

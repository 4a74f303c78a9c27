package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// File is a file of a package.
type File struct {
	Path   string // relative to the package's folder, slash-separated
	Name   string // in the catalog: packages/ml/pytorch/patches/a.patch
	SHA256 string // of its bytes, hexadecimal
	Size   int64
	Exec   bool // it may be executed
	Test   bool // it lies below tests/: only tests see it, build and install do not
}

// Folder is where a package lies in the catalog: packages/<group>/<name>.
func (p *Package) Folder() string { return path.Dir(p.Doc.Name) }

// Files lists the files of a package that its steps and tests may see, sorted
// by path: all but package.yaml, README* and docs/. A symlink or anything else
// that is no plain file is a mistake, and nothing is listed.
func Files(fsys fs.FS, pkg *Package) ([]File, diag.List) {
	files, list := walkFiles(fsys, pkg)
	if list.HasErrors() { // among them files that are too large to read
		list.Sort()
		return nil, list
	}
	for i := range files {
		if err := files[i].hash(fsys); err != nil {
			list.Errorf("unreadable-file", diag.Position{File: files[i].Name}, "%s cannot be read: %v", files[i].Name, err)
		}
	}
	if list.HasErrors() {
		list.Sort()
		return nil, list
	}
	return files, nil
}

// walkFiles finds the files of a package, not hashed yet.
func walkFiles(fsys fs.FS, pkg *Package) ([]File, diag.List) {
	var files []File
	var list diag.List
	var entries int
	var size int64
	start := pkg.Folder()
	err := fs.WalkDir(fsys, start, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == start {
			return err
		}
		rel := strings.TrimPrefix(name, start+"/")
		if hidden(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entries++; entries > maxPackageFiles {
			list.Errorf("file-count", pkg.Doc.Pos(), "the package has more than %d files and folders", maxPackageFiles)
			return fs.SkipAll
		}
		if !checkFileName(name, d.Name(), &list) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			reportIrregular(name, d.Type(), &list)
			return nil
		}
		if err := weigh(pkg, name, d, &size, &list); err != nil {
			return err
		}
		files = append(files, File{Path: rel, Name: name, Test: strings.HasPrefix(rel, "tests/")})
		return nil
	})
	if err != nil {
		list.Errorf("unreadable-file", diag.Position{File: start}, "%s cannot be read: %v", start, err)
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, list
}

// hidden is what people read and no step sees.
func hidden(rel string) bool {
	return rel == "package.yaml" || rel == "docs" || strings.HasPrefix(rel, "docs/") || strings.HasPrefix(rel, "README")
}

func (f *File) hash(fsys fs.FS) error {
	r, err := fsys.Open(f.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	if f.Size, err = io.Copy(h, r); err != nil {
		return err
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	f.Exec = info.Mode()&0o111 != 0
	return nil
}

func reportIrregular(name string, mode fs.FileMode, list *diag.List) {
	what, code := "a special file", "special-file"
	if mode&fs.ModeSymlink != 0 {
		what, code = "a symlink", "symlink"
	}
	list.Errorf(code, diag.Position{File: name}, "%s is %s; a catalog holds plain files only", name, what).Hint = "put the file itself here"
}

// lookup finds a file of the catalog by its clean relative name, without
// following a symlink on the way. It reports what is wrong, and false for a
// file that cannot be read; a missing file is reported only if required.
func lookup(fsys fs.FS, name string, required bool, list *diag.List) bool {
	if !fs.ValidPath(name) {
		list.Errorf("outside-catalog", diag.Position{File: name}, "%q does not name a file of the catalog", name).Hint = "name it relative to the catalog's root, without .."
		return false
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		part := strings.Join(parts[:i+1], "/")
		info, err := fs.Lstat(fsys, part)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if required {
				list.Errorf("missing-file", diag.Position{File: name}, "the catalog has no %s", part)
			}
			return false
		case err != nil:
			list.Errorf("unreadable-file", diag.Position{File: part}, "%s cannot be read: %v", part, err)
			return false
		case i < len(parts)-1 && info.IsDir():
		case i == len(parts)-1 && (info.Mode().IsRegular() || info.IsDir()):
		default:
			reportIrregular(part, info.Mode(), list)
			return false
		}
	}
	return true
}

// read returns the bytes of a file, at most one more than maxFileSize.
func read(fsys fs.FS, name string, required bool, list *diag.List) ([]byte, bool) {
	if !lookup(fsys, name, required, list) {
		return nil, false
	}
	f, err := fsys.Open(name)
	if err != nil {
		list.Errorf("unreadable-file", diag.Position{File: name}, "%s cannot be read: %v", name, err)
		return nil, false
	}
	defer f.Close()
	data, err := readLimited(f)
	if err != nil {
		list.Errorf("unreadable-file", diag.Position{File: name}, "%s cannot be read: %v", name, err)
		return nil, false
	}
	return data, true
}

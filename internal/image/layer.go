package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
)

// gzipLevel and the compressor's version (go.mod pins it) are part of every
// layer's digest. A toolchain's own compressor would change with it.
const gzipLevel = 6

// Compress gives a writer that compresses what a layer's blob holds, on all
// processors. The same bytes always become the same blob; it is whole once the
// writer is closed.
func Compress(w io.Writer) io.WriteCloser {
	zw, err := pgzip.NewWriterLevel(w, gzipLevel)
	if err != nil {
		panic(err) // the level is no level
	}
	zw.ModTime = time.Unix(0, 0) // none
	return compressor{zw}
}

type compressor struct{ *pgzip.Writer }

// Close ends what runs beside the caller, also where w did not take what it was
// given: pgzip waits for ever then.
func (c compressor) Close() error {
	err := c.Writer.Close()
	if err != nil {
		c.Reset(io.Discard)
	}
	return err
}

// LayerOptions of LayerFromDir.
type LayerOptions struct {
	// Scratch is an existing folder that receives the layer's blob; the layer
	// reads it from there for as long as it is used. "" is the system's.
	Scratch string
	// Below is what the image holds on which the folder was laid. A directory
	// that exists there keeps its mode and owner: a layer's entry for it would
	// otherwise replace them (Debian's /usr/local/lib/python3.x is 2775
	// root:staff). It cannot be left out: Docker 20.10 makes directories that a
	// layer does not name with mode 0600.
	Below FileList
}

// LayerFromDir writes what a folder holds as a layer: sorted by path, owner
// 0:0, the time Epoch, permissions as they are. Extended attributes are no part
// of it. The error names the path when the folder holds what a linked layer
// must not: setuid and setgid files, device nodes, fifos, sockets, whiteouts.
func LayerFromDir(dir string, o LayerOptions) (v1.Layer, FileList, error) {
	list, err := scan(dir, o.Below)
	if err != nil {
		return nil, nil, err
	}
	l, err := compress(o.Scratch, func(w io.Writer) error { return writeTar(w, dir, list) })
	if err != nil {
		return nil, nil, fmt.Errorf("writing %s as a layer: %w", dir, err)
	}
	return l, list, nil
}

// LayerFromTar compresses a tar as it is, such as a base that mmdebstrap made.
// Its digest follows from the tar's bytes. scratch is as in LayerOptions.
func LayerFromTar(r io.Reader, scratch string) (v1.Layer, error) {
	l, err := compress(scratch, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("writing a tar as a layer: %w", err)
	}
	return l, nil
}

// compress stores what write writes as a gzip blob in a new file.
func compress(scratch string, write func(io.Writer) error) (_ *blobLayer, err error) {
	f, err := os.CreateTemp(scratch, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	digest, diffID, size := sha256.New(), sha256.New(), &counter{}
	zw := Compress(io.MultiWriter(f, digest, size))
	err = write(io.MultiWriter(zw, diffID))
	if cerr := zw.Close(); err == nil { // it is closed in any case: it runs goroutines
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return &blobLayer{path: f.Name(), digest: sum(digest), diffID: sum(diffID), size: size.n}, nil
}

// scan lists a folder, without the hashes of its files.
func scan(dir string, below FileList) (FileList, error) {
	var list FileList
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		if p == dir {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("reading %s: %w", p, err)
		}
		e := Entry{Path: filepath.ToSlash(rel), Mode: chmod(info.Mode())}
		switch {
		case e.Whiteout():
			return refuse(e.Path, "its name is a whiteout's")
		case info.Mode().IsRegular():
			e.Type, e.Size = tar.TypeReg, info.Size()
			if e.Mode&0o6000 != 0 {
				return refuse(e.Path, "it is setuid or setgid")
			}
		case info.IsDir():
			e.Type = tar.TypeDir
			if b, ok := below.Find(e.Path); ok && b.Dir() {
				e.Mode, e.UID, e.GID = b.Mode, b.UID, b.GID
			} else if e.Mode&0o6000 != 0 {
				return refuse(e.Path, "it is a setuid or setgid directory that does not exist below")
			}
		case info.Mode()&fs.ModeSymlink != 0:
			e.Type, e.Mode = tar.TypeSymlink, 0o777
			if e.Link, err = os.Readlink(p); err != nil {
				return fmt.Errorf("reading %s: %w", p, err)
			}
		case info.Mode()&fs.ModeDevice != 0:
			return refuse(e.Path, "it is a device node")
		case info.Mode()&fs.ModeNamedPipe != 0:
			return refuse(e.Path, "it is a fifo")
		case info.Mode()&fs.ModeSocket != 0:
			return refuse(e.Path, "it is a socket")
		default:
			return refuse(e.Path, "it is neither file, directory nor symlink")
		}
		list = append(list, e)
		return nil
	})
	// A parent sorts before what it holds, since its path is a prefix.
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list, err
}

// writeTar writes the entries and completes their hashes.
func writeTar(w io.Writer, dir string, list FileList) error {
	tw := tar.NewWriter(w)
	for i := range list {
		e := &list[i]
		h := &tar.Header{Name: e.Path, Typeflag: e.Type, Mode: e.Mode, Uid: e.UID, Gid: e.GID, Size: e.Size, Linkname: e.Link, ModTime: Epoch()}
		if e.Dir() {
			h.Name += "/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("writing %s: %w", e.Path, err)
		}
		if e.Type != tar.TypeReg {
			continue
		}
		sum, err := writeFile(tw, filepath.Join(dir, filepath.FromSlash(e.Path)))
		if err != nil {
			return fmt.Errorf("writing %s: %w", e.Path, err)
		}
		e.SHA256 = sum
	}
	return tw.Close()
}

func writeFile(w io.Writer, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func refuse(p, why string) error {
	return fmt.Errorf("%s cannot be part of a linked layer: %s", p, why)
}

// chmod gives a mode the numbers that chmod(1) and tar use.
func chmod(m fs.FileMode) int64 {
	n := int64(m.Perm())
	for bit, v := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			n |= v
		}
	}
	return n
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// blobLayer is a gzip layer in a file, with its hashes known.
type blobLayer struct {
	path           string
	digest, diffID v1.Hash
	size           int64
}

func (l *blobLayer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *blobLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *blobLayer) Size() (int64, error)                { return l.size, nil }
func (l *blobLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *blobLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }

func (l *blobLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("decompressing %s: %w", l.path, err)
	}
	return &unzip{Reader: zr, file: f}, nil
}

type unzip struct {
	*gzip.Reader
	file *os.File
}

func (u *unzip) Close() error {
	err := u.Reader.Close()
	if cerr := u.file.Close(); err == nil {
		err = cerr
	}
	return err
}

// parents calls f for every proper parent of a path, outermost first.
func parents(p string, f func(parent string) bool) {
	for i := 0; ; {
		j := strings.IndexByte(p[i:], '/')
		if j < 0 {
			return
		}
		i += j
		if !f(p[:i]) {
			return
		}
		i++
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// A folder is stored as an artifact with one blob for each file, so that
// folders which share files share blobs, and other tools can fetch a wheel.
const (
	folderType = "application/vnd.jetcrate.artifact.v1"
	fileType   = "application/octet-stream"

	annotationTitle      = "org.opencontainers.image.title" // the slash path
	annotationExecutable = "io.jetcrate.executable"         // "true"
	annotationSymlink    = "io.jetcrate.symlink"            // the target; the blob is empty
	annotationDirectory  = "io.jetcrate.directory"          // "true" for an empty one; the blob is empty

	transfers = 4 // files under way at once
)

// File is a regular file of a stored folder.
type File struct {
	Path   string // slashes, relative
	Size   int64
	Digest string // sha256:...
}

// PutFiles stores a folder: files with their executable bit, symlinks, empty
// directories. Anything else in it is an error.
func (s *Store) PutFiles(ctx context.Context, kind Kind, key, dir string, annotations map[string]string) (Record, error) {
	var layers []v1.Descriptor
	var blobs []v1.Layer // by index into layers
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		d := v1.Descriptor{Annotations: map[string]string{annotationTitle: filepath.ToSlash(rel)}}
		var blob v1.Layer = static.NewLayer([]byte(emptyBlob), emptyType)
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			if entries, err := os.ReadDir(p); err != nil || len(entries) > 0 {
				return err
			}
			d.Annotations[annotationDirectory] = "true"
		case info.Mode()&fs.ModeSymlink != 0:
			if d.Annotations[annotationSymlink], err = os.Readlink(p); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			if blob, err = newFileBlob(p); err != nil {
				return err
			}
			if info.Mode()&0o100 != 0 {
				d.Annotations[annotationExecutable] = "true"
			}
		default:
			return fmt.Errorf("%s is neither file, directory nor symlink", p)
		}
		layers, blobs = append(layers, d), append(blobs, blob)
		return nil
	})
	if err != nil {
		return Record{}, fmt.Errorf("storing %s %s: reading %s: %w", kind, key, dir, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i := range blobs {
		g.Go(func() error {
			d, err := s.upload(gctx, blobs[i])
			d.Annotations = layers[i].Annotations
			layers[i] = d
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Record{}, s.explain(fmt.Sprintf("storing %s %s", kind, key), err)
	}
	return s.putArtifact(ctx, kind, key, artifact{kind: folderType, layers: layers, annotations: annotations})
}

// GetFiles writes a stored folder to dir, which is made if it does not exist.
// Every file is verified; nothing is ever written outside dir.
func (s *Store) GetFiles(ctx context.Context, r Record, dir string) error {
	layers, err := s.folder(ctx, r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing %s %s: %w", r.Kind, r.Key, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("writing %s %s: %w", r.Kind, r.Key, err)
	}
	defer root.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for _, d := range layers {
		g.Go(func() error {
			if err := s.getFile(gctx, d, root); err != nil {
				return fmt.Errorf("writing %s of %s %s: %w", d.Annotations[annotationTitle], r.Kind, r.Key, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *Store) getFile(ctx context.Context, d v1.Descriptor, root *os.Root) error {
	name := d.Annotations[annotationTitle]
	if d.Annotations[annotationDirectory] != "" {
		return root.MkdirAll(name, 0o755)
	}
	if parent := path.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if to, ok := d.Annotations[annotationSymlink]; ok {
		return root.Symlink(to, name)
	}
	mode := fs.FileMode(0o644)
	if d.Annotations[annotationExecutable] != "" {
		mode = 0o755
	}
	rc, err := s.blob(ctx, d.Digest)
	if err != nil {
		return err
	}
	defer rc.Close()
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, rc)
	return errors.Join(err, f.Close())
}

// ListFiles lists the regular files of a stored folder, by path.
func (s *Store) ListFiles(ctx context.Context, r Record) ([]File, error) {
	layers, err := s.folder(ctx, r)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, d := range layers {
		a := d.Annotations
		if _, link := a[annotationSymlink]; link || a[annotationDirectory] != "" {
			continue
		}
		files = append(files, File{Path: a[annotationTitle], Size: d.Size, Digest: d.Digest.String()})
	}
	return files, nil
}

// folder returns what a stored folder holds, in the order it was walked.
func (s *Store) folder(ctx context.Context, r Record) ([]v1.Descriptor, error) {
	d, err := s.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	if d.ArtifactType != folderType {
		return nil, fmt.Errorf("%s %s is no folder but %s", r.Kind, r.Key, d.ArtifactType)
	}
	m, err := parseManifest(d)
	if err != nil {
		return nil, err
	}
	var layers []v1.Descriptor
	for _, l := range m.Layers {
		if l.Annotations[annotationTitle] != "" { // an empty folder holds one blob without
			layers = append(layers, l)
		}
	}
	return layers, nil
}

// fileBlob is a file as a blob. It is read once to hash it and once to send it.
type fileBlob struct {
	path   string
	digest v1.Hash
	size   int64
}

func newFileBlob(p string) (*fileBlob, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	digest, size, err := v1.SHA256(f)
	if err != nil {
		return nil, err
	}
	return &fileBlob{path: p, digest: digest, size: size}, nil
}

func (b *fileBlob) Digest() (v1.Hash, error)             { return b.digest, nil }
func (b *fileBlob) DiffID() (v1.Hash, error)             { return b.digest, nil }
func (b *fileBlob) Size() (int64, error)                 { return b.size, nil }
func (b *fileBlob) MediaType() (types.MediaType, error)  { return fileType, nil }
func (b *fileBlob) Compressed() (io.ReadCloser, error)   { return os.Open(b.path) }
func (b *fileBlob) Uncompressed() (io.ReadCloser, error) { return os.Open(b.path) }

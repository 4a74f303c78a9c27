package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Cache keeps layers of images in a folder, by digest. A layer that came whole is
// never asked for again; one that is cut off is asked for anew.
type Cache struct {
	Dir string
	Say func(digest string, size int64) // before a layer is fetched; may be nil
}

// Fetch gives the image with its layers on this machine, checked.
func (c *Cache) Fetch(ctx context.Context, img v1.Image) (v1.Image, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for layers: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading an image's layers: %w", err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading an image's config: %w", err)
	}
	if len(cf.History) != len(layers) {
		return nil, &Unfit{"an image does not say whose its layers are"}
	}
	adds := make([]mutate.Addendum, len(layers))
	for i, l := range layers {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		kept, err := c.layer(l)
		if err != nil {
			return nil, err
		}
		adds[i] = mutate.Addendum{Layer: kept, History: cf.History[i]}
	}
	local, err := mutate.Append(ociEmpty(), adds...)
	if err != nil {
		return nil, fmt.Errorf("reading an image: %w", err)
	}
	return mutate.ConfigFile(local, cf)
}

// layer fetches one. remote checks the digest while it is read.
func (c *Cache) layer(l v1.Layer) (v1.Layer, error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	size, err := l.Size()
	if err != nil {
		return nil, err
	}
	diffID, err := l.DiffID()
	if err != nil {
		return nil, err
	}
	mt, err := l.MediaType()
	if err != nil {
		return nil, err
	}
	kept := &blobLayer{path: filepath.Join(c.Dir, digest.Hex), digest: digest, diffID: diffID, size: size}
	if info, err := os.Stat(kept.path); err == nil && info.Size() == size {
		return retyped{kept, mt}, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading a kept layer: %w", err)
	}
	if c.Say != nil {
		c.Say(digest.String(), size)
	}
	rc, err := l.Compressed()
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", digest, err)
	}
	defer rc.Close()
	f, err := os.CreateTemp(c.Dir, ".part-")
	if err != nil {
		return nil, fmt.Errorf("keeping %s: %w", digest, err)
	}
	defer os.Remove(f.Name()) // gone by its new name when all went well
	if _, err = io.Copy(f, rc); err != nil {
		f.Close()
		return nil, fmt.Errorf("fetching %s: %w", digest, err)
	}
	if err := errors.Join(f.Close(), os.Rename(f.Name(), kept.path)); err != nil {
		return nil, fmt.Errorf("keeping %s: %w", digest, err)
	}
	return retyped{kept, mt}, nil
}

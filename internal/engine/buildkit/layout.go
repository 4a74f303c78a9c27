package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// storeName names the folder of an image within a session. Reference grammar
// allows no more than lower case letters and digits here.
func storeName(img engine.Image) string {
	dir, err := filepath.Abs(img.Layout)
	if err != nil {
		dir = img.Layout
	}
	sum := sha256.Sum256([]byte(dir))
	return "layout" + hex.EncodeToString(sum[:8])
}

// output is a layout that receives an image. Blobs that the caller has in other
// folders are reported as there, so that the daemon does not send them, and so
// are layers whose blobs are: those below, and those that it has sent.
type output struct {
	content.Store
	have   []string
	tar    func(diffID string, tar io.Reader) // may be nil
	layers twins
	sent   *sync.Map // the daemon's
}

func (o *output) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	info, err := o.info(ctx, dgst)
	if err == nil {
		return info, nil
	}
	if w, ok := o.layers.get(dgst); ok {
		if info, err := o.info(ctx, w.blob.Digest); err == nil {
			info.Digest = dgst
			if w.tar.Size > 0 { // the daemon does not need it
				info.Size = w.tar.Size
			}
			return info, nil
		}
	}
	return content.Info{}, err
}

// info is that of a blob which is there under its own digest.
func (o *output) info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	info, err := o.Store.Info(ctx, dgst)
	if err == nil {
		return info, nil
	}
	if fi, err := os.Stat(o.elsewhere(dgst)); err == nil {
		return content.Info{Digest: dgst, Size: fi.Size(), CreatedAt: fi.ModTime(), UpdatedAt: fi.ModTime()}, nil
	}
	return content.Info{}, err
}

func (o *output) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, opt := range opts {
		if err := opt(&w); err != nil {
			return nil, err
		}
	}
	if w.Desc.Digest != "" {
		if _, err := o.Info(ctx, w.Desc.Digest); err == nil {
			return nil, fmt.Errorf("blob %s: %w", w.Desc.Digest, cerrdefs.ErrAlreadyExists)
		}
	}
	// While another build writes the same blob, wait: it is there then, unless it is
	// a layer, which is sent again.
	inner, err := content.OpenWriter(ctx, o.Store, opts...)
	if err != nil {
		return nil, err
	}
	return o.newWriter(inner, w.Desc.Digest)
}

// elsewhere is the file of a blob in one of the folders that the caller has.
func (o *output) elsewhere(dgst digest.Digest) string {
	if dgst.Validate() != nil {
		return ""
	}
	for _, dir := range o.have {
		file := blobFile(dir, dgst)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

func blobFile(layout string, dgst digest.Digest) string {
	return filepath.Join(layout, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

// manifest is what tells an image manifest and an index apart.
type manifest struct {
	MediaType string                `json:"mediaType"`
	Config    ocispecs.Descriptor   `json:"config"`
	Manifests []ocispecs.Descriptor `json:"manifests"`
}

// readJSON reads a small blob that lies in one of the layouts.
func readJSON(layouts []string, dgst digest.Digest, into any) error {
	if err := dgst.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", dgst, err)
	}
	var last error
	for _, dir := range layouts {
		raw, err := os.ReadFile(blobFile(dir, dgst))
		if err != nil {
			last = err
			continue
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return fmt.Errorf("reading blob %s: %w", dgst, err)
		}
		return nil
	}
	return fmt.Errorf("reading blob %s: %w", dgst, last)
}

// imageManifest is the digest of the manifest for a platform: dgst itself, or
// the one that an index names.
func imageManifest(layouts []string, dgst digest.Digest, platform ocispecs.Platform) (digest.Digest, error) {
	var m manifest
	if err := readJSON(layouts, dgst, &m); err != nil {
		return "", err
	}
	if len(m.Manifests) == 0 {
		return dgst, nil
	}
	match := platforms.OnlyStrict(platform)
	for _, d := range m.Manifests {
		if d.Platform != nil && match.Match(*d.Platform) {
			return d.Digest, nil
		}
	}
	return "", fmt.Errorf("index %s names no image for %s", dgst, platforms.Format(platform))
}

// readConfig reads the config of an image.
func readConfig(img engine.Image, platform ocispecs.Platform) (ocispecs.ImageConfig, error) {
	layouts := []string{img.Layout}
	dgst, err := imageManifest(layouts, digest.Digest(img.Digest), platform)
	if err != nil {
		return ocispecs.ImageConfig{}, err
	}
	var m manifest
	if err := readJSON(layouts, dgst, &m); err != nil {
		return ocispecs.ImageConfig{}, err
	}
	var cfg ocispecs.Image
	if err := readJSON(layouts, m.Config.Digest, &cfg); err != nil {
		return ocispecs.ImageConfig{}, err
	}
	return cfg.Config, nil
}

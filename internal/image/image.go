// Package image reads, writes and assembles container images without an engine.
//
// A FileList says what a layer holds. LayerFromDir writes a folder as a linked
// layer: one gzip blob that depends on nothing but the folder's content, so that
// the same folder gives the same digest on any machine. An Assembly puts an
// image together from an existing image (base and chain) and linked layers,
// and refuses, naming both owners, what would not be the same in any order:
// one path with different content, a path through a symlink, whiteouts, setuid
// files, device nodes, one Python distribution in two versions, one variable
// with two values. The result is an OCI image whose bytes follow from its
// inputs alone. Labels are what the image says about itself.
package image

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// OpenOptions say how to reach an image.
type OpenOptions struct {
	Platform  v1.Platform       // which image of an index; linux/arm64 when empty
	Insecure  bool              // plain HTTP where the registry has no TLS
	Transport http.RoundTripper // nil is the default of go-containerregistry
	Patience  Patience
}

// Open finds an image in a registry, with the credentials that Docker's
// configuration holds. Its layers are read when they are asked for, under ctx.
func Open(ctx context.Context, ref string, o OpenOptions) (v1.Image, error) {
	var nameOpts []name.Option
	if o.Insecure {
		nameOpts = append(nameOpts, name.Insecure)
	}
	r, err := name.ParseReference(ref, nameOpts...)
	if err != nil {
		return nil, fmt.Errorf("reading image reference %q: %w", ref, err)
	}
	if o.Platform.OS == "" {
		o.Platform = v1.Platform{OS: "linux", Architecture: "arm64"}
	}
	img, err := remote.Image(r,
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(o.Platform),
		remote.WithTransport(Transport(o.Transport, o.Patience)),
		remote.WithRetryPredicate(Retryable),
	)
	if err != nil {
		return nil, fmt.Errorf("opening image %s for %s: %w", ref, o.Platform.String(), Explain(r.Context().Registry, r.Context().RepositoryStr(), err))
	}
	return img, nil
}

// New makes an image of layers as they are, bottom up: the way a base comes
// into being. Nothing is refused. owner names it in the history.
func New(owner string, platform v1.Platform, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	adds := make([]mutate.Addendum, len(layers))
	for i, l := range layers {
		l, err := ociLayer(l)
		if err != nil {
			return nil, fmt.Errorf("making the image of %s: layer %d: %w", owner, i, err)
		}
		adds[i] = mutate.Addendum{Layer: l, History: history(owner)}
	}
	img, err := mutate.Append(ociEmpty(), adds...)
	if err != nil {
		return nil, fmt.Errorf("making the image of %s: %w", owner, err)
	}
	return finish(img, platform, config)
}

// Epoch is the time of everything jetcrate writes into a layer: the first that
// a zip archive can hold, so that wheels can be repacked inside an image.
func Epoch() time.Time { return time.Unix(315532800, 0).UTC() } // 1980-01-01

func ociEmpty() v1.Image {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	return mutate.ConfigMediaType(img, types.OCIConfigJSON)
}

func history(owner string) v1.History {
	return v1.History{Created: v1.Time{Time: Epoch()}, CreatedBy: "jetcrate " + owner}
}

// finish sets everything in the config that is not the layers' own.
func finish(img v1.Image, p v1.Platform, c v1.Config) (v1.Image, error) {
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	cf.Created = v1.Time{Time: Epoch()}
	cf.Author, cf.Container = "", ""
	cf.OS, cf.Architecture, cf.Variant = p.OS, p.Architecture, p.Variant
	cf.OSVersion, cf.OSFeatures = p.OSVersion, p.OSFeatures
	cf.Config = c
	return mutate.ConfigFile(img, cf)
}

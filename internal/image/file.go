package image

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PushFile pushes a small file as an artifact of one layer.
func PushFile(ctx context.Context, ref, mediaType string, content []byte, insecure bool) (digest string, err error) {
	var opts []name.Option
	if insecure {
		opts = append(opts, name.Insecure)
	}
	r, err := name.ParseReference(ref, opts...)
	if err != nil {
		return "", fmt.Errorf("reading reference %q: %w", ref, err)
	}
	img, err := mutate.Append(ociEmpty(), mutate.Addendum{Layer: static.NewLayer(content, types.MediaType(mediaType))})
	if err != nil {
		return "", err
	}
	err = remote.Write(r, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(Transport(nil, Patience{})))
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, Explain(r.Context().Registry, r.Context().RepositoryStr(), err))
	}
	h, err := img.Digest()
	return h.String(), err
}

// FetchFile reads back what PushFile pushed, if it has at most limit bytes.
func FetchFile(ctx context.Context, ref, mediaType string, limit int64) ([]byte, error) {
	img, err := Open(ctx, ref, OpenOptions{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}})
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	for _, l := range layers {
		mt, err := l.MediaType()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref, err)
		}
		size, err := l.Size()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref, err)
		}
		if string(mt) != mediaType {
			continue
		}
		if size > limit {
			return nil, fmt.Errorf("%s is larger than %d MiB", ref, limit>>20)
		}
		rc, err := l.Compressed() // checked against its digest while it is read
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref, err)
		}
		defer rc.Close()
		raw, err := io.ReadAll(rc)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref, err)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("%s holds no %s", ref, mediaType)
}

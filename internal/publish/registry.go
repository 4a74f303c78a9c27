package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Registry reaches the registries that images are published to, with the
// credentials that Docker's configuration holds.
type Registry struct {
	pusher   *remote.Pusher
	puller   *remote.Puller
	insecure bool
}

// RegistryOptions of NewRegistry.
type RegistryOptions struct {
	Insecure  bool // plain HTTP; loopback addresses need no saying so
	Auth      remote.Option
	Transport http.RoundTripper
	Patience  image.Patience
	Backoff   remote.Backoff
}

// NewRegistry makes a Registry.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	if o.Auth == nil {
		o.Auth = remote.WithAuthFromKeychain(authn.DefaultKeychain)
	}
	opts := []remote.Option{
		o.Auth, remote.WithTransport(image.Transport(o.Transport, o.Patience)), remote.WithUserAgent("jetcrate"), remote.WithRetryPredicate(image.Retryable),
	}
	if o.Backoff.Steps > 0 {
		opts = append(opts, remote.WithRetryBackoff(o.Backoff))
	}
	pusher, err := remote.NewPusher(opts...)
	if err != nil {
		return nil, fmt.Errorf("reaching registries: %w", err)
	}
	puller, err := remote.NewPuller(opts...)
	if err != nil {
		return nil, fmt.Errorf("reaching registries: %w", err)
	}
	return &Registry{pusher: pusher, puller: puller, insecure: o.Insecure}, nil
}

func (r *Registry) names() []name.Option {
	if r.insecure {
		return []name.Option{name.StrictValidation, name.Insecure}
	}
	return []name.Option{name.StrictValidation}
}

// ParsePlace reads a place for releases, host/path.
func ParsePlace(text string) (string, error) {
	place := strings.TrimSuffix(text, "/")
	if _, err := name.NewRepository(place, name.StrictValidation); err != nil {
		return "", fmt.Errorf("a place is HOST/PATH, such as registry.example.org/jetson, not %q", text)
	}
	return place, nil
}

// PlaceOf is the place that an image lies in: host/path of host/path/NAME:TAG.
func PlaceOf(reference string) (string, error) {
	if _, err := name.ParseReference(reference, name.StrictValidation); err != nil {
		return "", fmt.Errorf("a published image is HOST/PATH/NAME:TAG or HOST/PATH/NAME@sha256:DIGEST, not %q", reference)
	}
	repository, _, _ := strings.Cut(reference, "@")
	return ParsePlace(repository[:max(strings.LastIndexByte(repository, '/'), 0)])
}

// Reference is the tag of an image at a place.
func (r *Registry) Reference(place, image, tag string) (name.Tag, error) {
	return r.Parse(strings.TrimSuffix(place, "/") + "/" + image + ":" + tag)
}

// Parse reads a tag with its repository and host.
func (r *Registry) Parse(reference string) (name.Tag, error) {
	t, err := name.NewTag(reference, r.names()...)
	if err != nil {
		return t, fmt.Errorf("naming the image %s: %w", reference, err)
	}
	return t, nil
}

// Digest tells what a tag or digest has, with one request; "" where there is nothing.
func (r *Registry) Digest(ctx context.Context, ref name.Reference) (string, error) {
	d, err := r.puller.Head(ctx, ref)
	if absent(err) {
		return "", nil
	}
	if err != nil {
		return "", r.explain("looking up "+ref.Name(), ref, err)
	}
	return d.Digest.String(), nil
}

func absent(err error) bool {
	var terr *transport.Error
	return errors.As(err, &terr) && terr.StatusCode == http.StatusNotFound
}

func (r *Registry) explain(doing string, ref name.Reference, err error) error {
	return fmt.Errorf("%s: %w", doing, image.Explain(ref.Context().Registry, ref.Context().RepositoryStr(), err))
}

// Copy brings an image of the store, and what is attached to it, to a repository,
// by digest: blobs first, then the manifest, then what refers to it. What is there
// is not sent again.
func (r *Registry) Copy(ctx context.Context, st *store.Store, reference, digest string) error {
	tag, err := r.Parse(reference)
	if err != nil {
		return err
	}
	img, err := st.ImageAt(ctx, digest)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", reference, err)
	}
	if err := r.put(ctx, tag, digest, img); err != nil {
		return err
	}
	attached, err := st.Referrers(ctx, digest)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", reference, err)
	}
	for _, d := range attached {
		doc, err := st.ImageAt(ctx, d.Digest.String())
		if err != nil {
			return fmt.Errorf("publishing what is attached to %s: %w", reference, err)
		}
		if err := r.put(ctx, tag, d.Digest.String(), doc); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) put(ctx context.Context, tag name.Tag, digest string, img v1.Image) error {
	ref := tag.Context().Digest(digest)
	if err := r.pusher.Push(ctx, ref, img); err != nil {
		return r.explain("publishing "+tag.Name(), tag, err)
	}
	// What is logged has to be there, whatever something on the way answered.
	got, err := r.Digest(ctx, ref)
	if err == nil && got != digest {
		err = fmt.Errorf("publishing %s: the registry said yes, and does not have %s", tag.Name(), digest)
	}
	return err
}

// Tag gives a manifest that the repository has a tag, and looks whether it has it.
func (r *Registry) Tag(ctx context.Context, tag name.Tag, digest string) error {
	d, err := r.puller.Get(ctx, tag.Context().Digest(digest))
	if err != nil {
		return r.explain(fmt.Sprintf("naming %s %s", digest, tag.Name()), tag, err)
	}
	if err := r.pusher.Put(ctx, tag, manifest{d.Manifest, d.MediaType}); err != nil {
		return r.explain(fmt.Sprintf("naming %s %s", digest, tag.Name()), tag, err)
	}
	got, err := r.Digest(ctx, tag)
	if err == nil && got == "" { // another image is one that another publisher moved it to
		err = fmt.Errorf("naming %s %s: the registry said yes, and has nothing there", digest, tag.Name())
	}
	return err
}

// manifest is a manifest as it is sent.
type manifest struct {
	raw  []byte
	kind types.MediaType
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.kind, nil }

// Image opens an image that was published, by tag or digest.
func (r *Registry) Image(ctx context.Context, reference string) (name.Reference, v1.Image, error) {
	var opts []name.Option
	if r.insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(reference, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the image reference %q: %w", reference, err)
	}
	d, err := r.puller.Get(ctx, ref)
	if absent(err) {
		return ref, nil, fmt.Errorf("%s: %w", ref.Name(), ErrNoImage)
	}
	if err != nil {
		return ref, nil, r.explain("reading "+ref.Name(), ref, err)
	}
	want := d.Digest.String()
	got, _, err := v1.SHA256(bytes.NewReader(d.Manifest))
	if err != nil || got.String() != want {
		return ref, nil, fmt.Errorf("reading %s: the manifest has the digest %s instead of %s", ref.Name(), got, want)
	}
	img, err := d.Image()
	if err != nil {
		return ref, nil, r.explain("reading "+ref.Name(), ref, err)
	}
	return ref, img, nil
}

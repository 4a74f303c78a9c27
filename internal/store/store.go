// Package store holds everything jetcrate made, in one repository of an OCI
// registry: bases, sources, artifacts, layers, images, test results, file lists.
//
// Every record is a manifest with the tag KIND-KEY, where the key is the hash of
// all that determines it. A record that is there is never made again; written
// twice, the later has the tag and both can be read by digest. Test results
// refer to their image (OCI referrers, or the tag scheme).
//
// The registry is any of the OCI distribution protocol, or the embedded one: a
// folder with an OCI layout, served on the loopback address by the process that
// opened it first. There, what a put has returned for is on the disk (fsync of
// blobs, manifest, index and folders), nothing is deleted but by GC and Remove,
// and GC leaves what a process that writes was told is there.
package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/image"
)

// Kind is what a record is.
type Kind string

const (
	Base     Kind = "base"     // an image on which others stand
	Source   Kind = "source"   // verified files that a build starts from
	Artifact Kind = "artifact" // what a build phase left in /out
	Layer    Kind = "layer"    // stacked: the image up to it; linked: its one blob
	Image    Kind = "image"    // a target's image
	Test     Kind = "test"     // evidence
	Files    Kind = "files"    // the file list of a layer, by diff ID
	Packages Kind = "packages" // what dpkg and Python say that a layer brings, by diff ID

	Attestation Kind = "attestation" // what is attached to an image beside evidence
)

// ErrNotFound is what reading a record that does not exist gives.
var ErrNotFound = errors.New("not in the store")

// ErrFull is what storing gives where the embedded registry's disk has no room.
var ErrFull = errors.New("the store's disk is full")

// Record is a manifest in the store.
type Record struct {
	Kind         Kind
	Key          string
	Digest       string // of the manifest, sha256:...
	MediaType    string
	Size         int64             // of the manifest
	ArtifactType string            // empty for an image, and from Lookup
	Annotations  map[string]string // of the manifest; nil from Lookup
}

// Descriptor names the record's manifest, as the subject of evidence does.
func (r Record) Descriptor() v1.Descriptor {
	h, _ := v1.NewHash(r.Digest) // a record's digest is one
	return v1.Descriptor{MediaType: types.MediaType(r.MediaType), Size: r.Size, Digest: h}
}

// Options of Open.
type Options struct {
	// Location is host/repository of a registry; "" is the embedded one.
	Location string
	// Insecure speaks plain HTTP with Location. Loopback and private addresses
	// need no saying so.
	Insecure bool
	// Dir is the folder of the embedded registry.
	Dir string
	// Cache is the folder in which Layout keeps blobs of Location.
	Cache string

	backoff  remote.Backoff // tests shorten them
	patience image.Patience
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	repo      name.Repository
	embedded  *embedded // nil for a registry
	cache     string
	transport *countingTransport
	pusher    *remote.Pusher
	puller    *remote.Puller

	referrers sync.Mutex // the tag scheme reads, changes and writes an index

	leaseMu   sync.Mutex
	lease     *flock.Flock // says that this process writes, see writing
	leaseName string
}

// Open opens a store. For the embedded registry this process serves it, or
// connects to the process that does and takes over when that one ends.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{cache: o.Cache, transport: &countingTransport{}}
	location := o.Location
	var auth remote.Option
	if location == "" {
		if o.Dir == "" {
			return nil, errors.New("opening the store: neither a registry nor a folder is given")
		}
		e, err := openEmbedded(ctx, o.Dir)
		if err != nil {
			return nil, fmt.Errorf("opening the store in %s: %w", o.Dir, err)
		}
		s.embedded = e
		s.transport.token = e.token
		s.transport.inner = &http.Transport{DialContext: e.dial, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second}
		location = e.address() + "/" + repository
		auth = remote.WithAuth(authn.Anonymous)
	} else {
		s.transport.inner = image.Transport(nil, o.patience)
		auth = remote.WithAuthFromKeychain(authn.DefaultKeychain)
	}
	var nameOpts []name.Option
	if o.Insecure {
		nameOpts = append(nameOpts, name.Insecure)
	}
	repo, err := name.NewRepository(strings.TrimSuffix(location, "/"), append(nameOpts, name.StrictValidation)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: it must be HOST/REPOSITORY: %w", location, err), s.Close())
	}
	s.repo = repo
	if o.backoff.Steps == 0 {
		o.backoff = remote.Backoff{Duration: 200 * time.Millisecond, Factor: 2.5, Jitter: 0.1, Steps: 5}
	}
	opts := []remote.Option{
		auth,
		remote.WithTransport(s.transport),
		remote.WithUserAgent("jetcrate"),
		remote.WithRetryBackoff(o.backoff),
		remote.WithRetryPredicate(image.Retryable),
	}
	if s.pusher, err = remote.NewPusher(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", location, err), s.Close())
	}
	if s.puller, err = remote.NewPuller(opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", location, err), s.Close())
	}
	return s, nil
}

// Close gives the store back. A process that serves the embedded registry
// stops doing so once running requests are answered.
func (s *Store) Close() error {
	if t, ok := s.transport.inner.(*http.Transport); ok && s.embedded != nil {
		t.CloseIdleConnections()
	}
	if s.embedded == nil {
		return nil
	}
	if err := errors.Join(s.endLease(), s.embedded.close()); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Serve has the embedded registry served until ctx ends, without a gap of more
// than a moment where another process serves it and ends. One that is elsewhere
// serves itself.
func (s *Store) Serve(ctx context.Context) error {
	if s.embedded == nil {
		<-ctx.Done()
		return nil
	}
	if err := s.embedded.keep(ctx); err != nil {
		return fmt.Errorf("serving the store: %w", err)
	}
	return nil
}

// Repository is where the records are, for people and for docker pull:
// host/repository, or 127.0.0.1:PORT/jetcrate while the embedded one is open.
func (s *Store) Repository() string {
	if s.embedded != nil {
		return s.embedded.address() + "/" + repository
	}
	return s.repo.Name()
}

// Reference is the full name of a record: repository@digest.
func (s *Store) Reference(digest string) string { return s.Repository() + "@" + digest }

// Pushes counts the uploads made so far: blobs and manifests, not those that
// the registry had already.
func (s *Store) Pushes() int { return int(s.transport.pushes.Load()) }

// Lookup asks for a record with one request and reads none of it.
func (s *Store) Lookup(ctx context.Context, kind Kind, key string) (Record, bool, error) {
	tag, err := s.tag(kind, key)
	if err != nil {
		return Record{}, false, err
	}
	d, err := s.puller.Head(ctx, tag)
	if isNotFound(err) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, s.explain(fmt.Sprintf("looking up %s %s", kind, key), err)
	}
	return Record{Kind: kind, Key: key, Digest: d.Digest.String(), MediaType: string(d.MediaType), Size: d.Size}, true, nil
}

// tag is the tag of a record.
func (s *Store) tag(kind Kind, key string) (name.Tag, error) {
	if _, err := v1.NewHash("sha256:" + key); err != nil {
		return name.Tag{}, fmt.Errorf("%s key %q is not 64 hex digits", kind, key)
	}
	return s.repo.Tag(string(kind) + "-" + key), nil
}

// get reads a manifest. The error is ErrNotFound where there is none.
func (s *Store) get(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	d, err := s.puller.Get(ctx, ref)
	if isNotFound(err) {
		return nil, fmt.Errorf("%s: %w", ref.Identifier(), ErrNotFound)
	}
	if err != nil {
		return nil, s.explain("reading "+ref.Identifier(), err)
	}
	return d, nil
}

// record reads the manifest of a record.
func (s *Store) record(ctx context.Context, kind Kind, key string) (*remote.Descriptor, Record, error) {
	tag, err := s.tag(kind, key)
	if err != nil {
		return nil, Record{}, err
	}
	d, err := s.get(ctx, tag)
	if err != nil {
		return nil, Record{}, err
	}
	return d, recordOf(kind, key, d), nil
}

// resolve reads the manifest that a record names: by digest, or by tag where
// Known could not tell the digest.
func (s *Store) resolve(ctx context.Context, r Record) (*remote.Descriptor, error) {
	if r.Digest == "" {
		d, _, err := s.record(ctx, r.Kind, r.Key)
		return d, err
	}
	d, err := s.get(ctx, s.repo.Digest(r.Digest))
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", r.Kind, r.Key, err)
	}
	return d, nil
}

// Manifest reads the manifest of a record.
func (s *Store) Manifest(ctx context.Context, r Record) (*v1.Manifest, error) {
	d, err := s.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	return parseManifest(d)
}

func recordOf(kind Kind, key string, d *remote.Descriptor) Record {
	r := Record{
		Kind: kind, Key: key,
		Digest: d.Digest.String(), MediaType: string(d.MediaType), Size: d.Size, Annotations: d.Annotations,
	}
	if !d.MediaType.IsIndex() && !isImageConfig(d.ArtifactType) {
		r.ArtifactType = d.ArtifactType
	}
	return r
}

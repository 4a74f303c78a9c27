// Package attest says of an image what it holds, how it was made and what its
// tests said, in forms that other tools read: an SPDX 2.3 SBOM, SLSA provenance
// v1 and an in-toto test result. Each is a referrer of the image in the store,
// so that no digest of the image changes.
//
// A document is written once for what determines it. The SBOM follows from the
// image and from what the catalog says of its packages; the provenance is that
// of the run which first saw the image; the test result follows from the
// evidence, and new evidence gives a new one beside the old. Where all three are
// there, Write costs one listing of the store for all images of a run and the
// config of each image.
//
// Read gives what is attached to an image, the latest of each kind.
package attest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Artifact types of referrers, which are the media types of their documents too.
const (
	SPDXType   = "application/spdx+json"
	InTotoType = "application/vnd.in-toto+json"
)

// Predicate types of in-toto statements.
const (
	ProvenanceType = "https://slsa.dev/provenance/v1"
	TestResultType = "https://in-toto.io/attestation/test-result/v0.1"
)

const (
	// annotationPredicate tells statements apart without reading them.
	annotationPredicate = "in-toto.io/predicate-type"
	annotationCreated   = "org.opencontainers.image.created"
)

// format is part of every record's key: it moves when the documents say more.
const format = 1

// Revision is where the catalog was taken from.
type Revision struct {
	Repository string // https://..., without credentials; "" is unknown
	Commit     string // 40 hex digits; "" is unknown
	Modified   bool   // files differ from the commit
}

// Options are what all images of a run have in common.
type Options struct {
	Store    *store.Store
	Plan     *plan.Plan
	Catalog  *spec.Catalog
	Revision Revision
	Tool     string    // version of jetcrate
	Now      time.Time // SOURCE_DATE_EPOCH, or the clock
}

// Writer attaches documents to the images of a run. It is not safe for
// concurrent use.
type Writer struct {
	Options
	known map[string]store.Record
}

// New makes a writer.
func New(o Options) *Writer {
	o.Now = o.Now.UTC().Truncate(time.Second)
	return &Writer{Options: o}
}

// Write attaches to the image of a cell what is not attached yet, and says how
// many documents that were.
func (w *Writer) Write(ctx context.Context, c *plan.Cell, digest string) (int, error) {
	n, err := w.write(ctx, c, digest)
	if err != nil {
		return n, fmt.Errorf("attesting %s: %w", c.Tag, err)
	}
	return n, nil
}

func (w *Writer) write(ctx context.Context, c *plan.Cell, digest string) (int, error) {
	if w.known == nil {
		known, err := w.Store.Known(ctx)
		if err != nil {
			return 0, err
		}
		w.known = known
	}
	img, err := w.Store.ImageAt(ctx, digest)
	if err != nil {
		return 0, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return 0, fmt.Errorf("reading its config: %w", err)
	}
	of := about{Writer: w, cell: c, digest: digest, img: img, cfg: cfg}
	if of.evidence, err = w.evidence(ctx, c, cfg); err != nil {
		return 0, err
	}
	written := 0
	for _, d := range []document{
		{kind: SPDXType, about: []any{digest, of.declared()}, make: of.sbom},
		{kind: ProvenanceType, about: []any{digest}, make: of.provenance},
		{kind: TestResultType, about: []any{digest, of.evidence}, make: of.results, skip: len(of.evidence) == 0},
	} {
		did, err := of.attach(ctx, d)
		if err != nil {
			return written, err
		}
		if did {
			written++
		}
	}
	return written, nil
}

// about is an image that documents are made of.
type about struct {
	*Writer
	cell     *plan.Cell
	digest   string
	img      v1.Image
	cfg      *v1.ConfigFile
	evidence []recorded
}

// document is one that may have to be made.
type document struct {
	kind  string // SPDXType, or a predicate type
	about []any  // what determines it
	make  func(context.Context) ([]byte, error)
	skip  bool
}

func (a *about) attach(ctx context.Context, d document) (bool, error) {
	if d.skip {
		return false, nil
	}
	key, err := hashed(format, d.kind, d.about)
	if err != nil {
		return false, err
	}
	if _, there := a.known[string(store.Attestation)+"-"+key]; there {
		return false, nil
	}
	doc, err := d.make(ctx)
	if err != nil {
		return false, err
	}
	at := store.Attachment{Type: InTotoType, MediaType: InTotoType, Doc: doc, Annotations: map[string]string{
		annotationCreated: a.Now.Format(time.RFC3339), annotationPredicate: d.kind,
	}}
	if d.kind == SPDXType {
		at.Type, at.MediaType = SPDXType, SPDXType
		delete(at.Annotations, annotationPredicate)
	}
	subject, err := descriptor(a.img)
	if err != nil {
		return false, err
	}
	rec, err := a.Store.Attach(ctx, subject, key, at)
	if err != nil {
		return false, err
	}
	a.known[string(store.Attestation)+"-"+key] = rec
	return true, nil
}

func descriptor(img v1.Image) (v1.Descriptor, error) {
	mt, err := img.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := img.Size()
	return v1.Descriptor{MediaType: mt, Digest: digest, Size: size}, err
}

func hashed(parts ...any) (string, error) {
	b, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("hashing what determines a document: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

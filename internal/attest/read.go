package attest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"encoding/json"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Attached is what is attached to an image.
type Attached struct {
	SBOM       *spdx.Document
	SPDX       []byte // the SBOM as it was written
	Provenance *provenance.Provenance
	Results    *testresult.TestResult
	Evidence   []execute.Evidence
	Others     []Other
}

// Other is a referrer of a kind that this package does not read.
type Other struct {
	Type   string `json:"type"`
	Digest string `json:"digest"`
}

// Referrers is a store, as far as Read needs it.
type Referrers interface {
	Referrers(ctx context.Context, digest string) ([]v1.Descriptor, error)
	EvidenceAt(ctx context.Context, digest string) ([]byte, error)
	Manifest(ctx context.Context, r store.Record) (*v1.Manifest, error)
}

// Read reads what is attached to an image: the latest SBOM, provenance and test
// result, and all evidence. It checks that the documents are what they say and
// about this image.
func Read(ctx context.Context, from Referrers, digest string) (Attached, error) {
	var a Attached
	list, err := from.Referrers(ctx, digest)
	if err != nil {
		return a, err
	}
	latest := map[string]string{} // when, by kind
	for _, d := range list {
		at := d.Digest.String()
		kind, notes := d.ArtifactType, d.Annotations
		known := kind == SPDXType || kind == InTotoType || kind == store.EvidenceType
		if !known || kind != store.EvidenceType && notes[annotationCreated] == "" {
			// Some registries list the type of the config, or no annotations.
			m, err := from.Manifest(ctx, store.Record{Kind: store.Attestation, Digest: at})
			if err != nil {
				return a, err
			}
			if m.ArtifactType != "" {
				kind = m.ArtifactType
			}
			notes = m.Annotations
		}
		if kind != SPDXType && kind != InTotoType && kind != store.EvidenceType {
			a.Others = append(a.Others, Other{kind, at})
			continue
		}
		if kind == InTotoType {
			kind = notes[annotationPredicate]
		}
		if kind != store.EvidenceType {
			if when, seen := latest[kind]; seen && when > notes[annotationCreated] {
				continue
			}
			latest[kind] = notes[annotationCreated]
		}
		doc, err := from.EvidenceAt(ctx, at)
		if err == nil {
			err = a.take(kind, doc, at, digest)
		}
		if err != nil {
			return a, fmt.Errorf("reading what is attached to %s: %w", digest, err)
		}
	}
	return a, nil
}

func (a *Attached) take(kind string, doc []byte, at, digest string) (err error) {
	switch kind {
	case SPDXType:
		a.SPDX = doc
		a.SBOM, err = ReadSBOM(doc)
	case ProvenanceType:
		a.Provenance = &provenance.Provenance{}
		if err = predicate(doc, digest, a.Provenance); err == nil {
			err = a.Provenance.Validate()
		}
	case TestResultType:
		a.Results = &testresult.TestResult{}
		err = predicate(doc, digest, a.Results)
	case store.EvidenceType:
		var e execute.Evidence
		if err = json.Unmarshal(doc, &e); err == nil {
			a.Evidence = append(a.Evidence, e)
		}
	default:
		a.Others = append(a.Others, Other{kind, at})
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, at, err)
	}
	return nil
}

// ReadSBOM reads an SPDX document and checks that what it relates is in it.
func ReadSBOM(doc []byte) (*spdx.Document, error) {
	d, err := spdxjson.Read(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	if err := spdxlib.ValidateDocument(d); err != nil {
		return nil, err
	}
	return d, nil
}

// predicate reads the predicate of a statement about the image.
func predicate(doc []byte, digest string, into proto.Message) error {
	s := &intoto.Statement{}
	if err := protojson.Unmarshal(doc, s); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	about := false
	for _, subject := range s.GetSubject() {
		about = about || subject.GetDigest()["sha256"] == strings.TrimPrefix(digest, "sha256:")
	}
	if !about {
		return fmt.Errorf("it is about another image than %s", digest)
	}
	raw, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, into)
}

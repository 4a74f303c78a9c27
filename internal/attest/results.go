package attest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// recorded is a test with the record of its evidence.
type recorded struct {
	Package, Test string
	Key, Digest   string
}

func (r recorded) name() string { return r.Package + "/" + r.Test }

// evidence lists what is recorded of the tests of a cell.
func (w *Writer) evidence(ctx context.Context, c *plan.Cell, cfg *v1.ConfigFile) ([]recorded, error) {
	var out []recorded
	for _, k := range c.Tests {
		n := w.Plan.Node(k)
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		if err != nil {
			return nil, err
		}
		r, there := w.known[string(store.Test)+"-"+key]
		if there && r.Digest == "" { // a registry's listing has none
			if r, there, err = w.Store.Lookup(ctx, store.Test, key); err != nil {
				return nil, err
			}
		}
		if there {
			out = append(out, recorded{Package: n.Package, Test: n.Test.Name, Key: key, Digest: r.Digest})
		}
	}
	slices.SortFunc(out, func(a, b recorded) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Test, b.Test), strings.Compare(a.Key, b.Key))
	})
	return out, nil
}

// results makes the test result. A test that was skipped, for lack of a GPU or
// else, is a warning there: it proves nothing.
func (a *about) results(ctx context.Context) ([]byte, error) {
	r := &testresult.TestResult{Result: "PASSED"}
	for _, rec := range a.evidence {
		e, err := execute.ReadEvidence(ctx, a.Store, rec.Key)
		if err != nil {
			return nil, err
		}
		switch e.Status {
		case execute.Passed:
			r.PassedTests = append(r.PassedTests, rec.name())
		case execute.Failed:
			r.FailedTests = append(r.FailedTests, rec.name())
		default:
			r.WarnedTests = append(r.WarnedTests, rec.name())
		}
		notes := map[string]any{
			"status": string(e.Status), "key": rec.Key, "arch": e.Environment.Arch,
			"machine": e.Environment.Machine, "engine": e.Environment.Engine, "reason": e.Reason,
		}
		d, err := described(rec.name(), "", rec.Digest, notes)
		if err != nil {
			return nil, err
		}
		d.MediaType = store.EvidenceType
		r.Configuration = append(r.Configuration, d)
	}
	switch {
	case len(r.FailedTests) > 0:
		r.Result = "FAILED"
	case len(r.WarnedTests) > 0:
		r.Result = "WARNED"
	}
	return a.statement(TestResultType, r)
}

// described is a resource with its digest and what else is to be said of it;
// empty notes are left out.
func described(name, uri, digest string, notes map[string]any) (*intoto.ResourceDescriptor, error) {
	d := &intoto.ResourceDescriptor{Name: name, Uri: uri}
	if algorithm, hex, ok := strings.Cut(digest, ":"); ok {
		d.Digest = map[string]string{algorithm: hex}
	}
	for k, v := range notes {
		if v == "" {
			delete(notes, k)
		}
	}
	if len(notes) == 0 {
		return d, nil
	}
	var err error
	if d.Annotations, err = structpb.NewStruct(notes); err != nil {
		return nil, fmt.Errorf("describing %s: %w", name, err)
	}
	return d, nil
}

// statement is an in-toto statement about the image.
func (a *about) statement(predicateType string, predicate proto.Message) ([]byte, error) {
	raw, err := protojson.Marshal(predicate)
	if err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	body := &structpb.Struct{}
	if err := protojson.Unmarshal(raw, body); err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	subject, err := described(a.cell.Tag, "", a.digest, nil)
	if err != nil {
		return nil, err
	}
	s := &intoto.Statement{
		Type: intoto.StatementTypeUri, Subject: []*intoto.ResourceDescriptor{subject},
		PredicateType: predicateType, Predicate: body,
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("checking a statement: %w", err)
	}
	if raw, err = protojson.Marshal(s); err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	// protojson varies its white space on purpose.
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return nil, fmt.Errorf("writing a statement: %w", err)
	}
	return out.Bytes(), nil
}

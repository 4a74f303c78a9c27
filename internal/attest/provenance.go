package attest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

const (
	// BuildType says how the parameters of a provenance are to be read.
	BuildType = "https://github.com/jetcrate/jetcrate/blob/main/docs/attestations.md#build-type-v1"
	// BuilderID names what built: this program, on whichever machine.
	BuilderID = "https://github.com/jetcrate/jetcrate"
)

// provenance makes the SLSA provenance.
func (a *about) provenance(ctx context.Context) ([]byte, error) {
	engine, err := a.engines(ctx)
	if err != nil {
		return nil, err
	}
	external, internal, err := a.parameters()
	if err != nil {
		return nil, err
	}
	materials, err := a.materials(ctx)
	if err != nil {
		return nil, err
	}
	layers, err := a.byproducts()
	if err != nil {
		return nil, err
	}
	versions := map[string]string{"jetcrate": a.Tool}
	if engine != "" {
		versions["engine"] = engine
	}
	p := &provenance.Provenance{
		BuildDefinition: &provenance.BuildDefinition{
			BuildType: BuildType, ExternalParameters: external, InternalParameters: internal, ResolvedDependencies: materials,
		},
		RunDetails: &provenance.RunDetails{
			Builder:    &provenance.Builder{Id: BuilderID, Version: versions},
			Metadata:   &provenance.BuildMetadata{FinishedOn: timestamppb.New(a.Now)},
			Byproducts: layers,
		},
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("checking the provenance: %w", err)
	}
	return a.statement(ProvenanceType, p)
}

// engines are those that the tests of the image name. An image without tests
// says nothing of engines: the layers may be of any.
func (a *about) engines(ctx context.Context) (string, error) {
	var names []string
	for _, r := range a.evidence {
		e, err := execute.ReadEvidence(ctx, a.Store, r.Key)
		if err != nil {
			return "", err
		}
		if e.Environment.Engine != "" {
			names = append(names, e.Environment.Engine)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", "), nil
}

// parameters are what was asked for, and what the plan made of it.
func (a *about) parameters() (external, internal *structpb.Struct, err error) {
	t := a.cell.Platform
	platform := map[string]any{
		"l4t": t.L4T, "flavour": t.Flavour, "os": t.OS.ID + " " + t.OS.Version, "arch": t.Arch, "python": t.Python,
		"cuda": t.CUDA, "cudnn": t.CuDNN, "tensorrt": t.TensorRT,
	}
	for k, v := range platform {
		if v == "" {
			delete(platform, k)
		}
	}
	if external, err = structpb.NewStruct(map[string]any{"target": a.cell.Target, "cell": a.cell.ID, "platform": platform}); err != nil {
		return nil, nil, err
	}
	var nodes []any
	img := a.Plan.Node(a.cell.Image)
	for _, k := range slices.Concat(img.Chain, img.Linked) {
		n := a.Plan.Node(k)
		nodes = append(nodes, map[string]any{"key": k, "kind": string(n.Kind), "title": n.Title()})
	}
	internal, err = structpb.NewStruct(map[string]any{
		"planFormat": a.Plan.Format, "image": a.cell.Image, "nodes": nodes,
	})
	return external, internal, err
}

// materials are what went in: the base, the catalog, its specs, source archives.
func (a *about) materials(ctx context.Context) ([]*intoto.ResourceDescriptor, error) {
	var out []*intoto.ResourceDescriptor
	var firstErr error
	add := func(name, uri, digest string, notes map[string]any) {
		d, err := described(name, uri, digest, notes)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		out = append(out, d)
	}
	img := a.Plan.Node(a.cell.Image)
	base := a.Plan.Node(img.Chain[0])
	rec, there, err := a.Store.Lookup(ctx, store.Base, base.Key)
	if err != nil {
		return nil, err
	}
	if there {
		add("base", "", rec.Digest, map[string]any{"key": base.Key, "what": base.Base.String()})
	}
	if base.Base.Digest != "" {
		add("base as locked", base.Base.Image, base.Base.Digest, nil)
	}
	if r := a.Revision; r.Commit != "" {
		uri := ""
		if r.Repository != "" {
			uri = "git+" + r.Repository
		}
		note := ""
		if r.Modified {
			note = "files differ from this commit"
		}
		add("catalog", uri, "gitCommit:"+r.Commit, map[string]any{"modified": note})
	}
	for _, ref := range a.cell.Packages {
		p := a.Catalog.Packages[ref.Name]
		if p == nil || p.Doc == nil {
			continue
		}
		add(p.Doc.Name, "", fmt.Sprintf("sha256:%x", sha256.Sum256(p.Doc.Bytes)), map[string]any{"version": ref.Version})
	}
	for _, n := range a.sources(img) {
		uri := ""
		if len(n.Archive.URLs) > 0 {
			uri = n.Archive.URLs[0]
		}
		add("source "+n.Archive.Name(), uri, "sha256:"+n.Archive.SHA256, nil)
	}
	return out, firstErr
}

// sources are the source archives below the image, each once, as the plan has them.
func (a *about) sources(img *plan.Node) []*plan.Node {
	below := map[string]bool{}
	todo := slices.Concat(img.Chain, img.Linked)
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n := a.Plan.Node(k); n != nil && !below[k] {
			below[k] = true
			todo = append(todo, n.Needs...)
			if n.Artifact != "" {
				todo = append(todo, n.Artifact)
			}
		}
	}
	var out []*plan.Node
	for _, n := range a.Plan.Nodes {
		if n.Kind == plan.Source && below[n.Key] {
			out = append(out, n)
		}
	}
	return out
}

// byproducts are the layers, bottom up, with their keys.
func (a *about) byproducts() ([]*intoto.ResourceDescriptor, error) {
	layers, err := Layers(a.img)
	if err != nil {
		return nil, err
	}
	Keyed(layers, a.Plan, a.Plan.Node(a.cell.Image))
	var out []*intoto.ResourceDescriptor
	for _, l := range layers {
		d, err := described("layer of "+l.Owner, "", l.Digest, map[string]any{"owner": l.Owner, "kind": l.Kind, "key": l.Key})
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

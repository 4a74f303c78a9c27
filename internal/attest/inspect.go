package attest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Inspection is all that is known of an image.
type Inspection struct {
	Title     string         `json:"title,omitempty"` // the readable tag
	Reference string         `json:"reference"`       // host/repository@digest
	Digest    string         `json:"digest"`
	Key       string         `json:"key,omitempty"`
	Size      int64          `json:"size"` // compressed
	Platform  image.Platform `json:"platform"`
	Hosts     string         `json:"hosts,omitempty"` // "" is unknown
	Packages  []Declared     `json:"packages"`
	Layers    []Layer        `json:"layers"`
	Tests     []Test         `json:"tests"`
	Contents  *Contents      `json:"contents,omitempty"`   // of the SBOM
	Made      *Made          `json:"provenance,omitempty"` // of the provenance
	Result    string         `json:"testResult,omitempty"` // of the in-toto statement
	Others    []Other        `json:"others,omitempty"`
}

// Declared is a package of the catalog in an image.
type Declared struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence,omitempty"`
}

// Test is what a test said, and where it ran.
type Test struct {
	Package     string  `json:"package"`
	Name        string  `json:"name"`
	GPU         bool    `json:"gpu,omitempty"`
	Status      string  `json:"status"`
	Reason      string  `json:"reason,omitempty"`
	Environment string  `json:"environment"`
	Engine      string  `json:"engine,omitempty"`
	Seconds     float64 `json:"seconds"`
}

// Contents sums up an SBOM.
type Contents struct {
	Format   string         `json:"format"`
	Created  string         `json:"created"`
	Catalog  int            `json:"catalog"`
	Debian   int            `json:"debian"`
	Python   int            `json:"python"`
	Licences map[string]int `json:"licences"` // declared; what nothing is said of is not counted
}

// Made sums up a provenance.
type Made struct {
	Finished  string     `json:"finished,omitempty"`
	Versions  []string   `json:"versions"` // "engine buildkit v0.30.0"
	Materials []Material `json:"materials"`
}

// Material is something that went into an image.
type Material struct {
	Name   string `json:"name"`
	URI    string `json:"uri,omitempty"`
	Digest string `json:"digest,omitempty"`
	Note   string `json:"note,omitempty"`
}

// Inspect reads what is known of an image of a store. What is attached comes
// back too.
func Inspect(ctx context.Context, s *store.Store, digest string) (*Inspection, Attached, error) {
	img, err := s.ImageAt(ctx, digest)
	if err != nil {
		return nil, Attached{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, Attached{}, fmt.Errorf("reading the manifest of %s: %w", digest, err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, Attached{}, fmt.Errorf("reading the config of %s: %w", digest, err)
	}
	labels, err := image.ParseLabels(cfg.Config.Labels)
	if err != nil {
		return nil, Attached{}, err
	}
	i := &Inspection{
		Title: labels.Title, Reference: s.Reference(digest), Digest: digest, Key: labels.Key, Size: m.Config.Size,
		Platform: labels.Platform, Packages: []Declared{}, Tests: []Test{},
	}
	for _, p := range labels.Packages {
		i.Packages = append(i.Packages, Declared{Name: p.Name, Version: p.Version})
	}
	if i.Layers, err = Layers(img); err != nil {
		return nil, Attached{}, err
	}
	for _, l := range i.Layers {
		i.Size += l.Size
	}
	a, err := Read(ctx, s, digest)
	if err != nil {
		return nil, a, err
	}
	i.take(a)
	return i, a, nil
}

func (i *Inspection) take(a Attached) {
	for _, e := range a.Evidence {
		i.Tests = append(i.Tests, Test{
			Package: e.Package, Name: e.Test, GPU: e.GPU, Status: string(e.Status), Reason: e.Reason,
			Environment: e.Environment.String(), Engine: e.Environment.Engine, Seconds: e.Seconds,
		})
	}
	slices.SortFunc(i.Tests, func(a, b Test) int {
		return cmp.Or(rank(a.Status)-rank(b.Status), strings.Compare(a.Package, b.Package), strings.Compare(a.Name, b.Name))
	})
	if a.SBOM != nil {
		i.contents(a.SBOM)
	}
	if a.Provenance != nil {
		i.made(a)
	}
	i.Result = a.Results.GetResult()
	i.Others = a.Others
}

// rank puts what failed first, then what did not run.
func rank(status string) int {
	switch execute.Status(status) {
	case execute.Failed:
		return 0
	case execute.Passed:
		return 2
	}
	return 1
}

func (i *Inspection) contents(doc *spdx.Document) {
	c := &Contents{Format: doc.SPDXVersion, Licences: map[string]int{}}
	if doc.CreationInfo != nil {
		c.Created = doc.CreationInfo.Created
	}
	licence := map[string]string{}
	for _, p := range doc.Packages {
		id := string(p.PackageSPDXIdentifier)
		switch {
		case strings.HasPrefix(id, "catalog-"):
			c.Catalog++
			if p.PackageLicenseDeclared != noAssertion {
				licence[p.PackageName] = p.PackageLicenseDeclared
			}
		case strings.HasPrefix(id, "deb-"):
			c.Debian++
		case strings.HasPrefix(id, "pypi-"):
			c.Python++
		}
		if l := p.PackageLicenseDeclared; l != "" && l != noAssertion {
			c.Licences[l]++
		}
	}
	for at := range i.Packages {
		i.Packages[at].Licence = licence[i.Packages[at].Name]
	}
	i.Contents = c
}

func (i *Inspection) made(a Attached) {
	run := a.Provenance.GetRunDetails()
	i.Made = &Made{Versions: []string{}, Materials: []Material{}}
	if t := run.GetMetadata().GetFinishedOn(); t != nil {
		i.Made.Finished = t.AsTime().Format(time.RFC3339)
	}
	for name, v := range run.GetBuilder().GetVersion() {
		i.Made.Versions = append(i.Made.Versions, name+" "+v)
	}
	slices.Sort(i.Made.Versions)
	for _, d := range a.Provenance.GetBuildDefinition().GetResolvedDependencies() {
		m := Material{Name: d.GetName(), URI: d.GetUri()}
		for algorithm, hex := range d.GetDigest() {
			m.Digest = algorithm + ":" + hex
		}
		notes := d.GetAnnotations().AsMap()
		for _, k := range []string{"what", "version", "modified"} {
			if s, ok := notes[k].(string); ok {
				m.Note = s
			}
		}
		i.Made.Materials = append(i.Made.Materials, m)
	}
	// The image names the owners of its layers; the provenance knows their keys.
	for _, d := range run.GetByproducts() {
		notes := d.GetAnnotations().AsMap()
		for at := range i.Layers {
			l := &i.Layers[at]
			if l.Digest == "sha256:"+d.GetDigest()["sha256"] && notes["owner"] == l.Owner {
				l.Key, _ = notes["key"].(string)
				l.Kind, _ = notes["kind"].(string)
			}
		}
	}
}

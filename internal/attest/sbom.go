package attest

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"

	"github.com/jetcrate/jetcrate/internal/plan"
)

const noAssertion = "NOASSERTION"

// declared is what the catalog says of a package of an image.
type declared struct {
	Name, Version string
	Licence       string // SPDX expression
	Homepage      string
	Source        string // where the version comes from
	Archive       string // sha256 of the source archive
	URL           string // a place of the archive
	Key           string // of its layer
}

// declared lists the packages of the image as the catalog has them, bottom up.
func (a *about) declared() []declared {
	keys := map[string]string{}
	img := a.Plan.Node(a.cell.Image)
	for _, k := range slices.Concat(img.Chain[min(1, len(img.Chain)):], img.Linked) {
		keys[a.Plan.Node(k).Package] = k
	}
	var out []declared
	for _, ref := range a.cell.Packages {
		d := declared{Name: ref.Name, Version: ref.Version, Key: keys[ref.Name]}
		if p := a.Catalog.Packages[ref.Name]; p != nil {
			d.Licence, d.Homepage = p.License, p.Homepage
			for _, v := range p.Versions {
				if v.Version != ref.Version {
					continue
				}
				d.Source = v.Source
				if v.Archive != nil {
					d.Archive = v.Archive.SHA256
					if len(v.Archive.URLs) > 0 {
						d.URL = v.Archive.URLs[0]
					}
				}
			}
		}
		out = append(out, d)
	}
	return out
}

// sbom makes the SPDX document.
func (a *about) sbom(ctx context.Context) ([]byte, error) {
	layers, err := Layers(a.img)
	if err != nil {
		return nil, err
	}
	Keyed(layers, a.Plan, a.Plan.Node(a.cell.Image))
	all, err := installed(ctx, a.Store, a.img)
	if err != nil {
		return nil, fmt.Errorf("reading what is installed: %w", err)
	}
	hex := strings.TrimPrefix(a.digest, "sha256:")
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: a.cell.Tag,
		// A name, not a place: it is unique to the image's content.
		DocumentNamespace: "https://spdx.org/spdxdocs/jetcrate-" + notID.ReplaceAllString(a.cell.Tag, "-") + "-" + hex,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "jetcrate-" + a.Tool}},
			Created:  a.Now.Format(time.RFC3339),
		},
	}
	b := builder{doc: doc, owners: map[string]common.ElementID{}}
	b.image(a.cell, a.digest)
	for _, d := range a.declared() {
		b.declare(d)
	}
	for _, i := range all {
		b.install(i, layers[i.Layer].Owner, a.cell.Platform)
	}
	var buf bytes.Buffer
	if err := spdxjson.Write(doc, &buf, spdxjson.EscapeHTML(false)); err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return buf.Bytes(), nil
}

// builder fills an SPDX document.
type builder struct {
	doc    *spdx.Document
	owners map[string]common.ElementID
}

const imageID = common.ElementID("image")

func (b *builder) image(c *plan.Cell, digest string) {
	b.add(&spdx.Package{
		PackageName: c.Name, PackageVersion: c.Tag, PackageSPDXIdentifier: imageID, PrimaryPackagePurpose: "CONTAINER",
		PackageComment:   "Container image for " + c.Target + " on L4T " + c.Platform.L4T,
		PackageChecksums: []spdx.Checksum{{Algorithm: spdx.SHA256, Value: strings.TrimPrefix(digest, "sha256:")}},
	})
	b.relate("DOCUMENT", common.TypeRelationshipDescribe, imageID)
}

func (b *builder) declare(d declared) {
	p := &spdx.Package{
		PackageName: d.Name, PackageVersion: d.Version, PackageSPDXIdentifier: identifier("catalog", d.Name),
		PackageHomePage: d.Homepage, PackageDownloadLocation: d.URL,
	}
	b.licence(p, d.Licence)
	var source []string
	if d.Source != "" {
		source = append(source, "facts of this version: "+d.Source)
	}
	if d.Archive != "" {
		source = append(source, "source archive: sha256:"+d.Archive)
	}
	p.PackageSourceInfo = strings.Join(source, "; ")
	if d.Key != "" {
		p.PackageComment = "Package of the jetcrate catalog; its layer has the key " + d.Key
	}
	b.owners[d.Name] = p.PackageSPDXIdentifier
	b.add(p)
	b.relate(imageID, common.TypeRelationshipContains, p.PackageSPDXIdentifier)
}

func (b *builder) install(i Installed, owner string, t plan.Tuple) {
	id := identifier(i.Type, i.Name, i.Version, i.Arch)
	purl := packageurl.PackageURL{Type: i.Type, Name: strings.ToLower(i.Name), Version: i.Version}
	switch i.Type {
	case "deb":
		purl.Namespace = t.OS.ID
		purl.Qualifiers = packageurl.QualifiersFromMap(map[string]string{"arch": i.Arch, "distro": t.OS.ID + "-" + t.OS.Version})
	default:
		purl.Name = strings.ReplaceAll(purl.Name, "_", "-")
	}
	// The library leaves + as it is; the purl specification wants it encoded.
	locator := strings.ReplaceAll(purl.ToString(), "+", "%2B")
	p := &spdx.Package{
		PackageName: i.Name, PackageVersion: i.Version, PackageSPDXIdentifier: id,
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: locator,
		}},
	}
	b.licence(p, i.Licence)
	if i.Source != "" {
		p.PackageSourceInfo = "built from the source package " + i.Source
	}
	b.add(p)
	from, ok := b.owners[owner]
	if !ok {
		from = imageID
	}
	b.relate(from, common.TypeRelationshipContains, id)
}

// licence takes over a declared licence: as an expression where it is one, and
// as a remark where it is free text. References to licences outside SPDX's list
// get an entry of their own, as SPDX wants.
func (b *builder) licence(p *spdx.Package, text string) {
	if text == "" {
		return
	}
	if ok, _ := spdxexp.ValidateLicenses([]string{text}); !ok {
		p.PackageLicenseComments = "its metadata says: " + text
		return
	}
	p.PackageLicenseDeclared = text
	parts, err := spdxexp.ExtractLicenses(text)
	if err != nil {
		return
	}
	for _, l := range parts {
		if !strings.HasPrefix(l, "LicenseRef-") || slices.ContainsFunc(b.doc.OtherLicenses, func(o *spdx.OtherLicense) bool { return o.LicenseIdentifier == l }) {
			continue
		}
		where := p.PackageHomePage
		if where == "" {
			where = "its vendor"
		}
		b.doc.OtherLicenses = append(b.doc.OtherLicenses, &spdx.OtherLicense{
			LicenseIdentifier: l, LicenseName: strings.TrimPrefix(l, "LicenseRef-"),
			ExtractedText: "The catalog declares this licence for " + p.PackageName + " by name. Its text is to be had from " + where + ".",
		})
	}
}

// add fills in what SPDX wants to be said, be it that nothing is.
func (b *builder) add(p *spdx.Package) {
	for _, field := range []*string{&p.PackageDownloadLocation, &p.PackageLicenseDeclared, &p.PackageLicenseConcluded, &p.PackageCopyrightText} {
		if *field == "" {
			*field = noAssertion
		}
	}
	p.IsFilesAnalyzedTagPresent = true // and false: files are the layers' affair
	b.doc.Packages = append(b.doc.Packages, p)
}

func (b *builder) relate(from common.ElementID, how string, to common.ElementID) {
	b.doc.Relationships = append(b.doc.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: how,
	})
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// identifier is an SPDX ID: what it may not hold is written as hex, so that no
// two names become one.
func identifier(parts ...string) common.ElementID {
	for i, p := range parts {
		parts[i] = notID.ReplaceAllStringFunc(p, func(s string) string { return fmt.Sprintf("-x%x-", s) })
	}
	return common.ElementID(strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "-"))
}

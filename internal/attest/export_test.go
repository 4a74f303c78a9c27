package attest

import (
	"context"
	"maps"
	"strings"

	"github.com/spdx/tools-golang/spdx"

	"github.com/jetcrate/jetcrate/internal/store"
)

// Owned is what an image holds, of the sets of its layers.
func Owned(sets []store.Installed) []Installed { return owned(sets) }

// Licence is what an SBOM says of a package with this licence.
func Licence(text string) (declared, comment string, others []string) {
	b := builder{doc: &spdx.Document{}}
	p := &spdx.Package{PackageName: "p"}
	b.licence(p, text)
	b.add(p)
	for _, o := range b.doc.OtherLicenses {
		others = append(others, o.LicenseIdentifier)
	}
	return p.PackageLicenseDeclared, p.PackageLicenseComments, others
}

// Forget makes the writer write everything again.
func (w *Writer) Forget(ctx context.Context) (err error) {
	w.known, err = w.Store.Known(ctx)
	maps.DeleteFunc(w.known, func(tag string, _ store.Record) bool { return strings.HasPrefix(tag, string(store.Attestation)) })
	return err
}

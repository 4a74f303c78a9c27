package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/attest"
	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

func (a *app) inspectCommand() *cobra.Command {
	var s selection
	var sbom bool
	c := &cobra.Command{
		Use: "inspect IMAGE | TARGET...", Short: "Show what an image holds, how it was made and what its tests said",
		Long: `Shows what an image holds, how it was made and what its tests said: its packages, its
layers with owner, size and key, its tests with where they ran, a summary of its SBOM,
and its provenance.

IMAGE is a reference (registry/repository:tag or @sha256:...), a digest or a name in the
store. Anything else is a target, as for build.`,
		Example: "  jetcrate inspect pytorch --l4t r36.4\n  jetcrate inspect registry.example/lab/pytorch:2.8.0-r36.4.0\n  jetcrate inspect pytorch --sbom > pytorch.spdx.json",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) == 0 {
				return usage{errors.New("inspect needs an image or a target")}
			}
			return a.inspect(c.Context(), &s, args, sbom)
		},
	}
	s.flags(c, a)
	c.Flags().BoolVar(&sbom, "sbom", false, "print the SBOM itself: SPDX 2.3 as JSON")
	c.Flags().StringVar(&s.name, "name", "", "name of the image, as for build")
	return c
}

// found is an image that was asked for.
type found struct {
	store  *store.Store
	digest string
	cell   *plan.Cell // nil where it was asked for as an image
	plan   *plan.Plan
}

func (a *app) inspect(ctx context.Context, s *selection, args []string, sbom bool) error {
	f, err := a.find(ctx, s, args)
	if err != nil {
		return err
	}
	defer f.store.Close()
	i, attached, err := attest.Inspect(ctx, f.store, f.digest)
	if err != nil {
		return err
	}
	if sbom {
		if attached.SPDX == nil {
			fmt.Fprintf(a.stderr, "jetcrate: %s has no SBOM: build writes one\n", i.Reference)
			return said{exitNo}
		}
		_, err := a.stdout.Write(attached.SPDX)
		return err
	}
	if f.cell != nil {
		i.Hosts = f.cell.Hosts
		attest.Keyed(i.Layers, f.plan, f.plan.Node(f.cell.Image))
	}
	rows, err := a.rowsOf(i)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.json(struct {
			*attest.Inspection
			Published []table.Row `json:"published,omitempty"`
		}{i, rows})
	}
	return a.buffered(func(w io.Writer) { printInspection(w, i, rows) })
}

// find says which image is meant. The store is the caller's to close.
func (a *app) find(ctx context.Context, s *selection, args []string) (*found, error) {
	d, err := findDirs()
	if err != nil {
		return nil, err
	}
	if len(args) == 1 && strings.ContainsRune(args[0], '/') {
		return a.findReference(ctx, args[0])
	}
	st, err := a.openStore(ctx, d)
	if err != nil {
		return nil, err
	}
	f := &found{store: st}
	if len(args) == 1 {
		f.digest = args[0]
		if !strings.HasPrefix(args[0], "sha256:") {
			f.digest = ""
			if _, err := name.NewTag("h/r:" + args[0]); err == nil {
				if f.digest, err = st.NameDigest(ctx, args[0]); err != nil {
					return nil, errors.Join(err, st.Close())
				}
			}
		}
	}
	if f.digest == "" {
		err = a.findTarget(ctx, s, args, f)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return f, nil
}

func (a *app) findTarget(ctx context.Context, s *selection, args []string, f *found) error {
	_, _, p, err := a.plan(s, args)
	if err != nil {
		return err
	}
	f.plan, f.cell = p, p.Cells[0]
	rec, there, err := f.store.Lookup(ctx, store.Image, f.cell.Image)
	if err != nil {
		return err
	}
	if !there {
		fmt.Fprintf(a.stderr, "jetcrate: the store has no image of %s: jetcrate build makes it\n", f.cell.ID)
		return said{exitNo}
	}
	f.digest = rec.Digest
	return nil
}

// findReference opens the repository of a reference as a store.
func (a *app) findReference(ctx context.Context, text string) (*found, error) {
	var opts []name.Option
	if a.insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(text, opts...)
	if err != nil {
		return nil, usage{err}
	}
	d, err := findDirs()
	if err != nil {
		return nil, err
	}
	// This machine's store may be the one that has the image; open, it is served.
	st, err := a.openStore(ctx, d)
	if err != nil || st.Repository() != ref.Context().Name() {
		if err == nil {
			st.Close()
		}
		st, err = store.Open(ctx, store.Options{Location: ref.Context().Name(), Insecure: a.insecure, Cache: filepath.Join(d.cache, "blobs")})
	}
	if err != nil {
		return nil, err
	}
	img, err := image.Open(ctx, text, image.OpenOptions{Insecure: a.insecure})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &found{store: st, digest: digest.String()}, nil
}

// rowsOf are the rows of this machine's table that name the image.
func (a *app) rowsOf(i *attest.Inspection) ([]table.Row, error) {
	d, err := findDirs()
	if err != nil {
		return nil, err
	}
	t, err := readTable(filepath.Join(d.data, "table.json"))
	if err != nil {
		return nil, nil //nolint:nilerr // no table, or an old one, says nothing of the image
	}
	var rows []table.Row
	for _, r := range t.Rows {
		if r.Image != nil && r.Image.Digest == i.Digest && r.Published != nil {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func printInspection(out io.Writer, i *attest.Inspection, rows []table.Row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) {
		for at, c := range cells {
			cells[at] = diag.Clean(c) // a registry's image may hold anything
		}
		fmt.Fprintln(w, strings.TrimRight("  "+strings.Join(cells, "\t"), "\t"))
	}
	head := func(title string) {
		_ = w.Flush()
		fmt.Fprintf(out, "\n%s\n", title)
	}
	fmt.Fprintln(out, diag.Clean(i.Title))
	line("image", i.Reference)
	line("made for", madeFor(i.Platform))
	if i.Hosts != "" {
		line("runs on", "L4T "+i.Hosts)
	}
	line("size", fmt.Sprintf("%s to pull, %s", size(i.Size), count(len(i.Layers), "layer")))
	line("key", i.Key)

	head("Packages")
	for _, p := range i.Packages {
		line(p.Name, p.Version, p.Licence)
	}
	head("Layers, bottom up")
	for _, l := range i.Layers {
		line(size(l.Size), l.Owner, l.Kind, short(l.Key), shortDigest(l.Digest))
	}
	head("Tests")
	if len(i.Tests) == 0 {
		line("none is recorded")
	}
	for _, t := range i.Tests {
		line(t.Status, t.Package+" "+t.Name, t.Environment, t.Reason)
	}
	if c := i.Contents; c != nil {
		head("Contents (" + c.Format + ", --sbom prints it)")
		line(fmt.Sprintf("%s of the catalog, %s, %s", count(c.Catalog, "package"), count(c.Debian, "Debian package"), count(c.Python, "Python distribution")))
		var licences []string
		for _, l := range slices.Sorted(maps.Keys(c.Licences)) {
			licences = append(licences, fmt.Sprintf("%s (%d)", l, c.Licences[l]))
		}
		if len(licences) > 0 {
			line("licences declared: " + strings.Join(licences, ", "))
		}
	}
	if m := i.Made; m != nil {
		head("How it was made")
		line("at", m.Finished)
		line("with", strings.Join(m.Versions, ", "))
		head("Out of")
		for _, in := range m.Materials {
			line(in.Name, shortDigest(in.Digest), strings.TrimSpace(in.Note+" "+in.URI))
		}
	}
	if len(rows) > 0 {
		head("Published")
		for _, r := range rows {
			line(r.Image.Reference, string(r.Status), r.Published.Time, fmt.Sprintf("entry %d of the log", r.Published.Entry))
			if r.Withdrawal != nil {
				line("", "withdrawn", r.Withdrawal.Time, r.Withdrawal.Reason)
			}
		}
	}
	if len(i.Others) > 0 {
		head("Attached as well")
		for _, o := range i.Others {
			line(o.Type, shortDigest(o.Digest))
		}
	}
	_ = w.Flush()
}

func madeFor(p image.Platform) string {
	parts := []string{"L4T " + p.L4T + " (" + p.Flavour + ")", p.OS, p.Arch}
	for _, x := range []struct{ name, version string }{{"CUDA", p.CUDA}, {"cuDNN", p.CuDNN}, {"TensorRT", p.TensorRT}, {"Python", p.Python}} {
		if x.version != "" {
			parts = append(parts, x.name+" "+x.version)
		}
	}
	if p.Testbed {
		parts = append(parts, "a testbed's stand-in")
	}
	return strings.Join(parts, ", ")
}

func short(key string) string { return key[:min(12, len(key))] }

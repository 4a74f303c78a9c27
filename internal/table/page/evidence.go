package page

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Untested is what a package is of which no image was tested.
const Untested = "declared, not tested"

// evidence lists the tests of a package, and how they ended on the images of the
// table that hold it.
func (w *writer) evidence(b *bytes.Buffer, p *spec.Package) {
	b.WriteString("## Tests\n\n")
	if len(p.Tests) == 0 {
		b.WriteString("It has none.\n\n")
	} else {
		b.WriteString(head("test", "runs"))
		for _, t := range p.Tests {
			where := "everywhere"
			if t.GPU {
				where = "where a GPU is; elsewhere it is skipped"
			}
			if t.If != "" {
				where += ", if " + cellCode(t.If)
			}
			b.WriteString(row(plain(t.Name), where))
		}
		b.WriteString("\n")
	}
	images := w.images(p.Name)
	if len(images) == 0 {
		fmt.Fprintf(b, "Evidence: %s.", Untested)
		if w.Table != nil {
			b.WriteString(" The table has no image of it.")
		}
		b.WriteString("\n")
		return
	}
	b.WriteString("Evidence, image by image, of the tests of this package:\n\n")
	b.WriteString(head("image of", "made for", "image", "tests of "+plain(p.Name)))
	for _, r := range images {
		made := r.Platform.String()
		if r.Platform.Testbed {
			made += " (testbed: a stand-in for checks)"
		}
		held, _ := r.Package(p.Name)
		target := r.Target
		if !slices.Contains(r.Roots, p.Name) || len(r.Roots) > 1 {
			target += " (holds " + held.Version + ")"
		} else if !strings.Contains(target, ":") {
			target += " " + held.Version
		}
		var results []string
		for _, t := range r.Evidence.Tests {
			if t.Package != p.Name {
				continue
			}
			s := plain(t.Name) + " " + string(t.Status)
			if t.Reason != "" {
				s += ": " + text(t.Reason)
			}
			if t.Environment != "" {
				s += " (" + text(t.Environment) + ")"
			}
			results = append(results, s)
		}
		if len(results) == 0 {
			results = append(results, "none recorded")
		}
		b.WriteString(row(text(target), text(made), text(r.Standing()), strings.Join(results, "; ")))
	}
}

// images are the current rows of the table that have an image which holds a
// package.
func (w *writer) images(name string) []*table.Row {
	if w.Table == nil {
		return nil
	}
	sorted := table.Table{Rows: slices.Clone(w.Table.Rows)}
	sorted.Sort()
	var out []*table.Row
	for i := range sorted.Rows {
		r := &sorted.Rows[i]
		if _, ok := r.Package(name); ok && r.Status == table.Current && r.State == table.Built {
			out = append(out, r)
		}
	}
	return out
}

// standing is what the index says of a package: what its own tests said on all
// images. One that failed outweighs those that passed.
func (w *writer) standing(name string) string {
	var passed, failed, images int
	where := " on the testbed" // alone: a stand-in for checks proves little of a device
	for _, r := range w.images(name) {
		images++
		if !r.Platform.Testbed {
			where = ""
		}
		for _, t := range r.Evidence.Tests {
			if t.Package != name {
				continue
			}
			switch t.Status {
			case table.Passed:
				passed++
			case table.Failed:
				failed++
			}
		}
	}
	switch {
	case failed > 0:
		return fmt.Sprintf("FAILED: %d of its tests%s", failed, where)
	case passed > 0:
		return fmt.Sprintf("tested on %d image%s%s", images, plural(images), where)
	case images > 0:
		return "built, not tested" + where
	}
	return Untested
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// index lists the packages by group, with the version that a target gets on the
// newest platform of each major release.
func (w *writer) index() []byte {
	var b bytes.Buffer
	b.WriteString(Mark)
	fmt.Fprintf(&b, "# Packages\n\n%d packages. A version is what a target without one gets on that release with its first CUDA stack, or with\n"+
		"the first that has one; – means that there is none, and the package's page says why.\n\n", len(w.names))
	var sites []int // the first of each major release and flavour
	titles := []string{"package", "what it is"}
	seen := map[string]bool{}
	for i, at := range w.sites {
		major, _, _ := strings.Cut(at.platform.L4T, ".")
		if id := major + " " + at.platform.Flavour; !seen[id] {
			seen[id] = true
			sites = append(sites, i)
			titles = append(titles, text(at.stacks[0].Platform.String()))
		}
	}
	titles = append(titles, "evidence")
	groups := map[string][]string{}
	for _, name := range w.names {
		g := w.cat.Packages[name].Group
		groups[g] = append(groups[g], name)
	}
	for _, g := range sortedKeys(groups) {
		fmt.Fprintf(&b, "## %s\n\n%s", text(g), head(titles...))
		for _, name := range groups[g] {
			cells := []string{page(name), text(w.cat.Packages[name].Summary)}
			for _, i := range sites {
				cell := "–"
				if a := w.surveys[name].answers[i]; a.root != nil {
					cell = text(a.root.Version.Version)
				}
				cells = append(cells, cell)
			}
			b.WriteString(row(append(cells, w.standing(name))...))
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// requirement is a spec's conditions in words.
func requirement(r spec.Requires) string {
	var out []string
	for _, c := range r {
		var parts []string
		for _, x := range []struct{ name, value string }{
			{"L4T ", c.L4T}, {"JetPack ", c.JetPack}, {"CUDA ", c.CUDA}, {"cuDNN ", c.CuDNN}, {"TensorRT ", c.TensorRT},
			{"Python ", c.Python}, {"", c.OS}, {"", c.Flavour}, {"GPU ", c.GPU}, {"", c.Arch},
		} {
			if x.value != "" {
				parts = append(parts, x.name+x.value)
			}
		}
		if len(parts) > 0 {
			out = append(out, strings.Join(parts, ", "))
		}
	}
	return strings.Join(out, "; or ")
}

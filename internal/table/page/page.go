// Package page writes the pages of a catalog: a Markdown file for each package
// and an index, README.md.
//
// A page says what the spec, the solver and a table say, and nothing else: which
// versions are possible where, or what speaks against them; what a package stands
// on and who stands on it; what its images hold and what they expect of the host;
// how to run it; and which tests ran on which image. Without a table, or without
// an image in it, a package is "declared, not tested".
//
// Platforms on which all versions fare alike share a column, so that a page stays
// readable however many releases the matrix has. The same catalog and table give
// the same bytes. Text of specs and tables is data: it cannot become markup.
package page

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Index is the name of the index: what a repository's web page shows of a folder.
// No package has it, since their names are in small letters.
const Index = "README.md"

// Mark begins every page; a file without it is somebody else's.
const Mark = "<!-- Written by jetcrate docs. Edit the spec, not this page. -->\n"

// File is one page.
type File struct {
	Name    string // pytorch.md
	Content []byte
}

// Options say what the pages are made from beside the catalog.
type Options struct {
	Table *table.Table // evidence; nil: none
	Root  string       // the catalog's folder as links of a page reach it: ../..
}

// Pages writes the pages of all packages, sorted by name, and the index first.
func Pages(cat *spec.Catalog, o Options) ([]File, error) {
	w, err := newWriter(cat, o)
	if err != nil {
		return nil, err
	}
	files := []File{{Name: Index, Content: w.index()}}
	for _, name := range w.names {
		files = append(files, File{Name: name + ".md", Content: w.page(cat.Packages[name])})
	}
	return files, nil
}

// writer is a catalog with what all pages need of it.
type writer struct {
	Options
	cat       *spec.Catalog
	names     []string
	sites     []*site
	dependant map[string][]string // package -> those that stand on it
	builders  map[string][]string // package -> those whose builds need it
	surveys   map[string]*survey
}

// site is a platform of the matrix with all its stacks, the default one first.
type site struct {
	platform *spec.Platform
	stacks   []*solve.Site
}

func sites(cat *spec.Catalog) []*site {
	solver := solve.New(cat)
	var out []*site
	for _, p := range solver.Platforms() { // those of one record follow each other
		if n := len(out); n == 0 || out[n-1].platform != p.Platform {
			out = append(out, &site{platform: p.Platform})
		}
		last := out[len(out)-1]
		last.stacks = append(last.stacks, solver.At(p))
	}
	return out
}

func newWriter(cat *spec.Catalog, o Options) (*writer, error) {
	w := &writer{
		Options: o, cat: cat, names: slices.Sorted(maps.Keys(cat.Packages)),
		sites: sites(cat), dependant: map[string][]string{}, builders: map[string][]string{}, surveys: map[string]*survey{},
	}
	for _, name := range w.names {
		p := cat.Packages[name]
		for _, to := range w.cat.Depends(p) {
			w.dependant[to] = append(w.dependant[to], name)
		}
		if p.Build == nil {
			continue
		}
		var built []string
		for _, d := range p.Build.Depends {
			if to := w.cat.Named(d); !slices.Contains(built, to) {
				built = append(built, to)
				w.builders[to] = append(w.builders[to], name)
			}
		}
	}
	for _, name := range w.names {
		s, err := w.survey(cat.Packages[name])
		if err != nil {
			return nil, fmt.Errorf("where %s is possible: %w", name, err)
		}
		w.surveys[name] = s
	}
	return w, nil
}

func (w *writer) page(p *spec.Package) []byte {
	var b bytes.Buffer
	s := w.surveys[p.Name]
	b.WriteString(Mark)
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", text(p.Name), text(p.Summary))
	w.facts(&b, p)
	w.versions(&b, p, s)
	w.needs(&b, p)
	w.holds(&b, p, s)
	w.running(&b, p, s)
	w.evidence(&b, p)
	return b.Bytes()
}

package jetcrate

import (
	"io/fs"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// affected prints the cells that a change reaches and that can be built, as a
// matrix of a GitHub workflow.
func (a *app) affected(cat *spec.Catalog, files fs.FS, s selection, d *plan.Changes) error {
	reached := map[string]bool{}
	for _, list := range [][]plan.CellChange{d.Added, d.Changed} {
		for _, c := range list {
			if c.New != "" {
				reached[c.ID] = true
			}
		}
	}
	s.l4t, s.flavour = "", "" // the diff holds to them already
	cells, err := s.chosen(cat)
	if err != nil {
		return err
	}
	s.all = !s.whole
	reqs, err := s.requests(cat, nil)
	if err != nil {
		return err
	}
	p, err := plan.New(cat, files, reqs)
	if err != nil {
		return err
	}
	rows := []map[string]string{}
	for i, c := range p.Cells { // in the order of the cells
		if reached[c.ID] {
			rows = append(rows, row(cells[i]))
		}
	}
	return a.compact(map[string]any{"include": rows})
}

// Package fold makes the compatibility table: of what a store holds for a plan,
// or of the log of what was published. A row is a cell with its image where there
// is one and the evidence that is recorded for it. It has no opinion: a test that
// nobody ran is not in a row.
package fold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

// About gives what the catalog says of a package that a device wants to know: its
// other names, and the bytes that its models take there.
type About func(pkg string) (aliases []string, models int64)

// Cell is a row with the tests that its image has to stand, run or not.
type Cell struct {
	Row   table.Row
	Tests []Test
}

// Test is a test of a cell's image. Without a record nobody ran it.
type Test struct {
	Package, Name string
	GPU           bool
	Record        string // digest of the evidence
	Evidence      execute.Evidence
}

// Table folds the store and the plan.
func Table(ctx context.Context, p *plan.Plan, s *store.Store, about About) (*table.Table, error) {
	t := &table.Table{Schema: table.Schema, Repository: s.Repository(), Rows: []table.Row{}}
	known, err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range p.Cells {
		cell, err := Of(ctx, p, c, s, known, about)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		t.Rows = append(t.Rows, cell.Row)
	}
	return t, nil
}

// Of folds one cell. known is what Store.Known gave.
func Of(ctx context.Context, p *plan.Plan, c *plan.Cell, s *store.Store, known map[string]store.Record, about About) (Cell, error) {
	row := table.Row{Target: c.Target, Roots: c.Asked, Platform: platform(c.Platform), Hosts: c.Hosts, Status: table.Current, State: table.NotBuilt}
	if c.Impossible != nil {
		row.State, row.Reason, row.Roots = table.Impossible, c.Impossible.Error(), names(c)
		return Cell{Row: row}, nil
	}
	for _, r := range c.Packages {
		aliases, models := about(r.Name)
		row.Packages = append(row.Packages, table.Package{Name: r.Name, Version: r.Version, Options: r.Options, Aliases: aliases, Models: models})
	}
	if _, ok := known[string(store.Image)+"-"+c.Image]; !ok {
		row.Reason = "no image is recorded for it"
		return Cell{Row: row}, nil
	}
	img, rec, err := s.Image(ctx, store.Image, c.Image)
	if err != nil {
		return Cell{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return Cell{}, err
	}
	row.State = table.Built
	row.Image = &table.Image{Reference: s.Repository() + ":" + c.Tag, Digest: rec.Digest, Key: c.Image, Size: m.Config.Size}
	for _, l := range m.Layers {
		row.Image.Size += l.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return Cell{}, fmt.Errorf("reading the config of %s: %w", c.Tag, err)
	}
	cell := Cell{Row: row}
	for _, k := range c.Tests {
		n := p.Node(k)
		t := Test{Package: n.Package, Name: n.Test.Name, GPU: n.Test.GPU}
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		if err != nil {
			return Cell{}, err
		}
		if _, ok := known[string(store.Test)+"-"+key]; ok {
			if t.Evidence, t.Record, err = evidence(ctx, s, key); err != nil {
				return Cell{}, err
			}
			cell.Row.Evidence.Tests = append(cell.Row.Evidence.Tests, table.TestResult{
				Package: n.Package, Name: n.Test.Name, Status: table.Result(t.Evidence.Status), Reason: t.Evidence.Reason, Environment: t.Evidence.Environment.Machine,
			})
		}
		cell.Tests = append(cell.Tests, t)
	}
	list := cell.Row.Evidence.Tests
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.Package < b.Package || a.Package == b.Package && a.Name < b.Name
	})
	cell.Row.Evidence.Count()
	return cell, nil
}

// evidence reads a record of a test, with its digest.
func evidence(ctx context.Context, s *store.Store, key string) (e execute.Evidence, digest string, err error) {
	b, rec, err := s.Evidence(ctx, key)
	if err != nil {
		return e, "", err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, "", fmt.Errorf("reading the evidence test-%s: %w", key, err)
	}
	if e.Key != key {
		return e, "", fmt.Errorf("reading the evidence test-%s: %w", key, errors.New("it is that of another test"))
	}
	return e, rec.Digest, nil
}

// names gives the packages that an impossible target asks for, as written.
func names(c *plan.Cell) []string {
	if len(c.Asked) > 0 {
		return c.Asked
	}
	return []string{c.Target}
}

func platform(t plan.Tuple) table.Platform {
	p := table.Platform{
		L4T: t.L4T, Flavour: t.Flavour, JetPack: t.JetPack, OS: table.OS{ID: t.OS.ID, Version: t.OS.Version},
		Arch: t.Arch, Python: t.Python, GPU: t.GPU, Testbed: t.Testbed,
	}
	if t.CUDA != "" {
		p.CUDA = &table.CUDA{Version: t.CUDA, CuDNN: t.CuDNN, TensorRT: t.TensorRT}
	}
	return p
}

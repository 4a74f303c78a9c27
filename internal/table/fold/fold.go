// Package fold makes the compatibility table of what the store holds for a
// plan: a row per cell, with its image where there is one and the evidence that
// is recorded for it. It has no opinion: a test that nobody ran is not in a row.
package fold

import (
	"context"
	"fmt"
	"sort"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Table folds the store and the plan. aliases are the names of packages beside
// their own.
func Table(ctx context.Context, p *plan.Plan, s *store.Store, aliases func(pkg string) []string) (*table.Table, error) {
	t := &table.Table{Schema: table.Schema, Repository: s.Repository(), Rows: []table.Row{}}
	known, err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range p.Cells {
		row, err := fold(ctx, p, c, s, known, aliases)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func fold(ctx context.Context, p *plan.Plan, c *plan.Cell, s *store.Store, known map[string]store.Record, aliases func(string) []string) (table.Row, error) {
	row := table.Row{Target: c.Target, Roots: c.Asked, Platform: platform(c.Platform), Hosts: c.Hosts, Status: table.Current, State: table.NotBuilt}
	if c.Impossible != nil {
		row.State, row.Reason, row.Roots = table.Impossible, c.Impossible.Error(), names(c)
		return row, nil
	}
	for _, r := range c.Packages {
		row.Packages = append(row.Packages, table.Package{Name: r.Name, Version: r.Version, Options: r.Options, Aliases: aliases(r.Name)})
	}
	if _, ok := known[string(store.Image)+"-"+c.Image]; !ok {
		row.Reason = "no image is recorded for it"
		return row, nil
	}
	img, rec, err := s.Image(ctx, store.Image, c.Image)
	if err != nil {
		return row, err
	}
	m, err := img.Manifest()
	if err != nil {
		return row, err
	}
	row.State = table.Built
	row.Image = &table.Image{Reference: s.Repository() + ":" + c.Tag, Digest: rec.Digest, Key: c.Image, Size: m.Config.Size}
	for _, l := range m.Layers {
		row.Image.Size += l.Size
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return row, fmt.Errorf("reading the config of %s: %w", c.Tag, err)
	}
	for _, k := range c.Tests {
		n := p.Node(k)
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		if err != nil {
			return row, err
		}
		if _, ok := known[string(store.Test)+"-"+key]; !ok {
			continue
		}
		e, err := execute.ReadEvidence(ctx, s, key)
		if err != nil {
			return row, err
		}
		row.Evidence.Tests = append(row.Evidence.Tests, table.TestResult{
			Package: n.Package, Name: n.Test.Name, Status: table.Result(e.Status), Reason: e.Reason, Environment: e.Environment.Machine,
		})
	}
	sort.Slice(row.Evidence.Tests, func(i, j int) bool {
		a, b := row.Evidence.Tests[i], row.Evidence.Tests[j]
		return a.Package < b.Package || a.Package == b.Package && a.Name < b.Name
	})
	row.Evidence.Count()
	return row, nil
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

package plan

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Request asks for one cell.
type Request struct {
	Targets  []spec.Target
	Platform solve.Platform
	Pins     map[string]string
	Name     string // of the image; "" is made of the targets
}

// New plans the requests. A cell that is impossible is part of the plan, with
// its explanation; mistakes in the catalog are diagnostics. files holds the
// packages' folders, from the catalog's root.
//
// Platforms are planned side by side: nothing that one finds out depends on
// another. What they found is put together in the order of the requests.
func New(cat *spec.Catalog, files fs.FS, requests []Request) (*Plan, error) {
	solver := solve.New(cat)
	r := newRenderer(cat, files)
	var sites []*site
	at := map[solve.Platform]*site{}
	p := &Plan{Format: Format, Cells: make([]*Cell, len(requests))}
	for i, q := range requests {
		s := at[q.Platform]
		if s == nil {
			s = newSite(cat, r, solver.At(q.Platform))
			at[q.Platform], sites = s, append(sites, s)
		}
		s.requests = append(s.requests, i)
	}
	m := sideBySide(sites, func(s *site) (err error) {
		if s.rank, err = order(cat, s.solved); err != nil {
			return err
		}
		for _, i := range s.requests {
			if p.Cells[i], err = s.cell(requests[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range sites { // the first in the order of the requests is told
		if s.err != nil {
			return nil, s.err
		}
	}
	if err := mistakes(r.list); err != nil {
		return nil, err
	}
	for i, c := range p.Cells {
		if c.Impossible != nil {
			q := requests[i]
			c.Impossible.Nearest = solver.Nearest(solve.Query{Targets: q.Targets, Platform: q.Platform, Pins: q.Pins})
		}
	}
	for _, s := range sites {
		p.Loose = append(p.Loose, s.loose...)
	}
	p.Loose = sortedLoose(p.Loose)
	p.byKey, p.Nodes = m.byKey, m.nodes
	if m.moved {
		p.Nodes = sorted(m.nodes, m.byKey)
	}
	return p, nil
}

// sideBySide works on the sites, as many at a time as there are processors, and
// puts together what they found in their order.
func sideBySide(sites []*site, work func(*site) error) merge {
	done := make([]chan struct{}, len(sites))
	for i := range done {
		done[i] = make(chan struct{})
	}
	var m merge
	var all errgroup.Group
	all.Go(func() error {
		for i, s := range sites {
			<-done[i]
			if i == 0 { // the others find about as much
				m.byKey = make(map[string]*Node, len(sites)*len(s.order))
				m.nodes = make([]*Node, 0, len(sites)*len(s.order))
			}
			m.add(s)
		}
		return nil
	})
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range sites {
		workers.Go(func() error {
			defer close(done[i])
			s.err = work(s)
			return nil
		})
	}
	_ = workers.Wait() // errors stay with their sites
	_ = all.Wait()
	return m
}

// mistakes are those that rendering found; one that shows on many platforms is
// told once.
func mistakes(list diag.List) error { return list.Distinct().Err() }

// merge is what sites found, each key once.
type merge struct {
	byKey map[string]*Node
	nodes []*Node
	moved bool // a node got gates that come after it
}

func (m *merge) add(s *site) {
	m.moved = m.moved || s.moved
	for _, n := range s.order {
		if have := m.byKey[n.Key]; have != nil {
			m.moved = addGates(have, n.Gates) || m.moved
			continue
		}
		m.byKey[n.Key] = n
		m.nodes = append(m.nodes, n)
	}
	s.nodes, s.order = nil, nil // what is twice may go
}

// addGates adds what a second maker of a node wants tested below it.
func addGates(n *Node, gates []string) (grown bool) {
	if slices.Equal(n.Gates, gates) {
		return false
	}
	all := union(n.Gates, gates)
	grown = len(all) > len(n.Gates)
	n.Gates = all
	return grown
}

// cell plans one request.
func (s *site) cell(r Request) (*Cell, error) {
	c := &Cell{Platform: s.tuple, Hosts: r.Platform.Hosts, Name: r.Name}
	words := make([]string, len(r.Targets))
	for i, x := range r.Targets {
		words[i] = x.String()
	}
	c.Target = strings.Join(words, " ")
	c.ID = cellID(s.tuple, c.Target)
	res, err := s.solved.Solve(r.Targets, r.Pins)
	var imp *solve.Impossible
	if errors.As(err, &imp) {
		c.Impossible = imp
		if c.Name == "" {
			c.Name = strings.Join(words, "-")
		}
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	roots := make([]*piece, len(res.Targets))
	for i, t := range res.Targets {
		roots[i] = s.piece(t)
		c.Asked = append(c.Asked, t.Package.Name)
	}
	if c.Name == "" {
		c.Name = imageName(res.Targets)
	}
	if len(res.Targets) == 1 {
		c.Aliases = res.Targets[0].Package.Aliases
	}
	names := s.closure(roots)
	s.checkBrings(names)
	c.Packages = make([]PackageRef, len(names))
	for i, x := range names {
		c.Packages[i] = x.r.ref
	}
	c.Tag = tag(c, res.Targets)
	before := len(s.order)
	img := s.image(names, nil, &Labels{Tag: c.Tag, Packages: c.Packages, Platform: s.tuple, Asked: c.Asked}, c.Name)
	c.Image, c.Gates = img.Key, img.Gates
	fresh := len(s.order) > before && s.order[len(s.order)-1] == img
	tests := 0
	for _, x := range names {
		tests += len(x.r.tests)
	}
	if tests > 0 {
		c.Tests = make([]string, 0, tests)
	}
	for _, x := range names {
		c.Tests = s.tests(c.Tests, x, img, fresh)
	}
	return c, nil
}

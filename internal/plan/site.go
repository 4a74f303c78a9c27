package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// site makes the nodes of one platform. Whatever resolves alike there is made
// once: a piece is a package on its closure, a link a place in a chain.
type site struct {
	cat       *spec.Catalog
	renderer  *renderer
	rank      map[string]int // of packages, in all chains
	solved    *solve.Site
	where     where
	tuple     Tuple
	tupleJSON []byte
	requests  []int // places of its requests
	err       error

	nodes  map[string]*Node
	order  []*Node // as they were made: each after what it waits for
	moved  bool    // a node got gates that were made after it
	root   *link
	pieces []*piece // by ID of the closure
	mark   int      // of the last walk
	keyer  keyer
	labels keyer
	loose  []Loose
	env    []byte
}

// piece is a package on its closure.
type piece struct {
	c       *solve.Closure
	r       *rendering
	rank    int
	below   []*piece // the closure, itself last
	visited int

	artifact, linked *Node
	artifactMade     bool
	gates            []string // its tests on the image of its closure
	allGates         []string // of the closure
	gated, allGated  bool
}

// link is a base, or a stacked layer on what lies below it.
type link struct {
	node   *Node
	chain  []string // keys from the base up
	below  *link
	piece  *piece // nil: the base
	gating bool   // what is made on it waits for the tests of the piece
	gates  []string
	known  bool // gates are
	above  map[above]*link
}

type above struct {
	piece  *piece
	gating bool
}

func newSite(cat *spec.Catalog, r *renderer, solved *solve.Site) *site {
	s := &site{cat: cat, renderer: r, solved: solved, nodes: map[string]*Node{}}
	s.tuple = tuple(solved.Platform)
	s.tupleJSON = plainJSON(s.tuple)
	s.where = where{Platform: solved.Platform, values: solved.Platform.Values(), arch: s.tuple.Arch, epoch: s.epoch()}
	return s
}

func (s *site) epoch() string {
	os := s.solved.Platform.OS.ID + " " + s.solved.Platform.OS.Version
	for _, l := range s.cat.Lock.Apt {
		if l.OS == os {
			return l.Epoch
		}
	}
	return ""
}

// add keeps each key once.
func (s *site) add(n *Node) *Node {
	if have := s.nodes[n.Key]; have != nil {
		s.moved = addGates(have, n.Gates) || s.moved
		return have
	}
	s.nodes[n.Key] = n
	s.order = append(s.order, n)
	return n
}

// piece finds the piece of a closure.
func (s *site) piece(c *solve.Closure) *piece {
	for len(s.pieces) <= c.ID {
		s.pieces = append(s.pieces, nil)
	}
	if p := s.pieces[c.ID]; p != nil {
		return p
	}
	p := &piece{c: c, r: s.renderer.render(c, s.where), rank: s.rank[c.Package.Name]}
	s.pieces[c.ID] = p
	p.below = append(s.closure(s.piecesOf(c.Depends)), p)
	s.loosen(p)
	return p
}

func (s *site) piecesOf(list []*solve.Closure) []*piece {
	out := make([]*piece, len(list))
	for i, c := range list {
		out[i] = s.piece(c)
	}
	return out
}

// closure is all that pieces stand on and they themselves, in the order of the platform.
func (s *site) closure(roots []*piece) []*piece {
	if len(roots) == 1 {
		below := roots[0].below
		return below[:len(below):len(below)]
	}
	s.mark++
	var out []*piece
	for _, r := range roots {
		for _, p := range r.below {
			if p.visited != s.mark {
				p.visited = s.mark
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b *piece) int { return cmp.Compare(a.rank, b.rank) })
	return out
}

// base is the platform's base image.
func (s *site) base() *link {
	if s.root != nil {
		return s.root
	}
	pl := s.solved.Platform
	img := &BaseImage{Image: pl.Base.Image, Mmdebstrap: pl.Base.Mmdebstrap}
	k := baseKey{Arch: s.tuple.Arch}
	if m := img.Mmdebstrap; m != nil {
		k.Suite, k.Variant, k.Include = m.Suite, m.Variant, m.Include
	} else {
		for _, l := range s.cat.Lock.Bases {
			if l.Image == img.Image {
				img.Digest = l.Digest
			}
		}
		k.Image, k.Digest = img.Image, img.Digest
		if !strings.Contains(img.Image, "@sha256:") {
			l := Loose{Image: img.Image, Locked: img.Digest != ""}
			if pl.Pos != nil { // a platform that was written in Go has none
				l.Pos = pl.Pos.Pos("base")
			}
			s.loose = append(s.loose, l)
		}
	}
	n := s.add(&Node{Key: key(Base, k), Kind: Base, Arch: s.tuple.Arch, Making: &Making{Base: img}})
	s.root = &link{node: n, chain: []string{n.Key}, known: true}
	return s.root
}

// gatesOn is the tests that what is made on a link waits for.
func (s *site) gatesOn(l *link) []string {
	if !l.known {
		l.gates = s.gatesOn(l.below)
		if l.gating {
			l.gates = union(l.gates, s.gatesOf(l.piece))
		}
		l.known = true
	}
	return l.gates
}

// stack lays a stacked layer.
func (s *site) stack(p *piece, on *link, gating bool) *link {
	at := above{p, gating}
	if l := on.above[at]; l != nil {
		return l
	}
	artifact := s.artifact(p)
	n := s.node(Stacked, p)
	n.Parent, n.Needs, n.Gates = on.node.Key, []string{on.node.Key}, s.gatesOn(on)
	n.Env, n.Dockerfile = p.r.env, p.c.Package.Dockerfile
	if artifact != nil {
		n.Artifact = artifact.Key
		n.Needs = append(n.Needs, artifact.Key)
	}
	s.fill(n, &p.r.install)
	n.Key = s.keyer.stacked(stackedKey{n.Arch, on.node.Key, p.r.install.texts, n.Dockerfile, p.r.filesJSON, n.Artifact, p.r.envJSON, p.r.install.sources})
	n = s.add(n)
	l := &link{node: n, chain: append(on.chain[:len(on.chain):len(on.chain)], n.Key), below: on, piece: p, gating: gating}
	if on.above == nil {
		on.above = map[above]*link{}
	}
	on.above[at] = l
	return l
}

// artifact is what a piece's build leaves, or nil.
func (s *site) artifact(p *piece) *Node {
	if p.artifactMade {
		return p.artifact
	}
	p.artifactMade = true
	if !p.r.builds {
		return nil
	}
	g := s.ground(p, true)
	n := s.node(Artifact, p)
	n.Ground, n.Resources = g.Key, p.c.Package.Build.Resources
	n.Needs, n.Gates = []string{g.Key}, s.gatesBelow(p)
	s.fill(n, &p.r.build)
	n.Key = s.keyer.artifact(artifactKey{n.Arch, p.r.build.texts, p.r.build.sources, p.r.filesJSON, nil, variables(g)}, g)
	p.artifact = s.add(n)
	return p.artifact
}

// link is a piece's linked layer.
func (s *site) link(p *piece) *Node {
	if p.linked != nil {
		return p.linked
	}
	artifact := s.artifact(p)
	g := s.ground(p, false)
	n := s.node(Linked, p)
	n.Ground, n.Needs, n.Gates = g.Key, []string{g.Key}, s.gatesBelow(p)
	if artifact != nil {
		n.Artifact = artifact.Key
		n.Needs = append(n.Needs, artifact.Key)
	}
	s.fill(n, &p.r.install)
	n.Key = s.keyer.linked(linkedKey{n.Arch, p.r.install.texts, p.r.filesJSON, n.Artifact, nil, variables(g), p.r.install.sources}, g)
	p.linked = s.add(n)
	return p.linked
}

// variables are those of a ground that stand in none of its layers, as a part
// of a key; none are left out.
func variables(ground *Node) raw {
	if len(ground.Env) == 0 {
		return nil
	}
	return plainJSON(ground.Env)
}

func (s *site) node(kind Kind, p *piece) *Node {
	return &Node{Kind: kind, Package: p.c.Package.Name, Version: p.c.Version.Version, Arch: s.tuple.Arch, Making: &Making{Files: p.r.files.visible}}
}

// fill gives a node its instructions, and adds the sources that they mount.
func (s *site) fill(n *Node, text *phaseText) {
	n.Instructions, n.TimeoutMinutes = text.instructions, text.timeout
	for i, a := range text.archives {
		if a == nil {
			continue
		}
		base := s.base().node
		src := s.add(&Node{
			Key: text.instructions[i].Sources[0], Kind: Source, Package: n.Package, Version: n.Version,
			Arch: s.tuple.Arch, Ground: base.Key, Needs: []string{base.Key}, Making: &Making{Archive: a},
		})
		n.Needs = union(n.Needs, []string{src.Key})
	}
}

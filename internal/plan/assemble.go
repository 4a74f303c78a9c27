package plan

// image is base + chain + linked layers of pieces, with what only a build needs
// on top. Without labels it is the ground that builds, linked layers and gates
// stand on.
func (s *site) image(names, extra []*piece, labels *Labels, title string) *Node {
	n := &Node{Kind: Image, Arch: s.tuple.Arch, Package: title, Making: &Making{Labels: labels}}
	at := s.base()
	links := 0
	for i, list := range [][]*piece{names, extra} {
		for _, p := range list {
			switch {
			case p.r.stacked: // it brings its own environment, by its recipe
				at = s.stack(p, at, i == 0)
			case len(p.r.env) > 0:
				n.Env = append(n.Env, p.r.env...)
			}
			if p.r.linked {
				links++
			}
		}
	}
	n.Chain = at.chain[:len(at.chain):len(at.chain)]
	n.Needs = make([]string, 1, 1+links)
	n.Needs[0] = at.node.Key
	for _, list := range [][]*piece{names, extra} {
		for _, p := range list {
			if p.r.linked {
				n.Needs = append(n.Needs, s.link(p).Key)
			}
		}
	}
	if links > 0 {
		n.Linked = n.Needs[1:]
	}
	label := []byte("null")
	if labels != nil { // what is made on a ground has the gates; a ground may be where they run
		n.Gates = s.gatesOfAll(names)
		label = s.labelsJSON(labels, names)
	}
	n.Key = s.keyer.image(n.Arch, n.Chain, n.Linked, s.envJSON(names, extra), label)
	return s.add(n)
}

// envJSON is the JSON of the variables of pieces that have no layer of their
// own to keep them.
func (s *site) envJSON(lists ...[]*piece) []byte {
	env := append(s.env[:0], '[')
	for _, list := range lists {
		for _, p := range list {
			if !p.r.stacked && len(p.r.env) > 0 {
				if len(env) > 1 {
					env = append(env, ',')
				}
				env = append(env, p.r.envVars...)
			}
		}
	}
	env = append(env, ']')
	if len(env) == 2 {
		env = append(env[:0], "null"...)
	}
	s.env = env
	return env
}

// labelsJSON is the JSON of labels, of which most is known before.
func (s *site) labelsJSON(l *Labels, names []*piece) []byte {
	k := &s.labels
	k.b.Reset()
	k.text(`{"tag":`, l.Tag)
	before := `,"packages":[`
	for _, p := range names {
		k.field(before, p.r.refJSON)
		before = ","
	}
	k.field(`],"platform":`, s.tupleJSON)
	k.texts(`,"asked":`, l.Asked)
	k.b.WriteByte('}')
	return k.b.Bytes()
}

// ground is the image of the closure of a piece without itself, with what only
// its build needs on top.
func (s *site) ground(p *piece, build bool) *Node {
	below := p.below[: len(p.below)-1 : len(p.below)-1]
	if !build {
		return s.image(below, nil, nil, p.c.Package.Name+"'s closure")
	}
	needed := s.closure(s.piecesOf(p.c.Build))
	s.mark++
	for _, x := range p.below {
		x.visited = s.mark
	}
	var extra []*piece
	for _, x := range needed {
		if x.visited != s.mark {
			extra = append(extra, x)
		}
	}
	return s.image(below, extra, nil, p.c.Package.Name+"'s build")
}

// gatesOf is the tests of a piece on the image of its own closure.
func (s *site) gatesOf(p *piece) []string {
	if !p.gated {
		p.gated = true
		if len(p.r.tests) > 0 {
			p.gates = s.tests(nil, p, s.image(p.below, nil, nil, p.c.Package.Name), false)
		}
	}
	return p.gates
}

// gatesBelow is the tests of what a piece stands on.
func (s *site) gatesBelow(p *piece) []string { return s.gatesOfAll(p.below[:len(p.below)-1]) }

// gatesOfAll is the tests of a closure, each on the image of its own.
func (s *site) gatesOfAll(list []*piece) []string {
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1]
	if len(last.below) != len(list) { // more than what the last stands on
		var out []string
		for _, p := range list {
			out = append(out, s.gatesOf(p)...)
		}
		return out
	}
	if !last.allGated {
		for _, p := range list {
			s.gatesOf(p)
		}
		last.allGated = true
		for _, p := range list {
			last.allGates = append(last.allGates, p.gates...)
		}
	}
	return last.allGates[:len(last.allGates):len(last.allGates)]
}

// tests adds the tests of a piece on an image, and their keys to a list. Those on
// a fresh image are there for the first time.
func (s *site) tests(keys []string, p *piece, img *Node, fresh bool) []string {
	if len(p.r.tests) == 0 {
		return keys
	}
	needs := []string{img.Key}
	made := make([]Node, len(p.r.tests))
	for i := range p.r.tests {
		t := &p.r.tests[i]
		n := &made[i]
		*n = Node{
			Key: s.keyer.test(testKey{t.run.Content, img.Key}), Kind: Test, Package: p.c.Package.Name, Version: p.c.Version.Version,
			Arch: s.tuple.Arch, Ground: img.Key, Needs: needs, Test: &t.run, TimeoutMinutes: t.minutes, Making: s.renderer.nothing,
		}
		keys = append(keys, n.Key)
		if fresh {
			s.order = append(s.order, n)
		} else {
			s.add(n)
		}
	}
	return keys
}

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Totals say how much a plan makes, and how well its cells share it.
type Totals struct {
	Cells, Impossible int
	Layers            int // shipped: on the base of some cell's image
	Laid              int // the same, those that platforms and stacks share counted for each
	Distinct          int // package versions, with their options, that have a layer, by platform and stack: the least that could be laid
	BuildLayers       int // that only builds stand on
	Artifacts         int
	Versions          int      // package versions that have an artifact, by platform
	Repeats           []Repeat // artifacts that those have beyond the first
	Tests             int
}

// Repeat is an artifact of a package version on a platform beyond its first.
type Repeat struct {
	Package, Version, Platform string
	Cause                      string // cuda 12.8 below it instead of cuda 12.6
}

// Ratio is how many layers are laid for each of those that there would be at least.
func (t Totals) Ratio() float64 {
	if t.Distinct == 0 {
		return 0
	}
	return float64(t.Laid) / float64(t.Distinct)
}

// Totals counts. Its repeats are sorted by package, version and platform.
func (p *Plan) Totals() Totals {
	t := Totals{Cells: len(p.Cells), Tests: p.Sizes()[Test], Artifacts: p.Sizes()[Artifact]}
	type place struct{ key, platform, stack string }
	type distinct struct{ pkg, version, platform, stack string }
	shipped, laid := map[string]bool{}, map[place]bool{}
	versions := map[distinct]bool{}
	options := map[string]string{}          // of a package of the cell
	reached := map[string]map[string]bool{} // by platform: what was looked at
	made := map[distinct][]*Node{}          // artifacts, without the stack
	for _, c := range p.Cells {
		if c.Impossible != nil {
			t.Impossible++
			continue
		}
		platform := "r" + c.Platform.L4T + " " + c.Platform.Flavour
		seen := reached[platform]
		if seen == nil {
			seen = map[string]bool{}
			reached[platform] = seen
		}
		clear(options)
		for _, r := range c.Packages {
			if r.Options != nil {
				options[r.Name] = fmt.Sprint(r.Options) // fmt sorts maps
			}
		}
		img := p.Node(c.Image)
		for _, list := range [][]string{img.Chain[1:], img.Linked} {
			for _, k := range list {
				n := p.Node(k)
				shipped[k] = true
				laid[place{k, platform, c.Platform.CUDA}] = true
				versions[distinct{n.Package, n.Version + options[n.Package], platform, c.Platform.CUDA}] = true
			}
		}
		p.artifacts(c.Image, seen, func(n *Node) {
			d := distinct{pkg: n.Package, version: n.Version, platform: platform}
			made[d] = append(made[d], n)
		})
	}
	t.Versions = len(made)
	t.Layers, t.Laid, t.Distinct = len(shipped), len(laid), len(versions)
	t.BuildLayers = p.Sizes()[Stacked] + p.Sizes()[Linked] - t.Layers
	for d, list := range made {
		for _, n := range list[1:] {
			t.Repeats = append(t.Repeats, Repeat{d.pkg, d.version, strings.TrimSuffix(d.platform, " tegra"), p.differs(list[0], n)})
		}
	}
	slices.SortFunc(t.Repeats, func(a, b Repeat) int {
		return strings.Compare(a.Package+"\n"+a.Version+"\n"+a.Platform+"\n"+a.Cause, b.Package+"\n"+b.Version+"\n"+b.Platform+"\n"+b.Cause)
	})
	return t
}

// artifacts visits those that an image is made of, in whatever depth.
func (p *Plan) artifacts(image string, seen map[string]bool, visit func(*Node)) {
	if seen[image] {
		return
	}
	seen[image] = true
	img := p.Node(image)
	for _, list := range [][]string{img.Chain[1:], img.Linked} {
		for _, k := range list {
			if seen[k] {
				continue
			}
			seen[k] = true
			n := p.Node(k)
			if n.Ground != "" {
				p.artifacts(n.Ground, seen, visit)
			}
			if n.Artifact == "" || seen[n.Artifact] {
				continue
			}
			seen[n.Artifact] = true
			a := p.Node(n.Artifact)
			visit(a)
			p.artifacts(a.Ground, seen, visit)
		}
	}
}

// differs says why two artifacts of a package version are not the same.
func (p *Plan) differs(a, b *Node) string {
	texts := func(n *Node) (out []string) {
		for _, i := range n.Instructions {
			out = append(out, i.Text)
		}
		return out
	}
	below := func(n *Node) map[string]*Node {
		out := map[string]*Node{}
		g := p.Node(n.Ground)
		for _, list := range [][]string{g.Chain, g.Linked} {
			for _, k := range list {
				if l := p.Node(k); l.Kind == Base {
					out["the base"] = l
				} else {
					out[l.Package] = l
				}
			}
		}
		return out
	}
	was, is := below(a), below(b)
	var changed, other []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch have := was[name]; {
		case have == nil:
			changed = append(changed, name+" below it too")
		case have.Version != is[name].Version:
			changed = append(changed, fmt.Sprintf("%s %s below it instead of %s", name, is[name].Version, have.Version))
		case have.Key != is[name].Key:
			other = append(other, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if is[name] == nil {
			changed = append(changed, "no "+name+" below it")
		}
	}
	switch {
	case len(changed) > 0:
		return strings.Join(changed, ", ")
	case !slices.Equal(texts(a), texts(b)):
		return "its steps differ"
	case len(other) > 0:
		return "another layer of " + other[0] + " below it"
	}
	return "other variables below it"
}

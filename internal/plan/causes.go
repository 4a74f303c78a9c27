package plan

import "slices"

// Causes says why now has another key than before, down to where the change is.
// The lookups give the inputs of keys on their side, or nil: what is not known
// there is named as the cause itself.
func Causes(before, now *Inputs, old, new func(key string) *Inputs) []Cause {
	seen := map[[2]string]bool{}
	var out []Cause
	var walk func(before, now *Inputs)
	walk = func(before, now *Inputs) {
		m := Compare(before, now)
		out = append(out, m.Own...)
		for _, p := range m.Pairs {
			if seen[p] {
				continue
			}
			seen[p] = true
			b, n := before.under(p[0], old), now.under(p[1], new)
			if b != nil && n != nil {
				walk(b, n)
				continue
			}
			out = append(out, Cause{Packages: now.owner(p[1]), What: "another key", Old: p[0], New: p[1]})
		}
	}
	walk(before, now)
	return settledCauses(distinctCauses(out))
}

// under is what is known of a key below; the base of something is known with it.
func (in *Inputs) under(key string, lookup func(string) *Inputs) *Inputs {
	if known := lookup(key); known != nil {
		return known
	}
	for _, b := range in.Below {
		if b.Key == key && b.Kind == Base && in.Base != nil {
			return &Inputs{Key: key, Kind: Base, Arch: in.Arch, Base: in.Base}
		}
	}
	return nil
}

// owner is the package of what stands below, or of the artifact.
func (in *Inputs) owner(key string) []string {
	for _, b := range in.Below {
		if b.Key == key && b.Package != "" {
			return []string{b.Package}
		}
	}
	if key == in.Artifact {
		return []string{in.Package}
	}
	return nil
}

// settledCauses leaves out the order of layers where other layers explain it.
func settledCauses(list []Cause) []Cause {
	explained := slices.ContainsFunc(list, func(c Cause) bool { return c.What == layerBelow || c.What == kindOfLayer })
	if !explained {
		return list
	}
	return slices.DeleteFunc(list, func(c Cause) bool { return c.What == orderOfLayers })
}

// Using lists the possible cells whose image stands on a node, or was built with
// it, in whatever depth.
func (p *Plan) Using(key string) []*Cell {
	above := map[string]bool{key: true}
	for _, n := range p.Nodes { // each comes after what it needs
		if slices.ContainsFunc(n.Needs, func(k string) bool { return above[k] }) {
			above[n.Key] = true
		}
	}
	var out []*Cell
	for _, c := range p.Possible() {
		if above[c.Image] || slices.ContainsFunc(c.Tests, func(k string) bool { return above[k] }) {
			out = append(out, c)
		}
	}
	return out
}

package plan

// shared is the part of a plan that more than one of its possible cells needs.
func (p *Plan) shared() *Plan {
	cells := map[string]int{} // that need a node, by its key
	for _, c := range p.Possible() {
		seen := map[string]bool{}
		var need func(keys ...string)
		need = func(keys ...string) {
			for _, k := range keys {
				if !seen[k] {
					seen[k] = true
					cells[k]++
					need(p.Node(k).Needs...)
					need(p.Node(k).Gates...)
				}
			}
		}
		need(c.Image)
		need(c.Tests...)
		need(c.Gates...)
	}
	out := &Plan{Format: p.Format, byKey: p.byKey}
	for _, n := range p.Nodes {
		if cells[n.Key] > 1 {
			out.Nodes = append(out.Nodes, n)
		}
	}
	return out
}

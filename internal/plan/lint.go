package plan

import (
	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// maxLayers is how many layers may lie on a base: overlayfs in the kernel of a
// Jetson takes 127 (https://github.com/dusty-nv/jetson-containers/issues/1329),
// and bases have some.
const maxLayers = 120

// Lint looks at the cells of the matrix together: no two have the same tag, no
// image has too many layers, and what `include` names is possible.
func Lint(cat *spec.Catalog, p *Plan) diag.List {
	var list diag.List
	var pos diag.Position
	if at := cat.Matrix.Strategy.Pos; at != nil {
		pos = at.Pos("matrix")
	}
	tags := map[string]*Cell{}
	possible := map[string]bool{}
	for _, c := range p.Cells {
		possible[c.Target] = possible[c.Target] || c.Impossible == nil
	}
	told := map[string]bool{}
	for _, c := range p.Cells {
		if c.Impossible != nil {
			if !possible[c.Target] && !told[c.Target] {
				told[c.Target] = true
				list.Warnf("impossible-target", pos, "no cell of the matrix can hold %s: %v", c.Target, c.Impossible)
			}
			continue
		}
		if first := tags[c.Tag]; first != nil {
			list.Errorf("duplicate-tag", pos, "two cells have the tag %s: %s and %s", c.Tag, first.ID, c.ID).Hint = "name one of them only, or one of its options"
		} else {
			tags[c.Tag] = c
		}
		img := p.Node(c.Image)
		if n := len(img.Chain) - 1 + len(img.Linked); n > maxLayers {
			list.Errorf("long-chain", pos, "the image of %s has %d layers on its base; %d are allowed", c.ID, n, maxLayers).Hint =
				"let packages share a layer: a meta package that installs what several do now"
		}
	}
	list.Sort()
	return list
}

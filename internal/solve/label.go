package solve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Label names platforms of a matrix shortly: a major release or a line stands
// for all its releases, "every platform" for all there are.
func Label(m *spec.Matrix, some []*spec.Platform) string {
	if len(some) == len(m.Platforms) {
		return "every platform"
	}
	type group struct{ flavour, major, line string }
	of := func(p *spec.Platform) (line, major group) {
		r, _ := version.ParseL4T(p.L4T)
		first, second, _ := strings.Cut(r.Line(), ".")
		return group{orTegra(p.Flavour), first, second}, group{orTegra(p.Flavour), first, ""}
	}
	whole, part, lines := map[group]int{}, map[group]int{}, map[group]int{}
	for i := range m.Platforms {
		line, major := of(&m.Platforms[i])
		if whole[line] == 0 {
			lines[major]++
		}
		whole[line]++
		whole[major]++
	}
	for _, p := range some {
		line, major := of(p)
		part[line]++
		part[major]++
	}
	var out []string
	for _, p := range some {
		line, major := of(p)
		name := "r" + p.L4T
		switch {
		case part[major] == whole[major] && lines[major] > 1:
			name = "r" + line.major
		case part[line] == whole[line]:
			name = fmt.Sprintf("r%s.%s", line.major, line.line)
		}
		if line.flavour != "tegra" {
			name += " " + line.flavour
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

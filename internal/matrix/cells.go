package matrix

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Cell is one thing to build: targets on a platform. Every field is definite:
// L4T is a release of a platform, CUDA and Python are ones that it offers.
type Cell struct {
	L4T     string
	Flavour string
	Package string // one target or several, joined by a single space
	CUDA    string // "" on a platform without CUDA
	Python  string
}

// ID names the cell, such as pytorch:2.8@r36.4.0-cuda12.6-python3.10. The
// flavour is in it unless it is tegra, the CUDA if there is one.
func (c Cell) ID() string {
	id := strings.ReplaceAll(c.Package, " ", ",") + "@r" + c.L4T
	if c.Flavour != "tegra" {
		id += "-" + c.Flavour
	}
	if c.CUDA != "" {
		id += "-cuda" + c.CUDA
	}
	return id + "-python" + c.Python
}

// names are those that a cell has, in the order of their axes.
func names() []string { return []string{"l4t", "flavour", "package", "cuda", "python"} }

// Cells returns the cells of a matrix in a stable order, each once. The value
// default of cuda and python, and a missing one, mean the platform's first; a
// missing flavour means tegra; an L4T line (36.4) means its newest release in the
// matrix. In include and exclude, r36.4, 36.4 and the release that they mean are
// the same value; default is a value of its own there.
func Cells(m *spec.Matrix) ([]Cell, diag.List) {
	e := expander{m: m, reported: map[string]bool{}}
	axes, exclude := e.axes(), e.entries("exclude")
	e.include = e.entries("include")
	if e.list.HasErrors() {
		return nil, e.list
	}
	e.warnUseless(axes, exclude)
	combinations, err := Expand(axes, e.include, exclude)
	if err != nil {
		e.list.Errorf("bad-matrix", e.pos("matrix"), "%s", err)
		return nil, e.list
	}
	var cells []Cell
	seen := map[Cell]bool{}
	for _, c := range combinations {
		cell, ok := e.cell(c)
		if !ok {
			continue
		}
		if pos, included := e.source(c); included && seen[cell] {
			e.list.Warnf("useless-include", pos, "the entry adds nothing: %s is a cell already", cell.ID())
		}
		if !seen[cell] {
			seen[cell] = true
			cells = append(cells, cell)
		}
	}
	e.list.Sort()
	return cells, e.list
}

// expander holds what Cells works on.
type expander struct {
	m        *spec.Matrix
	include  []map[string]string // with the releases of l4t resolved
	list     diag.List
	reported map[string]bool // messages, so that many cells say one thing once
}

func (e *expander) pos(path ...any) diag.Position {
	if e.m.Strategy.Pos == nil {
		return diag.Position{}
	}
	return e.m.Strategy.Pos.Pos(path...)
}

// report adds an error unless it is there already.
func (e *expander) report(code string, pos diag.Position, allowed []string, hint, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if e.reported[message] {
		return
	}
	e.reported[message] = true
	d := e.list.Errorf(code, pos, "%s", message)
	d.Allowed, d.Hint = allowed, hint
}

// axes returns the axes that the matrix has, with the releases of l4t resolved.
func (e *expander) axes() []Axis {
	a := e.m.Strategy.Matrix
	var axes []Axis
	for i, values := range [][]string{a.L4T, a.Flavour, a.Package, a.CUDA, a.Python} {
		name := names()[i]
		if len(values) == 0 {
			continue
		}
		axis := Axis{Name: name, Values: make([]string, len(values))}
		for j, v := range values {
			axis.Values[j] = e.canonical(name, v, e.pos("matrix", name, j), a.Flavour)
		}
		axes = append(axes, axis)
	}
	return axes
}

// entries returns include or exclude, with the releases of l4t resolved.
func (e *expander) entries(list string) []map[string]string {
	source := e.m.Strategy.Matrix.Include
	if list == "exclude" {
		source = e.m.Strategy.Matrix.Exclude
	}
	var out []map[string]string
	for i, entry := range source {
		flavours := e.m.Strategy.Matrix.Flavour
		if f := entry["flavour"]; f != "" {
			flavours = []string{f}
		}
		resolved := map[string]string{}
		for _, name := range sortedKeys(entry) {
			pos := e.pos("matrix", list, i, name)
			if !slices.Contains(names(), name) {
				e.report("unknown-axis", pos, names(), diag.DidYouMean(name, names()), "%s[%d] names %q, which is no axis", list, i, name)
				continue
			}
			resolved[name] = e.canonical(name, entry[name], pos, flavours)
		}
		out = append(out, resolved)
	}
	return out
}

// canonical gives one spelling to values that mean the same.
func (e *expander) canonical(name, value string, pos diag.Position, flavours []string) string {
	switch name {
	case "package":
		return strings.Join(strings.Fields(value), " ")
	case "l4t":
		return e.release(value, pos, flavours)
	}
	return value
}

// release resolves an L4T release or line to a platform's L4T, as it is written
// there. Where flavours have different newest releases of a line, the line has
// no one meaning, and the release must be written out.
func (e *expander) release(value string, pos diag.Position, flavours []string) string {
	want, err := version.ParseL4T(value)
	if err != nil {
		e.report("bad-version", pos, nil, "", "l4t: %s", err)
		return value
	}
	if len(flavours) == 0 {
		flavours = []string{"tegra"}
	}
	var found []string
	for _, flavour := range flavours {
		if newest := e.newest(want, flavour); newest != "" && !slices.Contains(found, newest) {
			found = append(found, newest)
		}
	}
	switch len(found) {
	case 0:
		have := e.releases()
		e.report("unknown-axis-value", pos, have, diag.DidYouMean(value, have), "no platform of the matrix has l4t %s (%s)", value, strings.Join(flavours, ", "))
		return value
	case 1:
		return found[0]
	}
	e.report("ambiguous-l4t", pos, found, "write the release", "l4t %s means another release for each flavour", value)
	return value
}

// newest returns the newest release of a flavour that want means.
func (e *expander) newest(want version.Release, flavour string) string {
	var best version.Release
	for i := range e.m.Platforms {
		p := &e.m.Platforms[i]
		r, err := version.ParseL4T(p.L4T)
		if err != nil || flavourOf(p) != flavour {
			continue // lint reports a platform that cannot be read
		}
		if r.Compare(want) != 0 && (!want.IsLine() || r.Line() != want.Line()) {
			continue
		}
		if best.IsZero() || r.Compare(best) > 0 {
			best = r
		}
	}
	return best.String()
}

// releases lists the platforms' releases, oldest first.
func (e *expander) releases() []string {
	var all []version.Release
	for i := range e.m.Platforms {
		if r, err := version.ParseL4T(e.m.Platforms[i].L4T); err == nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, version.Release.Compare)
	var texts []string
	for _, r := range all {
		texts = append(texts, r.String())
	}
	return slices.Compact(texts)
}

// warnUseless warns of an exclude entry that takes nothing away: it is a slip,
// or it has outlived what it was for.
func (e *expander) warnUseless(axes []Axis, exclude []map[string]string) {
	for i, entry := range exclude {
		for _, name := range sortedKeys(entry) {
			axis := slices.IndexFunc(axes, func(a Axis) bool { return a.Name == name })
			if axis >= 0 && !slices.Contains(axes[axis].Values, entry[name]) {
				d := e.list.Warnf("useless-exclude", e.pos("matrix", "exclude", i, name), "exclude[%d] takes nothing away: the axis %s has no %s", i, name, entry[name])
				d.Allowed = axes[axis].Values
				d.Hint = diag.DidYouMean(entry[name], axes[axis].Values)
				break
			}
		}
		for j, earlier := range exclude[:i] {
			if takesAll(earlier, entry) {
				e.list.Warnf("useless-exclude", e.pos("matrix", "exclude", i), "exclude[%d] takes nothing away: exclude[%d] has taken all of it", i, j)
				break
			}
		}
	}
}

// takesAll reports whether an entry of exclude fits whatever another fits.
func takesAll(earlier, entry map[string]string) bool {
	for name, value := range earlier {
		if have, ok := entry[name]; !ok || have != value {
			return false
		}
	}
	return true
}

// cell makes a combination definite, or reports why it cannot be.
func (e *expander) cell(c Combination) (Cell, bool) {
	get := func(name string) string { v, _ := c.Get(name); return v }
	cell := Cell{L4T: get("l4t"), Flavour: get("flavour"), Package: get("package"), CUDA: get("cuda"), Python: get("python")}
	if cell.Flavour == "" {
		cell.Flavour = "tegra"
	}
	for _, required := range []string{"l4t", "package"} {
		if get(required) == "" {
			pos, _ := e.source(c)
			e.report("incomplete-cell", pos, nil, "give "+required+" as an axis, or in the include entry", "a cell (%s) has no %s", c.ID(), required)
			return Cell{}, false
		}
	}
	p := e.platform(cell.L4T, cell.Flavour)
	if p == nil {
		pos, _ := e.source(c)
		e.report("unknown-axis-value", pos, e.releases(), "exclude it, or add the platform", "no platform of the matrix is r%s %s", cell.L4T, cell.Flavour)
		return Cell{}, false
	}
	var stacks []string
	for _, s := range p.CUDA {
		stacks = append(stacks, s.Version)
	}
	cuda, okCUDA := e.choose(c, p, "cuda", "CUDA", cell.CUDA, stacks)
	python, okPython := e.choose(c, p, "python", "Python", cell.Python, p.Python)
	cell.CUDA, cell.Python = cuda, python
	return cell, okCUDA && okPython
}

// choose picks what a platform offers: its first by default, and "" for CUDA
// where it offers none.
func (e *expander) choose(c Combination, p *spec.Platform, axis, word, want string, offered []string) (string, bool) {
	if want == "" || want == "default" {
		if len(offered) > 0 {
			return offered[0], true
		}
		if axis == "cuda" {
			return "", true
		}
		want = "default"
	}
	// 12.6 and 12.6.0 are the same.
	if wanted, err := version.ParseRelease(want); err == nil {
		for _, o := range offered {
			if r, err := version.ParseRelease(o); err == nil && r.Compare(wanted) == 0 {
				return o, true
			}
		}
	}
	offers := "none"
	if len(offered) > 0 {
		offers = strings.Join(offered, ", ")
	}
	pos, included := e.source(c)
	hint := fmt.Sprintf("exclude {l4t: %s, %s: %q}", p.L4T, axis, want)
	if included {
		hint = "give one that it offers" // exclude comes before include
	}
	e.report("not-offered", pos, append(slices.Clone(offered), "default"), hint,
		"r%s does not offer %s %s; it offers %s", p.L4T, word, want, offers)
	return "", false
}

// source is the place that a combination comes from: the include entry that it
// is, or else the axes.
func (e *expander) source(c Combination) (pos diag.Position, included bool) {
	for i, entry := range e.include {
		if len(entry) == len(c) && c.has(entry) {
			return e.pos("matrix", "include", i), true
		}
	}
	return e.pos("matrix"), false
}

// platform finds a platform by its release as written and its flavour.
func (e *expander) platform(l4t, flavour string) *spec.Platform {
	for i := range e.m.Platforms {
		if p := &e.m.Platforms[i]; p.L4T == l4t && flavourOf(p) == flavour {
			return p
		}
	}
	return nil
}

func flavourOf(p *spec.Platform) string {
	if p.Flavour == "" {
		return "tegra"
	}
	return p.Flavour
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Whole returns a cell for every target on every platform with every stack, in
// the order of the matrix, with the platform's default Python.
func Whole(m *spec.Matrix, targets []string) []Cell {
	var cells []Cell
	for i := range m.Platforms {
		p := &m.Platforms[i]
		stacks := []string{""}
		if len(p.CUDA) > 0 {
			stacks = stacks[:0]
			for _, s := range p.CUDA {
				stacks = append(stacks, s.Version)
			}
		}
		for _, cuda := range stacks {
			for _, t := range targets {
				c := Cell{L4T: p.L4T, Flavour: flavourOf(p), Package: t, CUDA: cuda}
				if len(p.Python) > 0 {
					c.Python = p.Python[0]
				}
				cells = append(cells, c)
			}
		}
	}
	return cells
}

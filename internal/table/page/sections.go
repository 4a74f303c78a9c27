package page

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// facts is what the spec says of a package as such.
func (w *writer) facts(b *bytes.Buffer, p *spec.Package) {
	b.WriteString(head("", ""))
	line := func(name, value string) {
		if value != "" {
			b.WriteString(row(name, value))
		}
	}
	var aliases []string
	for _, a := range p.Aliases {
		aliases = append(aliases, cellCode(a))
	}
	line("other names", strings.Join(aliases, ", "))
	line("group", text(p.Group))
	if p.Homepage != "" {
		line("homepage", link(p.Homepage))
	}
	if p.Docs != "" {
		line("documentation", link(p.Docs))
	}
	line("licence", text(p.License))
	if p.Doc != nil {
		line("spec", "["+plain(p.Doc.Name)+"](<"+path.Join(w.Root, p.Doc.Name)+">)")
	}
	if s := p.Storage; s != nil {
		var parts []string
		for _, x := range []struct{ size, what string }{{s.Image, "the image"}, {s.Models, "models"}} {
			if x.size != "" {
				parts = append(parts, plain(x.size)+" for "+x.what)
			}
		}
		line("storage on a device", strings.Join(parts, ", "))
	}
	line("accelerators it can use", strings.Join(p.Accelerators, ", "))
	b.WriteString("\n")
	w.accelerators(b, p)
	w.options(b, p)
}

// accelerators says which modules have what a package can use.
func (w *writer) accelerators(b *bytes.Buffer, p *spec.Package) {
	if len(p.Accelerators) == 0 || len(w.cat.Matrix.Modules) == 0 {
		return
	}
	b.WriteString(head("accelerator", "modules that have it", "that lack it", "not stated"))
	for _, acc := range p.Accelerators {
		var has, lacks, unknown []string
		for _, m := range w.cat.Matrix.Modules {
			switch {
			case slices.Contains(m.Has, acc):
				has = append(has, plain(m.Name))
			case slices.Contains(m.Lacks, acc):
				lacks = append(lacks, plain(m.Name))
			default:
				unknown = append(unknown, plain(m.Name))
			}
		}
		b.WriteString(row(acc, strings.Join(has, ", "), strings.Join(lacks, ", "), strings.Join(unknown, ", ")))
	}
	b.WriteString("\n")
}

func (w *writer) options(b *bytes.Buffer, p *spec.Package) {
	if len(p.Options) == 0 {
		return
	}
	b.WriteString(head("option", "what it does", "default"))
	for _, name := range sortedKeys(p.Options) {
		o := p.Options[name]
		asked := "+" + name
		if len(o.Choices) > 0 {
			asked += "=" + strings.Join(o.Choices, "/")
		}
		value := o.Default
		if value == nil && o.Type != "string" {
			value = false
		}
		b.WriteString(row(cellCode(p.Name+asked), text(o.Description), text(fmt.Sprint(value))))
	}
	b.WriteString("\n")
}

// chosen is what of a cell a target without a version gets.
var chosen = regexp.MustCompile(`([^ ,]+)\*`)

// versions is the grid of versions and platforms, what speaks against a version
// where, and where the facts come from.
func (w *writer) versions(b *bytes.Buffer, p *spec.Package, s *survey) {
	b.WriteString("## Versions\n\n")
	titles := []string{"version"}
	for _, c := range s.columns {
		titles = append(titles, text(c.label))
	}
	if len(s.columns) > 0 {
		titles = append(titles, "needs")
		b.WriteString(head(titles...))
	}
	var notes []string
	for v := range p.Versions {
		cells := []string{text(p.Versions[v].Version)}
		for _, c := range s.columns {
			cell := chosen.ReplaceAllString(c.cells[v], "**$1**")
			if cell == "" {
				cell = "–"
			}
			if note := c.notes[v]; note != "" {
				i := slices.Index(notes, note)
				if i < 0 {
					notes, i = append(notes, note), len(notes)
				}
				cell += fmt.Sprintf(" (%d)", i+1)
			}
			cells = append(cells, cell)
		}
		if len(s.columns) > 0 {
			b.WriteString(row(append(cells, text(requirement(p.Versions[v].Requires)))...))
		}
	}
	if len(s.columns) > 0 {
		b.WriteString("\n**Bold** is what a target without a version gets.")
		if s.stacked() {
			b.WriteString(" A number is a CUDA version: it is possible with the stacks of those, and not with the others.")
		}
		if s.refused() {
			b.WriteString(" – is impossible: the platform is none that the version needs, or a note says why.")
		}
		if needs := requirement(p.Requires); needs != "" {
			b.WriteString(" Every version needs " + text(needs) + ".")
		}
		b.WriteString("\n\n")
	}
	for i, note := range notes {
		fmt.Fprintf(b, "- (%d) %s\n", i+1, text(note))
	}
	for _, c := range s.barred {
		where := "not on " + text(c.label)
		if len(c.sites) == len(w.sites) {
			where = "on no platform"
		}
		fmt.Fprintf(b, "- %s: %s\n", where, text(s.answers[c.sites[0]].reason))
	}
	if len(notes)+len(s.barred) > 0 {
		b.WriteString("\n")
	}
	w.sources(b, p)
}

// stacked says whether a cell of the grid holds CUDA versions.
func (s *survey) stacked() bool {
	return slices.ContainsFunc(s.columns, func(c *column) bool { return Row{Cells: c.cells}.Stacked() })
}

// refused says whether a cell of the grid says no.
func (s *survey) refused() bool {
	return slices.ContainsFunc(s.columns, func(c *column) bool { return slices.Contains(c.cells, "") })
}

// sources says where each version's facts come from; versions of one source
// share a line.
func (w *writer) sources(b *bytes.Buffer, p *spec.Package) {
	var order []string
	of := map[string][]string{}
	for i := range p.Versions {
		v := &p.Versions[i]
		source := text(v.Source)
		if source == "" {
			source = "no source is given"
		}
		if a := v.Archive; a != nil {
			source += "; the archive's SHA-256 is " + code(a.SHA256)
		}
		if of[source] == nil {
			order = append(order, source)
		}
		of[source] = append(of[source], text(v.Version))
	}
	b.WriteString("Where these facts come from:\n\n")
	for _, source := range order {
		fmt.Fprintf(b, "- %s: %s\n", strings.Join(of[source], ", "), source)
	}
	b.WriteString("\n")
}

// needs is what a package stands on, and who stands on it.
func (w *writer) needs(b *bytes.Buffer, p *spec.Package) {
	b.WriteString("## Dependencies\n\n")
	var lines []string
	line := func(title string, list []spec.Dependency) {
		if len(list) == 0 {
			return
		}
		var out []string
		for _, d := range list {
			s := "[" + plain(d.Target) + "](" + w.cat.Named(d) + ".md)"
			if d.If != "" {
				s += " if " + code(d.If)
			}
			out = append(out, s)
		}
		lines = append(lines, "- "+title+": "+strings.Join(out, ", "))
	}
	line("stands on", p.Depends)
	for i := range p.Versions {
		line(text(p.Versions[i].Version)+" also stands on", p.Versions[i].Depends)
	}
	if p.Build != nil {
		line("only its build needs", p.Build.Depends)
	}
	line("cannot be in one image with", p.Conflicts)
	for i := range p.Versions {
		line(text(p.Versions[i].Version)+" cannot be in one image with", p.Versions[i].Conflicts)
	}
	if len(lines) == 0 {
		lines = append(lines, "- stands on the base image alone")
	}
	if on := w.dependant[p.Name]; len(on) > 0 {
		lines = append(lines, "- who stands on it: "+pages(on))
	}
	if on := w.builders[p.Name]; len(on) > 0 {
		lines = append(lines, "- whose build needs it: "+pages(on))
	}
	b.WriteString(strings.Join(lines, "\n") + "\n\n")
}

// holds says what images of a package hold, and what the host's runtime brings.
func (w *writer) holds(b *bytes.Buffer, p *spec.Package, s *survey) {
	shown := s.newest()
	if len(shown) == 0 {
		return
	}
	b.WriteString("## In the image, and from the host\n\n")
	b.WriteString(head("made for", "runs on hosts", "base image", "holds"))
	asks, visible := "", "" // who asks the runtime for the driver
	for _, a := range shown {
		on := a.site.stacks[a.stack].Platform
		name := on.String()
		if on.Stack.Version != "" {
			name += ", CUDA " + on.Stack.Version
		}
		base := cellCode(on.Base.Image)
		if m := on.Base.Mmdebstrap; m != nil {
			base = "Debian " + plain(m.Suite) + ", made by mmdebstrap"
		}
		var holds []string
		for _, c := range solve.Packages([]*solve.Closure{a.root}, false) {
			if v, ok := c.Package.Env["NVIDIA_VISIBLE_DEVICES"]; ok {
				asks, visible = c.Package.Name, v
			}
			held := plain(c.Package.Name + " " + c.Version.Version)
			if c.Package == p {
				held = "**" + held + "**"
			}
			holds = append(holds, held)
		}
		b.WriteString(row(text(name), cellCode(on.Hosts), base, strings.Join(holds, ", ")))
	}
	b.WriteString("\n")
	switch {
	case asks != "":
		fmt.Fprintf(b, "The driver is never in an image. With `--runtime nvidia` the host's runtime mounts the driver's libraries and the\n"+
			"device nodes: %s asks for them with %s. That is why an image runs on some hosts only.\n\n", page(asks), code("NVIDIA_VISIBLE_DEVICES="+visible))
	case len(p.Accelerators) > 0:
		b.WriteString("The driver is never in an image. No package in this one asks the host's runtime to mount the driver's libraries and the\n" +
			"device nodes: `jet run` does, and plain Docker needs `--runtime nvidia --env NVIDIA_VISIBLE_DEVICES=all`.\n\n")
	default:
		b.WriteString("It declares no accelerator, and no package in its image asks the host's runtime for the driver.\n\n")
	}
}

// newest are the answers of the first platform of each major release and
// flavour on which a package is possible.
func (s *survey) newest() []*answer {
	var out []*answer
	seen := map[string]bool{}
	for _, a := range s.answers {
		major, _, _ := strings.Cut(a.site.platform.L4T, ".")
		if id := major + " " + a.site.platform.Flavour; a.root != nil && !seen[id] {
			seen[id] = true
			out = append(out, a)
		}
	}
	return out
}

// running says how a package is had.
func (w *writer) running(b *bytes.Buffer, p *spec.Package, s *survey) {
	shown := s.newest()
	if len(shown) == 0 {
		return
	}
	at := shown[0].site.platform
	build := fmt.Sprintf("jetcrate build %s --l4t r%s", p.Name, at.L4T)
	if at.Flavour != "" && at.Flavour != "tegra" {
		build += " --flavour " + at.Flavour
	}
	if shown[0].stack > 0 {
		build += " --cuda " + shown[0].site.stacks[shown[0].stack].Platform.Stack.Version
	}
	fmt.Fprintf(b, "## Run\n\nOn a device, `jet` chooses the image that fits it; the last line builds one.\n\n```sh\njet run %[1]s\n"+
		"docker run --runtime nvidia --rm $(jet autotag %[1]s)\n%[2]s\n```\n\n", p.Name, build)
}

package spec

import (
	"path"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/version"
	"go.yaml.in/yaml/v3"
)

// checkPlace: packages/<group>/<name>/package.yaml says the same as its keys.
func (c *checker) checkPlace(p *Package) {
	folder := path.Base(p.Folder())
	group := path.Base(path.Dir(p.Folder()))
	if p.Name != folder {
		c.list.Errorf("name-mismatch", p.Doc.Pos("name"), "the package is called %q, but its folder is %q", p.Name, folder).Allowed = []string{folder}
	}
	if p.Group != "" && p.Group != group {
		c.list.Errorf("name-mismatch", p.Doc.Pos("group"), "the group is %q, but the folder above the package is %q", p.Group, group).Allowed = []string{group}
	}
}

// collectAliases fills Catalog.Aliases and reports names that mean two things.
func (c *checker) collectAliases() {
	owner := map[string]string{}
	for _, name := range sortedKeys(c.cat.Packages) {
		p := c.cat.Packages[name]
		for i, alias := range p.Aliases {
			if alias == "" {
				continue
			}
			pos := p.Doc.Pos("aliases", i)
			t, err := ParseTarget(alias)
			if err == nil && len(t.Options) > 0 {
				c.list.Errorf("bad-alias", pos, "alias %q must not choose options", alias)
				continue
			}
			if err != nil {
				c.reportParse("bad-alias", pos, "aliases", err)
				continue
			}
			switch {
			case c.cat.Packages[alias] != nil:
				c.list.Errorf("alias-collision", pos, "alias %q is the name of a package", alias)
			case owner[alias] == name:
				c.list.Errorf("alias-collision", pos, "alias %q is given twice", alias)
			case owner[alias] != "":
				c.list.Errorf("alias-collision", pos, "alias %q belongs to %s already", alias, owner[alias])
			default:
				owner[alias] = name
				c.cat.Aliases[alias] = name + withColon(t.Version)
				c.checkPin(p, t.Version, pos)
			}
		}
	}
}

// checkVersions: a version stands there once, whatever its spelling.
func (c *checker) checkVersions(p *Package) {
	if len(p.Versions) > maxVersions {
		c.list.Errorf("version-count", p.Doc.Pos("versions", maxVersions), "a package has at most %d versions", maxVersions)
		p.Versions = p.Versions[:maxVersions]
	}
	type earlier struct {
		text   string
		parsed version.PEP440
	}
	var numbers []earlier // those that PEP 440 knows
	texts := map[string]bool{}
	for i, v := range p.Versions {
		if v.Version == "" {
			continue
		}
		same := ""
		parsed, err := version.ParsePEP440(v.Version)
		if err == nil {
			for _, e := range numbers {
				if e.parsed.Compare(parsed) == 0 {
					same = e.text
					break
				}
			}
			numbers = append(numbers, earlier{v.Version, parsed})
		} else if texts[v.Version] {
			same = v.Version
		}
		texts[v.Version] = true
		if same != "" {
			c.list.Errorf("duplicate-version", p.Doc.Pos("versions", i, "version"), "version %s is there already as %s", v.Version, same)
		}
	}
}

// checkRequires: every range of every condition can be read.
func (c *checker) checkRequires(p *Package) {
	c.checkConditions(p.Requires, p.Doc, "requires")
	for i, v := range p.Versions {
		c.checkConditions(v.Requires, p.Doc, "versions", i, "requires")
		c.checkConditions(v.Default, p.Doc, "versions", i, "default")
	}
}

func (c *checker) checkConditions(r Requires, doc *Document, at ...any) {
	_, node, _ := doc.find(at)
	for i, cond := range r {
		here := at
		if node != nil && node.Kind == yaml.SequenceNode {
			here = append(append([]any(nil), at...), i) // a single map has no index
		}
		for _, f := range []struct {
			key, text string
			parse     func(string) error
		}{
			{"l4t", cond.L4T, func(s string) error { _, err := version.ParseL4TRange(s); return err }},
			{"jetpack", cond.JetPack, parsesRange},
			{"cuda", cond.CUDA, parsesRange},
			{"cudnn", cond.CuDNN, parsesRange},
			{"tensorrt", cond.TensorRT, parsesRange},
			{"python", cond.Python, parsesRange},
			{"os", cond.OS, func(s string) error { _, _, err := version.ParseOSRange(s); return err }},
			{"gpu", cond.GPU, func(s string) error { _, err := version.ParseSMRange(s); return err }},
		} {
			if f.text == "" {
				continue
			}
			if err := f.parse(f.text); err != nil {
				c.reportParse("bad-range", doc.Pos(append(append([]any(nil), here...), f.key)...), f.key, err)
			}
		}
	}
}

func parsesRange(s string) error { _, err := version.ParseRange(s); return err }

// checkOptions: a default is one of the values that the option can have.
func (c *checker) checkOptions(p *Package) {
	for _, name := range sortedKeys(p.Options) {
		o := p.Options[name]
		pos := p.Doc.Pos("options", name)
		text, isText := o.Default.(string)
		switch {
		case o.Type == "boolean" && len(o.Choices) > 0:
			c.list.Errorf("bad-option", p.Doc.Pos("options", name, "choices"), "option %s is true or false; choices need type: string", name)
		case o.Type == "boolean" && isText:
			c.list.Errorf("bad-option", p.Doc.Pos("options", name, "default"), "option %s is true or false, not %q", name, text).Allowed = []string{"true", "false"}
		case o.Type == "string" && o.Default == nil:
			d := c.list.Errorf("bad-option", pos, "option %s needs a default", name)
			d.Allowed = o.Choices
		case o.Type == "string" && isText && len(o.Choices) > 0 && !has(o.Choices, text):
			d := c.list.Errorf("bad-option", p.Doc.Pos("options", name, "default"), "the default of option %s is %q, which is none of its choices", name, text)
			d.Allowed = o.Choices
			d.Hint = diag.DidYouMean(text, o.Choices)
		}
		for i, choice := range o.Choices {
			if choice != "" && !choiceValue.MatchString(choice) {
				c.list.Errorf("bad-option", p.Doc.Pos("options", name, "choices", i), "choice %q cannot be written in a target: only letters, digits and . _ - can", choice)
			}
		}
	}
}

// checkDepends: what a package depends on exists, with the options it asks for.
func (c *checker) checkDepends(p *Package) {
	count := 0
	within := func(deps []Dependency, at ...any) []Dependency {
		left := maxDependencies - count
		if count += len(deps); count <= maxDependencies || left < 0 {
			return deps[:min(len(deps), max(0, left))]
		}
		c.list.Errorf("dependency-count", p.Doc.Pos(append(at, left)...), "a package names at most %d dependencies in all", maxDependencies)
		return deps[:left]
	}
	p.Depends = within(p.Depends, "depends")
	for i := range p.Versions {
		p.Versions[i].Depends = within(p.Versions[i].Depends, "versions", i, "depends")
	}
	if p.Build != nil {
		p.Build.Depends = within(p.Build.Depends, "build", "depends")
	}
	c.checkDependencies(p, p.Depends, "depends")
	c.checkConflicts(p, p.Conflicts, "conflicts")
	for i, v := range p.Versions {
		c.checkDependencies(p, v.Depends, "versions", i, "depends")
		c.checkConflicts(p, v.Conflicts, "versions", i, "conflicts")
	}
	if p.Build != nil {
		c.checkDependencies(p, p.Build.Depends, "build", "depends")
	}
}

func (c *checker) checkDependencies(p *Package, deps []Dependency, at ...any) {
	for i, d := range deps {
		if d.Target == "" {
			continue
		}
		where := append(append([]any(nil), at...), i)
		if d.If != "" {
			where = append(where, "package")
		}
		pos := p.Doc.Pos(where...)
		ref, err := ParseDependency(d.Target)
		if err != nil {
			c.reportParse("bad-dependency", pos, "depends", err)
			continue
		}
		t, ok := c.cat.Canonical(Target{Name: ref.Name, Version: ref.Version})
		if ok {
			c.dependencies[p.Name] = append(c.dependencies[p.Name], t.Name)
			if edge := [2]string{p.Name, t.Name}; c.places[edge].Line == 0 {
				c.places[edge] = pos
			}
		}
		to := c.findPackage(Target{Name: ref.Name, Version: ref.Version}, pos, "depends")
		if to == nil {
			continue
		}
		c.checkChoices(to, ref.Options, pos)
		c.checkPin(to, t.Version, pos)
		if ref.Range != "" {
			c.checkNoMatch(to, ref.Range, pos)
		}
	}
}

// checkPhases: what goes into the image is said in one place.
func (c *checker) checkPhases(p *Package) {
	if p.Install != nil && p.Dockerfile != "" {
		c.list.Errorf("install-and-dockerfile", p.Doc.Pos("dockerfile"), "%s has both install and dockerfile", p.Name).Hint = "keep one of them"
	}
}

// checkFiles: a package holds plain files only.
func (c *checker) checkFiles(p *Package) {
	_, mistakes := walkFiles(c.fsys, p)
	*c.list = append(*c.list, mistakes...)
}

func (c *checker) checkTests(p *Package) {
	seen := map[string]bool{}
	for i, t := range p.Tests {
		if t.Name == "" {
			continue
		}
		if seen[t.Name] {
			c.list.Errorf("duplicate-test", p.Doc.Pos("tests", i, "name"), "there are two tests %q", t.Name)
		}
		seen[t.Name] = true
	}
}

// checkArchives: an archive has a place to come from.
func (c *checker) checkArchives(p *Package) {
	for i, v := range p.Versions {
		a := v.Archive
		if a == nil {
			continue
		}
		if len(a.URLs) == 0 && a.Debian == "" {
			c.list.Errorf("bad-archive", p.Doc.Pos("versions", i, "archive"), "versions[%d].archive has no place to come from", i).Allowed = []string{"urls", "debian"}
		}
		for j, u := range a.URLs {
			if fault := addressFault(u); fault != "" {
				c.list.Errorf("bad-archive", p.Doc.Pos("versions", i, "archive", "urls", j), "%q %s", shorten(u), fault).Allowed = []string{"https://...", "http://..."}
			}
		}
		if len(a.URLs)+len(a.Debian) > 0 && a.Name() == "" {
			c.list.Errorf("bad-archive", p.Doc.Pos("versions", i, "archive"), "no place of the archive ends with a plain file name").Hint = "letters, digits and . _ + ~ -, such as a-1.0.tar.gz"
		}
		if has(strings.Split(a.Debian, "/"), "..") {
			c.list.Errorf("bad-archive", p.Doc.Pos("versions", i, "archive", "debian"), "the path must not contain ..")
		}
	}
}

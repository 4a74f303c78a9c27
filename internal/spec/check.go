package spec

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/version"
)

// checker looks for what a schema cannot say. Each rule is a function of its
// own; none stops at the first mistake, and all pass over what the schema has
// refused already (empty values).
type checker struct {
	fsys  fs.FS
	cat   *Catalog
	known names
	list  *diag.List

	hints  int                           // names that suggest was asked for
	parsed map[*Package][]version.PEP440 // its versions that PEP 440 knows

	// What checkDependencies found, for cycles: who needs whom, and where it says so.
	dependencies map[string][]string
	places       map[[2]string]diag.Position
}

func (c *checker) check() {
	c.dependencies, c.places = map[string][]string{}, map[[2]string]diag.Position{}
	c.parsed = map[*Package][]version.PEP440{}
	c.collectAliases()
	for _, name := range sortedKeys(c.cat.Packages) {
		p := c.cat.Packages[name]
		c.checkPlace(p)
		c.checkVersions(p)
		c.checkRequires(p)
		c.checkOptions(p)
		c.checkDepends(p)
		c.checkPhases(p)
		c.checkTests(p)
		c.checkArchives(p)
		c.checkFiles(p)
		c.checkDockerfile(p)
		c.checkPackageSteps(p)
		c.checkPackageExpressions(p)
	}
	c.checkDependencyCycles()
	for _, name := range sortedKeys(c.cat.Steps) {
		s := c.cat.Steps[name]
		c.checkSteps(s.Steps, s.Doc, "steps")
		c.checkInputs(s)
		c.checkStepExpressions(s)
	}
	c.checkStepCycles()
	c.checkStepCounts()
	c.checkMatrix()
	c.checkLock()
}

// reportParse reports a text that a parser of this project refuses.
func (c *checker) reportParse(code string, pos diag.Position, what string, err error) {
	var se *version.SyntaxError
	if !errors.As(err, &se) {
		c.list.Errorf(code, pos, "%s: %v", what, err)
		return
	}
	c.list.Errorf(code, pos, "%s: %s %q %s", what, se.What, shorten(se.Found), se.Reason).Allowed = se.Allowed
}

// findPackage follows a name to its package; it reports an unknown one. A nil
// package without a report is one whose file cannot be read.
func (c *checker) findPackage(t Target, pos diag.Position, what string) *Package {
	if to, ok := c.cat.Canonical(t); ok {
		return c.cat.Packages[to.Name]
	}
	if c.known.packages[t.Name] {
		return nil
	}
	d := c.list.Errorf("unknown-package", pos, "%s names the unknown package %q", what, t.Name)
	d.Hint = c.suggest(t.Name, c.cat.Names())
	return nil
}

// checkChoices looks at the options that a target chooses of a package.
func (c *checker) checkChoices(p *Package, choices []OptionChoice, pos diag.Position) {
	for _, o := range choices {
		declared, ok := p.Options[o.Name]
		if !ok {
			d := c.list.Errorf("unknown-option", pos, "%s has no option %q", p.Name, o.Name)
			d.Allowed = sortedKeys(p.Options)
			d.Hint = c.suggest(o.Name, d.Allowed)
			continue
		}
		switch {
		case declared.Type != "string" && o.Value != "" && o.Value != "true" && o.Value != "false":
			c.list.Errorf("bad-option", pos, "option %s of %s cannot be %q", o.Name, p.Name, o.Value).Allowed = []string{"true", "false"}
		case declared.Type == "string" && o.Value == "":
			c.list.Errorf("bad-option", pos, "option %s of %s needs a value: +%s=...", o.Name, p.Name, o.Name).Allowed = declared.Choices
		case declared.Type == "string" && len(declared.Choices) > 0 && !has(declared.Choices, o.Value):
			d := c.list.Errorf("bad-option", pos, "option %s of %s cannot be %q", o.Name, p.Name, o.Value)
			d.Allowed = declared.Choices
			d.Hint = c.suggest(o.Value, declared.Choices)
		}
	}
}

// checkPin reports a version that no version of the package matches.
func (c *checker) checkPin(p *Package, pin string, pos diag.Position) {
	if pin == "" || len(p.Versions) == 0 {
		return
	}
	for _, v := range p.Versions {
		if v.Version == "" || version.MatchesPin(v.Version, pin) {
			return
		}
	}
	c.list.Errorf("unknown-version", pos, "%s has no version %s", p.Name, pin).Allowed = versionsOf(p)
}

// checkNoMatch reports a range that no version of the package is in.
func (c *checker) checkNoMatch(p *Package, text string, pos diag.Position) {
	spec, err := version.ParseSpecifier(text)
	if err != nil || len(p.Versions) == 0 {
		return
	}
	parsed, ok := c.parsed[p]
	if !ok {
		for _, v := range p.Versions {
			if n, err := version.ParsePEP440(v.Version); err == nil {
				parsed = append(parsed, n)
			}
		}
		c.parsed[p] = parsed
	}
	if slices.ContainsFunc(parsed, spec.Holds) || slices.ContainsFunc(p.Versions, func(v Version) bool { return v.Version == "" }) {
		return
	}
	c.list.Errorf("unknown-version", pos, "%s has no version %s", p.Name, text).Allowed = versionsOf(p)
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func arrows(path []string) string { return strings.Join(path, " -> ") }

package solve

import (
	"slices"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Check says which packages, versions and options of targets there are not,
// whatever the platform.
func Check(cat *spec.Catalog, targets []spec.Target) diag.List {
	var list diag.List
	for _, t := range targets {
		to, ok := cat.Canonical(t)
		if !ok {
			list.Errorf("unknown-package", diag.Position{}, "the catalog has no package %q", t.Name).Hint = diag.DidYouMean(t.Name, cat.Names())
			continue
		}
		p := cat.Packages[to.Name]
		checkVersion(cat, p, t, to.Version, &list)
		checkOptions(p, to.Options, &list)
	}
	return list
}

// checkOptions refuses options that the package does not declare, or values
// that it does not allow.
func checkOptions(p *spec.Package, chosen []spec.OptionChoice, list *diag.List) {
	if len(chosen) == 0 {
		return
	}
	names := make([]string, 0, len(p.Options))
	for n := range p.Options {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, c := range chosen {
		o, ok := p.Options[c.Name]
		if !ok {
			d := list.Errorf("unknown-option", diag.Position{}, "%s has no option %q", p.Name, c.Name)
			d.Allowed = names
			d.Hint = diag.DidYouMean(c.Name, names)
			if len(names) == 0 {
				d.Hint = "it has no options"
			}
			continue
		}
		allowed := o.Choices
		if o.Type != "string" {
			allowed = []string{"true", "false"}
			if c.Value == "" {
				continue
			}
		}
		if len(allowed) > 0 && !slices.Contains(allowed, c.Value) {
			list.Errorf("bad-option", diag.Position{}, "option %s of %s cannot be %q", c.Name, p.Name, c.Value).Allowed = allowed
		}
	}
}

// checkVersion refuses a version that the package has not. A name like ros may
// lead to several packages, by version: their versions are near too.
func checkVersion(cat *spec.Catalog, p *spec.Package, asked spec.Target, pin string, list *diag.List) {
	if pin == "" {
		return
	}
	var have, near []string
	for _, v := range p.Versions {
		if version.MatchesPin(v.Version, pin) {
			return
		}
		have = append(have, v.Version)
		near = append(near, asked.Name+":"+v.Version)
	}
	for alias := range cat.Aliases {
		if name, _, ok := strings.Cut(alias, ":"); ok && name == asked.Name {
			near = append(near, alias)
		}
	}
	d := list.Errorf("unknown-version", diag.Position{}, "%s has no version %s", p.Name, pin)
	d.Allowed = have
	if pin[0] > '9' { // of numbers the one with the most digits alike is not the nearest
		d.Hint = diag.DidYouMean(asked.Name+":"+asked.Version, near)
	}
}

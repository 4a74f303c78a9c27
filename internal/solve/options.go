package solve

import (
	"slices"
	"sort"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// checkOptions refuses options that the package does not declare, or values
// that it does not allow.
func checkOptions(p *spec.Package, chosen []spec.OptionChoice) error {
	if len(chosen) == 0 {
		return nil
	}
	var list diag.List
	var names []string
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
	return list.Err()
}

// knownVersion refuses a pin that no version of the package matches.
func knownVersion(p *spec.Package, pin string) error {
	if pin == "" {
		return nil
	}
	var have []string
	for _, v := range p.Versions {
		if version.MatchesPin(v.Version, pin) {
			return nil
		}
		have = append(have, v.Version)
	}
	var list diag.List
	list.Errorf("unknown-version", diag.Position{}, "%s has no version %s", p.Name, pin).Allowed = have
	return list.Err()
}

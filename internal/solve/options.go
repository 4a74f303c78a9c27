package solve

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// options settles every declared option: chosen, or default.
func options(p *spec.Package, chosen []spec.OptionChoice) map[string]any {
	out := map[string]any{}
	for name, o := range p.Options {
		switch {
		case o.Type == "string" && o.Default != nil:
			out[name] = fmt.Sprint(o.Default)
		case o.Type == "string":
			out[name] = ""
		default:
			out[name] = fmt.Sprint(o.Default) == "true"
		}
	}
	for _, c := range chosen {
		o, ok := p.Options[c.Name]
		if !ok {
			continue // refused before
		}
		if o.Type == "string" {
			out[c.Name] = c.Value
		} else {
			out[c.Name] = c.Value == "" || c.Value == "true"
		}
	}
	return out
}

// sameOptions reports whether what a later demand chooses is what the target
// already holds.
func sameOptions(have *Picked, chosen []spec.OptionChoice) bool {
	want := options(have.Package, chosen)
	for _, c := range chosen {
		if have.Options[c.Name] != want[c.Name] {
			return false
		}
	}
	return true
}

// checkOptions refuses options that the package does not declare, or values
// that it does not allow.
func checkOptions(p *spec.Package, chosen []spec.OptionChoice) error {
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

// nearest lists up to three targets near the query that do resolve: the same
// packages in other versions on the platform, then as asked on other platforms.
func nearest(cat *spec.Catalog, q Query) []string {
	var out []string
	free := q
	free.Targets = nil
	free.Pins = nil
	pinned := len(q.Pins) > 0
	for _, t := range q.Targets {
		pinned = pinned || t.Version != ""
		free.Targets = append(free.Targets, spec.Target{Name: t.Name, Options: t.Options})
	}
	if pinned {
		if r, err := attempt(cat, free); err == nil {
			out = append(out, named(r))
		}
	}
	for i := len(cat.Matrix.Platforms) - 1; i >= 0 && len(out) < 3; i-- {
		p := &cat.Matrix.Platforms[i]
		for _, stack := range stacks(p) {
			alt := q
			alt.Platform = Platform{Platform: p, Stack: stack, Python: p.Python[0]}
			if alt.Platform.String() == q.Platform.String() && stack == q.Platform.Stack {
				continue
			}
			if r, err := attempt(cat, alt); err == nil {
				out = append(out, named(r))
				break
			}
		}
	}
	return dedupe(out)
}

func stacks(p *spec.Platform) []spec.Stack {
	if len(p.CUDA) == 0 {
		return []spec.Stack{{}}
	}
	return p.CUDA
}

// named says which versions of the targets a resolution holds, and where.
func named(r *Resolution) string {
	var parts []string
	for _, n := range r.Targets {
		parts = append(parts, n+" "+r.Packages[n].Version.Version)
	}
	s := strings.Join(parts, " with ") + " on " + r.Platform.String()
	if len(r.Platform.CUDA) > 0 && r.Platform.Stack != r.Platform.CUDA[0] {
		s += " with CUDA " + r.Platform.Stack.Version
	}
	return s
}

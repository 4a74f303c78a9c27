package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/table"
)

// nearest is how many candidates an explanation names.
const nearest = 3

// name names a candidate by what was asked for: "pytorch 2.8.0 for r36.4.0, CUDA 12.6".
func (w weigher) name(r *table.Row) string {
	var parts []string
	for _, want := range w.query.Packages {
		part := want.Name
		if p, ok := r.Package(want.Name); ok {
			part += " " + p.Version
		}
		parts = append(parts, part)
	}
	s := strings.Join(parts, " + ")
	if !w.exact(r) {
		s += " in " + r.Target
	}
	s += " for " + r.Platform.String()
	if r.Platform.Testbed {
		s += " (testbed)"
	}
	return s
}

// explain says why nothing was chosen, and what comes nearest.
func (w weigher) explain(cs []Candidate) []string {
	var asked []string
	for _, want := range w.query.Packages {
		asked = append(asked, want.String())
	}
	what := strings.Join(asked, " + ")
	if w.query.CUDA != "" {
		what += " with CUDA " + w.query.CUDA
	}
	if w.query.Python != "" {
		what += " with Python " + w.query.Python
	}
	cs = slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return c.ignored })
	if len(cs) == 0 {
		return w.absent(what)
	}
	h := w.query.L4T
	var why []string
	switch {
	case h.IsZero():
		line := "the L4T release of this host is unknown"
		if w.query.Unknown != "" {
			line += ": " + w.query.Unknown
		}
		return []string{line, "say which it is: --host-l4t 36.4.3 (on the device: head -1 /etc/nv_tegra_release)"}
	case !slices.Contains(w.majors, h.Major()):
		why = append(why, fmt.Sprintf("whether an image of %s runs on r%s is unknown: the table knows L4T %s, and nothing about %d", what, h, numbers(w.majors), h.Major()))
	default:
		why = append(why, fmt.Sprintf("no image of %s runs on r%s", what, h))
	}
	for i, cand := range cs {
		if i == nearest {
			break
		}
		prefix := "nearest: "
		if i > 0 {
			prefix = "or: "
		}
		why = append(why, prefix+cand.Name+": "+strings.Join(cand.Against, "; "))
	}
	return why
}

// absent explains that no row is about these packages together, in these versions.
func (w weigher) absent(what string) []string {
	why := []string{"the table has no image of " + what}
	for _, want := range w.query.Packages {
		versions := w.catalog.Versions[want.Name]
		matches := slices.ContainsFunc(versions, func(v string) bool { return versionMatches(v, want.Version) })
		switch {
		case len(versions) == 0:
			why = append(why, "nothing was ever resolved for "+want.Name)
		case !matches:
			why = append(why, fmt.Sprintf("it has %s in %s", want.Name, strings.Join(versions, ", ")))
		}
	}
	if len(why) == 1 && len(w.query.Packages) > 1 {
		why = append(why, "each of them alone is there, but no one image holds them all in these versions")
	}
	return why
}

func numbers(ns []int) string {
	var out []string
	for _, n := range ns {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

func optionText(options map[string]string) string {
	if len(options) == 0 {
		return "no options"
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		out = append(out, key+"="+options[key])
	}
	return strings.Join(out, ", ")
}

func failedText(r *table.Row) string {
	var names []string
	for _, t := range r.Evidence.Tests {
		if t.Status == table.Failed {
			names = append(names, t.Package+"/"+t.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("%d of its tests failed", r.Evidence.Failed)
	}
	return "it failed " + strings.Join(names, ", ")
}

func testedText(e table.Evidence) string {
	s := "not tested"
	if e.Passed > 0 {
		s = fmt.Sprintf("tested: %d passed", e.Passed)
	}
	if e.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", e.Skipped)
		for _, t := range e.Tests {
			if t.Status == table.Skipped {
				s += " (" + t.Reason + ")"
				break
			}
		}
	}
	if e.Simulated > 0 {
		s += fmt.Sprintf(", %d simulated", e.Simulated)
	}
	return s
}

package publish

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

var notTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// Defaults says which platforms carry moving tags: those of the matrix, with
// their first CUDA stack and their first Python.
type Defaults struct{ Matrix *spec.Matrix }

func (d Defaults) has(p table.Platform) bool {
	for i := range d.Matrix.Platforms {
		m := &d.Matrix.Platforms[i]
		if m.L4T != p.L4T || cmp.Or(m.Flavour, "tegra") != p.Flavour || m.Testbed != p.Testbed {
			continue
		}
		cuda := ""
		if len(m.CUDA) > 0 {
			cuda = m.CUDA[0].Version
		}
		own := ""
		if p.CUDA != nil {
			own = p.CUDA.Version
		}
		return cuda == own && len(m.Python) > 0 && m.Python[0] == p.Python
	}
	return false
}

// name is the repository and the tag of a published row.
func split(reference string) (repo, tag string) {
	colon := strings.LastIndexByte(reference, ':')
	return reference[:colon], reference[colon+1:]
}

// movingOf are the moving tags that a row may have: 2.8-r36.4 and r36.4.
func movingOf(r *table.Row) []string {
	l4t, err := version.ParseL4T(r.Platform.L4T)
	if err != nil {
		return nil
	}
	line := "r" + l4t.Line()
	if r.Platform.Flavour != "tegra" {
		line = r.Platform.Flavour + "-" + line
	}
	out := []string{line}
	if v := target(r); v != "" {
		out = append(out, notTag.ReplaceAllString(series(v), "_")+"-"+line)
	}
	return out
}

// target is the version of the one package that a row's target names.
func target(r *table.Row) string {
	if len(r.Roots) != 1 {
		return ""
	}
	p, _ := r.Package(r.Roots[0])
	return p.Version
}

// series is the part of a version that a moving tag has: 2.8 of 2.8.0.
func series(v string) string {
	if _, err := version.ParsePEP440(v); err != nil {
		return v
	}
	if parts := strings.SplitN(v, ".", 3); len(parts) == 3 && digits(parts[0]) && digits(parts[1]) {
		return parts[0] + "." + parts[1]
	}
	return v
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Moving says which image each moving tag has, by repository and tag: of the
// current rows the newest version, then the newest release, then the last that
// was published. It follows from the log alone, so that every publisher moves a
// tag to the same image, forward as long as nothing is withdrawn. "" is a tag that
// withdrawn images alone had.
func Moving(rows []table.Row, defaults Defaults) map[string]string {
	best := map[string]*table.Row{}
	out := map[string]string{}
	for i := range rows {
		r := &rows[i]
		if r.Status == table.Superseded || r.Published == nil || !defaults.has(r.Platform) {
			continue
		}
		repo, _ := split(r.Image.Reference)
		for _, tag := range movingOf(r) {
			at := repo + ":" + tag
			if r.Status == table.Withdrawn {
				out[at] = ""
			} else if b := best[at]; b == nil || newer(r, b) > 0 {
				best[at] = r
			}
		}
	}
	for at, r := range best {
		out[at] = r.Image.Digest
	}
	return out
}

func newer(a, b *table.Row) int {
	la, _ := version.ParseL4T(a.Platform.L4T)
	lb, _ := version.ParseL4T(b.Platform.L4T)
	return cmp.Or(
		table.CompareVersions(target(a), target(b)),
		la.Compare(lb),
		cmp.Compare(a.Published.Entry, b.Published.Entry),
	)
}

// immutable is the tag that an image gets once: 2.8.0-r36.4.0-cu126-py310, with
// the revision where there is one.
func immutable(cellName, cellTag, revision string) string {
	tag := strings.TrimPrefix(cellTag, cellName+"-")
	if revision != "" {
		tag += "-" + revision
	}
	return tag
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

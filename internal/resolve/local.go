package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Local is an image that Docker has.
type Local struct {
	Names   []string          // repository:tag, sorted; may be empty
	Digests []string          // repository@sha256:...: what it was pulled as
	ID      string            // sha256:...
	Arch    string            // as Docker says; "" is unknown
	Labels  map[string]string // all of them
	// Foreign is a line of its history that is not jetcrate's: something was
	// built on top of the image whose labels it inherited.
	Foreign string
}

// locals weighs the images of Docker that are about the wanted packages.
func (w weigher) locals() ([]Candidate, error) {
	var out []Candidate
	for _, l := range w.query.Local {
		c, ok, err := w.weighLocal(l)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}

// weighLocal reports false for an image that nothing connects with the query.
func (w weigher) weighLocal(l Local) (Candidate, bool, error) {
	c := Candidate{Row: &table.Row{}, Verdict: Yes, Local: true, Image: l.ID, Digest: l.ID, pinned: l.ID}
	if len(l.Names) > 0 {
		c.Image = l.Names[0]
	}
	if len(l.Digests) > 0 {
		c.pinned = l.Digests[0]
		_, c.Digest, _ = strings.Cut(l.Digests[0], "@")
	}
	c.Name = c.Image
	labels, why := readLabels(l)
	if why != "" {
		// It is told only to whom its name could tempt.
		tempting := slices.ContainsFunc(l.Names, func(name string) bool {
			return slices.ContainsFunc(w.query.Packages, func(want Wanted) bool { return strings.Contains(name, want.Name) })
		})
		c.against(No, "%s", why)
		c.ignored = true
		return c, tempting, nil
	}
	rows, err := w.source.ByKey(labels.Key)
	if err != nil {
		return c, false, err
	}
	c.Row = w.rowOf(labels, rows)
	if img := c.Row.Image; img != nil && c.Row.Evidence.Failed == 0 && c.Digest != img.Digest {
		// One key can give other bytes, and tests are about bytes.
		c.Row.Evidence = table.Evidence{}
	}
	for _, want := range w.query.Packages {
		if p, ok := c.Row.Package(want.Name); !ok || !versionMatches(p.Version, want.Version) {
			return c, false, nil
		}
	}
	c.Name = w.name(c.Row) + ", in Docker as " + c.Image
	if c.Row.Status == table.Withdrawn {
		why := "it was withdrawn"
		if w := c.Row.Withdrawal; w != nil {
			why += ": " + w.Reason
		}
		c.against(No, "%s", why)
	}
	if l.Arch != "" && l.Arch != labels.Platform.Arch {
		c.against(No, "its label says %s, Docker says %s", labels.Platform.Arch, l.Arch)
	}
	w.weighPlatform(&c)
	if len(rows) > 0 { // labels hold no options
		for _, want := range w.query.Packages {
			if p, _ := c.Row.Package(want.Name); optionText(p.Options) != optionText(want.Options) {
				c.against(No, "it holds %s with %s, asked for was %s", want.Name, optionText(p.Options), optionText(want.Options))
			}
		}
	} else if slices.ContainsFunc(w.query.Packages, func(want Wanted) bool { return len(want.Options) > 0 }) {
		c.against(Unknown, "the table has no row of it, and its labels name no options")
	}
	w.weighEvidence(&c)
	c.For = append(c.For, "Docker has it")
	return c, true, nil
}

// readLabels reads what an image says of itself, or why it does not count.
func readLabels(l Local) (image.Labels, string) {
	ours := false
	for name := range l.Labels {
		ours = ours || strings.HasPrefix(name, "io.jetcrate.")
	}
	labels, err := image.ParseLabels(l.Labels)
	switch {
	case !ours:
		return labels, "it has no labels of jetcrate: nothing says what it holds"
	case err != nil:
		return labels, "it is half built: " + err.Error()
	case len(labels.Key) != 64 || strings.Trim(labels.Key, "0123456789abcdef") != "":
		return labels, "it is half built: its label " + image.LabelKey + " is no key"
	case len(labels.Packages) == 0 || labels.Platform.L4T == "" || labels.Platform.Flavour == "" || labels.Platform.Arch == "":
		return labels, "it is half built: its labels leave out what it holds or what it is for"
	case l.Foreign != "":
		return labels, fmt.Sprintf("something was built on top of it: %q", clip(l.Foreign))
	}
	return labels, ""
}

// rowOf is the row of the table with the image's key, or one that says what its
// labels say. The hosts are those of the platform in the table: labels hold only
// what the key determines.
func (w weigher) rowOf(labels image.Labels, rows []table.Row) *table.Row {
	for i := range rows {
		if r := &rows[i]; r.Platform.L4T == labels.Platform.L4T && r.Platform.Flavour == labels.Platform.Flavour {
			return r
		}
	}
	p := labels.Platform
	osID, osVersion, _ := strings.Cut(p.OS, " ")
	r := &table.Row{
		Target: labels.Title, Status: table.Current, State: table.Built,
		Platform: table.Platform{
			L4T: p.L4T, Flavour: p.Flavour, Arch: p.Arch, Python: p.Python, Testbed: p.Testbed, OS: table.OS{ID: osID, Version: osVersion},
		},
	}
	if p.CUDA != "" {
		r.Platform.CUDA = &table.CUDA{Version: p.CUDA, CuDNN: p.CuDNN, TensorRT: p.TensorRT}
	}
	for _, pkg := range labels.Packages {
		r.Packages = append(r.Packages, table.Package{Name: pkg.Name, Version: pkg.Version})
		r.Roots = append(r.Roots, pkg.Name) // which of them were asked for is not in the labels
	}
	hosts := map[string]bool{}
	for _, place := range w.source.Placements() {
		have := place.Platform
		if have.L4T == p.L4T && have.Flavour == p.Flavour && have.Arch == p.Arch && have.Testbed == p.Testbed {
			hosts[place.Hosts] = true
			r.Hosts, r.Platform.GPU = place.Hosts, have.GPU
		}
	}
	if len(hosts) > 1 { // an older row says otherwise: neither is certain
		r.Hosts = ""
	}
	return r
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

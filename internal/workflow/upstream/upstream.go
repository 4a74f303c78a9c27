// Package upstream finds versions that packages of a catalog do not have yet, and
// proposes the edit of their specs.
//
// Where a package comes from is what the source of its newest version says: a
// release of GitHub (https://github.com/OWNER/NAME/releases/tag/TAG) or a project
// of PyPI (https://pypi.org/project/NAME/VERSION/). Other sources are skipped,
// with the reason. A new version is a release, newer by PEP 440, and neither a
// draft, a pre-release nor yanked. GitHub's rate limits and 429 are waited for up
// to Options.Patience; beyond, the package is skipped.
// An edit changes lines of text, so that comments and layout stay: the entry of
// the newest version is repeated above it with the new version and source.
package upstream

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v66/github"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Options say whom to ask.
type Options struct {
	GitHub   *github.Client
	Index    string // a simple index by PEP 691, such as https://pypi.org/simple
	HTTP     *http.Client
	Patience time.Duration // longest wait for a rate limit
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
}

// Proposal is a version that a package does not have yet.
type Proposal struct {
	Package string `json:"package"`
	File    string `json:"file"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Source  string `json:"source"`
	Edited  []byte `json:"-"` // the file with the new version
}

// Skip is a package that was not looked at, or whose new version cannot be
// proposed, with the reason.
type Skip struct {
	Package string `json:"package"`
	Reason  string `json:"reason"`
}

// source is where versions of a package are published.
type source struct {
	pypi          string // the project
	owner, name   string // of GitHub
	before, after string // around the version in a tag
}

var (
	pypiSource   = regexp.MustCompile(`^https://pypi\.org/project/([A-Za-z0-9._-]+)/([^/\s]+)/?$`)
	githubSource = regexp.MustCompile(`^https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+)/releases/tag/(\S+)$`)
)

// sourceOf reads the source of a version.
func sourceOf(v spec.Version) (source, bool) {
	if m := pypiSource.FindStringSubmatch(v.Source); m != nil && m[2] == v.Version {
		return source{pypi: m[1]}, true
	}
	if m := githubSource.FindStringSubmatch(v.Source); m != nil {
		if before, after, ok := strings.Cut(m[3], v.Version); ok {
			return source{owner: m[1], name: m[2], before: before, after: after}, true
		}
	}
	return source{}, false
}

// at is the source of another version.
func (s source) at(version string) string {
	if s.pypi != "" {
		return "https://pypi.org/project/" + s.pypi + "/" + version + "/"
	}
	return "https://github.com/" + s.owner + "/" + s.name + "/releases/tag/" + s.before + version + s.after
}

// Propose looks at packages of a catalog, by name; none means all. The error is
// one of the surroundings that concerns all of them.
func Propose(ctx context.Context, cat *spec.Catalog, names []string, o Options) ([]Proposal, []Skip, error) {
	if len(names) == 0 {
		names = cat.Names()
	}
	names = slices.Clone(names)
	slices.Sort(names)
	var proposals []Proposal
	var skips []Skip
	for _, name := range slices.Compact(names) {
		p := cat.Packages[name]
		if p == nil || len(p.Versions) == 0 {
			continue
		}
		newest := newestOf(p.Versions)
		src, ok := sourceOf(p.Versions[newest])
		if !ok {
			skips = append(skips, Skip{name, "the source of " + p.Versions[newest].Version + " is neither a release of GitHub nor a project of PyPI"})
			continue
		}
		found, reason, err := o.newest(ctx, src)
		if err != nil {
			return nil, nil, fmt.Errorf("looking for versions of %s: %w", name, err)
		}
		if reason != "" {
			skips = append(skips, Skip{name, reason})
			continue
		}
		if !newer(found, p.Versions[newest].Version) {
			continue
		}
		proposal := Proposal{Package: name, File: p.Doc.Name, Old: p.Versions[newest].Version, New: found, Source: src.at(found)}
		if proposal.Edited, reason = edit(p, newest, proposal); reason != "" {
			skips = append(skips, Skip{name, fmt.Sprintf("there is %s, %s: %s", found, proposal.Source, reason)})
			continue
		}
		proposals = append(proposals, proposal)
	}
	return proposals, skips, nil
}

// newestOf is the index of the newest version by PEP 440; one that is not PEP 440
// comes after all that are.
func newestOf(all []spec.Version) int {
	best := 0
	for i := range all {
		if newer(all[i].Version, all[best].Version) {
			best = i
		}
	}
	return best
}

// newer reports whether a is newer than b by PEP 440.
func newer(a, b string) bool {
	x, errX := version.ParsePEP440(a)
	y, errY := version.ParsePEP440(b)
	switch {
	case errX != nil:
		return false
	case errY != nil:
		return true
	}
	return x.Compare(y) > 0
}

// best is the newest of some versions that is no pre-release; "" without one.
func best(all []string) string {
	all = slices.DeleteFunc(all, func(s string) bool {
		v, err := version.ParsePEP440(s)
		return err != nil || v.IsPreRelease()
	})
	if len(all) == 0 {
		return ""
	}
	return slices.MaxFunc(all, func(a, b string) int {
		x, _ := version.ParsePEP440(a)
		y, _ := version.ParsePEP440(b)
		return cmp.Or(x.Compare(y), -cmp.Compare(len(a), len(b)))
	})
}

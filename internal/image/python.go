package image

import (
	"path"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// distribution is an installed Python distribution, as its metadata's name
// tells: numpy-1.26.4.dist-info, or numpy-1.21.5.egg-info from dpkg.
type distribution struct{ name, version string }

// parseDistribution reads the name of a path below a site-packages folder.
func parseDistribution(base string) (distribution, bool) {
	stem, isDist := strings.CutSuffix(base, ".dist-info")
	if !isDist {
		var isEgg bool
		if stem, isEgg = strings.CutSuffix(base, ".egg-info"); !isEgg {
			return distribution{}, false
		}
		// name-version-py3.10[-platform]
		if i := strings.LastIndex(stem, "-py"); i > 0 {
			stem = stem[:i]
		}
	}
	// Neither a wheel's nor an egg's escaped name holds a dash.
	name, number, ok := strings.Cut(stem, "-")
	if !ok || name == "" || number == "" {
		return distribution{}, false // an egg-info without a version says nothing
	}
	return distribution{name: normalize(name), version: number}, true
}

// DistributionOf reads the name of a dist-info or egg-info.
func DistributionOf(base string) (name, version string, ok bool) {
	d, ok := parseDistribution(base)
	return d.name, d.version, ok
}

// NormalName is PEP 503's normal form of a distribution's name.
func NormalName(name string) string { return normalize(name) }

// normalize is PEP 503's normal form of a name.
func normalize(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	return strings.ToLower(strings.Join(words, "-"))
}

// distributions refuses one distribution in two versions of two owners. What a
// single owner holds twice is its own affair.
func (t tree) distributions() []*Conflict {
	type found struct {
		distribution
		*node
	}
	var all []*Conflict
	first := map[string]found{}
	for _, p := range t.paths() {
		dir, base := path.Split(p)
		if d := path.Base(dir); d != "site-packages" && d != "dist-packages" {
			continue
		}
		dist, ok := parseDistribution(base)
		if !ok {
			continue
		}
		f := found{dist, t[p]}
		other, seen := first[dist.name]
		if !seen {
			first[dist.name] = f
			continue
		}
		if other.owner != f.owner && !sameVersion(other.version, f.version) {
			all = append(all, &Conflict{
				Path:   p,
				Owners: [2]string{other.owner, f.owner},
				Why:    "the Python distribution " + dist.name + " comes in two versions: " + other.version + " at " + other.Path + ", and " + f.version,
			})
		}
	}
	return all
}

func sameVersion(a, b string) bool {
	if a == b {
		return true
	}
	// A file name writes a local version's + as _ in old metadata.
	va, errA := version.ParsePEP440(strings.ReplaceAll(a, "_", "+"))
	vb, errB := version.ParsePEP440(strings.ReplaceAll(b, "_", "+"))
	return errA == nil && errB == nil && va.Compare(vb) == 0
}

package plan

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Loose is something that the catalog names without saying which bytes it
// means: a base image by tag, a git ref, a download, Python distributions.
// jetcrate.lock says it where Locked is true.
type Loose struct {
	Image           string // of a base
	Repository, Ref string // of git
	URL             string // of a download
	Python          *Requirements

	Package string        // whose step names it; empty for a base
	Pos     diag.Position // who names it
	Locked  bool
}

// Requirements are what the steps of a package install from a Python index on
// one platform line, with one Python and one CUDA.
type Requirements struct {
	Place       spec.PythonPlace
	Package     string   // name and version
	Build       bool     // of the build alone: the package does not bring them
	Wanted      []string // requirements as pip reads them; files and folders too
	Constraints []string
	Alone       bool       // without what they depend on
	Index       string     // a second index
	Below       []Bringing // what the step stands on, bottom up
}

// For is how the lock names who needs them.
func (r *Requirements) For() string {
	if r.Build {
		return r.Package + buildOnly
	}
	return r.Package
}

// buildOnly ends the name of a package where only its build needs something.
const buildOnly = " build"

// Bringing is a package with the distributions that it is known to bring without
// the lock, as name==version or, where the version is not known, as a name.
type Bringing struct {
	Package string
	Brings  []string
}

// String names it for people.
func (l *Loose) String() string {
	switch {
	case l.Image != "":
		return "the base image " + l.Image
	case l.Repository != "":
		return "the ref " + l.Ref + " of " + l.Repository
	case l.URL != "":
		return "the download " + l.URL
	default:
		return "what " + l.Python.Package + " installs from a Python index on " + l.Python.Place.String()
	}
}

// id tells two of them apart.
func (l *Loose) id() string {
	if l.Python != nil {
		return fmt.Sprintf("%v\n%s\n%q\n%q\n%t\n%s", l.Python.Place, l.Python.For(), l.Python.Wanted, l.Python.Constraints, l.Python.Alone, l.Python.Index)
	}
	return l.Image + "\n" + l.Repository + "\n" + l.Ref + "\n" + l.URL
}

// lockIndex finds entries of the lock.
type lockIndex struct {
	refs      map[[2]string]string
	downloads map[string]string
	python    map[spec.PythonPlace]map[string][]lockedLine // by package
}

// lockedLine is a distribution of the lock, as name==version and as pip reads it.
type lockedLine struct {
	bring, line string
	at          diag.Position
}

func newLockIndex(l *spec.Lock) *lockIndex {
	x := &lockIndex{refs: map[[2]string]string{}, downloads: map[string]string{}, python: map[spec.PythonPlace]map[string][]lockedLine{}}
	for _, r := range l.Refs {
		x.refs[[2]string{r.Repository, r.Ref}] = r.Commit
	}
	for _, d := range l.Downloads {
		x.downloads[d.URL] = d.SHA256
	}
	for i, p := range l.Python {
		of := map[string][]lockedLine{}
		for j, d := range p.Distributions {
			bring := d.Name + "==" + d.Version
			line := bring
			for _, sum := range d.SHA256 {
				line += " --hash=sha256:" + sum
			}
			for _, pkg := range d.Packages {
				of[pkg] = append(of[pkg], lockedLine{bring, line, l.Doc.Pos("python", i, "distributions", j)})
			}
		}
		x.python[p.Place()] = of
	}
	return x
}

// place is the entry of the lock that a platform's Python distributions are in.
func (w *where) place() spec.PythonPlace {
	line := w.L4T
	if r, err := version.ParseL4T(w.L4T); err == nil {
		line = r.Line()
	}
	return spec.PythonPlace{L4T: line, Flavour: cmp.Or(w.Flavour, "tegra"), OS: w.OS.ID + " " + w.OS.Version, Python: w.Python, CUDA: w.Stack.Version}
}

// lines are what the lock has of a package's distributions on a platform.
func (x *lockIndex) lines(at spec.PythonPlace, pkg string) []lockedLine { return x.python[at][pkg] }

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// fillLocked fills in the inputs of a step that the lock fills in, where nothing
// is given for them.
func (x *expander) fillLocked(def *spec.StepDef, st spec.Step, given map[string]any, at func(...any) diag.Position) {
	text := func(name string) string {
		s, _ := given[name].(string)
		return s
	}
	for _, name := range sortedKeys(def.Inputs) {
		l := def.Inputs[name].Lock
		if _, by := st.With[name]; l == nil || by {
			continue
		}
		switch {
		case l.Ref != "":
			repository, ref := text(l.Repository), text(l.Ref)
			if repository == "" || commitID.MatchString(ref) {
				continue // a commit says which bytes
			}
			commit, locked := x.locks.refs[[2]string{repository, ref}]
			given[name] = commit
			x.loose = append(x.loose, Loose{Repository: repository, Ref: ref, Pos: at("with", l.Ref), Locked: locked})
		case l.Download != "":
			url := text(l.Download)
			if url == "" {
				continue
			}
			sum, locked := x.locks.downloads[url]
			given[name] = sum
			x.loose = append(x.loose, Loose{URL: url, Pos: at("with", l.Download), Locked: locked})
		case l.Python != "":
			wanted := texts(given[l.Python])
			if len(wanted) == 0 && !l.Empty {
				continue
			}
			have := x.lines
			if l.Build {
				have = x.buildLines
			}
			var lines []string
			for _, line := range have {
				lines = append(lines, line.line)
			}
			if !Lockable(wanted) {
				lines = nil
			}
			given[name] = strings.Join(lines, "\n")
			alone := given["deps"] == false || text("deps") == "false"
			x.loose = append(x.loose, Loose{Pos: at("with", l.Python), Locked: len(lines) > 0, Python: &Requirements{
				Build: l.Build, Wanted: wanted, Constraints: texts(given["constraints"]), Alone: alone, Index: text("index"),
			}})
		}
	}
}

// Lockable reports whether requirements alone say what is installed, from an
// index: not where they name files, options or addresses, nor where there are
// none, so that wheels which the build makes decide.
func Lockable(wanted []string) bool {
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(w string) bool { return !ByName(w) })
}

// ByName reports whether a requirement, or a constraint, names a distribution of
// an index with a range of versions, an extra or a marker.
func ByName(w string) bool {
	m := byName.FindStringSubmatch(w)
	return m != nil && !archive.MatchString(m[1])
}

var (
	byName  = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9._, -]*\])?(?:$|[ ]*[=<>!~;][^/@\n]*$)`)
	archive = regexp.MustCompile(`\.(?:whl|zip|tar|tgz|gz|bz2|xz)$`)
)

// exact matches a requirement that names one version.
var exact = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([A-Za-z0-9][A-Za-z0-9.+!_-]*)$`)

// texts are the words of an input that is a text or a list of them.
func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = strings.Fields(v)
	case []any:
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
	}
	return out
}

// brings evaluates the distributions that a step, or a package, says it installs.
func (x *expander) brings(list []string, inputs map[string]any, at diag.Position) {
	for _, b := range list {
		switch s := x.text(b, x.scope(inputs, nil), at); {
		case exact.MatchString(s), nameOnly.MatchString(s):
			x.bring = append(x.bring, lockedLine{bring: s, at: at})
		case s != "":
			x.list.Errorf("bad-step", at, "%q is not a Python distribution as name==version, or a name", begin(s))
		}
	}
}

var nameOnly = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// brought are the distributions that a package is known to bring without the
// lock: what its steps say, and what they ask for by one version.
func (x *expander) brought() []lockedLine {
	out := slices.Clone(x.bring)
	for _, l := range x.loose {
		if l.Python == nil || l.Python.Build {
			continue
		}
		for _, w := range l.Python.Wanted {
			if m := exact.FindStringSubmatch(w); m != nil {
				out = append(out, lockedLine{bring: m[1] + "==" + m[2], at: l.Pos})
			}
		}
	}
	return out
}

// loosen adds what a piece names loosely to what its site does.
func (s *site) loosen(p *piece) {
	for _, l := range p.r.loose {
		l.Package = p.r.ref.Name
		if l.Python != nil {
			need := *l.Python
			need.Place, need.Package = s.where.place(), nameOf(p.r)
			below := append(s.closure(s.piecesOf(p.c.Build)), p.below[:len(p.below)-1]...)
			seen := map[*piece]bool{}
			for _, b := range below {
				if !seen[b] {
					seen[b] = true
					need.Below = append(need.Below, Bringing{nameOf(b.r), b.r.bring()})
				}
			}
			l.Python = &need
		}
		s.loose = append(s.loose, l)
	}
}

// bring are the distributions that the package brings without the lock.
func (r *rendering) bring() []string {
	var out []string
	for _, b := range r.brought {
		out = append(out, b.bring)
	}
	return out
}

func nameOf(r *rendering) string { return r.ref.Name + " " + r.ref.Version }

// checkBrings refuses two packages of an image that bring different versions of
// a Python distribution.
func (s *site) checkBrings(pieces []*piece) {
	type from struct {
		pkg, version string
	}
	var first map[string]from
	for _, p := range pieces {
		for _, b := range p.r.allBrings {
			name, v, known := strings.Cut(b.bring, "==")
			if !known {
				continue
			}
			name = spec.DistributionName(name)
			if first == nil {
				first = map[string]from{}
			}
			have, seen := first[name]
			if !seen {
				first[name] = from{nameOf(p.r), v}
				continue
			}
			if have.version == v || have.pkg == nameOf(p.r) {
				continue
			}
			var list diag.List
			d := list.Errorf("two-versions", b.at, "%s brings %s %s and %s brings %s, on %s: an image holds one version of a Python distribution", have.pkg, name, have.version, nameOf(p.r), v, s.where.place())
			d.Hint = "lock them together with jetcrate lock --update python, or let one package bring it and the other depend on that"
			s.renderer.report(list)
		}
	}
}

// sortedLoose are the loose things of a plan, each once, with the first that
// names it.
func sortedLoose(all []Loose) []Loose {
	first := map[string]Loose{} // by id
	for _, l := range all {
		id := l.id()
		have, known := first[id]
		if !known || cmp.Or(cmp.Compare(l.Pos.File, have.Pos.File), cmp.Compare(l.Pos.Line, have.Pos.Line)) < 0 {
			first[id] = l
		}
	}
	out := make([]Loose, 0, len(first))
	for _, id := range slices.Sorted(maps.Keys(first)) {
		out = append(out, first[id])
	}
	return out
}

package wheel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Schema is the version of a tree's document.
const Schema = 1

// Tree is the wheels of a line, as they are recorded in a store.
type Tree struct {
	Schema  int     `json:"schema"`
	Line    Line    `json:"line"`
	Testbed bool    `json:"testbed,omitempty"` // made on a stand-in for a platform; never published
	Wheels  []Wheel `json:"wheels"`            // by project, the newest version first
}

// Wheel is a file of a tree, with where it comes from.
type Wheel struct {
	File
	Package  string   `json:"package"`            // of the catalog
	Artifact string   `json:"artifact,omitempty"` // key of the artifact that held it
	L4T      string   `json:"l4t,omitempty"`      // release of the platform that it was tested on
	GPU      bool     `json:"gpu,omitempty"`      // holds code for CUDA
	CUDA     []string `json:"cuda,omitempty"`     // major versions of the CUDA runtime that it needs
	Labelled bool     `json:"labelled,omitempty"` // its version names the CUDA
	Untested bool     `json:"untested,omitempty"`
	Requires []string `json:"requires,omitempty"` // distributions that it needs without an extra; sorted
}

// Left is a wheel, or a package, that is not in a tree, and why.
type Left struct {
	Line   Line   `json:"line"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

func (l Left) String() string { return fmt.Sprintf("%s: %s: %s", l.Line, l.What, l.Reason) }

// add puts wheels into the tree. What is there stays, with its bytes: another
// file of the same name is left out, unless replace says otherwise. The first of
// several new ones is taken.
func (t *Tree) add(wheels []Wheel, replace bool) []Left {
	at := map[string]int{}
	for i, w := range t.Wheels {
		at[w.Name] = i
	}
	fresh := map[string]bool{}
	var left []Left
	for _, w := range wheels {
		i, ok := at[w.Name]
		switch {
		case !ok:
			at[w.Name], fresh[w.Name] = len(t.Wheels), true
			t.Wheels = append(t.Wheels, w)
		case t.Wheels[i].SHA256 == w.SHA256:
			old := t.Wheels[i]
			if old.Untested && !w.Untested {
				t.Wheels[i] = w
				t.Wheels[i].Yanked, t.Wheels[i].Reason = old.Yanked, old.Reason
			}
		case replace && !fresh[w.Name]:
			t.Wheels[i], fresh[w.Name] = w, true
		case fresh[w.Name]:
			left = append(left, Left{t.Line, w.Name, fmt.Sprintf("L4T %s has another file of that name, and the line has that of %s", w.L4T, t.Wheels[i].L4T)})
		default:
			left = append(left, Left{t.Line, w.Name, fmt.Sprintf("the index has a file of that name with other bytes (SHA-256 %s, now %s): give it another version or build tag", short(t.Wheels[i].SHA256), short(w.SHA256))})
		}
	}
	t.sort()
	return left
}

func short(hex string) string {
	if len(hex) > 12 {
		return hex[:12]
	}
	return hex
}

func (t *Tree) sort() {
	slices.SortFunc(t.Wheels, func(a, b Wheel) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), compareVersions(b.File, a.File), strings.Compare(a.Name, b.Name))
	})
}

// Yank marks the wheels of a version; reason "" takes the mark away. pip takes a
// yanked one only where it is asked for by exactly this version. It returns the
// names of the files.
func (t *Tree) Yank(project, ver, reason string) []string {
	project = Normal(project)
	want, err := version.ParsePEP440(ver)
	if err != nil {
		return nil
	}
	var names []string
	for i, w := range t.Wheels {
		n, err := ParseName(w.Name)
		if err != nil || n.Project != project || n.Version.Compare(want) != 0 {
			continue
		}
		t.Wheels[i].Yanked, t.Wheels[i].Reason = reason != "", reason
		names = append(names, w.Name)
	}
	return names
}

// Projects lists the distributions, sorted.
func (t *Tree) Projects() []string {
	var names []string
	for _, w := range t.Wheels {
		names = append(names, w.Project)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// of gives the wheels of a distribution.
func (t *Tree) of(project string) []Wheel {
	var out []Wheel
	for _, w := range t.Wheels {
		if w.Project == project {
			out = append(out, w)
		}
	}
	return out
}

// Select is the tree with some distributions only, and with what they need where
// the tree has it. missing are those that it has not: they must come with the
// device.
func (t *Tree) Select(projects []string, needs bool) (part *Tree, missing []string, err error) {
	part = &Tree{Schema: Schema, Line: t.Line, Testbed: t.Testbed}
	todo, seen := slices.Clone(projects), map[string]bool{}
	for i, p := range todo {
		todo[i] = Normal(p)
		if len(t.of(todo[i])) == 0 {
			return nil, nil, fmt.Errorf("%s has no wheel of %s; it has %s", t.Line, p, strings.Join(t.Projects(), ", "))
		}
	}
	if len(projects) == 0 {
		todo = t.Projects()
	}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		if seen[p] {
			continue
		}
		seen[p] = true
		wheels := t.of(p)
		if len(wheels) == 0 {
			missing = append(missing, p)
		}
		for _, w := range wheels {
			part.Wheels = append(part.Wheels, w)
			if needs {
				todo = append(todo, w.Requires...)
			}
		}
	}
	part.sort()
	slices.Sort(missing)
	return part, missing, nil
}

package spec

import (
	"cmp"
	"slices"
	"strings"
)

// Lock is jetcrate.lock: what the catalog names loosely, pinned.
type Lock struct {
	Bases     []LockedBase     `yaml:"bases,omitempty" json:"bases,omitempty"`
	Apt       []LockedApt      `yaml:"apt,omitempty" json:"apt,omitempty"`
	Refs      []LockedRef      `yaml:"refs,omitempty" json:"refs,omitempty"`
	Downloads []LockedDownload `yaml:"downloads,omitempty" json:"downloads,omitempty"`
	Python    []LockedPython   `yaml:"python,omitempty" json:"python,omitempty"`

	Doc *Document `yaml:"-" json:"-"`
}

// LockedBase pins a base image reference to a digest.
type LockedBase struct {
	Image   string `yaml:"image" json:"image"`
	Digest  string `yaml:"digest" json:"digest" jsonschema:"pattern=^sha256:[0-9a-f]{64}$"`
	Because string `yaml:"because" json:"because" jsonschema:"description=Who names it: file:line"`
}

// LockedApt is the apt epoch of an OS: moving it rebuilds what apt installed.
type LockedApt struct {
	OS      string `yaml:"os" json:"os" jsonschema:"description=id and version: debian 12"`
	Epoch   string `yaml:"epoch" json:"epoch" jsonschema:"pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}$"`
	Because string `yaml:"because" json:"because"`
}

// LockedRef pins a tag or a branch of a git repository to a commit.
type LockedRef struct {
	Repository string `yaml:"repository" json:"repository"`
	Ref        string `yaml:"ref" json:"ref"`
	Commit     string `yaml:"commit" json:"commit" jsonschema:"pattern=^([0-9a-f]{40}|[0-9a-f]{64})$"`
	From       string `yaml:"from,omitempty" json:"from,omitempty" jsonschema:"description=What it was resolved from: refs/tags/v1.0"`
	Because    string `yaml:"because" json:"because" jsonschema:"description=Who names it: file:line"`
}

// LockedDownload pins the bytes of an address.
type LockedDownload struct {
	URL     string `yaml:"url" json:"url"`
	SHA256  string `yaml:"sha256" json:"sha256" jsonschema:"pattern=^[0-9a-f]{64}$"`
	Size    int64  `yaml:"size,omitempty" json:"size,omitempty" jsonschema:"description=Bytes"`
	Because string `yaml:"because" json:"because" jsonschema:"description=Who names it: file:line"`
}

// LockedPython pins the third-party Python distributions of one platform line
// with one Python and one CUDA.
type LockedPython struct {
	L4T           string               `yaml:"l4t" json:"l4t" jsonschema:"description=The line: 36.4"`
	Flavour       string               `yaml:"flavour,omitempty" json:"flavour,omitempty" jsonschema:"enum=tegra,enum=sbsa"`
	OS            string               `yaml:"os" json:"os" jsonschema:"description=id and version: ubuntu 22.04"`
	Python        string               `yaml:"python" json:"python"`
	CUDA          string               `yaml:"cuda,omitempty" json:"cuda,omitempty"`
	Index         string               `yaml:"index" json:"index" jsonschema:"description=What it was resolved from"`
	Distributions []LockedDistribution `yaml:"distributions" json:"distributions"`
}

// LockedDistribution is a distribution that packages of the catalog bring.
type LockedDistribution struct {
	Name     string   `yaml:"name" json:"name" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9_.-]*$"`
	Version  string   `yaml:"version" json:"version" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9.+!_-]*$"`
	SHA256   []string `yaml:"sha256" json:"sha256" jsonschema:"minItems=1,description=Of the wheels that fit"`
	Packages []string `yaml:"packages" json:"packages" jsonschema:"minItems=1,description=Who brings it: name version"`
	Because  string   `yaml:"because" json:"because" jsonschema:"description=Who names it: file:line"`
}

// PythonPlace is what an entry of Python is for: a platform line with its OS,
// one Python and one CUDA.
type PythonPlace struct{ L4T, Flavour, OS, Python, CUDA string }

func (p PythonPlace) String() string {
	s := "L4T " + p.L4T
	if p.Flavour != "tegra" {
		s += " " + p.Flavour
	}
	s += " (" + p.OS + "), Python " + p.Python
	if p.CUDA != "" {
		s += ", CUDA " + p.CUDA
	}
	return s
}

// Compare orders places, lower releases first.
func (p PythonPlace) Compare(o PythonPlace) int {
	return slices.Compare([]string{p.L4T, p.Flavour, p.OS, p.Python, p.CUDA}, []string{o.L4T, o.Flavour, o.OS, o.Python, o.CUDA})
}

// Place is what the entry is for; no flavour is tegra.
func (p LockedPython) Place() PythonPlace {
	return PythonPlace{L4T: p.L4T, Flavour: cmp.Or(p.Flavour, "tegra"), OS: p.OS, Python: p.Python, CUDA: p.CUDA}
}

// DistributionName is PEP 503's normal form of the name of a distribution.
func DistributionName(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	return strings.ToLower(strings.Join(words, "-"))
}

// InputLock says that an input of a reusable step is filled in from
// jetcrate.lock where nothing is given for it. It names inputs of the same step.
type InputLock struct {
	Repository string `yaml:"repository" json:"repository,omitempty" jsonschema:"description=Input with the address of a git repository; with ref"`
	Ref        string `yaml:"ref" json:"ref,omitempty" jsonschema:"description=Input with a tag or a branch; the value is its commit"`
	Download   string `yaml:"download" json:"download,omitempty" jsonschema:"description=Input with an address; the value is the SHA-256 of what is there"`
	Python     string `yaml:"python" json:"python,omitempty" jsonschema:"description=Input with requirements; the value is lines for pip: name==version --hash=sha256:..."`
	Build      bool   `yaml:"build" json:"build,omitempty" jsonschema:"description=The requirements are of the build alone; the package does not bring them"`
	Empty      bool   `yaml:"empty" json:"empty,omitempty" jsonschema:"description=Without requirements the step still installs from an index: what the wheels of the build need"`
}

// checkLock: each thing is pinned once.
func (c *checker) checkLock() {
	doc := c.cat.Lock.Doc
	seen := map[string]bool{}
	pinned := func(what string, path ...any) {
		id := path[0].(string) + " " + what
		if what != "" && seen[id] {
			c.list.Errorf("duplicate-lock", doc.Pos(path...), "%s is pinned twice", what)
		}
		seen[id] = true
	}
	for i, b := range c.cat.Lock.Bases {
		pinned(b.Image, "bases", i, "image")
	}
	for i, a := range c.cat.Lock.Apt {
		pinned(a.OS, "apt", i, "os")
	}
	for i, r := range c.cat.Lock.Refs {
		pinned(r.Repository+" "+r.Ref, "refs", i, "ref")
	}
	for i, d := range c.cat.Lock.Downloads {
		pinned(d.URL, "downloads", i, "url")
	}
	for i, p := range c.cat.Lock.Python {
		where := p.Place().String()
		pinned(where, "python", i, "l4t")
		once := map[string]string{}
		for j, d := range p.Distributions {
			for _, pkg := range d.Packages {
				if other, dup := once[pkg+" "+d.Name]; dup {
					c.list.Errorf("duplicate-lock", doc.Pos("python", i, "distributions", j, "name"), "%s brings %s in two versions, %s and %s, on %s", pkg, d.Name, other, d.Version, where)
				}
				once[pkg+" "+d.Name] = d.Version
			}
		}
	}
}

// checkInputLock: what fills an input in stands in inputs of the same step.
func (c *checker) checkInputLock(s *StepDef, name string, l *InputLock) {
	kinds := 0
	for _, f := range []struct{ key, input string }{{"repository", l.Repository}, {"ref", l.Ref}, {"download", l.Download}, {"python", l.Python}} {
		if f.input == "" {
			continue
		}
		if f.key != "repository" {
			kinds++
		}
		if _, ok := s.Inputs[f.input]; !ok || f.input == name {
			d := c.list.Errorf("bad-input-lock", s.Doc.Pos("inputs", name, "lock", f.key), "step %s has no other input %q", s.Name, f.input)
			d.Allowed = slices.DeleteFunc(sortedKeys(s.Inputs), func(n string) bool { return n == name })
		}
	}
	if kinds != 1 || (l.Ref == "") != (l.Repository == "") {
		c.list.Errorf("bad-input-lock", s.Doc.Pos("inputs", name, "lock"), "the input is locked as a ref of a repository, as a download, or as Python requirements: give one of them")
	}
}

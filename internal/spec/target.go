package spec

import (
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Target is what a user asks for: name[:version][+option[=value]...].
type Target struct {
	Name    string
	Version string // a version or a prefix of one (2.8); "" leaves the choice open
	Options []OptionChoice
}

// OptionChoice is one +option or +option=value of a target.
type OptionChoice struct {
	Name  string
	Value string // "" for a boolean that is switched on
}

// DependencyRef is a parsed entry of depends: a target, or a name with a PEP
// 440 range. At most one of Version and Range is set.
type DependencyRef struct {
	Name    string
	Version string
	Range   string // normal form, such as >=1.26,<2
	Options []OptionChoice
}

var (
	targetName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	targetVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	choiceName    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	choiceValue   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

const maxTarget = 512 // bytes of one target or dependency

// ParseTarget reads a target. A + begins an option, so a local version
// (2.8.0+cu126) is named without its local part. Errors are *version.SyntaxError.
func ParseTarget(s string) (Target, error) {
	head, options, err := splitOptions("target", s)
	if err != nil {
		return Target{}, err
	}
	t := Target{Options: options}
	var colon bool
	t.Name, t.Version, colon = strings.Cut(head, ":")
	if err := checkHead("target", s, t.Name, t.Version, colon); err != nil {
		return Target{}, err
	}
	return t, nil
}

// ParseDependency reads an entry of depends: a target, or a name and a range
// (numpy>=1.26,<2), and options. Errors are *version.SyntaxError.
func ParseDependency(s string) (DependencyRef, error) {
	head, options, err := splitOptions("dependency", s)
	if err != nil {
		return DependencyRef{}, err
	}
	d := DependencyRef{Options: options}
	if i := strings.IndexAny(head, "<>=!~"); i >= 0 {
		d.Name = strings.TrimRight(head[:i], " ")
		spec, err := version.ParseSpecifier(head[i:])
		if err != nil {
			return DependencyRef{}, err
		}
		d.Range = spec.String()
		return d, checkHead("dependency", s, d.Name, "", false)
	}
	var colon bool
	d.Name, d.Version, colon = strings.Cut(head, ":")
	if err := checkHead("dependency", s, d.Name, d.Version, colon); err != nil {
		return DependencyRef{}, err
	}
	return d, nil
}

// String returns the target as it is written.
func (t Target) String() string { return t.Name + withColon(t.Version) + optionText(t.Options) }

// String returns the dependency as it is written.
func (d DependencyRef) String() string {
	return d.Name + withColon(d.Version) + d.Range + optionText(d.Options)
}

func withColon(version string) string {
	if version == "" {
		return ""
	}
	return ":" + version
}

func optionText(options []OptionChoice) string {
	var b strings.Builder
	for _, o := range options {
		b.WriteString("+" + o.Name)
		if o.Value != "" {
			b.WriteString("=" + o.Value)
		}
	}
	return b.String()
}

func splitOptions(what, s string) (head string, options []OptionChoice, err error) {
	if len(s) > maxTarget {
		return "", nil, grammar(what, s, "is too long")
	}
	parts := strings.Split(s, "+")
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, given := strings.Cut(part, "=")
		switch {
		case !choiceName.MatchString(name):
			return "", nil, grammar(what, s, "has an option that is no name: \""+name+"\"")
		case given && !choiceValue.MatchString(value):
			return "", nil, grammar(what, s, "has no plain value for the option "+name)
		case seen[name]:
			return "", nil, grammar(what, s, "names the option "+name+" twice")
		}
		seen[name] = true
		options = append(options, OptionChoice{Name: name, Value: value})
	}
	return parts[0], options, nil
}

func checkHead(what, s, name, version string, colon bool) error {
	switch {
	case name == "":
		return grammar(what, s, "has no name")
	case targetName.MatchString(strings.ToLower(name)) && !targetName.MatchString(name):
		return grammar(what, s, "has capital letters; write "+strings.ToLower(name))
	case !targetName.MatchString(name):
		return grammar(what, s, "has a name with other characters than lower-case letters, digits and _ . -")
	case colon && version == "":
		return grammar(what, s, "has no version after the colon")
	case colon && !targetVersion.MatchString(version):
		return grammar(what, s, "has a version that is none: \""+version+"\"")
	}
	return nil
}

func grammar(what, s, reason string) error {
	allowed := []string{"pytorch", "pytorch:2.8", "opencv+cuda", "opencv:4.11+contrib=full"}
	if what == "dependency" {
		allowed = append(allowed, "numpy>=1.26,<2")
	}
	return &version.SyntaxError{What: what, Found: s, Reason: reason, Allowed: allowed}
}

// Canonical follows the aliases of a target's name (torch, ros:humble) to the
// package. It reports false for a name that is neither package nor alias.
func (c *Catalog) Canonical(t Target) (Target, bool) {
	if _, ok := c.Packages[t.Name]; ok {
		return t, true
	}
	for _, alias := range []string{t.Name + withColon(t.Version), t.Name} {
		to, ok := c.Aliases[alias]
		if !ok {
			continue
		}
		name, pinned, _ := strings.Cut(to, ":")
		if pinned != "" {
			t.Version = pinned
		}
		t.Name = name
		return t, true
	}
	return t, false
}

// Named is the package that a dependency names, by its own name.
func (c *Catalog) Named(d Dependency) string {
	ref, err := ParseDependency(d.Target)
	if err != nil {
		return d.Target // the catalog was checked when it was loaded
	}
	to, _ := c.Canonical(Target{Name: ref.Name, Version: ref.Version})
	return to.Name
}

// Depends are the packages that a package names in `depends`, of itself or of a
// version, each once and sorted.
func (c *Catalog) Depends(p *Package) []string {
	names := map[string]bool{}
	for _, d := range p.Depends {
		names[c.Named(d)] = true
	}
	for i := range p.Versions {
		for _, d := range p.Versions[i].Depends {
			names[c.Named(d)] = true
		}
	}
	return sortedKeys(names)
}

// Names returns the names that a target may begin with, sorted: packages and
// aliases. It is what suggestions are drawn from.
func (c *Catalog) Names() []string {
	names := map[string]bool{}
	for n := range c.Packages {
		names[n] = true
	}
	for a := range c.Aliases {
		names[a] = true
	}
	return sortedKeys(names)
}

package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Wanted is one package that an image must hold.
type Wanted struct {
	Name    string            `json:"name"`
	Version string            `json:"version,omitempty"` // "" is any; 2.8 matches 2.8.1
	Options map[string]string `json:"options,omitempty"`
}

// ParseWanted reads name[:version][+option[=value]...], as a target is written.
func ParseWanted(s string) (Wanted, error) {
	bad := func(why string) (Wanted, error) {
		var l diag.List
		l.Errorf("bad-package", diag.Position{}, "%q is no package: %s", s, why).Allowed = []string{"pytorch", "pytorch:2.8", "ros2:humble+slam"}
		return Wanted{}, l.Err()
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
		return bad("it is too long")
	}
	head, options, _ := strings.Cut(s, "+")
	name, pin, pinned := strings.Cut(head, ":")
	w := Wanted{Name: name, Version: pin}
	if strings.ContainsAny(name, "=@<>~") {
		return bad("a version follows a colon, and is no range")
	}
	if !word(name, "._-") {
		return bad("a name is made of letters, digits, and . _ - between them")
	}
	if pinned && !word(pin, "._-") {
		return bad("a version follows the colon")
	}
	if options == "" {
		if strings.Contains(s, "+") {
			return bad("an option follows the +")
		}
		return w, nil
	}
	w.Options = map[string]string{}
	for _, o := range strings.Split(options, "+") {
		key, value, given := strings.Cut(o, "=")
		if !given {
			value = "true"
		}
		if !word(key, "._-") || value == "" {
			return bad("an option follows the +")
		}
		if _, twice := w.Options[key]; twice {
			return bad("it has the option " + key + " twice")
		}
		w.Options[key] = value
	}
	return w, nil
}

// word reports whether s begins and goes on with letters, digits and extra.
func word(s, extra string) bool {
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case i > 0 && strings.ContainsRune(extra, r):
		default:
			return false
		}
	}
	return s != ""
}

func (w Wanted) String() string {
	s := w.Name
	if w.Version != "" {
		s += " " + w.Version
	}
	for _, key := range slices.Sorted(maps.Keys(w.Options)) {
		s += "+" + key
		if value := w.Options[key]; value != "true" {
			s += "=" + value
		}
	}
	return s
}

// target is the package as jetcrate build takes it.
func (w Wanted) target() string {
	return strings.Replace(w.String(), " ", ":", 1)
}

// catalog is what a table says about names.
type catalog table.Names

// expand replaces aliases, and reports names that the table does not have and
// packages that are named in two ways.
func (c catalog) expand(wanted []Wanted) ([]Wanted, error) {
	var l diag.List
	var out []Wanted
	for i, w := range wanted {
		to, ok := c.expandOne(w)
		if !ok {
			d := l.Errorf("unknown-package", diag.Position{}, "the table has no package %q", w.Name)
			if known := c.versionAliases(w.Name); len(known) > 0 {
				d.Allowed = known
				d.Hint = "name one of its versions"
			} else if near := diag.Suggest(w.Name, c.names()); near != "" {
				d.Hint = fmt.Sprintf("did you mean %q?", near)
			} else if i > 0 && w.Name[0] >= '0' && w.Name[0] <= '9' {
				d.Hint = fmt.Sprintf("a version follows a colon: %s:%s", wanted[i-1].Name, w.Name)
			}
			continue
		}
		at := slices.IndexFunc(out, func(o Wanted) bool { return o.Name == to.Name })
		switch {
		case at < 0:
			out = append(out, to)
		case out[at].String() != to.String():
			l.Errorf("package-twice", diag.Position{}, "%s is asked for twice: %s and %s", to.Name, out[at].target(), to.target())
		}
	}
	return out, l.Err()
}

func (c catalog) expandOne(w Wanted) (to Wanted, ok bool) {
	// An alias of a version goes first: ros:humble leads into ros2 even where
	// there is a package called ros.
	if alias, ok := c.Aliases[w.Name+":"+w.Version]; ok && w.Version != "" {
		return Wanted{Name: alias.Name, Version: alias.Version, Options: w.Options}, true
	}
	if _, ok := c.Versions[w.Name]; ok {
		return w, true
	}
	alias, ok := c.Aliases[w.Name]
	return Wanted{Name: alias.Name, Version: cmp.Or(alias.Version, w.Version), Options: w.Options}, ok
}

// versionAliases are the aliases that begin with name and a colon.
func (c catalog) versionAliases(name string) []string {
	var out []string
	for alias := range c.Aliases {
		if strings.HasPrefix(alias, name+":") {
			out = append(out, alias)
		}
	}
	slices.Sort(out)
	return out
}

func (c catalog) names() []string {
	names := slices.Collect(maps.Keys(c.Versions))
	for alias := range c.Aliases {
		names = append(names, alias)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Names lists what may be asked for: the packages of the table and their
// aliases, sorted.
func Names(src Source) []string { return catalog(src.Names()).names() }

// versionMatches reports whether a version is the one that was asked for.
func versionMatches(have, want string) bool {
	return want == "" || version.MatchesPin(have, want)
}

package image

import (
	"fmt"
	"slices"
	"strings"
)

// defaultPath is what an engine sets where an image has no PATH. It has to be
// there before anything is put in front of it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Var is a variable that stays in the image.
type Var struct {
	Owner, Name, Value string
	// Prepend says that the variable is a list of places, separated by colons,
	// and that the value goes in front of what is there.
	Prepend bool
}

// mergeEnv lays variables over those of the image below, in order.
func mergeEnv(below []string, vars []Var) ([]string, []*Conflict) {
	type value struct{ owner, value string }
	var order []string
	values := map[string]value{}
	for _, kv := range below {
		name, v, _ := strings.Cut(kv, "=")
		if _, ok := values[name]; !ok {
			order = append(order, name)
		}
		values[name] = value{belowOwner, v}
	}
	if _, ok := values["PATH"]; !ok {
		order = append(order, "PATH")
		values["PATH"] = value{belowOwner, defaultPath}
	}
	var all []*Conflict
	for _, v := range vars {
		old, exists := values[v.Name]
		switch {
		case !exists:
			order = append(order, v.Name)
			values[v.Name] = value{v.Owner, v.Value}
		case v.Prepend:
			values[v.Name] = value{v.Owner, prepend(v.Value, old.value)}
		case old.value != v.Value:
			all = append(all, &Conflict{
				Path:   "variable " + v.Name,
				Owners: [2]string{old.owner, v.Owner},
				Why:    fmt.Sprintf("one sets %q, the other %q", old.value, v.Value),
			})
		}
	}
	env := make([]string, len(order))
	for i, name := range order {
		env[i] = name + "=" + values[name].value
	}
	return env, all
}

// prepend puts the places of front before those of list, each place once.
func prepend(front, list string) string {
	var out []string
	for _, place := range strings.Split(front+":"+list, ":") {
		if place != "" && !slices.Contains(out, place) {
			out = append(out, place)
		}
	}
	return strings.Join(out, ":")
}

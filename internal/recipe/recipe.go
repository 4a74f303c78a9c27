// Package recipe renders a plan as Dockerfiles and their contexts.
//
// Render gives the recipe of one node, for an engine: what lies below is an
// image that the engine is handed (FROM ground, FROM parent), and sources and
// artifacts are folders of the context. Full gives a whole cell as one
// multi-stage Dockerfile, for people and for plain `docker buildx build`. Both
// hold the same instructions, letter by letter: those that the keys are made of.
// Only syntax that BuildKit's built-in frontend reads is used, without a syntax
// line.
package recipe

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// Below is the name of the image that a node's recipe stands on: FROM below.
const Below = "below"

// Root is the stage of a linked layer that holds nothing but its files.
const Root = "root"

// Out is the stage of an artifact or a source that holds nothing but its files.
const Out = "out"

// Recipe is what an engine executes.
type Recipe struct {
	Dockerfile string
	Target     string // the stage to make
	// Context lists what the build context must hold.
	Context []Content
	// Args are values for ARG.
	Args map[string]string
	// Secrets are the names of the secrets that its steps mount, sorted.
	Secrets []string
}

// Content is one part of a build context.
type Content struct {
	Dir     string      // folder in the context
	Package string      // the files of this package, or
	Files   []plan.File // (which)
	Key     string      // the recorded files of this source or artifact
}

// Render gives the recipe of a source, an artifact or a layer.
func Render(p *plan.Plan, n *plan.Node) (Recipe, error) {
	switch n.Kind {
	case plan.Source:
		return Recipe{
			Dockerfile: fmt.Sprintf("FROM %s AS fetch\n%s\n\nFROM scratch AS %s\nCOPY --from=fetch /source/ /\n", Below, fetch(n), Out),
			Target:     Out,
		}, nil
	case plan.Artifact:
		r := steps(p, n, Below, "build")
		r.Dockerfile += fmt.Sprintf("\nFROM scratch AS %s\nCOPY --from=build /out/ /\n", Out)
		r.Target = Out
		return r, nil
	case plan.Linked:
		r := steps(p, n, Below, "layer")
		r.Dockerfile += fmt.Sprintf("\nFROM scratch AS %s\nCOPY --from=layer /destdir/ /\n", Root)
		r.Target = Root
		return r, nil
	case plan.Stacked:
		if n.Dockerfile != "" {
			return Recipe{
				Args:    map[string]string{"BASE_IMAGE": Below},
				Context: []Content{{Dir: ".", Package: n.Package, Files: n.Files}},
			}, nil
		}
		r := steps(p, n, Below, "layer")
		vars, err := env(n.Env)
		if err != nil {
			return Recipe{}, err
		}
		r.Dockerfile += vars
		r.Target = "layer"
		return r, nil
	}
	return Recipe{}, fmt.Errorf("a %s has no recipe", n.Kind)
}

// steps renders the stage of a node and, before it, the stages that hold its
// sources and its artifact, taken from the context.
func steps(p *plan.Plan, n *plan.Node, from, stage string) Recipe {
	var r Recipe
	var b strings.Builder
	seen := map[string]bool{}
	for _, i := range n.Instructions {
		for _, k := range i.Sources {
			if src := p.Node(k); src != nil && !seen[k] {
				seen[k] = true
				dir := "sources/" + src.Archive.SHA256[:12]
				fmt.Fprintf(&b, "FROM scratch AS %s\nCOPY %s/ /source/\n\n", plan.SourceStage(src.Archive.SHA256), dir)
				r.Context = append(r.Context, Content{Dir: dir, Key: k})
			}
		}
	}
	if n.Artifact != "" {
		dir := "artifacts/" + n.Package
		fmt.Fprintf(&b, "FROM scratch AS %s\nCOPY %s/ /out/\n\n", plan.BuildStage(n.Package), dir)
		r.Context = append(r.Context, Content{Dir: dir, Key: n.Artifact})
	}
	if len(n.Files) > 0 {
		r.Context = append(r.Context, Content{Dir: plan.PackageDir(n.Package), Package: n.Package, Files: n.Files})
	}
	fmt.Fprintf(&b, "FROM %s AS %s\n", from, stage)
	for _, i := range n.Instructions {
		b.WriteString(i.Text + "\n")
		r.secrets(i.Secrets)
	}
	r.Dockerfile = b.String()
	return r
}

// env renders variables that stay in the image.
func env(vars []plan.Var) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		value, err := quote(v.Value)
		if err != nil {
			return "", fmt.Errorf("variable %s of %s: %w", v.Name, v.Owner, err)
		}
		if v.Prepend {
			value += fmt.Sprintf(`"${%s:+:$%s}"`, v.Name, v.Name)
			if v.Name != "PATH" {
				// what lies below may leave it open: without ARG, BuildKit's linter warns of a variable that is not there
				fmt.Fprintf(&b, "ARG %s\n", v.Name)
			}
		}
		fmt.Fprintf(&b, "ENV %s=%s\n", v.Name, value)
	}
	return b.String(), nil
}

// quote writes a value of ENV or LABEL so that the Dockerfile's own expansion
// leaves it alone. A Dockerfile has no way to write a newline there: what stands
// behind one would be an instruction.
func quote(s string) (string, error) {
	if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return "", fmt.Errorf("a Dockerfile cannot hold the value %q", s)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`, nil
}

// secrets notes the names of secrets that a step mounts, each once.
func (r *Recipe) secrets(names []string) {
	r.Secrets = append(r.Secrets, names...)
	slices.Sort(r.Secrets)
	r.Secrets = slices.Compact(r.Secrets)
}

package recipe

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// BaseName is how a full Dockerfile names a base that a recipe makes: an image
// of that name has to be handed to the engine (--build-context NAME=...).
func BaseName(n *plan.Node) string {
	switch {
	case n.Base.Mmdebstrap != nil:
		return "jetcrate-base-" + n.Key[:12]
	case n.Base.Digest != "":
		name, _, _ := strings.Cut(n.Base.Image, "@")
		return name + "@" + n.Base.Digest
	}
	return n.Base.Image
}

// Full renders the whole image of a cell: a stage per source, build, layer and
// image below. labels are what the image says of itself. A target that holds a
// package with a dockerfile: has no such form.
func Full(p *plan.Plan, image *plan.Node, labels map[string]string) (Recipe, error) {
	f := &full{plan: p, done: map[string]string{}, content: map[string]bool{}}
	f.image(image, "image")
	for _, k := range sortedKeys(labels) {
		name, err := quote(k)
		value, err2 := quote(labels[k])
		f.err = errors.Join(f.err, err, err2)
		fmt.Fprintf(&f.b, "LABEL %s=%s\n", name, value)
	}
	if f.err != nil {
		return Recipe{}, f.err
	}
	if f.foreign != "" {
		return Recipe{}, fmt.Errorf("%s comes with a Dockerfile of its own, which is an engine call of its own: the target has no single Dockerfile", f.foreign)
	}
	f.r.Dockerfile = strings.TrimLeft(f.b.String(), "\n")
	f.r.Target = "image"
	return f.r, nil
}

type full struct {
	plan    *plan.Plan
	b       strings.Builder
	r       Recipe
	done    map[string]string // key -> stage
	content map[string]bool
	foreign string // a package with a dockerfile:
	err     error  // what cannot be written
}

// stage makes the stage of a node, unless it is there, and returns its name.
func (f *full) stage(k string) string {
	if s, ok := f.done[k]; ok {
		return s
	}
	n := f.plan.Node(k)
	name := ""
	switch n.Kind {
	case plan.Base:
		name = "base"
		fmt.Fprintf(&f.b, "\nFROM %s AS %s\n", BaseName(n), name)
	case plan.Source:
		name = plan.SourceStage(n.Archive.SHA256)
		from := f.stage(n.Ground)
		fmt.Fprintf(&f.b, "\nFROM %s AS %s\n%s\n", from, name, fetch(n))
	case plan.Artifact:
		name = plan.BuildStage(n.Package)
		f.steps(n, f.stage(n.Ground), name)
	case plan.Linked:
		name = "root-" + n.Package
		f.steps(n, f.stage(n.Ground), name)
	case plan.Stacked:
		name = "layer-" + n.Package + "-" + k[:8]
		if n.Dockerfile != "" {
			f.foreign = n.Package
		}
		f.steps(n, f.stage(n.Parent), name)
		f.env(n.Env)
	case plan.Image:
		if len(n.Linked) == 0 && len(n.Env) == 0 {
			name = f.stage(n.Chain[len(n.Chain)-1])
			break
		}
		name = "image-" + k[:8]
		f.image(n, name)
	}
	f.done[k] = name
	return name
}

func (f *full) image(n *plan.Node, name string) {
	from := f.stage(n.Chain[len(n.Chain)-1])
	var roots []string
	for _, k := range n.Linked {
		roots = append(roots, f.stage(k))
	}
	fmt.Fprintf(&f.b, "\nFROM %s AS %s\n", from, name)
	for _, r := range roots {
		fmt.Fprintf(&f.b, "COPY --link --from=%s /destdir/ /\n", r)
	}
	f.env(n.Env)
}

func (f *full) env(vars []plan.Var) {
	text, err := env(vars)
	f.err = errors.Join(f.err, err)
	f.b.WriteString(text)
}

func (f *full) steps(n *plan.Node, from, name string) {
	for _, i := range n.Instructions {
		for _, k := range i.Sources {
			f.stage(k)
		}
		f.r.secrets(i.Secrets)
	}
	if n.Artifact != "" {
		f.stage(n.Artifact)
	}
	if len(n.Files) > 0 && !f.content[n.Package] {
		f.content[n.Package] = true
		f.r.Context = append(f.r.Context, Content{Dir: plan.PackageDir(n.Package), Package: n.Package, Files: n.Files})
	}
	fmt.Fprintf(&f.b, "\n# %s\nFROM %s AS %s\n", n.Title(), from, name)
	for _, i := range n.Instructions {
		f.b.WriteString(i.Text + "\n")
	}
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

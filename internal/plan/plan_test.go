package plan_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// everything asks for each package alone, and for each with the next one of the
// catalog, on every platform.
func everything(t *testing.T, files fs.FS, overlays ...string) (*spec.Catalog, []plan.Request) {
	t.Helper()
	cat, list := spec.Load(files, spec.Options{Matrix: overlays})
	require.NoError(t, list.Err())
	reqs := wholly(cat)
	for i, r := range reqs[1:] {
		if r.Platform == reqs[i].Platform {
			r.Targets = []spec.Target{r.Targets[0], reqs[i].Targets[0]}
			reqs = append(reqs, r)
		}
	}
	return cat, reqs
}

func TestEveryNodeComesAfterWhatItWaitsForAndEachKeyOnce(t *testing.T) {
	root := os.DirFS("../..")
	cat, reqs := everything(t, root, "matrix.yaml", "testbed/matrix.yaml")
	p, err := plan.New(cat, root, reqs)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		if len(n.Key) != 64 || seen[n.Key] {
			t.Fatalf("%q: %s", n.Key, n.Title())
		}
		for _, k := range append(append([]string(nil), n.Needs...), n.Gates...) {
			if !seen[k] {
				t.Fatalf("%s waits for %s", n.Title(), p.Node(k).Title())
			}
		}
		seen[n.Key] = true
	}
	for _, c := range p.Possible() {
		require.True(t, seen[c.Image])
		require.LessOrEqual(t, len(c.Tag), 128)
	}
}

func TestThePlanIsAFunction(t *testing.T) {
	root := os.DirFS("../..")
	var first string
	cat, reqs := everything(t, root, "matrix.yaml", "testbed/matrix.yaml")
	var some []plan.Request
	for i, r := range reqs {
		if i%17 == 0 && (r.Platform.L4T == "36.4.0" || r.Platform.L4T == "35.4.1") {
			some = append(some, r)
		}
	}
	for i := range 25 {
		p, err := plan.New(cat, root, some)
		require.NoError(t, err)
		b, err := json.Marshal(p)
		require.NoError(t, err)
		if i == 0 {
			first = string(b)
		}
		require.Equal(t, first, string(b))
	}
}

func TestAWheelIsCompiledOnceForTheWholeMatrix(t *testing.T) {
	// Both releases of the testbed have the same base, so closures resolve alike.
	root := os.DirFS("../..")
	cat, list := spec.Load(root, spec.Options{Matrix: []string{"matrix.yaml", "testbed/matrix.yaml"}})
	require.NoError(t, list.Err())
	var reqs []plan.Request
	for _, l4t := range []string{"36.4.0", "35.4.1"} {
		pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: l4t})
		require.NoError(t, err)
		reqs = append(reqs, plan.Request{Targets: []spec.Target{{Name: "markupsafe"}}, Platform: pl})
	}
	p, err := plan.New(cat, root, reqs)
	require.NoError(t, err)
	require.Equal(t, 1, p.Sizes()[plan.Artifact])
	require.NotEqual(t, p.Cells[0].Image, p.Cells[1].Image, "the images say for what they were made")
}

// catalog is a small one of the given files, with steps `stacked` and `linked`.
func catalog(t *testing.T, packages string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{
		"matrix.yaml":                   {Data: []byte("platforms:\n  - {l4t: 36.4.0, os: {id: debian, version: '12'}, python: ['3.11'], gpu: [sm_87], base: 'example.org/base', hosts: '>=36.4 <37'}\n")},
		"pipelines/steps/x/linked.yaml": {Data: []byte("name: x/linked\nsummary: s\nlinked: true\ninputs: {text: {description: d, default: x}}\nsteps: [{run: 'true', env: {TEXT: '${{ inputs.text }}'}}]\n")},
	}
	for _, f := range txtar.Parse([]byte(packages)).Files {
		files["packages/g/"+f.Name+"/package.yaml"] = &fstest.MapFile{Data: []byte(fmt.Sprintf("name: %s\ngroup: g\nsummary: s\nversions: [{version: '1'}]\n%s", f.Name, f.Data))}
	}
	return files
}

func planOf(t *testing.T, files fstest.MapFS, target string) (*plan.Plan, error) {
	t.Helper()
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4"})
	require.NoError(t, err)
	var r plan.Request
	for _, w := range strings.Fields(target) {
		x, err := spec.ParseTarget(w)
		require.NoError(t, err)
		r.Targets = append(r.Targets, x)
	}
	r.Platform = pl
	return plan.New(cat, files, []plan.Request{r})
}

func TestAMetaPackageOfOneIsNoCycle(t *testing.T) {
	files := catalog(t, `
-- one --
install: {steps: [{uses: x/linked}]}
tests: [{name: t, run: 'true'}]
-- meta --
depends: [one]
tests: [{name: t, run: 'true'}]
-- above --
depends: [meta]
install: {steps: [{uses: x/linked}]}
`)
	p, err := planOf(t, files, "above")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		for _, k := range append(append([]string(nil), n.Needs...), n.Gates...) {
			require.True(t, seen[k], "%s waits for %s", n.Title(), p.Node(k).Title())
		}
		seen[n.Key] = true
	}
}

func TestValuesReachTheShellAsVariablesOrNotAtAll(t *testing.T) {
	for _, value := range []string{`a b`, `$(id)`, "`id`", `a;b`, `'`, `"`, `x|y`, `*`, `~`, `#`, `\`} {
		files := catalog(t, "-- one --\nenv: {V: "+yamlQuote(value)+"}\ninstall: {steps: [{run: 'echo ${{ env.V }}'}]}\n")
		_, err := planOf(t, files, "one")
		require.ErrorContains(t, err, "would be read by the shell", value)

		files = catalog(t, "-- one --\nenv: {V: "+yamlQuote(value)+"}\ninstall: {steps: [{run: 'echo \"$V\"'}]}\n")
		p, err := planOf(t, files, "one")
		require.NoError(t, err, value)
		_ = p
	}
}

func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func TestALineThatEndsTheHereDocumentIsNoEnd(t *testing.T) {
	files := catalog(t, "-- one --\ninstall:\n  steps:\n    - run: |\n        cat <<X\n        JETCRATE\n        X\n")
	p, err := planOf(t, files, "one")
	require.NoError(t, err)
	for _, n := range p.Nodes {
		for _, i := range n.Instructions {
			require.True(t, strings.HasSuffix(i.Text, "\nJETCRATE2"), i.Text)
		}
	}
}

func TestWhatMakesALayerLinked(t *testing.T) {
	for _, c := range []struct {
		name, install string
		want          plan.Kind
	}{
		{"a linked step", "[{uses: x/linked}]", plan.Linked},
		{"a script", "[{run: 'true'}]", plan.Stacked},
		{"both", "[{uses: x/linked}, {run: 'true'}]", plan.Stacked},
		{"a script that is not run here", "[{uses: x/linked}, {run: 'true', if: 'false'}]", plan.Linked},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := planOf(t, catalog(t, "-- one --\ninstall: {steps: "+c.install+"}\n"), "one")
			require.NoError(t, err)
			require.Equal(t, 1, p.Sizes()[c.want])
		})
	}
}

func TestChainsFollowOneOrder(t *testing.T) {
	// b is what most stand on, so it lies lowest in every chain; then by name.
	files := catalog(t, `
-- a --
install: {steps: [{run: 'true'}]}
-- b --
install: {steps: [{run: 'true'}]}
-- c --
depends: [b]
install: {steps: [{run: 'true'}]}
-- d --
depends: [b, a]
install: {steps: [{run: 'true'}]}
`)
	for target, want := range map[string]string{"a b": "b a", "c a": "b a c", "d c": "b a c d"} {
		p, err := planOf(t, files, target)
		require.NoError(t, err)
		var got []string
		for _, k := range p.Node(p.Cells[0].Image).Chain[1:] {
			got = append(got, p.Node(k).Package)
		}
		require.Equal(t, want, strings.Join(got, " "), target)
	}
}

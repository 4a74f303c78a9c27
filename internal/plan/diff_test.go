package plan_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// two has a stacked package, one that builds on it, one that stands on neither,
// and a package of packages, on two releases.
const two = `
-- matrix.yaml --
platforms:
  - {l4t: 36.4.0, os: {id: debian, version: '12'}, python: ['3.11'], gpu: [sm_87], base: 'example.org/base', hosts: '>=36.4 <37'}
  - {l4t: 35.4.1, os: {id: debian, version: '12'}, python: ['3.11'], gpu: [sm_72], base: 'example.org/base', hosts: '>=35.4 <36'}
-- jetcrate.lock --
apt:
  - {os: debian 12, epoch: "2026-01-01", because: first}
bases:
  - {image: example.org/base, digest: "sha256:1111111111111111111111111111111111111111111111111111111111111111", because: first}
-- pipelines/steps/apt/install.yaml --
name: apt/install
summary: s
apt: true
inputs: {packages: {description: d, required: true}}
steps:
  - run: |
      apt-get update
      apt-get install -y $PACKAGES
    env: {PACKAGES: "${{ inputs.packages }}"}
-- pipelines/steps/x/build.yaml --
name: x/build
summary: s
steps: [{run: 'make -C /pkg OUT=/out'}]
-- pipelines/steps/x/lay.yaml --
name: x/lay
summary: s
linked: true
steps: [{run: 'cp -r /artifact/. $DESTDIR'}]
-- packages/g/python/package.yaml --
name: python
group: g
summary: s
versions: [{version: '3.11'}]
install: {steps: [{uses: apt/install, with: {packages: python3}}]}
tests: [{name: runs, run: python3 --version}]
-- packages/g/tool/package.yaml --
name: tool
group: g
summary: s
versions: [{version: '1'}]
install: {steps: [{uses: apt/install, with: {packages: make}}]}
-- packages/g/wheel/package.yaml --
name: wheel
group: g
summary: s
depends: [python]
versions: [{version: '2'}, {version: '1', requires: {l4t: '<36'}, default: {l4t: '<36'}}]
env: {WHEEL_HOME: /opt/wheel}
build:
  depends: [tool]
  resources: {memory-per-job: 1GiB}
  steps: [{uses: x/build}]
install: {steps: [{uses: x/lay}]}
tests: [{name: imports, run: python3 -c 'import wheel', timeout-minutes: 3}]
-- packages/g/wheel/Makefile --
all:
-- packages/g/alone/package.yaml --
name: alone
group: g
summary: s
versions: [{version: '1'}]
install: {steps: [{name: say, run: 'echo alone'}]}
-- packages/g/meta/package.yaml --
name: meta
group: g
summary: s
depends: [wheel, alone]
versions: [{version: '1'}]
`

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func files(t *testing.T, text string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		out[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return out
}

func whole(t *testing.T, files fs.FS) *plan.Plan {
	t.Helper()
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	p, err := plan.New(cat, files, wholly(cat))
	require.NoError(t, err)
	return p
}

// told is what a difference comes to: a line for each cause, then the cells.
func told(c *plan.Changes) string {
	var b strings.Builder
	for _, x := range c.Removed {
		fmt.Fprintf(&b, "removed %s: %s\n", x.ID, x.Reason)
	}
	for _, x := range c.Added {
		fmt.Fprintf(&b, "added %s%s\n", x.ID, x.Reason)
	}
	for _, r := range c.Causes {
		fmt.Fprintf(&b, "%s %s: %q -> %q: %d cells, %d nodes\n", strings.Join(r.Packages, "+"), r.What, r.Old, r.New, r.Cells, r.Nodes)
	}
	for _, x := range c.Changed {
		var again []string
		for _, i := range x.Nodes {
			again = append(again, c.Nodes[i].Title())
		}
		fmt.Fprintf(&b, "%s: %v again %s\n", x.ID, x.Causes, strings.Join(again, ", "))
	}
	return b.String()
}

// edit replaces, in a file, what stands there once; "" is the end.
type edit struct{ file, old, new string }

func edited(t *testing.T, edits ...edit) fstest.MapFS {
	t.Helper()
	out := files(t, two)
	for _, e := range edits {
		data := ""
		if f := out[e.file]; f != nil {
			data = string(f.Data)
		}
		if e.old == "" {
			data += e.new
		} else {
			require.Equal(t, 1, strings.Count(data, e.old), e.old)
			data = strings.Replace(data, e.old, e.new, 1)
		}
		out[e.file] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

const (
	matrixFile = "matrix.yaml"
	lockFile   = "jetcrate.lock"
	aptStep    = "pipelines/steps/apt/install.yaml"
	wheelSpec  = "packages/g/wheel/package.yaml"
	toolSpec   = "packages/g/tool/package.yaml"
	pythonSpec = "packages/g/python/package.yaml"
	aloneSpec  = "packages/g/alone/package.yaml"
	metaSpec   = "packages/g/meta/package.yaml"
)

func TestWhatIsInNoKeyChangesNothing(t *testing.T) {
	old := whole(t, edited(t))
	for name, e := range map[string]edit{
		"a comment":             {wheelSpec, "build:\n", "build: # in /out\n"},
		"a comment of a step":   {aptStep, "steps:\n", "# as apt likes it\nsteps:\n"},
		"a summary":             {wheelSpec, "summary: s", "summary: Wheels"},
		"hosts":                 {matrixFile, "'>=36.4 <37'", "'>=36.3 <37'"},
		"a timeout":             {wheelSpec, "timeout-minutes: 3", "timeout-minutes: 5"},
		"resources":             {wheelSpec, "1GiB", "2GiB"},
		"the reason of a lock":  {lockFile, "because: first}\nbases", "because: second}\nbases"},
		"another order of keys": {aloneSpec, "group: g\nsummary: s", "summary: s\ngroup: g"},
		"the name of a step":    {aloneSpec, "name: say", "name: speak"},
	} {
		t.Run(name, func(t *testing.T) {
			new := whole(t, edited(t, e))
			c := plan.Diff(old, new)
			require.Empty(t, told(c))
			require.Equal(t, 10, c.Same)
			require.Empty(t, c.Make)
			require.Empty(t, plan.Affected(old, new))
		})
	}
}

func TestDiffNamesTheCauseOnce(t *testing.T) {
	one, other := strings.Repeat("1", 64), strings.Repeat("2", 64)
	old := whole(t, edited(t))
	var out strings.Builder
	for _, c := range []struct {
		name  string
		edits []edit
	}{
		{"a step that many use", []edit{{aptStep, "install -y", "install -qy"}}},
		{"an input of a step", []edit{{toolSpec, "packages: make", "packages: make gcc"}}},
		{"a step of the package's own", []edit{{aloneSpec, "echo alone", "echo lonely"}}},
		{"one step more", []edit{{aloneSpec, "run: 'echo alone'}", "run: 'echo alone'}, {run: 'echo again'}"}}},
		{"a file", []edit{{"packages/g/wheel/Makefile", "all:", "all: wheel"}}},
		{"a file more", []edit{{"packages/g/alone/note.txt", "", "note"}}},
		{"a variable", []edit{{wheelSpec, "/opt/wheel", "/usr/lib/wheel"}}},
		{"a variable of a package without a layer", []edit{{metaSpec, "", "env: {META: x}\n"}}},
		{"the base's digest", []edit{{lockFile, one, other}}},
		{"the apt epoch", []edit{{lockFile, "2026-01-01", "2026-02-01"}}},
		{"a newer version", []edit{{wheelSpec, "versions: [", "versions: [{version: '3', requires: {l4t: '>=36'}}, "}}},
		{"the version of a package without a layer", []edit{{metaSpec, "version: '1'", "version: '2'"}}},
		{"a dependency more", []edit{{wheelSpec, "depends: [python]", "depends: [python, alone]"}}},
		{"a dependency less", []edit{{metaSpec, "depends: [wheel, alone]", "depends: [wheel]"}}},
		{"a dependency of the build more", []edit{{wheelSpec, "depends: [tool]", "depends: [tool, alone]"}}},
		{"another order of the chain", []edit{{"packages/g/p/package.yaml", "", "name: p\ngroup: g\nsummary: s\ndepends: [alone]\nversions: [{version: '1'}]\n"}, {"packages/g/q/package.yaml", "", "name: q\ngroup: g\nsummary: s\ndepends: [alone]\nversions: [{version: '1'}]\n"}}},
		{"a dependency of a layer more", []edit{{toolSpec, "summary: s\n", "summary: s\ndepends: [alone]\n"}}},
		{"a test", []edit{{wheelSpec, "import wheel", "import wheel.x"}}},
		{"a test more", []edit{{aloneSpec, "", "tests: [{name: t, run: 'true'}]\n"}}},
		{"the JetPack of a platform", []edit{{matrixFile, "{l4t: 36.4.0, ", "{l4t: 36.4.0, jetpack: '6.1', "}}},
		{"stacked instead of linked", []edit{{"pipelines/steps/x/lay.yaml", "linked: true\n", ""}}},
		{"another base", []edit{{matrixFile, "base: 'example.org/base', hosts: '>=35.4", "base: 'example.org/old', hosts: '>=35.4"}}},
		{"impossible now", []edit{{toolSpec, "versions: [{version: '1'}]", "versions: [{version: '1', requires: {l4t: '>=36'}}]"}}},
		{"a platform less", []edit{{matrixFile, "  - {l4t: 35.4.1, os: {id: debian, version: '12'}, python: ['3.11'], gpu: [sm_72], base: 'example.org/base', hosts: '>=35.4 <36'}\n", ""}}},
		{"a package more", []edit{{"packages/g/extra/package.yaml", "", "name: extra\ngroup: g\nsummary: s\ndepends: [wheel]\nversions: [{version: '1'}]\n"}}},
		{"two changes", []edit{{aptStep, "install -y", "install -qy"}, {wheelSpec, "/opt/wheel", "/usr/lib/wheel"}}},
	} {
		new := whole(t, edited(t, c.edits...))
		diff := plan.Diff(old, new)
		fmt.Fprintf(&out, "# %s\n%s\n", c.name, told(diff))
		for _, r := range diff.Causes {
			require.NotEqual(t, "unknown", r.What, c.name)
		}
		for _, x := range diff.Changed {
			require.NotEmpty(t, x.Causes, "%s: %s changes for no reason", c.name, x.ID)
		}
		affected := map[string]bool{}
		for _, x := range plan.Affected(old, new) {
			affected[x.ID] = true
		}
		for _, x := range append(diff.Changed, diff.Added...) {
			require.True(t, affected[x.ID] || x.Reason != "", x.ID)
			delete(affected, x.ID)
		}
		require.Empty(t, affected, c.name)
	}
	golden(t, "testdata/diff.txt", out.String())
}

func TestChangesForPeople(t *testing.T) {
	old := whole(t, edited(t))
	new := whole(t, edited(t, edit{aptStep, "install -y", "install -qy # ```"}, edit{wheelSpec, "/opt/wheel", "/usr/lib/wheel"},
		edit{aloneSpec, "version: '1'", "version: '1', requires: {l4t: '>=36'}"}, edit{toolSpec, "packages: make", "packages: make @everybody"}))
	d := plan.Diff(old, new)
	var text, markdown strings.Builder
	d.Text(&text)
	d.Markdown(&markdown)
	golden(t, "testdata/diff-text.txt", text.String())
	golden(t, "testdata/diff-markdown.md", markdown.String())
}

// TestEveryChangeOfTheCatalogHasItsReason changes the real catalog in ways that
// reach many kinds of nodes.
func TestEveryChangeOfTheCatalogHasItsReason(t *testing.T) {
	root := os.DirFS("../..")
	read := func() fstest.MapFS {
		out := fstest.MapFS{}
		for _, dir := range []string{"packages", "pipelines/steps", "matrix.yaml", "jetcrate.lock"} {
			require.NoError(t, fs.WalkDir(root, dir, func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := fs.ReadFile(root, name)
				out[name] = &fstest.MapFile{Data: data}
				return err
			}))
		}
		return out
	}
	planned := func(t *testing.T, files fs.FS) *plan.Plan {
		t.Helper()
		cat, list := spec.Load(files, spec.Options{})
		require.NoError(t, list.Err())
		var reqs []plan.Request
		for _, r := range wholly(cat) {
			if r.Platform.L4T == "36.4.0" || r.Platform.L4T == "35.4.1" {
				reqs = append(reqs, r)
			}
		}
		p, err := plan.New(cat, files, reqs)
		require.NoError(t, err)
		return p
	}
	old := planned(t, read())
	for name, c := range map[string]struct {
		file, old, new string
		what           string // of a cause
	}{
		"a step that nearly all use":   {"pipelines/steps/apt/install.yaml", "steps:\n  - ", "steps:\n  - run: 'true'\n  - ", "step apt/install"},
		"a step for wheels":            {"pipelines/steps/python/install-wheel.yaml", "steps:\n  - ", "steps:\n  - run: 'true'\n  - ", "step python/install-wheel"},
		"the variables of a package":   {"packages/nvidia/cuda/package.yaml", "\nenv:\n", "\nenv:\n  CHANGED: 'yes'\n", "variable CHANGED"},
		"a dependency of a dependency": {"packages/python/numpy/package.yaml", "depends: [", "depends: [ninja, ", "layer"},
		"the apt epoch":                {"jetcrate.lock", "os: ubuntu 22.04\n    epoch: \"20", "os: ubuntu 22.04\n    epoch: \"19", "apt epoch"},
		"a file of a package":          {"packages/ml/pytorch/more.patch", "", "x", "file more.patch"},
	} {
		t.Run(name, func(t *testing.T) {
			files := read()
			data := ""
			if f := files[c.file]; f != nil {
				data = string(f.Data)
			}
			require.Contains(t, data, c.old)
			files[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(data, c.old, c.new, 1))}
			new := planned(t, files)
			d := plan.Diff(old, new)
			require.NotEmpty(t, d.Changed)
			var whats []string
			for _, r := range d.Causes {
				whats = append(whats, r.What)
			}
			require.Contains(t, whats, c.what)
			require.NotContains(t, whats, "unknown")
			for _, x := range d.Changed {
				require.NotEmpty(t, x.Causes, x.ID)
			}
			for _, n := range d.Nodes {
				require.NotEmpty(t, n.Causes, n.Title())
			}
			require.Len(t, plan.Affected(old, new), len(d.Changed)+len(d.Added))
		})
	}
}

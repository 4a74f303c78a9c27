package solve_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

const matrix = `platforms:
  - {l4t: 36.4.0, jetpack: "6.1", os: {id: ubuntu, version: "22.04"}, python: ["3.10", "3.12"], gpu: [sm_87], base: b, hosts: ">=36.4 <37", cuda: [{version: "12.6", cudnn: "9.3"}, {version: "12.8"}]}
  - {l4t: 36.4.3, jetpack: "6.2", os: {id: ubuntu, version: "22.04"}, python: ["3.10"], gpu: [sm_87], base: b, hosts: ">=36.4 <37", cuda: [{version: "12.6"}]}
  - {l4t: 35.4.1, jetpack: 5.1.2, os: {id: ubuntu, version: "20.04"}, python: ["3.8"], gpu: [sm_72, sm_87], base: b, hosts: ">=35 <36", cuda: [{version: "11.4"}]}
  - {l4t: 38.2.0, flavour: sbsa, os: {id: ubuntu, version: "24.04"}, python: ["3.12"], base: b, hosts: ">=38 <39"}
`

// load makes a catalog of packages, each its name and the rest of its spec.
func load(t *testing.T, packages map[string]string) *spec.Catalog {
	t.Helper()
	files := fstest.MapFS{"matrix.yaml": {Data: []byte(matrix)}}
	for name, rest := range packages {
		files["packages/g/"+name+"/package.yaml"] = &fstest.MapFile{Data: []byte("name: " + name + "\ngroup: g\nsummary: s\n" + rest)}
	}
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	return cat
}

func resolve(t *testing.T, cat *spec.Catalog, l4t, targets string, pins map[string]string) (string, error) {
	t.Helper()
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: l4t})
	require.NoError(t, err)
	q := solve.Query{Platform: pl, Pins: pins}
	for _, w := range strings.Fields(targets) {
		x, err := spec.ParseTarget(w)
		require.NoError(t, err)
		q.Targets = append(q.Targets, x)
	}
	r, err := solve.Solve(cat, q)
	if err != nil {
		return "", err
	}
	var out []string
	for _, c := range solve.Packages(r.Targets, false) {
		out = append(out, c.Package.Name+" "+c.Version.Version)
	}
	return strings.Join(out, ", "), nil
}

func TestSolve(t *testing.T) {
	cat := load(t, map[string]string{
		"numpy": `versions: [{version: 1.26.4}, {version: 2.1.0, requires: {python: ">=3.10"}}]`,
		"torch": `versions:
  - {version: 2.8.0, requires: {cuda: ">=12.6"}, depends: ["numpy>=2"]}
  - {version: 2.1.0, depends: ["numpy<2"], default: {l4t: "<36"}}`,
		"vision": `versions: [{version: "0.23", depends: ["torch:2.8"]}, {version: "0.16", depends: ["torch:2.1"]}]`,
		"legacy": `
depends: ["numpy<2"]
versions: [{version: "1"}]`,
		"thor":   "requires: {flavour: sbsa}\nversions: [{version: \"1\"}]",
		"either": `requires: [{jetpack: ">=6"}, {gpu: sm_72}]` + "\nversions: [{version: \"1\"}]",
		"choosy": `
options: {fast: {description: d}}
depends: [{package: numpy, if: options.fast}]
versions: [{version: "1"}]`,
		"wants-fast": `
depends: [choosy+fast]
versions: [{version: "1"}]`,
		"ros2": `
aliases: ["ros:humble", "ros:jazzy"]
versions: [{version: jazzy, requires: {os: "ubuntu >=24.04"}}, {version: humble}]`,
	})
	for _, c := range []struct{ name, l4t, target, want string }{
		{"the newest", "36.4", "numpy", "numpy 2.1.0"},
		{"a requirement of a version", "35.4.1", "numpy", "numpy 1.26.4"},
		{"through a dependency", "36.4.0", "torch", "numpy 2.1.0, torch 2.8.0"},
		{"the default where it holds", "35.4.1", "torch", "numpy 1.26.4, torch 2.1.0"},
		{"an older one for a range", "36.4.0", "legacy torch", "legacy 1, numpy 1.26.4, torch 2.1.0"},
		{"pins between packages", "35.4.1", "vision", "numpy 1.26.4, torch 2.1.0, vision 0.16"},
		{"back-tracking", "36.4.0", "vision legacy", "legacy 1, numpy 1.26.4, torch 2.1.0, vision 0.16"},
		{"a pin of the target", "36.4.0", "torch:2.1", "numpy 1.26.4, torch 2.1.0"},
		{"one of several conditions", "35.4.1", "either", "either 1"},
		{"a condition that does not hold", "36.4.0", "choosy", "choosy 1"},
		{"an option", "36.4.0", "choosy+fast", "choosy 1, numpy 2.1.0"},
		{"an option of a dependency", "36.4.0", "wants-fast", "choosy 1, numpy 2.1.0, wants-fast 1"},
		{"an option that comes later", "36.4.0", "wants-fast numpy", "choosy 1, numpy 2.1.0, wants-fast 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := resolve(t, cat, c.l4t, c.target, nil)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, c := range []struct{ name, l4t, target, want string }{
		{"a requirement", "35.4.1", "torch:2.8", "torch 2.8.0 has no build for r35.4.1: it needs CUDA >=12.6, r35.4.1 offers 11.4"},
		{"a requirement of the package", "36.4.0", "thor", "thor is not possible on r36.4.0: it needs flavour sbsa, r36.4.0 is tegra"},
		{"two that cannot be together", "36.4.0", "torch:2.8 legacy", "numpy"},
		{"an OS", "36.4.0", "ros2:jazzy", "it needs ubuntu >=24.04, r36.4.0 is ubuntu 22.04"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := resolve(t, cat, c.l4t, c.target, nil)
			var imp *solve.Impossible
			require.ErrorAs(t, err, &imp)
			require.Contains(t, err.Error(), c.want)
		})
	}
	t.Run("a pin from outside", func(t *testing.T) {
		got, err := resolve(t, cat, "36.4.0", "torch", map[string]string{"torch": "2.1"})
		require.NoError(t, err)
		require.Equal(t, "numpy 1.26.4, torch 2.1.0", got)
	})
	t.Run("the newest release of a line", func(t *testing.T) {
		pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "r36.4"})
		require.NoError(t, err)
		require.Equal(t, "36.4.3", pl.L4T)
	})
}

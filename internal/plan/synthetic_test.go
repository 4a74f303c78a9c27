package plan_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// synthetic is a catalog of any size in the shape of a real one: a foundation
// that most stand on (Python, CUDA, what apt installs), a third that stands on
// some of that, and the rest on one of these too. So closures hold about seven
// packages however large the catalog is, and a cell has about fifteen nodes, as
// in the catalog of this repository. One package in six is stacked, one version
// in four needs a newer CUDA than some stacks have; every package has a build,
// one or two tests, and dependencies with ranges.
type synthetic struct {
	packages, versions, platforms, stacks int
}

const foundation = 20

func (s synthetic) files() fstest.MapFS {
	rng := rand.New(rand.NewPCG(uint64(s.packages), 7))
	files := fstest.MapFS{
		"matrix.yaml": {Data: []byte(s.matrix())},
		"pipelines/steps/x/fetch.yaml": {Data: []byte(`name: x/fetch
summary: Fetches the sources
inputs: {version: {description: which, required: true}}
steps:
  - run: curl -fsSLO "https://example.org/$VERSION.tar.gz"
    env: {VERSION: "${{ inputs.version }}"}
    cache: [pip]
`)},
		"pipelines/steps/x/wheel.yaml": {Data: []byte("name: x/wheel\nsummary: Makes a wheel\nsteps: [{run: 'python3 -m pip wheel --wheel-dir /out /src'}]\n")},
		"pipelines/steps/x/install.yaml": {Data: []byte(`name: x/install
summary: Installs the wheel
linked: true
inputs: {root: {description: where, default: /destdir}}
steps: [{run: 'python3 -m pip install --root "$ROOT" /artifact/*.whl', env: {ROOT: "${{ inputs.root }}"}}]
`)},
	}
	for i := range s.packages {
		files["packages/g/"+name(i)+"/package.yaml"] = &fstest.MapFile{Data: []byte(s.pack(i, rng))}
	}
	return files
}

func name(i int) string { return fmt.Sprintf("p%04d", i) }

func (s synthetic) matrix() string {
	var b strings.Builder
	b.WriteString("platforms:\n")
	for i := range s.platforms {
		l4t := fmt.Sprintf("%d.%d.0", 30+i/5, i%5)
		fmt.Fprintf(&b, "  - {l4t: %s, os: {id: ubuntu, version: '22.04'}, python: ['3.10'], gpu: [sm_87], base: 'example.org/base:r%s', hosts: '>=%d <%d', cuda: [", l4t, l4t, 30+i/5, 31+i/5)
		for j := range s.stacks {
			fmt.Fprintf(&b, "{version: '%d.%d', cudnn: '9.%d', tensorrt: '10.%d'},", 11+i/10, 2*j, j, j)
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

func (s synthetic) pack(i int, rng *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\ngroup: g\nsummary: Package %d\n", name(i), i)
	var depends []string
	if i > 0 {
		depends = append(depends, name(rng.IntN(min(i, foundation))))
	}
	if i >= foundation {
		depends = append(depends, name(0), name(1))
	}
	if middle := s.packages / 3; i >= middle && middle > foundation {
		depends = append(depends, fmt.Sprintf("%q", name(foundation+rng.IntN(middle-foundation))+">=1"))
	}
	seen := map[string]bool{name(i): true, fmt.Sprintf("%q", name(i)+">=1"): true}
	var kept []string
	for _, d := range depends {
		if !seen[d] {
			seen[d] = true
			kept = append(kept, d)
		}
	}
	fmt.Fprintf(&b, "depends: [%s]\nversions:\n", strings.Join(kept, ", "))
	for v := s.versions; v > 0; v-- {
		fmt.Fprintf(&b, "  - version: \"%d.0\"\n    values: {ref: v%d}\n", v, v)
		if i > foundation && v == s.versions && i%4 == 0 {
			b.WriteString("    requires: {cuda: \">=11.2\"}\n")
		}
	}
	if i > foundation && i%9 == 0 {
		b.WriteString("requires: {l4t: \">=31\"}\n")
	}
	switch {
	case i%6 == 0 || i < foundation/2:
		fmt.Fprintf(&b, "install: {steps: [{run: 'apt-get install -y lib%d'}]}\n", i)
	default:
		b.WriteString("build:\n  steps:\n    - {uses: x/fetch, with: {version: \"${{ version }}\"}}\n    - {uses: x/wheel")
		if i%4 == 1 {
			b.WriteString(", env: {ARCH: \"${{ join(platform.gpu.compute, ';') }}\", CUDA: \"${{ platform.cuda.version }}\"}")
		}
		b.WriteString("}\ninstall: {steps: [{uses: x/install}]}\n")
	}
	fmt.Fprintf(&b, "tests:\n  - {name: import, run: 'python3 -c \"import %s\"'}\n", name(i))
	if i%2 == 0 {
		fmt.Fprintf(&b, "  - {name: works, gpu: true, run: 'python3 /pkg/tests/%s.py'}\n", name(i))
	}
	return b.String()
}

// load reads the catalog and asks for every package on every platform with
// every stack.
func (s synthetic) load(t testing.TB) (*spec.Catalog, fs.FS, []plan.Request) {
	t.Helper()
	files := s.files()
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	return cat, files, wholly(cat)
}

// wholly asks for every package on every platform with every stack.
func wholly(cat *spec.Catalog) []plan.Request {
	var reqs []plan.Request
	for _, p := range solve.New(cat).Platforms() {
		for _, n := range cat.Names() {
			if cat.Packages[n] != nil {
				reqs = append(reqs, plan.Request{Targets: []spec.Target{{Name: n}}, Platform: p})
			}
		}
	}
	return reqs
}

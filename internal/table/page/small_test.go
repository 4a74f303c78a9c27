package page_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/page"
)

// small is a catalog in which a version has its reasons: two platforms, one of
// them with two stacks, and a package that another's version rules out.
func small(t *testing.T) *spec.Catalog {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"matrix.yaml": `
platforms:
  - {l4t: 36.4.0, jetpack: "6.1", os: {id: ubuntu, version: "22.04"}, gpu: [sm_87], python: ["3.10"], base: "example.org/base:r36", hosts: ">=36.4 <37",
     cuda: [{version: "12.6", cudnn: "9.3"}, {version: "12.8", cudnn: "9.8"}]}
  - {l4t: 35.4.1, jetpack: "5.1.2", os: {id: ubuntu, version: "20.04"}, gpu: [sm_72], python: ["3.8"], base: "example.org/base:r35", hosts: ">=35 <36",
     cuda: [{version: "11.4"}]}
  - {l4t: 32.7.1, jetpack: "4.6.1", os: {id: ubuntu, version: "18.04"}, gpu: [sm_53], python: ["3.6"], base: "example.org/base:r32", hosts: ">=32.7 <33",
     cuda: [{version: "10.2"}]}
modules:
  - {name: Big, gpu: sm_87, has: [gpu, dla], source: the data sheet}
  - {name: Small, gpu: sm_53, has: [gpu], lacks: [dla], source: the data sheet}
  - {name: Odd, gpu: sm_72, has: [gpu], source: the data sheet}
`,
		"packages/base/driver/package.yaml": `
name: driver
group: base
summary: What asks the runtime for the driver
env: {NVIDIA_VISIBLE_DEVICES: all}
versions: [{version: "1", source: "https://example.org/a_b_c"}]
tests: [{name: there, run: "true"}]
`,
		"packages/ml/arrays/package.yaml": `
name: arrays
aliases: [ar, "ar:1.0"]
group: ml
summary: "Arrays | <script>alert(1)</script> *and* [more](https://example.org/x)"
homepage: https://example.org/arrays
license: "MIT"
depends: [driver]
accelerators: [gpu, dla]
storage: {image: 2GiB, models: 500MiB}
options:
  doc: {description: "with | documentation"}
  kind: {description: which, type: string, choices: [a, b], default: a}
versions:
  - {version: "2.0", source: "the red page", requires: {cuda: ">=12.6"}}
  - {version: "1.0", source: "the red page", requires: [{l4t: "35.*"}, {cuda: "12.8"}]}
tests:
  - {name: import, run: "true"}
  - {name: gpu, gpu: true, if: "options.doc || options.kind == 'a'", run: "true"}
`,
		"packages/ml/nets/package.yaml": `
name: nets
group: ml
summary: Nets
depends: [arrays, {package: driver, if: "platform.python == '3.10' || false"}]
versions:
  - {version: "3.0", depends: ["arrays>=2"]}
  - {version: "2.0", conflicts: [nowhere]}
build: {depends: [plain], steps: [{run: "true"}]}
install: {steps: [{run: "true"}]}
tests: [{name: import, run: "true"}]
`,
		"packages/misc/nowhere/package.yaml": `
name: nowhere
group: misc
summary: Not for these platforms
versions: [{version: "1", requires: {l4t: "99.*"}}]
install: {steps: [{run: "true"}]}
`,
		"packages/misc/plain/package.yaml": `
name: plain
group: misc
summary: Plain
versions: [{version: "1"}]
install: {steps: [{run: "true"}]}
`,
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	return cat
}

// evidence is a table with an image that holds two packages, one that was made
// on the testbed, and rows that are no evidence.
func evidence() *table.Table {
	platform := table.Platform{L4T: "36.4.0", Flavour: "tegra", OS: table.OS{ID: "ubuntu", Version: "22.04"}, Arch: "arm64", Python: "3.10", CUDA: &table.CUDA{Version: "12.6"}}
	testbed := platform
	testbed.Testbed = true
	image := &table.Image{Reference: "example.org/j:x", Digest: "sha256:" + strings.Repeat("a", 64), Key: "k"}
	holds := []table.Package{{Name: "arrays", Version: "2.0"}, {Name: "nets", Version: "3.0"}}
	tested := table.Evidence{Tests: []table.TestResult{
		{Package: "arrays", Name: "import", Status: table.Passed, Environment: "qemu"},
		{Package: "arrays", Name: "gpu", Status: table.Skipped, Reason: "no GPU | <b>\x1b[31m"},
		{Package: "nets", Name: "import", Status: table.Failed, Reason: "exit code 1"},
	}}
	tested.Count()
	alone := table.Evidence{Tests: tested.Tests[:2]}
	alone.Count()
	return &table.Table{Schema: table.Schema, Rows: []table.Row{
		{Target: "nets", Roots: []string{"nets"}, Packages: holds, Platform: platform, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built, Image: image, Evidence: tested},
		{Target: "arrays", Roots: []string{"arrays"}, Packages: holds[:1], Platform: testbed, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built, Image: image, Evidence: alone},
		{Target: "arrays:1.0", Roots: []string{"arrays"}, Packages: []table.Package{{Name: "arrays", Version: "1.0"}}, Platform: platform, Hosts: ">=36.4 <37", Status: table.Superseded, State: table.Built, Image: image},
		{Target: "plain", Roots: []string{"plain"}, Packages: []table.Package{{Name: "plain", Version: "1"}}, Platform: platform, Hosts: ">=36.4 <37", Status: table.Current, State: table.NotBuilt, Reason: "no image is recorded for it"},
	}}
}

// TestPages holds the pages of a small catalog to golden files: with evidence,
// with reasons, and with text that wants to be markup.
func TestPages(t *testing.T) {
	files, err := page.Pages(small(t), page.Options{Root: "../..", Table: evidence()})
	require.NoError(t, err)
	areTables(t, files)
	for _, f := range files {
		golden := filepath.Join("testdata/small", f.Name)
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
			require.NoError(t, os.WriteFile(golden, f.Content, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(f.Content))
		require.NotContains(t, string(f.Content), "<script")
		require.NotContains(t, string(f.Content), "\x1b")
	}
}

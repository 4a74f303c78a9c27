package spec

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/diag"
)

func TestConflictsAreChecked(t *testing.T) {
	fsys := catalogOf(t, txtar.Parse([]byte(`
-- packages/ml/a/package.yaml --
name: a
group: ml
summary: s
conflicts: [numpyy, "numpy>=9", "numpy+dok", {package: numpy, if: "platform.l4t == nope"}]
versions: [{version: 1.0, conflicts: ["numpy:3", numpy=1]}]
`)))
	_, list := Load(fsys, Options{})
	var codes []string
	for _, d := range list {
		codes = append(codes, d.Code)
	}
	require.ElementsMatch(t, []string{"unknown-package", "unknown-version", "unknown-option", "bad-expression", "unknown-version", "bad-dependency"}, codes, printed(list))
}

func TestEveryInputIsRead(t *testing.T) {
	_, cat := baseCatalog(t, `
-- pipelines/steps/x/a.yaml --
name: x/a
summary: s
inputs:
  run: {description: d}
  env: {description: d}
  if: {description: d}
  with: {description: d}
  dir: {description: d}
  Case: {description: d}
  unread: {description: d}
steps:
  - run: echo ${{ inputs.run }}
    env: {A: "${{ inputs.env }} ${{ INPUTS.case }}"}
    if: inputs.if == 'x'
    working-directory: /${{ inputs.dir }}
  - uses: apt/install
    with: {packages: ["a", "${{ inputs.with }}"]}
-- pipelines/steps/x/any.yaml --
name: x/any
summary: s
inputs: {a: {description: d}, b: {description: d}}
steps: [{run: "${{ inputs[format('{0}', 'a')] }}"}]
`)
	list := Lint(cat)
	require.Len(t, list, 1, printed(list))
	require.Equal(t, "unused-input", list[0].Code)
	require.Equal(t, diag.Position{File: "pipelines/steps/x/a.yaml", Line: 10, Col: 3}, list[0].Position)
}

func TestIgnore(t *testing.T) {
	fsys, cat := baseCatalog(t, `
-- packages/ml/a/package.yaml --
name: a
group: ml
summary: s # lint:ignore one because
# lint:ignore two because
# of this

versions: [{version: 1.0}]
env: {A: "x"} # lint:ignore
docs: https://example.org/#lint:ignore-me
`)
	at := func(line int) diag.Position {
		return diag.Position{File: "packages/ml/a/package.yaml", Line: line, Col: 1}
	}
	var list diag.List
	list.Warnf("one", at(3), "silenced by the comment on its line")
	list.Warnf("two", at(7), "silenced by the comment above it")
	list.Warnf("two", at(3), "another code")
	list.Warnf("one", at(1), "another line")
	got := Ignore(fsys, cat, list, true)
	require.Equal(t, `packages/ml/a/package.yaml:1:1: warning: another line [one]
packages/ml/a/package.yaml:3:1: warning: another code [two]
packages/ml/a/package.yaml:8:15: error: lint:ignore needs a code and a reason [bad-ignore]
    hint: write: # lint:ignore CODE why it is right here
`, printed(got))

	list = nil
	list.Errorf("one", at(3), "an error stays")
	got = Ignore(fsys, cat, list, true)
	require.Equal(t, `packages/ml/a/package.yaml:3:1: error: an error stays [one]
packages/ml/a/package.yaml:3:12: error: one is an error, which no comment silences [bad-ignore]
packages/ml/a/package.yaml:8:15: error: lint:ignore needs a code and a reason [bad-ignore]
    hint: write: # lint:ignore CODE why it is right here
`, printed(got), "beside an error a comment may silence nothing")

	list = nil
	list.Warnf("one", at(3), "silenced by the comment on its line")
	require.Contains(t, printed(Ignore(fsys, cat, list, true)), "package.yaml:4:1: warning: nothing on line 7 says two [unused-ignore]\n")
	require.Len(t, Ignore(fsys, cat, nil, false), 1, "under another matrix a comment may silence nothing")
}

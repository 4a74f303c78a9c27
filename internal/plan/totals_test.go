package plan_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Every package of the catalog alone and twenty combinations, on every platform
// with every stack: hardly any layer has to be laid twice, because what stacks
// on what follows one order.
func TestLayersAreShared(t *testing.T) {
	root := os.DirFS("../..")
	cat, list := spec.Load(root, spec.Options{})
	require.NoError(t, list.Err())
	reqs := wholly(cat)
	text, err := os.ReadFile("testdata/combinations.txt")
	require.NoError(t, err)
	combinations := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		combinations++
		var targets []spec.Target
		for _, word := range strings.Fields(line) {
			x, err := spec.ParseTarget(word)
			require.NoError(t, err)
			targets = append(targets, x)
		}
		for _, p := range solve.New(cat).Platforms() {
			reqs = append(reqs, plan.Request{Targets: targets, Platform: p})
		}
	}
	require.Equal(t, 20, combinations)
	p, err := plan.New(cat, root, reqs)
	require.NoError(t, err)
	totals := p.Totals()
	t.Logf("%d cells, %d impossible; %d layers, %d for builds alone; %d / %d = %.3f; %d artifacts, %d repeats", totals.Cells, totals.Impossible,
		totals.Layers, totals.BuildLayers, totals.Laid, totals.Distinct, totals.Ratio(), totals.Artifacts, len(totals.Repeats))
	require.LessOrEqual(t, totals.Ratio(), 1.3)
	for _, r := range totals.Repeats {
		require.NotEmpty(t, r.Cause)
	}
}

func TestTotals(t *testing.T) {
	files := catalog(t, `
-- low --
install: {steps: [{run: echo low}]}
-- other --
install: {steps: [{run: echo other}]}
-- tool --
install: {steps: [{run: echo tool}]}
-- wheel --
depends: [low]
build: {depends: [tool], steps: [{run: 'touch /out/x'}]}
install: {steps: [{uses: x/linked}]}
-- not-here --
requires: {cuda: ">=12"}
`)
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	reqs := wholly(cat)
	reqs = append(reqs, reqs[0])
	reqs[len(reqs)-1].Targets = []spec.Target{{Name: "other"}, {Name: "wheel"}}
	p, err := plan.New(cat, files, reqs)
	require.NoError(t, err)
	got := p.Totals()
	// low, other, tool, the wheel; other on low too. The tool on low is for the build.
	require.Equal(t, plan.Totals{Cells: 6, Impossible: 1, Layers: 5, Laid: 5, Distinct: 4, BuildLayers: 1, Artifacts: 1, Versions: 1}, got)
	require.InDelta(t, 1.25, got.Ratio(), 0.001)
}

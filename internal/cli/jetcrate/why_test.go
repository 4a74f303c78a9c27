package jetcrate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/report"
)

// A report compares what a run made with what was there before it: not with what
// the run made itself, nor with another base, nor with what came later.
func TestWhyARunMadeItsNodes(t *testing.T) {
	key := func(digit string) string { return strings.Repeat(digit, 64) }
	layer := func(digit, base, script string, run int) execute.Origin {
		return execute.Origin{Run: run, Inputs: plan.Inputs{
			Key: key(digit), Kind: plan.Linked, Package: "p", Version: "1", Arch: "arm64", Base: &plan.BaseImage{Image: base},
			Instructions: []plan.Instruction{{Step: "x/a", Text: script}},
		}}
	}
	k := &keys{plan: &plan.Plan{}, origins: map[string]execute.Origin{}}
	for _, o := range []execute.Origin{
		layer("1", "r36", "one", 1),
		layer("2", "r36", "two", 2), // made by the run
		layer("3", "r36", "two", 2), // and this
		layer("4", "r36", "two", 3),
		layer("5", "r35", "two", 2),
		layer("6", "r36", "six", 2), // lay on another parent
	} {
		k.origins[o.Inputs.Key] = o
	}
	run := &report.Run{ID: 2, Nodes: []report.Node{
		{Key: key("2"), Status: execute.Built, Why: execute.NewKey},
		{Key: key("3"), Status: execute.Built, Why: execute.NewKey},
		{Key: key("5"), Status: execute.Built, Why: execute.NewKey},
		{Key: key("6"), Status: execute.Built, Why: "another"},
		{Key: key("1"), Status: execute.Reused},
		{Key: key("7"), Status: execute.Failed, Why: execute.NewKey}, // of nothing that is known
	}}
	k.explain(run)
	want := []plan.Cause{{Packages: []string{"p"}, What: "step x/a", Old: "one", New: "two"}}
	for i, n := range run.Nodes {
		if i < 2 {
			require.Equal(t, key("1"), n.Before, i)
			require.Equal(t, want, n.Causes, i)
			continue
		}
		require.Empty(t, n.Before, i)
		require.Empty(t, n.Causes, i)
	}
}

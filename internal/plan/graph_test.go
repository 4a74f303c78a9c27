package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
)

func TestDotQuotesWhateverStandsInIt(t *testing.T) {
	g := plan.Graph{
		Name:  `a "b"`,
		Boxes: []plan.Box{{ID: `x\`, Label: []string{`say "hi"`, `back\slash`, "ünï <b>"}, There: true}},
		Edges: []plan.Edge{{From: `x\`, To: "y", Label: "if os == \"a\"\n", Dashed: true}},
	}
	var b strings.Builder
	require.NoError(t, g.Dot(&b))
	require.Equal(t, `digraph "a \"b\"" {
  rankdir=BT;
  node [shape=box, style=filled, fillcolor=white, fontname="sans-serif"];
  "x\\" [label="say \"hi\"\nback\\slash\nünï <b>", fillcolor=lightgrey];
  "x\\" -> "y" [label="if os == \"a\"\n", style=dashed];
}
`, b.String())
}

func TestAGraphNamesOnlyBoxesThatItHas(t *testing.T) {
	p := whole(t, edited(t))
	g := p.Graph(func(*plan.Node) plan.About { return plan.About{} })
	boxes := map[string]bool{}
	for _, b := range g.Boxes {
		require.False(t, boxes[b.ID], b.ID)
		boxes[b.ID] = true
	}
	for _, e := range g.Edges {
		require.True(t, boxes[e.From] && boxes[e.To], "%v", e)
	}
	var out strings.Builder
	p.Tree(&out, p.Cells[1], func(n *plan.Node) plan.About { return plan.About{Note: string(n.Kind)} })
	golden(t, "testdata/tree.txt", out.String())
}

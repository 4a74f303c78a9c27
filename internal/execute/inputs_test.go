package execute_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// nodeOf finds a node of a plan by its title.
func nodeOf(t *testing.T, p *plan.Plan, title string) *plan.Node {
	t.Helper()
	for _, n := range p.Nodes {
		if n.Title() == title {
			return n
		}
	}
	t.Fatalf("no node is called %q", title)
	return nil
}

func TestRecordsTellWhatTheirKeysAreMadeOf(t *testing.T) {
	l := newLab(t)
	first := l.plan("kit")
	_, err := l.run("kit")
	require.NoError(t, err)
	l.edit("pipelines/steps/apt/install.yaml", "install -y", "install -qy")
	second := l.plan("kit")
	_, err = l.run("kit")
	require.NoError(t, err)

	origins, err := execute.Origins(context.Background(), l.store)
	require.NoError(t, err)
	for _, p := range []*plan.Plan{first, second} {
		for _, n := range p.Nodes {
			o, ok := origins[n.Key]
			switch n.Kind {
			case plan.Artifact, plan.Stacked, plan.Linked:
				require.True(t, ok, n.Title())
				require.Equal(t, p.Inputs(n), &o.Inputs, "all of it is told")
				require.Equal(t, map[*plan.Plan]int{first: 1, second: 2}[p], o.Run, n.Title())
			default:
				require.False(t, ok, n.Title())
			}
		}
	}

	lookup := func(key string) *plan.Inputs {
		if o, ok := origins[key]; ok {
			return &o.Inputs
		}
		return nil
	}
	before, now := nodeOf(t, first, "three 3.0 linked layer"), nodeOf(t, second, "three 3.0 linked layer")
	causes := plan.Causes(lookup(before.Key), lookup(now.Key), lookup, lookup)
	want := []plan.Cause{{Packages: []string{"python", "tools"}, What: "step apt/install", Old: `apt-get install -y $PACKAGES`, New: `apt-get install -qy $PACKAGES`}}
	require.Equal(t, want, causes, "down to where the change is, and once")

	l.edit("matrix.yaml", "/base:1", "/base:2") // of a base only what stands on it tells
	third := l.plan("kit")
	there := func(key string) *plan.Inputs { return third.Inputs(third.Node(key)) }
	causes = plan.Causes(lookup(now.Key), there(nodeOf(t, third, now.Title()).Key), lookup, there)
	require.Len(t, causes, 1)
	require.Equal(t, "base image", causes[0].What)

	have, err := execute.Have(context.Background(), l.store, second)
	require.NoError(t, err)
	require.Positive(t, have[now.Key].Size)
	require.NotContains(t, have, before.Key)
	for _, n := range second.Nodes {
		if _, ok := have[n.Key]; !ok {
			require.Contains(t, []plan.Kind{plan.Test, plan.Image}, n.Kind, "%s: made by the run", n.Title())
		}
	}
}

func TestAnnotationsOfLayersReachNoImage(t *testing.T) {
	l := newLab(t)
	res, err := l.run("kit")
	require.NoError(t, err)
	img, err := l.store.ImageAt(context.Background(), res.Cells[0].Digest)
	require.NoError(t, err)
	m, err := img.Manifest()
	require.NoError(t, err)
	require.NotContains(t, m.Annotations, "io.jetcrate.inputs")
}

func TestRecordsThatTellNonsenseAreLeftOut(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	key := strings.Repeat("a", 64)
	for _, text := range []string{
		`{`, `null`, `{"key":"` + key + `"}`, `{"key":"` + key + `","kind":"test"}`, `{"key":"` + key + `","kind":"base"}`,
		`{"key":"` + key + `","kind":"linked","below":[{"key":"short"}]}`, `{"key":"` + key + `","kind":"linked","artifact":"x"}`,
		`{"key":"` + key + `","kind":"linked","files":[{"path":"x"}]}`, `{"key":"` + strings.Repeat("b", 64) + `","kind":"linked"}`,
	} {
		_, err := l.store.PutFiles(ctx, store.Artifact, key, t.TempDir(), map[string]string{"io.jetcrate.inputs": text})
		require.NoError(t, err)
		origins, err := execute.Origins(ctx, l.store)
		require.NoError(t, err)
		require.Empty(t, origins, text)
	}
	_, err := l.store.PutFiles(ctx, store.Artifact, key, t.TempDir(), map[string]string{"io.jetcrate.inputs": `{"key":"` + key + `","kind":"artifact","package":"x"}`})
	require.NoError(t, err)
	origins, err := execute.Origins(ctx, l.store)
	require.NoError(t, err)
	require.Len(t, origins, 1)
}

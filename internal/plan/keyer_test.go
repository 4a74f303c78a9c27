package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The hand-written JSON of keys is what json.Marshal writes.
func TestKeysAreThoseOfTheStructs(t *testing.T) {
	var k keyer
	odd := []string{"", "plain-1.0", `"quoted" \ back`, "<&>", "é 漢", "a\nb\u2028c", "\x7f"}
	ground := &Node{Making: &Making{Chain: []string{"aa", "bb"}}}
	for i, s := range odd {
		list := odd[:i+1]
		if i%2 == 1 {
			ground.Linked = []string{"cc", "dd"}
		}
		layers := append(append([]string(nil), ground.Chain...), ground.Linked...)
		env := plainJSON([]Var{{Owner: s, Name: "N", Value: s, Prepend: i%2 == 0}})
		texts, none, files := plainJSON(list), plainJSON([]string(nil)), plainJSON([]File{{Path: s, SHA256: "00"}})
		a := artifactKey{s, texts, none, files, layers, env}
		require.Equal(t, key(Artifact, a), k.artifact(a, ground))
		a.GroundEnv = nil
		require.Equal(t, key(Artifact, a), k.artifact(a, ground))
		l := linkedKey{s, texts, files, s, layers, env, none}
		require.Equal(t, key(Linked, l), k.linked(l, ground))
		l.GroundEnv = nil
		require.Equal(t, key(Linked, l), k.linked(l, ground))
		st := stackedKey{s, "parent", texts, s, files, s, env, none}
		require.Equal(t, key(Stacked, st), k.stacked(st))
		labels := &Labels{Tag: s, Packages: []PackageRef{{Name: s, Version: "1", Options: map[string]string{"b": s, "a": "x"}}}, Asked: list, Platform: Tuple{L4T: s, GPU: list}}
		p := &piece{r: &rendering{ref: labels.Packages[0], refJSON: plainJSON(labels.Packages[0])}}
		at := &site{tupleJSON: plainJSON(labels.Platform)}
		require.Equal(t, key(Image, imageKey{s, layers, env, plainJSON(labels)}), k.image(s, ground.Chain, ground.Linked, env, at.labelsJSON(labels, []*piece{p})))
		require.Equal(t, key(Image, imageKey{s, layers, plainJSON([]Var(nil)), plainJSON((*Labels)(nil))}), k.image(s, ground.Chain, ground.Linked, []byte("null"), []byte("null")))
		require.Equal(t, key(Test, testKey{"0a", "0b"}), k.test(testKey{"0a", "0b"}))
	}
}

// What gain says a change of neighbours costs is what it costs, and improving
// makes nothing worse and breaks no dependency.
func TestChainsImprove(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	better := 0
	for range 300 {
		const n = 8
		below := make([][]int, n)
		closures := make([][]int, n)
		order := make([]int, n)
		for i := range n {
			order[i] = i
			holds := map[int]bool{i: true}
			for range rng.IntN(3) {
				if i > 0 {
					d := rng.IntN(i)
					below[i] = append(below[i], d)
					for _, x := range closures[d] {
						holds[x] = true
					}
				}
			}
			for x := range n {
				if holds[x] {
					closures[i] = append(closures[i], x)
				}
			}
		}
		c := newChains(order, n, closures)
		was := laid(c)
		for k := range n - 1 {
			low, high := c.order[k], c.order[k+1]
			if c.standsOn(high, low) {
				continue
			}
			before, gain := laid(c), c.gain(low, high)
			c.swap(k, k+1)
			require.Equal(t, laid(c)-before, gain)
			c.swap(k, k+1)
		}
		c.improve()
		require.LessOrEqual(t, laid(c), was)
		if laid(c) < was {
			better++
		}
		for i := range n {
			for _, d := range below[i] {
				require.Less(t, c.place[d], c.place[i])
			}
		}
	}
	require.Greater(t, better, 20)
}

// laid counts the layers of every closure's chain, each once.
func laid(c *chains) int {
	seen := map[[2]uint64]bool{}
	for i, list := range c.closures {
		for _, p := range list {
			seen[[2]uint64{c.below(i, c.place[p]), uint64(p)}] = true
		}
	}
	return len(seen)
}

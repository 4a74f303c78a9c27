package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func TestAChainHasAtMost120Layers(t *testing.T) {
	for layers, want := range map[int]int{120: 0, 121: 1} {
		var packages strings.Builder
		for i := range layers {
			fmt.Fprintf(&packages, "-- l%d --\ninstall: {steps: [{run: echo %d}]}\n", i, i)
			if i > 0 {
				fmt.Fprintf(&packages, "depends: [l%d]\n", i-1)
			}
		}
		files := catalog(t, packages.String())
		cat, list := spec.Load(files, spec.Options{})
		require.NoError(t, list.Err())
		reqs := wholly(cat)
		p, err := plan.New(cat, files, reqs)
		require.NoError(t, err)
		found := plan.Lint(cat, p)
		require.Len(t, found, want)
		if want > 0 {
			require.Equal(t, "long-chain", found[0].Code)
		}
	}
}

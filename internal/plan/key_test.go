package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// A variable of a package without a layer is in no layer's key, but what is
// built on the package sees it.
func TestAVariableWithoutALayerMovesWhatIsBuiltOnIt(t *testing.T) {
	const packages = `-- low --
env: {FLAVOUR: VALUE}
-- built --
depends: [low]
build: {steps: [{run: 'echo $FLAVOUR > /out/x'}]}
install: {steps: [{uses: x/linked}]}
-- onit --
depends: [low]
install: {steps: [{uses: x/linked}]}
`
	keys := func(value string) map[string]string {
		out := map[string]string{}
		for _, target := range []string{"built", "onit"} {
			p, err := planOf(t, catalog(t, strings.ReplaceAll(packages, "VALUE", value)), target)
			require.NoError(t, err)
			for _, n := range p.Nodes {
				if n.Kind == plan.Artifact || n.Kind == plan.Linked {
					out[n.Title()] = n.Key
				}
			}
		}
		return out
	}
	one, two := keys("one"), keys("two")
	for _, title := range []string{"built 1 build", "built 1 linked layer", "onit 1 linked layer"} {
		require.NotEmpty(t, one[title], "%v", one)
		require.NotEqual(t, one[title], two[title], title)
	}
}

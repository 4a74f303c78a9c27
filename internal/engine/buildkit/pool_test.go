package buildkit

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// TestPoolConformance holds two real daemons as one engine to the same suite.
func TestPoolConformance(t *testing.T) {
	if os.Getenv("JETCRATE_ALL") == "" {
		t.Skip("this is long: make test-all")
	}
	var members []engine.Member
	for _, name := range []string{"a", "b"} {
		o := Options{Address: "private", StateDir: t.TempDir(), Binary: []string{testBinary(t)}}
		members = append(members, engine.Member{Name: name, Connect: func(ctx context.Context) (engine.Engine, error) { return Connect(ctx, o) }})
	}
	p := engine.NewPool(members, engine.PoolOptions{})
	require.NoError(t, p.Connect(t.Context()))
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	enginetest.Run(t, func() engine.Engine { return p }, enginetest.Features{Executes: true, Steps: true, OutputAtOnce: true, ReadOnlyMounts: true})
}

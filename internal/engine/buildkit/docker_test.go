package buildkit

import (
	"os"
	"testing"

	docker "github.com/moby/moby/client"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/enginetest"
)

// TestDocker holds whatever Docker runs here to its word: it serves in full, or
// it is passed over and the reason names what it lacks.
func TestDocker(t *testing.T) {
	api, err := docker.New(docker.FromEnv)
	require.NoError(t, err)
	defer api.Close()
	v, err := api.ServerVersion(t.Context(), docker.ServerVersionOptions{})
	if err != nil {
		t.Skipf("no Docker runs here: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("Docker needs root")
	}
	e, err := Connect(t.Context(), Options{Address: "docker"})
	if err != nil {
		t.Logf("Docker %s: %v", v.Version, err)
		var none *engine.Unavailable
		require.ErrorAs(t, err, &none)
		require.Regexp(t, `^Docker's own BuildKit: its? (Dockerfile frontend knows no|cannot export|reads no|lacks|runs)`, none.Tried[0])
		return
	}
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	enginetest.Run(t, func() engine.Engine { return e }, enginetest.Features{Executes: true})
}

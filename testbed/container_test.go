package testbed_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPipelineContainer runs a job's scripts in a container of the engine: the
// image is one that jetcrate made, the workspace a copy of the catalog.
func TestPipelineContainer(t *testing.T) {
	s := newSite(t)
	c := &pipelineCatalog{site: s, dir: freshSmall(t)}
	image := filepath.Join(t.TempDir(), "low.tar")
	out, err := c.command(c.dir, "build", "low", "--l4t", "36.4.0", "--tarball", image).CombinedOutput()
	require.NoError(t, err, "%s", out)
	c.write("pipelines/box.yaml", `name: box
on: workflow_dispatch
env: {GREETING: "hello; touch pwned"}
jobs:
  box:
    runs-on: [self-hosted, box]
    outputs: {said: "${{ steps.one.outputs.said }}"}
    env: {TOKEN: "${{ secrets.TOKEN }}"}
    steps:
      - id: one
        run: |
          low
          uname -m
          test -f matrix.yaml && test "$PWD" = "$GITHUB_WORKSPACE"
          echo made > made-here
          echo "said=$GREETING" >> "$GITHUB_OUTPUT"
          printf 'many<<E\na\nb\nE\n' >> "$GITHUB_OUTPUT"
          echo "LATER=kept" >> "$GITHUB_ENV"
          mkdir -p /opt/more && printf '#!/bin/sh\necho more\n' > /opt/more/more && chmod +x /opt/more/more
          echo /opt/more >> "$GITHUB_PATH"
          echo "# In a box" >> "$GITHUB_STEP_SUMMARY"
          echo "token $TOKEN"
      - env: {MANY: "${{ steps.one.outputs.many }}", ARCH: "${{ runner.arch }}"}
        working-directory: packages
        shell: sh
        run: |
          cat ../made-here; more
          echo "$LATER $ARCH $(basename "$PWD")"
          echo "$MANY"
      - {id: bad, run: exit 5, continue-on-error: true}
      - {name: slow, run: sleep 600, timeout-minutes: 0.05, continue-on-error: true}
      - {name: lost, run: echo found, working-directory: no/where, continue-on-error: true}
      - {if: steps.bad.outcome == 'failure', run: echo the last}
  after:
    needs: box
    runs-on: host
    env: {SAID: "${{ needs.box.outputs.said }}"}
    steps: [{run: 'echo "it said $SAID"; test ! -e made-here; test ! -e pwned'}]
`)
	s.env = append(s.env, "THE_TOKEN=a-secret-token")
	r := c.run("box", "--runner", "box="+image, "--secret", "id=TOKEN,env=THE_TOKEN", "--summary", filepath.Join(t.TempDir(), "summary.md"))
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	for _, line := range []string{
		"box | low in /opt/low\n", "box | aarch64\n", "box | made\n", "box | more\n", "box | kept ARM64 packages\n", "box | a\nbox | b\n",
		"box | token ***\n", "box < Run exit 5: failure: exit code 5\n", "box < slow: failure: it took longer than 0.05 minutes\n", "box | the last\n",
		"box | there is no folder /workspace/no/where to work in\n", "box < lost: failure: exit code 1\n",
		"after | it said hello; touch pwned\n",
	} {
		require.Contains(t, r.stderr, line)
	}
	require.NotContains(t, r.stdout+r.stderr, "a-secret-token")
	_, err = os.Stat(filepath.Join(c.dir, "made-here"))
	require.ErrorIs(t, err, os.ErrNotExist)

	// Without a runner the job is skipped, and says so.
	r = c.run("box", "--job", "box")
	require.Equal(t, 0, r.code)
	require.Contains(t, r.stdout, "no runner here has the labels self-hosted, box; --runner box=host")
}

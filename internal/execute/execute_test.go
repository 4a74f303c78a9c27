package execute_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/store"
)

func TestFirstRunMakesEachNodeOnceAndTheSecondNothing(t *testing.T) {
	l := newLab(t)
	res, err := l.run("kit")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"python 3 layer", "tools 1 layer", "one 1.0 build", "two 2.0 build",
		"one 1.0 linked layer", "two 2.0 linked layer", "three 3.0 linked layer",
	}, l.calls.Builds())
	require.True(t, res.Cells[0].Good)
	require.Equal(t, []execute.Status{execute.Skipped, execute.Skipped}, status(res, "one 1.0 test on-gpu"))

	pushes := l.store.Pushes()
	res, err = l.run("kit")
	require.NoError(t, err)
	require.True(t, res.Cells[0].Good)
	require.Zero(t, l.connected, "no engine")
	require.Equal(t, pushes, l.store.Pushes(), "no push")
}

func TestTouchingATestRunsThatTestAlone(t *testing.T) {
	l := newLab(t)
	_, err := l.run("kit")
	require.NoError(t, err)
	l.edit("packages/a/two/package.yaml", "two --version", "two --help")
	_, err = l.run("kit")
	require.NoError(t, err)
	require.Empty(t, l.calls.Builds())
	require.Equal(t, []string{"two 2.0 test works", "two 2.0 test works"}, l.calls.Runs(), "on its own closure and in the cell")
}

func TestChangingAnInstallLaysThatLayerAloneAndCompilesNothing(t *testing.T) {
	l := newLab(t)
	before, err := l.run("kit")
	require.NoError(t, err)
	l.edit("packages/a/two/package.yaml", "uses: linked/copy", "uses: linked/copy, env: {WHY: changed}")
	after, err := l.run("kit")
	require.NoError(t, err)
	require.Equal(t, []string{"two 2.0 linked layer"}, l.calls.Builds())
	require.NotEqual(t, before.Cells[0].Digest, after.Cells[0].Digest)
	require.Equal(t, []execute.Status{execute.Reused}, status(after, "one 1.0 linked layer"))
}

func TestWhatIsInNoKeyBuildsNothing(t *testing.T) {
	for _, c := range []struct{ name, file, old, new string }{
		{"hosts", "matrix.yaml", `">=36.4 <37"`, `">=36.4 <36.9"`},
		{"a comment", "packages/a/one/package.yaml", "group: a", "group: a # as in alpha"},
		{"a summary", "packages/a/one/package.yaml", "summary: linked", "summary: linked, and how"},
		{"a timeout", "packages/a/one/package.yaml", "{run: make one > /out/one}", "{run: make one > /out/one, timeout-minutes: 7}"},
		{"resources", "packages/a/one/package.yaml", "  depends: [tools]", "  resources: {memory-per-job: 1GiB}\n  depends: [tools]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			_, err := l.run("kit")
			require.NoError(t, err)
			pushes := l.store.Pushes()
			l.edit(c.file, c.old, c.new)
			_, err = l.run("kit")
			require.NoError(t, err)
			require.Zero(t, l.connected)
			require.Equal(t, pushes, l.store.Pushes())
		})
	}
}

func TestTargetsShareArtifactsAndBlobs(t *testing.T) {
	l := newLab(t)
	res, err := l.run("one", "three two")
	require.NoError(t, err)
	builds := strings.Join(l.calls.Builds(), "\n")
	require.Equal(t, 1, strings.Count(builds, "one 1.0 build"))
	require.Equal(t, 1, strings.Count(builds, "one 1.0 linked layer"))
	var last []string
	for _, c := range res.Cells {
		img, err := l.store.ImageAt(context.Background(), c.Digest)
		require.NoError(t, err)
		m, err := img.Manifest()
		require.NoError(t, err)
		var blobs []string
		for _, layer := range m.Layers {
			blobs = append(blobs, layer.Digest.String())
		}
		last = append(last, strings.Join(blobs, " "))
	}
	require.NotEmpty(t, last[0])
	for _, blob := range strings.Fields(last[0]) {
		require.Contains(t, last[1], blob, "the second image names the same blobs")
	}
}

func TestACombinationNeverBuiltIsAssembledWithTheEngineStopped(t *testing.T) {
	l := newLab(t)
	_, err := l.run("one", "two")
	require.NoError(t, err)
	l.stopped = true
	l.options = func(o *execute.Options) { o.SkipTests = true }
	res, err := l.run("one two")
	require.NoError(t, err)
	require.NotEmpty(t, res.Cells[0].Digest)
	require.Zero(t, l.connected)

	l.options = nil
	_, err = l.run("one two")
	var none *engine.Unavailable
	require.ErrorAs(t, err, &none, "its tests need an engine")
	l.stopped = false
	res, err = l.run("one two")
	require.NoError(t, err)
	require.Empty(t, l.calls.Builds())
	require.True(t, res.Cells[0].Good)
}

func TestAFailingBuildKeepsTheRestAndBlocksWhatStandsOnIt(t *testing.T) {
	l := newLab(t)
	l.engine.Fail = func(name string) error {
		if name == "one 1.0 build" {
			return &engine.StepError{Step: "RUN make one", Code: 2}
		}
		return nil
	}
	res, err := l.run("kit")
	var failed *execute.Failures
	require.ErrorAs(t, err, &failed)
	require.Equal(t, []string{"one 1.0 build"}, failed.Names)
	require.False(t, res.Cells[0].Good)
	require.Equal(t, []execute.Status{execute.Built}, status(res, "two 2.0 linked layer"))
	require.Equal(t, []execute.Status{execute.Blocked}, status(res, "three 3.0 linked layer"))
	p := l.plan("kit")
	_, ok, err := l.store.Lookup(context.Background(), store.Image, p.Cells[0].Image)
	require.NoError(t, err)
	require.False(t, ok, "no image is recorded")

	l.engine.Fail = nil
	_, err = l.run("kit")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"one 1.0 build", "one 1.0 linked layer", "three 3.0 linked layer"}, l.calls.Builds(), "it goes on")
}

func TestAFailingTestGatesWhatStandsOnIt(t *testing.T) {
	l := newLab(t)
	l.engine.Exit = func(r engine.Run) (engine.Exit, string, string) {
		if strings.HasPrefix(r.Name, "one 1.0 test") {
			return engine.Exit{Code: 7}, "it said this\n", ""
		}
		return engine.Exit{}, "", ""
	}
	res, err := l.run("kit")
	var failed *execute.Failures
	require.ErrorAs(t, err, &failed)
	require.NotContains(t, l.calls.Builds(), "three 3.0 linked layer")
	for _, n := range res.Nodes {
		if n.Node.Title() == "one 1.0 test works" && n.Status == execute.Failed {
			require.Contains(t, n.Reason, "exit code 7")
			b, err := os.ReadFile(n.Log)
			require.NoError(t, err)
			require.Contains(t, string(b), "it said this")
		}
	}
	l.engine.Exit = nil
	res, err = l.run("kit")
	require.NoError(t, err, "a failed test runs again")
	require.True(t, res.Cells[0].Good)
}

func TestBrokenSurroundingsAreNoFailure(t *testing.T) {
	l := newLab(t)
	l.engine.Fail = func(string) error { return errors.New("the daemon went away") }
	_, err := l.run("kit")
	var failed *execute.Failures
	require.Error(t, err)
	require.False(t, errors.As(err, &failed))
	require.ErrorContains(t, err, "the daemon went away")
}

func TestConflictsNameBothOwners(t *testing.T) {
	l := newLab(t)
	l.engine.Files = func(b engine.Build) map[string]string {
		if b.Target == "root" {
			return map[string]string{"opt/shared": b.Name}
		}
		return nil
	}
	res, err := l.run("one two")
	require.Error(t, err)
	var conflict *image.Conflict
	for _, n := range res.Nodes {
		if n.Err != nil && errors.As(n.Err, &conflict) {
			break
		}
	}
	require.NotNil(t, conflict)
	require.Equal(t, "opt/shared", conflict.Path)
	require.ElementsMatch(t, []string{"one", "two"}, conflict.Owners[:])
}

func TestSecretsAreMountedAndNowhereElse(t *testing.T) {
	l := newLab(t)
	l.edit("packages/a/one/package.yaml", "{run: make one > /out/one}", "{run: make one > /out/one, secrets: [token]}")
	_, err := l.run("one")
	list, ok := diag.From(err)
	require.True(t, ok)
	require.Contains(t, list[0].Message, `needs the secret "token"`)
	require.Empty(t, l.calls.Builds())

	l.secrets = map[string][]byte{"token": []byte("swordfish")}
	_, err = l.run("one")
	require.NoError(t, err)
	l.secrets["token"] = []byte("tuna")
	_, err = l.run("one")
	require.NoError(t, err)
	require.Zero(t, l.connected, "its value is in no key")
	p := l.plan("one")
	require.NotContains(t, fmt.Sprintf("%+v", p.Nodes), "swordfish")
}

func TestInterruptedRunKeepsWhatIsDone(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	l.engine.Fail = func(name string) error {
		if name == "one 1.0 build" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	_, err := l.runIn(ctx, "kit")
	require.ErrorIs(t, err, context.Canceled)
	l.engine.Fail = nil
	_, err = l.run("kit")
	require.NoError(t, err)
	require.NotContains(t, l.calls.Builds(), "python 3 layer")
}

func TestTimeoutsEndATest(t *testing.T) {
	l := newLab(t)
	l.edit("packages/a/python/package.yaml", "{name: runs, run: python3 --version}", "{name: runs, run: python3 --version, timeout-minutes: 0.002}")
	l.engine.Delay = 300 * time.Millisecond
	res, err := l.run("python")
	require.Error(t, err)
	require.Contains(t, status(res, "python 3 test runs"), execute.Failed)
}

func TestAChildLaidOnAnotherParentIsAMiss(t *testing.T) {
	l := newLab(t)
	_, err := l.run("python tools", "tools")
	require.NoError(t, err)
	ctx := context.Background()
	p := l.plan("python tools", "tools")
	chain := p.Node(p.Cells[0].Image).Chain
	lone := p.Node(p.Cells[1].Image).Chain
	other, _, err := l.store.Image(ctx, store.Layer, lone[len(lone)-1])
	require.NoError(t, err)
	_, err = l.store.PutImage(ctx, store.Layer, chain[1], other, nil) // the parent's key, with other bytes
	require.NoError(t, err)

	_, err = l.run("python tools two")
	require.NoError(t, err)
	require.Contains(t, l.calls.Builds(), "tools 1 layer")
}

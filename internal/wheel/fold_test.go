package wheel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		platform plan.Tuple
		want     string
	}{
		{plan.Tuple{L4T: "36.4.0", Flavour: "tegra", JetPack: "6.1", CUDA: "12.6"}, "jp6/cu126"},
		{plan.Tuple{L4T: "39.1.0", Flavour: "sbsa", JetPack: "7.2", CUDA: "13.0"}, "jp7-sbsa/cu130"},
		{plan.Tuple{L4T: "32.7.1", Flavour: "tegra", CUDA: "10.2"}, "l4t32/cu102"},
		{plan.Tuple{L4T: "36.4.0", JetPack: "6.1"}, "jp6/cpu"},
	} {
		got := wheel.LineOf(tt.platform)
		require.Equal(t, tt.want, got.String())
		back, err := wheel.ParseLine(tt.want)
		require.NoError(t, err)
		require.Equal(t, got, back)
	}
	for _, bad := range []string{"jp6", "jp6/cu", "../cu126", "jp6/cu126/x", "JP6/cu126"} {
		_, err := wheel.ParseLine(bad)
		require.Error(t, err, bad)
	}
}

func TestAnIndexIsTheFoldOfWhatPassed(t *testing.T) {
	l := newLab(t, "pure", "gpu", "bare", "broken", "untried", "kit")
	trees, left := l.index(wheel.Options{})
	require.Empty(t, names(trees), "nothing is built")
	require.Empty(t, left)

	l.build()
	trees, left = l.index(wheel.Options{})
	require.Equal(t, []string{
		"jp6/cu126: bare-3.0-cp311-cp311-linux_aarch64.whl",
		"jp6/cu126: gpu-2.0+cu126-cp311-cp311-linux_aarch64.whl",
		"jp6/cu126: Pure-1.0-py3-none-any.whl",
		"jp6/cu128: bare-3.0-cp311-cp311-linux_aarch64.whl",
		"jp6/cu128: gpu-2.0+cu128-cp311-cp311-linux_aarch64.whl",
		"jp6/cu128: Pure-1.0-py3-none-any.whl",
	}, names(trees))
	gpu := trees[0].Wheels[1]
	require.Equal(t, "36.4.3", gpu.L4T, "of the newest release of the line")
	require.True(t, gpu.GPU && gpu.Labelled)
	require.True(t, trees[0].Wheels[0].GPU)
	require.False(t, trees[0].Wheels[0].Labelled)
	require.Equal(t, trees[0].Wheels[2].SHA256, trees[1].Wheels[2].SHA256, "one file for both")
	require.Equal(t, []string{"absent", "bare"}, trees[0].Wheels[2].Requires)

	all := strings.Join(left, "\n")
	for _, want := range []string{
		"jp5/cu114: pure 1.0: made on a stand-in for L4T 35.4.1",
		"jp6/cu126: broken 4.0: its test works failed",
		"jp6/cu126: untried 5.0: it has no tests",
		"jp6/cu126: gpu-2.0+cu126-cp311-cp311-linux_aarch64.whl: L4T 36.4.0 has another file of that name, and the line has that of 36.4.3",
		"other_label-1+cu999-py3-none-any.whl: its label +cu999 names another CUDA than jp6/cu126",
		"for_cpu-1+cpu-py3-none-any.whl: its label +cpu names a build without CUDA, and the line is jp6/cu126",
		"other_jetpack-1+jp4.cu126-py3-none-any.whl: its label +jp4.cu126 names another JetPack than jp6/cu126",
		"other_runtime-1-cp311-cp311-linux_aarch64.whl: it needs the runtime of CUDA 10, and the line is jp6/cu126",
		"other_machine-1-cp311-cp311-linux_aarch64.whl: it holds code for X86_64, not ARM64",
		"misnamed-1-py3-none-any.whl: misnamed-1-py3-none-any.whl is of named by its METADATA",
		"empty-1-py3-none-any.whl: reading the wheel: zip: not a valid zip file",
	} {
		require.Contains(t, all, want)
	}

	again, _ := l.index(wheel.Options{})
	require.Equal(t, trees, again)
	with, _ := l.index(wheel.Options{Untested: true})
	require.Contains(t, names(with), "jp6/cu126: untried-5.0-py3-none-any.whl")
	require.NotContains(t, strings.Join(names(with), " "), "broken", "what failed is never taken")
}

func TestTheTestbedIsNeverMixedIn(t *testing.T) {
	l := newLab(t, "pure", "gpu")
	l.build()
	trees, _ := l.index(wheel.Options{Testbed: true})
	require.Equal(t, []string{
		"jp5/cu114: gpu-2.0+cu114-cp311-cp311-linux_aarch64.whl",
		"jp5/cu114: Pure-1.0-py3-none-any.whl",
	}, names(trees))
	require.True(t, trees[0].Testbed)
	require.NotEmpty(t, trees[0].Wheels)
	_, err := wheel.Update(context.Background(), l.store, wheel.Line{JetPack: "jp6", CUDA: "cu126"}, func(t *wheel.Tree) error {
		t.Testbed, t.Wheels = true, trees[0].Wheels[1:]
		return nil
	})
	require.NoError(t, err)
	_, _, err = l.record(wheel.Options{})
	require.ErrorContains(t, err, "must not be mixed")
}

func TestWhatIsPublishedStays(t *testing.T) {
	l := newLab(t, "pure")
	l.build()
	before, _ := l.index(wheel.Options{})
	ctx := context.Background()

	l.salt = "other bytes" // as after the compiler of a base changed
	l.forget()
	l.build()
	after, left := l.index(wheel.Options{})
	require.Equal(t, before, after)
	require.Contains(t, strings.Join(left, "\n"), "jp6/cu126: Pure-1.0-py3-none-any.whl: the index has a file of that name with other bytes")

	c, err := wheel.Collect(ctx, l.plan, l.store, wheel.Options{})
	require.NoError(t, err)
	replaced, _, err := c.Record(ctx, l.store, true, false)
	require.NoError(t, err)
	require.NotEqual(t, before[0].Wheels[0].SHA256, replaced[0].Wheels[0].SHA256)

	// A package that is gone from the catalog does not take its wheels along, and
	// neither does gc.
	l.plan, err = plan.New(l.cat, l.files, nil)
	require.NoError(t, err)
	l.index(wheel.Options{})
	require.NoError(t, l.store.Close()) // or what it wrote would be kept as new
	l.store, err = store.Open(ctx, store.Options{Dir: l.dir})
	require.NoError(t, err)
	_, err = l.store.GC(ctx, store.Retention{})
	require.NoError(t, err)
	kept, err := wheel.Trees(ctx, l.store)
	require.NoError(t, err)
	require.Equal(t, replaced, kept)
	_, err = wheel.Site{Trees: kept, Store: l.store}.Write(ctx, t.TempDir())
	require.NoError(t, err)
}

func TestYanked(t *testing.T) {
	l := newLab(t, "pure")
	l.build()
	l.index(wheel.Options{})
	ctx := context.Background()
	line := wheel.Line{JetPack: "jp6", CUDA: "cu126"}
	yank := func(ver, reason string) (files []string) {
		_, err := wheel.Update(ctx, l.store, line, func(t *wheel.Tree) error {
			files = t.Yank("PURE", ver, reason)
			return nil
		})
		require.NoError(t, err)
		return files
	}
	require.Empty(t, yank("7", "x"))
	require.Empty(t, yank("no version", "x"))
	require.Equal(t, []string{"Pure-1.0-py3-none-any.whl"}, yank("1.0.0", `wrong "results" & <more>`))
	trees, _ := l.index(wheel.Options{}) // the mark outlives the next fold
	require.True(t, trees[0].Wheels[0].Yanked)
	require.False(t, trees[1].Wheels[0].Yanked, "the other line's is another's affair")
	require.Len(t, yank("1", ""), 1)
	trees, _ = l.index(wheel.Options{})
	require.False(t, trees[0].Wheels[0].Yanked)
}

func TestTwoWhoWriteLoseNothing(t *testing.T) {
	l := newLab(t, "pure")
	l.build()
	trees, _ := l.index(wheel.Options{})
	ctx := context.Background()
	other, err := store.Open(ctx, store.Options{Dir: l.dir})
	require.NoError(t, err)
	defer other.Close()
	var g errgroup.Group
	for i := range 8 {
		st := []*store.Store{l.store, other}[i%2]
		g.Go(func() error {
			_, err := wheel.Update(ctx, st, trees[0].Line, func(t *wheel.Tree) error {
				w := t.Wheels[0]
				w.Name, w.Project = fmt.Sprintf("p%d-1.0-py3-none-any.whl", i), fmt.Sprintf("p%d", i)
				t.Wheels = append(t.Wheels, w)
				return nil
			})
			return err
		})
	}
	require.NoError(t, g.Wait())
	after, err := wheel.Recorded(ctx, l.store, trees[0].Line)
	require.NoError(t, err)
	require.Len(t, after.Wheels, 9)
}

func TestInspect(t *testing.T) {
	for name, tt := range map[string]struct {
		library []byte
		want    wheel.Code
	}{
		"none":        {nil, wheel.Code{}},
		"plain":       {wheeltest.Library(wheeltest.ARM64, false, "libc.so.6"), wheel.Code{Machines: []string{"EM_AARCH64"}}},
		"static CUDA": {wheeltest.Library(wheeltest.ARM64, true), wheel.Code{Machines: []string{"EM_AARCH64"}, GPU: true}},
		"runtime":     {wheeltest.Library(wheeltest.ARM64, false, "libcudart.so.11.0"), wheel.Code{Machines: []string{"EM_AARCH64"}, GPU: true, CUDA: []string{"11"}}},
		"cuDNN":       {wheeltest.Library(wheeltest.ARM64, false, "libcudnn_ops.so.9"), wheel.Code{Machines: []string{"EM_AARCH64"}, GPU: true}},
		"a text":      {[]byte("INPUT(libx.so)"), wheel.Code{}},
		"cut off":     {wheeltest.Library(wheeltest.ARM64, true)[:70], wheel.Code{}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := wheeltest.Wheel{Name: "a", Version: "1", Library: tt.library}.Bytes()
			got, err := wheel.Inspect(strings.NewReader(string(raw)), int64(len(raw)))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

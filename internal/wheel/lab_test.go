package wheel_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/execute/executetest"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

// lab is a store in a folder with what a fake engine built of the test's catalog.
type lab struct {
	*testing.T
	dir   string
	store *store.Store
	files fstest.MapFS
	cat   *spec.Catalog
	plan  *plan.Plan
	salt  string // makes other bytes of the same wheels
}

// newLab plans packages of the catalog, each on every platform with every CUDA.
func newLab(t *testing.T, packages ...string) *lab {
	t.Helper()
	l := &lab{T: t, files: executetest.Catalog(t, "testdata/catalog.txtar", nil), dir: t.TempDir()}
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(t, list.Err())
	l.cat = cat
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Dir: l.dir})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.store.Close() })

	var reqs []plan.Request
	for _, choice := range []solve.Choice{{L4T: "36.4.0", CUDA: "12.6"}, {L4T: "36.4.0", CUDA: "12.8"}, {L4T: "36.4.3", CUDA: "12.6"}, {L4T: "35.4.1", CUDA: "11.4"}} {
		pl, err := solve.Find(cat.Matrix, choice)
		require.NoError(t, err)
		for _, pkg := range packages {
			target, err := spec.ParseTarget(pkg)
			require.NoError(t, err)
			reqs = append(reqs, plan.Request{Platform: pl, Targets: []spec.Target{target}})
		}
	}
	l.plan, err = plan.New(cat, l.files, reqs)
	require.NoError(t, err)
	return l
}

var madeFor = regexp.MustCompile(`CUDA=([0-9.]+)(?: L4T=([0-9.]+))?`)

// wheels are what the build of a package leaves.
func (l *lab) wheels(b engine.Build) map[string]string {
	if b.Target == "root" {
		return executetest.Root(b)
	}
	pkg := strings.Fields(b.Name)[0]
	cuda, l4t := "", ""
	if m := madeFor.FindStringSubmatch(string(b.Dockerfile)); m != nil {
		cuda, l4t = m[1], m[2]
	}
	label, major := strings.ReplaceAll(cuda, ".", ""), strings.Split(cuda, ".")[0]
	gpu := wheeltest.Library(wheeltest.ARM64, true, "libcudart.so."+major, "libc.so.6")
	const native = "cp311-cp311-linux_aarch64"
	var made []wheeltest.Wheel
	switch pkg {
	case "pure":
		made = []wheeltest.Wheel{{Name: "Pure", Version: "1.0", Python: ">=3.8", Requires: []string{"absent>1", "bare", "more; extra == 'x'"}}}
	case "gpu":
		made = []wheeltest.Wheel{{Name: "gpu", Version: "2.0+cu" + label, Tags: native, Library: gpu, Content: l4t}}
	case "bare":
		made = []wheeltest.Wheel{{Name: "bare", Version: "3.0", Tags: native, Library: gpu, Content: cuda}}
	case "broken":
		made = []wheeltest.Wheel{{Name: "broken", Version: "4.0"}}
	case "untried":
		made = []wheeltest.Wheel{{Name: "untried", Version: "5.0"}}
	case "kit":
		made = []wheeltest.Wheel{
			{Name: "other-label", Version: "1+cu999"},
			{Name: "for-cpu", Version: "1+cpu"},
			{Name: "other-jetpack", Version: "1+jp4.cu" + label},
			{Name: "other-runtime", Version: "1", Tags: native, Library: wheeltest.Library(wheeltest.ARM64, false, "libcudart.so.10.2")},
			{Name: "other-machine", Version: "1", Tags: native, Library: wheeltest.Library(wheeltest.X8664, false)},
		}
	}
	out := map[string]string{}
	for _, w := range made {
		w.Content += l.salt
		out[w.File()] = string(w.Bytes())
	}
	if pkg == "kit" {
		out["misnamed-1-py3-none-any.whl"] = string(wheeltest.Wheel{Name: "named", Version: "1"}.Bytes())
		out["no-wheel.txt"] = "text"
		out["empty-1-py3-none-any.whl"] = ""
	}
	return out
}

// build runs the plan; the tests of broken fail.
func (l *lab) build() {
	l.Helper()
	e := &fake.Engine{Files: l.wheels, Exit: func(r engine.Run) (engine.Exit, string, string) {
		if strings.Contains(r.Name, "broken") {
			return engine.Exit{Code: 1}, "", "it is broken"
		}
		return engine.Exit{}, "", ""
	}}
	_, err := execute.Run(context.Background(), execute.Options{
		Plan: l.plan, Cells: l.plan.Possible(), Catalog: l.cat, Files: l.files, Store: l.store,
		Scratch: l.TempDir(), Concurrency: 1,
		Engine: func(context.Context) (engine.Engine, error) { return e, nil },
	})
	var failures *execute.Failures
	if err != nil && !errors.As(err, &failures) {
		require.NoError(l, err)
	}
}

// index records what was built.
func (l *lab) index(o wheel.Options) ([]*wheel.Tree, []string) {
	l.Helper()
	trees, left, err := l.record(o)
	require.NoError(l, err)
	return trees, left
}

func (l *lab) record(o wheel.Options) ([]*wheel.Tree, []string, error) {
	l.Helper()
	ctx := context.Background()
	known, err := wheel.Trees(ctx, l.store)
	require.NoError(l, err)
	o.Known = known
	c, err := wheel.Collect(ctx, l.plan, l.store, o)
	require.NoError(l, err)
	trees, left, err := c.Record(ctx, l.store, false, o.Testbed)
	var text []string
	for _, x := range left {
		text = append(text, x.String())
	}
	return trees, text, err
}

// names lists trees as line: file.
func names(trees []*wheel.Tree) []string {
	var out []string
	for _, t := range trees {
		for _, w := range t.Wheels {
			out = append(out, t.Line.String()+": "+w.Name)
		}
	}
	return out
}

// forget removes all but the bases and the index, so that the next build makes
// everything anew.
func (l *lab) forget() {
	l.Helper()
	known, err := l.store.Known(context.Background())
	require.NoError(l, err)
	var tags []string
	for tag, r := range known {
		if r.Kind != store.Base {
			tags = append(tags, tag)
		}
	}
	_, err = l.store.Remove(context.Background(), tags)
	require.NoError(l, err)
}

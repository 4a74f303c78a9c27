package execute

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// manyPackages is a plan of about 20 nodes for each package.
func manyPackages(t testing.TB, packages int) *plan.Plan {
	t.Helper()
	files := fstest.MapFS{"matrix.yaml": {Data: []byte(`platforms:
  - {l4t: 36.4.0, os: {id: debian, version: "12"}, gpu: [sm_87], python: ["3.11"], base: "registry.example/base:1", hosts: ">=36.4 <37"}
`)}}
	for i := range packages {
		files[fmt.Sprintf("packages/g/p%d/package.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `name: p%[1]d
group: g
summary: one of many
versions: [{version: "1"}]
build: {steps: [{run: make %[1]d}]}
install: {steps: [{run: install %[1]d}]}
tests: [{name: works, run: p%[1]d}]
`, i)}
	}
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	var reqs []plan.Request
	for i := range packages {
		reqs = append(reqs, plan.Request{Targets: []spec.Target{{Name: fmt.Sprint("p", i)}}, Platform: pl})
	}
	p, err := plan.New(cat, files, reqs)
	require.NoError(t, err)
	return p
}

// BenchmarkRunner is what the runner costs for each node beside making it: the
// order, the claim, the second look, folders, logs, events and the journal. What a
// node's work itself costs (an engine, a layer's tar, the store's fsync) is not in it.
func BenchmarkRunner(b *testing.B) {
	p := manyPackages(b, 200)
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: b.TempDir()})
	require.NoError(b, err)
	defer st.Close()
	processor := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var took, cpu time.Duration
	for b.Loop() {
		r := &run{
			Options: Options{Plan: p, Cells: p.Possible(), Store: st, Concurrency: 4, Scratch: b.TempDir(), Logs: b.TempDir(), Events: func(Event) {}},
			states:  map[string]*state{}, mask: newMask(nil), lines: p.Lines(),
		}
		r.work = func(_ context.Context, s *state, _ string, _ *nodeLog) error {
			s.result.Status = Built
			return nil
		}
		r.noted, err = r.begin(ctx)
		require.NoError(b, err)
		require.NoError(b, r.survey(ctx))
		began, before := time.Now(), processor()
		r.schedule(ctx)
		took, cpu = took+time.Since(began), cpu+processor()-before
		require.NoError(b, r.noted.Surveyed(nil))
		require.NoError(b, r.noted.End(time.Now(), true, nil))
		for _, s := range r.order {
			require.Equal(b, Built, s.result.Status)
		}
	}
	nodes := float64(b.N * len(p.Nodes))
	b.ReportMetric(float64(len(p.Nodes)), "nodes")
	b.ReportMetric(float64(took.Nanoseconds())/nodes, "ns/node")
	b.ReportMetric(float64(cpu.Nanoseconds())/nodes, "cpu-ns/node") // what a machine with other work shows too
}

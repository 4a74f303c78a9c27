package plan_test

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// BenchmarkLoad reads and checks the catalog of this repository.
func BenchmarkLoad(b *testing.B) {
	root := os.DirFS("../..")
	for b.Loop() {
		_, list := spec.Load(root, spec.Options{})
		require.NoError(b, list.Err())
	}
}

// BenchmarkPlanEverything plans each package of the catalog alone, on every
// platform with every stack; a cell is one of them.
func BenchmarkPlanEverything(b *testing.B) {
	root := os.DirFS("../..")
	cat, list := spec.Load(root, spec.Options{})
	require.NoError(b, list.Err())
	reqs := wholly(cat)
	for b.Loop() {
		p, err := plan.New(cat, root, reqs)
		require.NoError(b, err)
		report(b, p)
	}
}

// BenchmarkPlanSynthetic shows how the time grows with the catalog: per cell it
// stays about the same.
func BenchmarkPlanSynthetic(b *testing.B) {
	for _, packages := range []int{100, 300, 1000} {
		b.Run(fmt.Sprintf("packages=%d", packages), func(b *testing.B) {
			cat, files, reqs := synthetic{packages: packages, versions: 5, platforms: 20, stacks: 3}.load(b)
			for b.Loop() {
				before := processorTime(b)
				p, err := plan.New(cat, files, reqs)
				require.NoError(b, err)
				b.ReportMetric((processorTime(b) - before).Seconds(), "cpu-s")
				report(b, p)
			}
		})
	}
}

// processorTime is what the process has used of all processors: on a machine
// that does other things too it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds what a plan holds to the result, and the memory that it takes:
// of the heap, what is in use while the plan is there.
func report(b *testing.B, p *plan.Plan) {
	b.StopTimer()
	defer b.StartTimer()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(len(p.Cells)), "cells")
	b.ReportMetric(float64(len(p.Nodes)), "nodes")
	b.ReportMetric(float64(len(p.Possible())), "possible")
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB-held")
	runtime.KeepAlive(p)
}

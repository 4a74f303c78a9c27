package plan_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
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

// BenchmarkPlanEveryPackage plans each package of the catalog alone, on every
// platform; a cell is one of them.
func BenchmarkPlanEveryPackage(b *testing.B) {
	root := os.DirFS("../..")
	cat, list := spec.Load(root, spec.Options{})
	require.NoError(b, list.Err())
	var reqs []plan.Request
	for i := range cat.Matrix.Platforms {
		p := &cat.Matrix.Platforms[i]
		pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: p.L4T, Flavour: p.Flavour})
		require.NoError(b, err)
		for _, name := range cat.Names() {
			reqs = append(reqs, plan.Request{Targets: []spec.Target{{Name: name}}, Platform: pl})
		}
	}
	for b.Loop() {
		_, err := plan.New(cat, root, reqs)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(len(reqs)), "cells")
}

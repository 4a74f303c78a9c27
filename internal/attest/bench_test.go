package attest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/attest"
)

// BenchmarkNothingToAttach is what a build pays that finds everything attached.
func BenchmarkNothingToAttach(b *testing.B) {
	l := newLab(b)
	l.write(attest.Options{})
	for b.Loop() {
		w := attest.New(attest.Options{Store: l.store, Plan: l.plan, Catalog: l.catalog, Tool: "v0.1.0", Now: time.Now()})
		n, err := w.Write(context.Background(), l.plan.Cells[0], l.digest)
		require.NoError(b, err)
		require.Zero(b, n)
	}
}

package table_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/table"
)

// A device checks a table once, when it gets it: 5,000 cells, published twice.
func BenchmarkVerify(b *testing.B) {
	p := newPen(b, "releases.example", "2027-01-01")
	l := newLogged(b, p)
	for _, v := range []string{"1.0", "2.0"} {
		for i := range 5000 {
			l.publish(published(fmt.Sprintf("p%04d", i), v))
		}
	}
	tab := l.table(p)
	trust := table.Trust{Keys: []table.Key{p.key}, Now: l.now}
	b.ResetTimer()
	for range b.N {
		_, err := tab.Verify(trust)
		require.NoError(b, err)
	}
}

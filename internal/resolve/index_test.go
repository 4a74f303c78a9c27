package resolve_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/stretchr/testify/require"
)

// randomTable has rows that differ in everything that decides.
func randomTable(r *rand.Rand, n int) *table.Table {
	pick := func(s ...string) string { return s[r.Intn(len(s))] }
	tab := &table.Table{}
	for i := range n {
		l4t := pick("36.4.0", "36.4.3", "36.3.0", "35.4.1")
		rw := row(l4t, map[string]string{"36.4.0": ">=36.4 <37", "36.4.3": ">=36.4 <37", "36.3.0": ">=36.2 <36.4", "35.4.1": ">=35 <36"}[l4t], pick("pytorch", "numpy", "base"), pick("1.0", "2.0", "2.10", "odd"))
		for _, name := range []string{"pytorch", "numpy", "base"} {
			if name != rw.Roots[0] && r.Intn(2) == 0 {
				rw.Packages = append(rw.Packages, table.Package{Name: name, Version: pick("1.0", "2.10")})
				if r.Intn(3) == 0 {
					rw.Roots = append(rw.Roots, name)
				}
			}
		}
		if r.Intn(4) == 0 {
			rw.Packages[0].Options = map[string]string{"slam": "true"}
		}
		if v := pick("", "12.6", "12.8"); v != "" {
			rw.Platform.CUDA = &table.CUDA{Version: v}
		}
		rw.Platform.Testbed = r.Intn(5) == 0
		rw.Evidence = table.Evidence{Passed: r.Intn(2)}
		switch r.Intn(6) {
		case 0:
			failed(&rw)
		case 1:
			notBuilt(&rw)
			if r.Intn(2) == 0 {
				rw.Packages = nil
			}
		case 2:
			rw.Status = table.Superseded
		}
		rw.Target = fmt.Sprintf("t%d", i)
		if rw.Image != nil {
			rw.Image.Reference += fmt.Sprintf("-%d", r.Intn(1000))
		}
		tab.Rows = append(tab.Rows, rw)
	}
	return tab
}

// The index leaves rows out, but never the answer: it says what the table says.
func TestIndexAnswersAsTheTable(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for i := range 60 {
		tab := randomTable(r, 1+r.Intn(40))
		var b bytes.Buffer
		require.NoError(t, table.WriteIndex(&b, tab, table.Stamp{}))
		x, err := table.OpenIndex(bytes.NewReader(b.Bytes()), int64(b.Len()))
		require.NoError(t, err)
		for _, host := range []string{"36.4.3", "36.3.0", "35.4.1", "32.7.1", ""} {
			for _, ask := range [][]string{{"pytorch"}, {"pytorch:2"}, {"numpy", "pytorch"}, {"base+slam"}, {"pytorch:odd"}} {
				q := resolve.Query{Packages: want(t, ask...), L4T: release(t, host), Prefer: []resolve.Preference{"", resolve.Newest}[i%2], All: i%5 == 0}
				if i%3 == 0 {
					q.CUDA = "12.6"
				}
				a, errA := resolve.Choose(tab, q)
				b, errB := resolve.Choose(x, q)
				require.Equal(t, errA, errB)
				require.Equal(t, a.Why, b.Why)
				require.Equal(t, a.Chosen == nil, b.Chosen == nil)
				if a.Chosen != nil {
					require.Equal(t, a.Chosen.Row, b.Chosen.Row)
				}
				if q.All {
					require.Equal(t, a.Candidates, b.Candidates)
				}
			}
		}
	}
}

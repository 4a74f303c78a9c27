package table_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/stretchr/testify/require"
)

func indexed(t testing.TB, tab *table.Table) (*table.Index, []byte) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, table.WriteIndex(&b, tab, table.Stamp{Size: 5, Modified: 7}))
	x, err := table.OpenIndex(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	return x, b.Bytes()
}

func indexRow(pkg, ver, l4t string, change ...func(*table.Row)) table.Row {
	name := fmt.Sprintf("%s-%s-r%s", pkg, ver, l4t)
	r := table.Row{
		Target: pkg, Roots: []string{pkg}, Hosts: ">=36 <37", Status: table.Current, State: table.Built,
		Packages: []table.Package{{Name: "python", Version: "3.10"}, {Name: pkg, Version: ver, Aliases: []string{pkg + "-alias", "v:" + ver}}},
		Platform: table.Platform{L4T: l4t, Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}},
		Image:    &table.Image{Reference: "registry.example/x:" + name, Digest: digest, Key: name},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func indexTable() *table.Table {
	return &table.Table{Rows: []table.Row{
		indexRow("pytorch", "2.8", "36.4.0"),
		indexRow("pytorch", "2.8", "36.3.0"),
		indexRow("pytorch", "2.10", "36.4.0", func(r *table.Row) { r.Status = table.Withdrawn }),
		indexRow("numpy", "1", "36.4.0", func(r *table.Row) {
			r.State, r.Image, r.Packages, r.Reason = table.NotBuilt, nil, nil, "no run has built it"
		}),
		indexRow("numpy", "2", "36.4.0", func(r *table.Row) { r.Target, r.Evidence.Passed = "numpy:2", 1 }),
	}}
}

func TestIndexSaysWhatTheTableSays(t *testing.T) {
	tab := indexTable()
	x, _ := indexed(t, tab)
	require.Equal(t, table.Stamp{Size: 5, Modified: 7}, x.Stamp())
	require.Equal(t, tab.Names(), x.Names())
	require.Equal(t, tab.Placements(), x.Placements())
	for _, s := range []table.Selection{
		{Packages: []table.Selected{{Name: "python"}}},
		{Packages: []table.Selected{{Name: "pytorch"}}},
		{Packages: []table.Selected{{Name: "numpy"}}},
		{Packages: []table.Selected{{Name: "numpy", Accept: func(v string) bool { return v == "1" }}}},
		{Packages: []table.Selected{{Name: "python"}, {Name: "numpy"}}},
		{Packages: []table.Selected{{Name: "pytorch"}, {Name: "numpy"}}},
		{Packages: []table.Selected{{Name: "nothing"}}},
		{Packages: []table.Selected{{Name: "python"}}, Keep: func(p table.Placement) bool { return p.Platform.L4T == "36.3.0" }},
	} {
		want, err := tab.Select(s)
		require.NoError(t, err)
		got, err := x.Select(s)
		require.NoError(t, err)
		require.Equal(t, want, append([]table.Row(nil), got...))
	}
	for _, key := range []string{"pytorch-2.10-r36.4.0", "numpy-2-r36.4.0", "none"} {
		want, err := tab.ByKey(key)
		require.NoError(t, err)
		got, err := x.ByKey(key)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestIndexKeepsTheBestOfAGroup(t *testing.T) {
	tab := &table.Table{Rows: []table.Row{
		indexRow("a", "1", "36.4.0", func(r *table.Row) { r.Evidence = table.Evidence{Failed: 1} }),
		indexRow("b", "1", "36.4.0"),
		indexRow("c", "1", "36.4.0", func(r *table.Row) { r.Evidence = table.Evidence{Passed: 1} }),
		indexRow("d", "1", "36.3.0"),
	}}
	x, _ := indexed(t, tab)
	rows, err := x.Select(table.Selection{Packages: []table.Selected{{Name: "python"}}, Best: 1})
	require.NoError(t, err)
	require.Equal(t, tab.Rows[2:], rows)
}

// A damaged index is an error, never a panic or a row that is not valid.
func FuzzOpenIndex(f *testing.F) {
	_, data := indexed(f, indexTable())
	f.Add(data, 30, byte(1))
	f.Add(data[:len(data)/2], 0, byte(0))
	f.Add([]byte("jetcrate-index 1\n\xff\xff\xff\xff"), 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, b byte) {
		if len(data) > 0 {
			data = bytes.Clone(data)
			data[uint(at)%uint(len(data))] ^= b
		}
		x, err := table.OpenIndex(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, best := range []int{0, 1} {
			rows, err := x.Select(table.Selection{Packages: []table.Selected{{Name: "python"}}, Best: best})
			if err == nil {
				require.NoError(t, (&table.Table{Rows: rows[:min(1, len(rows))]}).Validate())
			}
		}
		_, _ = x.ByKey("pytorch-2.8-r36.4.0")
	})
}

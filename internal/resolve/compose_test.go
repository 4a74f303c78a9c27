package resolve_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
)

func also(name, ver string) func(*table.Row) {
	return func(r *table.Row) { r.Packages = append(r.Packages, table.Package{Name: name, Version: ver}) }
}

func TestCompose(t *testing.T) {
	const hosts = ">=36.4 <37"
	tab := &table.Table{Rows: []table.Row{
		row("36.4.0", hosts, "pytorch", "2.8", also("numpy", "2")),
		row("36.4.0", hosts, "pytorch", "2.7", also("numpy", "1")),
		row("36.4.0", hosts, "onnxruntime", "1.20", also("numpy", "1"), alias("onnxrt")),
		row("36.4.3", hosts, "vpi", "3"),
		row("35.4.1", ">=35 <36", "opencv", "4"),
		row("36.4.0", hosts, "scipy", "1", notBuilt),
	}}
	for name, c := range map[string]struct {
		asked []string
		want  []string
	}{
		"versions that agree":      {[]string{"pytorch", "onnxruntime"}, []string{"pytorch 2.7 for r36.4.0", "onnxruntime 1.20 for r36.4.0"}},
		"an alias":                 {[]string{"onnxrt", "pytorch:2.7"}, []string{"onnxruntime 1.20 for r36.4.0", "pytorch 2.7 for r36.4.0"}},
		"no version that agrees":   {[]string{"pytorch:2.8", "onnxruntime"}, nil},
		"other platforms":          {[]string{"pytorch", "vpi"}, nil},
		"one is not for this host": {[]string{"pytorch", "opencv"}, nil},
		"one is not built":         {[]string{"pytorch", "scipy"}, nil},
		"one image has both":       {[]string{"pytorch", "numpy"}, nil},
		"one package":              {[]string{"pytorch"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := resolve.Query{Packages: want(t, c.asked...), L4T: release(t, "36.4.3")}
			for i := range tab.Rows {
				if img := tab.Rows[i].Image; img != nil {
					img.Digest = fmt.Sprintf("sha256:%064d", i)
				}
			}
			set, err := resolve.Compose(tab, q)
			require.NoError(t, err)
			var names []string
			for _, x := range set {
				names = append(names, x.Name)
			}
			require.Equal(t, c.want, names)
		})
	}
}

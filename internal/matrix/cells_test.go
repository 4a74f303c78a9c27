package matrix_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/matrix"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// paths answers with the path itself as the file, so that tests can read it.
type paths struct{}

func (paths) Pos(path ...any) diag.Position {
	return diag.Position{File: strings.ReplaceAll(strings.TrimSpace(fmt.Sprintln(path...)), " ", ".")}
}

func platforms() []spec.Platform {
	stacks := func(versions ...string) (all []spec.Stack) {
		for _, v := range versions {
			all = append(all, spec.Stack{Version: v})
		}
		return all
	}
	return []spec.Platform{
		{L4T: "36.4.3", Python: []string{"3.10"}, CUDA: stacks("12.6")},
		{L4T: "36.4.0", Flavour: "tegra", Python: []string{"3.10", "3.12"}, CUDA: stacks("12.6", "12.8")},
		{L4T: "35.4.1", Python: []string{"3.8"}, CUDA: stacks("11.4")},
		{L4T: "38.2.0", Flavour: "tegra", Python: []string{"3.12"}, CUDA: stacks("13.0")},
		{L4T: "38.2.1", Flavour: "sbsa", Python: []string{"3.12"}, CUDA: stacks("13.0")},
		{L4T: "32.7.1", Python: []string{"3.6"}},
	}
}

func cells(a spec.Axes) ([]matrix.Cell, diag.List) {
	return matrix.Cells(&spec.Matrix{Platforms: platforms(), Strategy: spec.Strategy{Matrix: a, Pos: paths{}}})
}

func TestCells(t *testing.T) {
	for _, tt := range []struct {
		name string
		axes spec.Axes
		want []string
	}{
		{
			name: "no strategy",
		},
		{
			name: "the example of matrix.yaml",
			axes: spec.Axes{
				L4T: []string{"36.4.0", "35.4.1"}, Package: []string{"pytorch", "onnxruntime", "opencv"}, CUDA: []string{"default"},
				Include: []map[string]string{{"l4t": "36.4.0", "package": "pytorch", "cuda": "12.8"}},
				Exclude: []map[string]string{{"l4t": "35.4.1", "package": "onnxruntime"}},
			},
			want: []string{
				"pytorch@r36.4.0-cuda12.6-python3.10", "onnxruntime@r36.4.0-cuda12.6-python3.10", "opencv@r36.4.0-cuda12.6-python3.10",
				"pytorch@r35.4.1-cuda11.4-python3.8", "opencv@r35.4.1-cuda11.4-python3.8",
				"pytorch@r36.4.0-cuda12.8-python3.10",
			},
		},
		{
			name: "a line means its newest release",
			axes: spec.Axes{L4T: []string{"r36.4", "R35.4.1"}, Package: []string{"a"}},
			want: []string{"a@r36.4.3-cuda12.6-python3.10", "a@r35.4.1-cuda11.4-python3.8"},
		},
		{
			name: "the spelling of a release does not matter to exclude and include",
			axes: spec.Axes{
				L4T: []string{"r36.4.0", "35.4"}, Package: []string{"a", "b"},
				Exclude: []map[string]string{{"l4t": "36.4.0", "package": "a"}},
				Include: []map[string]string{{"l4t": "r35.4.1", "cuda": "11.4"}},
			},
			want: []string{"b@r36.4.0-cuda12.6-python3.10", "a@r35.4.1-cuda11.4-python3.8", "b@r35.4.1-cuda11.4-python3.8"},
		},
		{
			name: "include sets what is no axis",
			axes: spec.Axes{L4T: []string{"36.4.0"}, Package: []string{"a", "b"}, Include: []map[string]string{{"package": "b", "cuda": "12.8", "python": "3.12"}}},
			want: []string{"a@r36.4.0-cuda12.6-python3.10", "b@r36.4.0-cuda12.8-python3.12"},
		},
		{
			name: "duplicates collapse once they are definite",
			axes: spec.Axes{L4T: []string{"36.4.0", "r36.4.0"}, Package: []string{"a  b", "a b"}, CUDA: []string{"default", "12.6", "12.6.0"}},
			want: []string{"a,b@r36.4.0-cuda12.6-python3.10"},
		},
		{
			name: "flavours",
			axes: spec.Axes{L4T: []string{"38.2.1"}, Flavour: []string{"sbsa"}, Package: []string{"a"}},
			want: []string{"a@r38.2.1-sbsa-cuda13.0-python3.12"},
		},
		{
			name: "a line of a flavour",
			axes: spec.Axes{Include: []map[string]string{{"l4t": "38.2", "flavour": "sbsa", "package": "a"}, {"l4t": "38.2", "package": "a"}}},
			want: []string{"a@r38.2.1-sbsa-cuda13.0-python3.12", "a@r38.2.0-cuda13.0-python3.12"},
		},
		{
			name: "a platform without CUDA",
			axes: spec.Axes{L4T: []string{"32.7"}, Package: []string{"a"}, CUDA: []string{"default"}},
			want: []string{"a@r32.7.1-python3.6"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 25 {
				got, list := cells(tt.axes)
				require.Empty(t, list)
				var ids []string
				for _, c := range got {
					ids = append(ids, c.ID())
				}
				require.Equal(t, tt.want, ids)
			}
		})
	}
}

func TestCellsDiagnostics(t *testing.T) {
	for _, tt := range []struct {
		name string
		axes spec.Axes
		want []string // position: message [code] (hint)
		left int      // cells that remain
	}{
		{
			name: "unknown release",
			axes: spec.Axes{L4T: []string{"36.4.0", "36.5.0"}, Package: []string{"a"}},
			want: []string{"matrix.l4t.1: no platform of the matrix has l4t 36.5.0 (tegra) [unknown-axis-value] (did you mean \"36.4.0\"?)"},
		},
		{
			name: "not a release",
			axes: spec.Axes{L4T: []string{"latest"}, Package: []string{"a"}},
			want: []string{`matrix.l4t.0: l4t: L4T release "latest" has "latest" where a number is needed; allowed: 36.4.0, 36.4, r36.4 [bad-version]`},
		},
		{
			name: "unknown in include and exclude",
			axes: spec.Axes{L4T: []string{"36.4.0"}, Package: []string{"a"},
				Include: []map[string]string{{"l4t": "40.0.0", "package": "b"}}, Exclude: []map[string]string{{"pakage": "a"}}},
			want: []string{
				`matrix.exclude.0.pakage: exclude[0] names "pakage", which is no axis [unknown-axis] (did you mean "package"?)`,
				`matrix.include.0.l4t: no platform of the matrix has l4t 40.0.0 (tegra) [unknown-axis-value]`,
			},
		},
		{
			name: "CUDA that a platform lacks is said once",
			axes: spec.Axes{L4T: []string{"36.4.0", "35.4.1"}, Package: []string{"a", "b"}, CUDA: []string{"12.6"}},
			want: []string{`matrix: r35.4.1 does not offer CUDA 12.6; it offers 11.4 [not-offered] (exclude {l4t: 35.4.1, cuda: "12.6"})`},
			left: 2,
		},
		{
			name: "Python of an include entry",
			axes: spec.Axes{L4T: []string{"36.4.0"}, Package: []string{"a"}, Python: []string{"default"}, Include: []map[string]string{{"l4t": "36.4.0", "package": "a", "python": "3.11"}}},
			want: []string{`matrix.include.0: r36.4.0 does not offer Python 3.11; it offers 3.10, 3.12 [not-offered] (give one that it offers)`},
			left: 1,
		},
		{
			name: "no package",
			axes: spec.Axes{L4T: []string{"36.4.0"}},
			want: []string{`matrix: a cell (l4t=36.4.0) has no package [incomplete-cell] (give package as an axis, or in the include entry)`},
		},
		{
			name: "flavour that a release lacks",
			axes: spec.Axes{L4T: []string{"36.4.0", "38.2.1"}, Flavour: []string{"tegra", "sbsa"}, Package: []string{"a"}},
			want: []string{
				"matrix: no platform of the matrix is r36.4.0 sbsa [unknown-axis-value] (exclude it, or add the platform)",
				"matrix: no platform of the matrix is r38.2.1 tegra [unknown-axis-value] (exclude it, or add the platform)",
			},
			left: 2,
		},
		{
			name: "line with two meanings",
			axes: spec.Axes{L4T: []string{"38.2"}, Flavour: []string{"tegra", "sbsa"}, Package: []string{"a"}},
			want: []string{"matrix.l4t.0: l4t 38.2 means another release for each flavour [ambiguous-l4t] (write the release)"},
		},
		{
			name: "exclude of an axis that the matrix lacks",
			axes: spec.Axes{L4T: []string{"36.4.0"}, Package: []string{"a"}, Exclude: []map[string]string{{"cuda": "12.6"}}},
			want: []string{`matrix: exclude[0] names "cuda", which is no axis of the matrix [bad-matrix]`},
		},
		{
			name: "exclude that takes nothing away",
			axes: spec.Axes{L4T: []string{"36.4.0"}, Package: []string{"pytorch"}, Exclude: []map[string]string{{"package": "pytorh"}}},
			want: []string{`matrix.exclude.0.package: exclude[0] takes nothing away: the axis package has no pytorh [useless-exclude] (did you mean "pytorch"?)`},
			left: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, list := cells(tt.axes)
			var said []string
			for _, d := range list {
				s := fmt.Sprintf("%s: %s [%s]", d.Position, d.Message, d.Code)
				if d.Hint != "" {
					s += " (" + d.Hint + ")"
				}
				said = append(said, s)
			}
			require.Equal(t, tt.want, said)
			require.Len(t, got, tt.left)
		})
	}
}

func TestCellsWithoutPositions(t *testing.T) {
	_, list := matrix.Cells(&spec.Matrix{Platforms: platforms(), Strategy: spec.Strategy{Matrix: spec.Axes{L4T: []string{"1.2.3"}}}})
	require.Len(t, list, 1)
	require.Empty(t, list[0].Position)
}

func FuzzCells(f *testing.F) {
	f.Add("36.4.0,r36.4", "a b,c", "default,12.6", "l4t=36.4.0,cuda=12.8", "package=c")
	f.Add("latest", "", "", "x=y", "flavour=sbsa")
	f.Fuzz(func(t *testing.T, l4t, packages, cuda, include, exclude string) {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, ",")
		}
		a := spec.Axes{L4T: split(l4t), Package: split(packages), CUDA: split(cuda), Include: readEntries(include), Exclude: readEntries(exclude)}
		got, list := cells(a)
		again, listAgain := cells(a)
		require.Equal(t, got, again)
		require.Equal(t, list, listAgain)
		seen := map[matrix.Cell]bool{}
		for _, c := range got {
			require.False(t, seen[c])
			seen[c] = true
			require.NotEmpty(t, c.L4T)
			require.NotEmpty(t, c.Package)
			require.NotEmpty(t, c.Python)
		}
	})
}

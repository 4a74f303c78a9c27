package matrix_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/matrix"
)

type entry = map[string]string

func axis(name string, values ...string) matrix.Axis {
	return matrix.Axis{Name: name, Values: values}
}

// TestExpand holds the examples of GitHub's documentation of matrices, and
// the cases that its text leaves to the reader.
func TestExpand(t *testing.T) {
	fruits := []matrix.Axis{axis("fruit", "apple", "pear"), axis("animal", "cat", "dog")}
	for _, tt := range []struct {
		name             string
		axes             []matrix.Axis
		include, exclude []entry
		want             string
	}{
		{
			name: "no matrix",
		},
		{
			name: "documented: one axis",
			axes: []matrix.Axis{axis("version", "10", "12", "14")},
			want: "version=10 version=12 version=14",
		},
		{
			name: "documented: the first axis varies slowest",
			axes: []matrix.Axis{axis("version", "10", "12", "14"), axis("os", "ubuntu-latest", "windows-latest")},
			want: `version=10,os=ubuntu-latest version=10,os=windows-latest
				version=12,os=ubuntu-latest version=12,os=windows-latest
				version=14,os=ubuntu-latest version=14,os=windows-latest`,
		},
		{
			name: "documented: include in every way",
			axes: fruits,
			include: []entry{
				{"color": "green"},
				{"color": "pink", "animal": "cat"},
				{"fruit": "apple", "shape": "circle"},
				{"fruit": "banana"},
				{"fruit": "banana", "animal": "cat"},
			},
			want: `fruit=apple,animal=cat,color=pink,shape=circle fruit=apple,animal=dog,color=green,shape=circle
				fruit=pear,animal=cat,color=pink fruit=pear,animal=dog,color=green
				fruit=banana fruit=banana,animal=cat`,
		},
		{
			name:    "documented: include expands a combination",
			axes:    []matrix.Axis{axis("os", "windows-latest", "ubuntu-latest"), axis("node", "14", "16")},
			include: []entry{{"os": "windows-latest", "node": "16", "npm": "6"}},
			want: `os=windows-latest,node=14 os=windows-latest,node=16,npm=6
				os=ubuntu-latest,node=14 os=ubuntu-latest,node=16`,
		},
		{
			name:    "documented: include adds a combination",
			axes:    []matrix.Axis{axis("os", "macos-latest", "windows-latest", "ubuntu-latest"), axis("version", "12", "14", "16")},
			include: []entry{{"os": "windows-latest", "version": "17"}},
			want: `os=macos-latest,version=12 os=macos-latest,version=14 os=macos-latest,version=16
				os=windows-latest,version=12 os=windows-latest,version=14 os=windows-latest,version=16
				os=ubuntu-latest,version=12 os=ubuntu-latest,version=14 os=ubuntu-latest,version=16
				os=windows-latest,version=17`,
		},
		{
			name:    "documented: include alone",
			include: []entry{{"site": "production", "datacenter": "site-a"}, {"site": "staging", "datacenter": "site-b"}},
			want:    "datacenter=site-a,site=production datacenter=site-b,site=staging",
		},
		{
			name: "documented: exclude needs only a part to match",
			axes: []matrix.Axis{axis("os", "macos-latest", "windows-latest"), axis("version", "12", "14", "16"), axis("environment", "staging", "production")},
			exclude: []entry{
				{"os": "macos-latest", "version": "12", "environment": "production"},
				{"os": "windows-latest", "version": "16"},
			},
			want: `os=macos-latest,version=12,environment=staging
				os=macos-latest,version=14,environment=staging os=macos-latest,version=14,environment=production
				os=macos-latest,version=16,environment=staging os=macos-latest,version=16,environment=production
				os=windows-latest,version=12,environment=staging os=windows-latest,version=12,environment=production
				os=windows-latest,version=14,environment=staging os=windows-latest,version=14,environment=production`,
		},
		{
			name:    "documented: include comes after exclude and can add back",
			axes:    []matrix.Axis{axis("os", "a", "b")},
			exclude: []entry{{"os": "a"}},
			include: []entry{{"os": "a", "why": "back"}},
			want:    "os=b os=a,why=back",
		},
		{
			name:    "a later entry changes what an earlier one added",
			axes:    fruits[:1],
			include: []entry{{"color": "green"}, {"color": "red"}},
			want:    "fruit=apple,color=red fruit=pear,color=red",
		},
		{
			name:    "no entry is added to a combination that include made",
			axes:    fruits[:1],
			include: []entry{{"fruit": "banana"}, {"color": "yellow"}},
			want:    "fruit=apple,color=yellow fruit=pear,color=yellow fruit=banana",
		},
		{
			name:    "two entries alone stay two combinations",
			include: []entry{{"site": "a"}, {"color": "red"}},
			want:    "site=a color=red",
		},
		{
			name:    "an entry equal to a combination changes nothing",
			axes:    fruits[:1],
			include: []entry{{"fruit": "pear"}},
			want:    "fruit=apple fruit=pear",
		},
		{
			name:    "everything excluded, then entries stand alone",
			axes:    fruits[:1],
			exclude: []entry{{"fruit": "apple"}, {"fruit": "pear"}},
			include: []entry{{"color": "red"}},
			want:    "color=red",
		},
		{
			name:    "an empty exclude entry excludes nothing",
			axes:    fruits[:1],
			exclude: []entry{{}},
			want:    "fruit=apple fruit=pear",
		},
		{
			name: "values that look like an ID",
			axes: []matrix.Axis{axis("a", "x,b=y", "x"), axis("b", `"`, "ü y")},
			want: `a="x,b=y",b="\"" a="x,b=y",b=ü_y a=x,b="\"" a=x,b=ü_y`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 25 {
				got, err := matrix.Expand(tt.axes, tt.include, tt.exclude)
				require.NoError(t, err)
				ids := []string{}
				for _, c := range got {
					ids = append(ids, strings.ReplaceAll(c.ID(), " ", "_"))
				}
				require.Equal(t, strings.Fields(tt.want), ids)
			}
		})
	}
}

func TestExpandErrors(t *testing.T) {
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, tt := range []struct {
		name             string
		axes             []matrix.Axis
		include, exclude []entry
		err              string
	}{
		{name: "too many", axes: []matrix.Axis{axis("a", many...), axis("b", many...)}, err: "the matrix has more than 100000 combinations"},
		{name: "far too many", axes: []matrix.Axis{axis("a", many...), axis("b", many[:250]...), axis("c", many...), axis("d", many...)}, err: "more than 100000 combinations"},
		{name: "too many entries", axes: []matrix.Axis{axis("a", many...), axis("b", many[:250]...)}, include: make([]entry, 501), err: "the matrix has 100000 combinations and 501 entries"},
		{name: "twice", axes: []matrix.Axis{axis("a", "1"), axis("a", "2")}, err: `the matrix has the axis "a" twice`},
		{name: "empty", axes: []matrix.Axis{axis("a")}, err: `the axis "a" has no values`},
		{name: "exclude", axes: []matrix.Axis{axis("a", "1")}, exclude: []entry{{"a": "1"}, {"b": "1"}}, err: `exclude[1] names "b", which is no axis of the matrix`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := matrix.Expand(tt.axes, tt.include, tt.exclude)
			require.ErrorContains(t, err, tt.err)
		})
	}
}

// readEntries reads "a=1,b=2;a=3" for fuzzing.
func readEntries(s string) []entry {
	var out []entry
	if s == "" {
		return nil
	}
	for _, part := range strings.Split(s, ";") {
		e := entry{}
		for _, pair := range strings.Split(part, ",") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				e[name] = value
			}
		}
		out = append(out, e)
	}
	return out
}

func FuzzExpand(f *testing.F) {
	f.Add("apple,pear", "cat,dog", "color=green;color=pink,animal=cat;fruit=banana", "fruit=pear,animal=dog")
	f.Add("a", "", "x=1;x=2", "")
	f.Add("a,a", "b", "fruit=a;animal=c", "animal=b")
	f.Fuzz(func(t *testing.T, first, second, include, exclude string) {
		axes := []matrix.Axis{axis("fruit", strings.Split(first, ",")...)}
		if second != "" {
			axes = append(axes, axis("animal", strings.Split(second, ",")...))
		}
		in, out := readEntries(include), readEntries(exclude)
		got, err := matrix.Expand(axes, in, out)
		if err != nil {
			return
		}
		again, err := matrix.Expand(axes, in, out)
		require.NoError(t, err)
		require.Equal(t, got, again)
		total := len(axes[0].Values)
		if len(axes) > 1 {
			total *= len(axes[1].Values)
		}
		require.LessOrEqual(t, len(got), total+len(in))
		for i, c := range got {
			seen := map[string]bool{}
			for _, v := range c {
				require.False(t, seen[v.Name], "a name is there twice")
				seen[v.Name] = true
			}
			// What is neither excluded nor made by include keeps its axis values.
			if i < len(got)-len(in) {
				value, ok := c.Get("fruit")
				require.True(t, ok)
				require.Contains(t, axes[0].Values, value)
			}
		}
	})
}

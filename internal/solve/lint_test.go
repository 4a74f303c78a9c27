package solve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/solve"
)

func TestLintOverTheMatrix(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		want       []string
	}{
		{"no defaults", `versions: [{version: "2"}, {version: "1"}]`, nil},
		{"a default everywhere", `versions: [{version: "2", default: {}}, {version: "1"}]`, nil},
		{"defaults that cover the matrix", `versions: [{version: "2", default: {l4t: ">=36"}}, {version: "1", default: {l4t: "<36"}}]`, nil},
		{"no choice where there is no default", `versions: [{version: "2", requires: {l4t: ">=36"}, default: {l4t: ">=36"}}, {version: "1"}]`, nil},
		{"a stack without a default", `versions: [{version: "2", default: {cuda: "12.6"}}, {version: "1", default: [{cuda: "<12"}, {flavour: sbsa}]}]`, []string{
			"default-gap: no default of p holds on r36.4.0 with CUDA 12.8 with Python 3.10 and r36.4.0 with CUDA 12.8 with Python 3.12, where it has several versions: the newest is taken"}},
		{"a default where the version is not possible", `versions: [{version: "2", requires: {cuda: ">=12"}, default: [{cuda: "<12"}, {l4t: "38.*"}]}, {version: "1", default: {}}]`, []string{
			"never-default: p 2 is the default nowhere: where the condition holds, the version is not possible"}},
		{"requirements that exclude each other", `versions: [{version: "2", requires: {cuda: ">=12", l4t: "<36"}}, {version: "1"}]`, []string{
			"never-possible: no platform of the matrix meets what p 2 requires"}},
		{"requirements of version and package that exclude each other", "requires: {l4t: \">=36\"}\n" + `versions: [{version: "2", requires: {cuda: "<12"}}, {version: "1"}]`, []string{
			"never-possible: no platform of the matrix meets what p 2 requires"}},
		{"a package for no platform", "requires: {gpu: sm_53}\n" + `versions: [{version: "1"}]`, []string{
			"never-possible: no platform of the matrix meets what p requires"}},
		{"one condition of two", `versions: [{version: "1", requires: [{l4t: "36.4.*"}, {l4t: "36.5.*"}]}]`, []string{
			"never-holds: no platform of the matrix meets this condition of p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, d := range solve.New(load(t, map[string]string{"p": c.spec})).Lint() {
				got = append(got, d.Code+": "+d.Message)
			}
			require.Equal(t, c.want, got)
		})
	}
}

package jetcrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/matrix"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func (a *app) matrixCommand() *cobra.Command {
	var filter cellFilter
	c := &cobra.Command{
		Use: "matrix", Short: "List the cells of the matrix", Args: noArgs,
		Example: "  jetcrate matrix\n  jetcrate matrix --filter l4t=36.4.0 -o github >> \"$GITHUB_OUTPUT\"",
		Long: `Lists the cells of strategy.matrix, one a line. -o github prints one line of JSON that
strategy.matrix of a GitHub workflow takes by fromJSON.`,
		RunE: func(*cobra.Command, []string) error {
			if err := a.formats("text", "json", "github"); err != nil {
				return err
			}
			cat, _, err := a.load()
			if err != nil {
				return err
			}
			cells, err := filter.cells(cat)
			if err != nil {
				return err
			}
			rows := []map[string]string{}
			for _, c := range cells {
				rows = append(rows, row(c))
				if a.output == "text" {
					fmt.Fprintln(a.stdout, c.ID())
				}
			}
			switch a.output {
			case "json":
				return a.json(rows)
			case "github":
				return a.compact(map[string]any{"include": rows})
			}
			return nil
		},
	}
	filter.flag(c)
	return c
}

// cellFilter is --filter: axes and the values that cells must have.
type cellFilter []string

func (f *cellFilter) flag(c *cobra.Command) {
	c.Flags().StringArrayVar((*[]string)(f), "filter", nil, "only cells of the matrix with this value: AXIS=VALUE, such as l4t=36.4.0 or package=pytorch")
}

// row is a cell by axis.
func row(c matrix.Cell) map[string]string {
	return map[string]string{"l4t": c.L4T, "flavour": c.Flavour, "package": c.Package, "cuda": c.CUDA, "python": c.Python}
}

// cells are the cells of the matrix that pass. A filter that none passes is a
// mistake: it names a value that does not exist.
func (f cellFilter) cells(cat *spec.Catalog) ([]matrix.Cell, error) {
	cells, list := matrix.Cells(cat.Matrix)
	if err := list.Err(); err != nil {
		return nil, err
	}
	return f.among(cat, cells)
}

// among narrows cells.
func (f cellFilter) among(cat *spec.Catalog, cells []matrix.Cell) ([]matrix.Cell, error) {
	for _, word := range f {
		axis, value, ok := strings.Cut(word, "=")
		axes := slices.Sorted(maps.Keys(row(matrix.Cell{})))
		if !ok || !slices.Contains(axes, axis) {
			return nil, usage{fmt.Errorf("--filter %q is not AXIS=VALUE; axes: %s", word, strings.Join(axes, ", "))}
		}
		if axis == "l4t" { // a line of releases is its newest
			if p, err := solve.Find(cat.Matrix, solve.Choice{L4T: value}); err == nil {
				value = p.L4T
			}
		}
		var keep []matrix.Cell
		there := map[string]bool{}
		for _, c := range cells {
			v := row(c)[axis]
			there[v] = true
			if v == value {
				keep = append(keep, c)
			}
		}
		if len(keep) == 0 {
			return nil, usage{fmt.Errorf("--filter %s: no cell has that; %s is one of %s", word, axis, strings.Join(slices.Sorted(maps.Keys(there)), ", "))}
		}
		cells = keep
	}
	return cells, nil
}

package jetcrate

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/matrix"
)

func (a *app) matrixCommand() *cobra.Command {
	var filter []string
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
			cells, list := matrix.Cells(cat.Matrix)
			if err := list.Err(); err != nil {
				return err
			}
			keep, err := filters(filter)
			if err != nil {
				return err
			}
			rows := []map[string]string{}
			for _, c := range cells {
				row := map[string]string{"l4t": c.L4T, "flavour": c.Flavour, "package": c.Package, "cuda": c.CUDA, "python": c.Python}
				if !matches(row, keep) {
					continue
				}
				rows = append(rows, row)
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
	c.Flags().StringArrayVar(&filter, "filter", nil, "only cells with this value: AXIS=VALUE, such as l4t=36.4.0 or package=pytorch")
	return c
}

func filters(words []string) (map[string]string, error) {
	axes := []string{"cuda", "flavour", "l4t", "package", "python"}
	out := map[string]string{}
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || !strings.Contains(" "+strings.Join(axes, " ")+" ", " "+k+" ") {
			return nil, usage{fmt.Errorf("--filter %q is not AXIS=VALUE; axes: %s", w, strings.Join(axes, ", "))}
		}
		out[k] = v
	}
	return out, nil
}

func matches(row, keep map[string]string) bool {
	for k, v := range keep {
		if row[k] != v {
			return false
		}
	}
	return true
}

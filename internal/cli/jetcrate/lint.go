package jetcrate

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/matrix"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func (a *app) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint", Short: "Check every spec of the catalog, and that every cell of the matrix plans",
		Example: "  jetcrate lint\n  jetcrate lint -o sarif > lint.sarif", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := a.formats("text", "json", "sarif"); err != nil {
				return err
			}
			cat, fsys, list, err := a.read()
			if err != nil {
				return err
			}
			cells := 0
			if !list.HasErrors() {
				all, more := matrix.Cells(cat.Matrix)
				cells, list = len(all), append(list, more...)
			}
			if !list.HasErrors() {
				reqs, err := (&selection{all: true}).requests(cat, nil)
				if err == nil {
					_, err = plan.New(cat, fsys, reqs)
				}
				more, ok := diag.From(err)
				if err != nil && !ok {
					return err
				}
				list = append(list, more...)
			}
			list.Sort()
			switch a.output {
			case "json":
				err = diag.WriteJSON(a.stdout, list)
			case "sarif":
				err = diag.WriteSARIF(a.stdout, list)
			default:
				err = diag.WriteText(a.stderr, list, a.colour())
			}
			if err != nil {
				return err
			}
			if list.HasErrors() {
				return said{exitMistake}
			}
			if a.output == "text" {
				fmt.Fprintf(a.stdout, "%d packages, %d steps, %d platforms, %d cells: no mistakes\n",
					len(cat.Packages), len(cat.Steps), len(cat.Matrix.Platforms), cells)
			}
			return nil
		},
	}
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema " + strings.Join(spec.Kinds(), "|"), Short: "Print the JSON schema of a file format",
		Example:   "  jetcrate schema package > package.schema.json",
		ValidArgs: spec.Kinds(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage{fmt.Errorf("name one schema; allowed: %s", strings.Join(spec.Kinds(), ", "))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := spec.Schema(args[0])
			if err != nil {
				return usage{fmt.Errorf("no schema %q; allowed: %s", args[0], strings.Join(spec.Kinds(), ", "))}
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
}

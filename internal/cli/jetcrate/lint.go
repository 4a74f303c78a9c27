package jetcrate

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/docs"
	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/lock"
	"github.com/jetcrate/jetcrate/internal/matrix"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func (a *app) lintCommand() *cobra.Command {
	var explain string
	c := &cobra.Command{
		Use: "lint", Short: "Check every spec of the catalog, and that every cell of the matrix plans",
		Long: `Checks every spec of the catalog, the conditions over the whole matrix, and that every cell
plans. A warning is silenced by a comment on its line, or on a line of its own above it:

  # lint:ignore CODE why it is right here`,
		Example: "  jetcrate lint\n  jetcrate lint --explain default-gap\n  jetcrate lint -o sarif > lint.sarif", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json", "sarif"); err != nil {
				return err
			}
			if c.Flags().Changed("explain") {
				return a.explainCode(explain)
			}
			cat, list, cells, err := a.lint()
			if err != nil {
				return err
			}
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
				found := "no mistakes"
				switch n := len(list); {
				case n == 1:
					found += ", 1 warning"
				case n > 1:
					found += fmt.Sprintf(", %d warnings", n)
				}
				fmt.Fprintf(a.stdout, "%d packages, %d steps, %d platforms, %d cells: %s\n",
					len(cat.Packages), len(cat.Steps), len(cat.Matrix.Platforms), cells, found)
			}
			return nil
		},
	}
	a.lockedFlag(c)
	c.Flags().StringVar(&explain, "explain", "", "say what a code means, with examples")
	_ = c.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return codes(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// lint looks at a catalog with every rule. What needs more than another rule
// left right is looked at only if nothing is wrong so far.
func (a *app) lint() (*spec.Catalog, diag.List, int, error) {
	cat, fsys, list, err := a.read()
	if err != nil {
		return nil, nil, 0, err
	}
	cells := 0
	if !list.HasErrors() {
		all, more := matrix.Cells(cat.Matrix)
		cells, list = len(all), append(list, more...)
	}
	if !list.HasErrors() {
		list = append(list, spec.Lint(cat)...)
		list = append(list, solve.New(cat).Lint()...)
		reqs, err := (&selection{all: true}).requests(cat, nil)
		var p *plan.Plan
		if err == nil {
			p, err = plan.New(cat, fsys, reqs)
		}
		more, ok := diag.From(err)
		switch {
		case ok:
			list = append(list, more...)
		case err != nil:
			return nil, nil, 0, err
		default:
			list = append(list, plan.Lint(cat, p)...)
		}
	}
	if a.locked && !list.HasErrors() {
		_, loose, err := a.loose()
		if err != nil {
			return nil, nil, 0, err
		}
		list = append(list, lock.Drift(cat, loose, true)...)
	}
	return cat, spec.Ignore(fsys, cat, list, len(a.matrix) == 0), cells, nil
}

// explainCode prints the section of docs/lint.md on a code.
func (a *app) explainCode(code string) error {
	for section := range strings.SplitSeq(docs.Lint, "\n## ") {
		title, text, _ := strings.Cut(section, "\n")
		if title != code || code == "" {
			continue
		}
		text, _, _ = strings.Cut(text, "\n# ") // the next chapter
		_, err := fmt.Fprintf(a.stdout, "%s\n\n%s\n", code, strings.TrimSpace(text))
		return err
	}
	hint := diag.DidYouMean(code, codes())
	if hint == "" {
		hint = "docs/lint.md lists them"
	}
	return usage{fmt.Errorf("no diagnostic has the code %q; %s", code, hint)}
}

// codes lists the codes of docs/lint.md.
func codes() []string {
	var out []string
	for line := range strings.Lines(docs.Lint) {
		if code, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			out = append(out, code)
		}
	}
	return out
}

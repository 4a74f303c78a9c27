package jetcrate

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
)

func (a *app) planCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "plan TARGET... | --cells | --all", Short: "Show what a target is made of, with keys; nothing is built",
		Long: `Shows what a target is made of, with keys; nothing is built.

--cells plans the cells of strategy.matrix, those that build --all builds. --all plans
every package on every platform with every CUDA stack: each resolves or says why not.
Both end with totals: how many layers, artifacts and tests there are, and how many layers
are laid for each package version on a platform with a stack.`,
		Example: "  jetcrate plan pytorch --l4t r36.4\n  jetcrate plan --cells -o json\n  jetcrate plan --all --filter l4t=36.4.0",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			_, _, p, err := a.plan(&s, args)
			if err != nil {
				return err
			}
			switch {
			case a.output == "json":
				return a.json(p)
			case s.whole:
				return a.buffered(func(w io.Writer) { printCells(w, p); printTotals(w, p) })
			default:
				return a.buffered(func(w io.Writer) { printPlan(w, p); printTotals(w, p) })
			}
		},
	}
	s.flags(c, a)
	c.Flags().BoolVar(&s.whole, "all", false, "every package on every platform with every CUDA stack")
	c.Flags().BoolVar(&s.all, "cells", false, "every cell of the matrix")
	s.filter.flag(c)
	c.Flags().StringVar(&s.name, "name", "", "name of the image")
	return c
}

// buffered prints much in few writes.
func (a *app) buffered(print func(io.Writer)) error {
	w := bufio.NewWriter(a.stdout)
	print(w)
	return w.Flush()
}

func (a *app) json(v any) error { return a.encode(v, "  ") }

// compact prints JSON on one line.
func (a *app) compact(v any) error { return a.encode(v, "") }

func (a *app) encode(v any, indent string) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printPlan(w io.Writer, p *plan.Plan) {
	for _, c := range p.Cells {
		fmt.Fprintf(w, "%s\n", c.ID)
		if c.Impossible != nil {
			fmt.Fprintf(w, "  impossible: %v\n", c.Impossible)
			continue
		}
		img := p.Node(c.Image)
		for _, k := range append(append([]string(nil), img.Chain...), img.Linked...) {
			n := p.Node(k)
			fmt.Fprintf(w, "  %s  %-12s %s\n", k[:12], n.Kind, n.Title())
			if n.Artifact != "" {
				b := p.Node(n.Artifact)
				fmt.Fprintf(w, "  %s    %-10s %s\n", b.Key[:12], b.Kind, b.Title())
			}
		}
		fmt.Fprintf(w, "  %s  %-12s %s, %d tests\n", c.Image[:12], img.Kind, c.Tag, len(c.Tests)+len(c.Gates))
	}
}

// printCells prints a line for each cell.
func printCells(w io.Writer, p *plan.Plan) {
	for _, c := range p.Cells {
		if c.Impossible != nil {
			fmt.Fprintf(w, "%s impossible: %v\n", c.ID, c.Impossible)
			continue
		}
		img := p.Node(c.Image)
		fmt.Fprintf(w, "%s %s %s: %d layers, %d tests\n", c.ID, c.Image[:12], c.Tag, len(img.Chain)-1+len(img.Linked), len(c.Tests)+len(c.Gates))
	}
}

// maxCauses is how many causes of repeated artifacts are told.
const maxCauses = 10

func printTotals(w io.Writer, p *plan.Plan) {
	t := p.Totals()
	var parts []string
	sizes := p.Sizes()
	for _, k := range plan.Kinds() {
		if sizes[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", sizes[k], k))
		}
	}
	fmt.Fprintf(w, "%d cells, %d impossible; nodes: %s\n", t.Cells, t.Impossible, strings.Join(parts, ", "))
	if t.Distinct == 0 {
		return
	}
	fmt.Fprintf(w, "%d layers, %d more for builds alone; laid / distinct (package version, platform, stack): %d / %d = %.2f\n",
		t.Layers, t.BuildLayers, t.Laid, t.Distinct, t.Ratio())
	fmt.Fprintf(w, "%d artifacts, %d of them beyond the first of their version on a platform\n", t.Artifacts, len(t.Repeats))
	causes := map[string]int{}
	for _, r := range t.Repeats {
		causes[r.Cause]++
	}
	order := slices.SortedFunc(maps.Keys(causes), func(a, b string) int {
		return cmp.Or(causes[b]-causes[a], strings.Compare(a, b))
	})
	for i, cause := range order {
		if i == maxCauses {
			fmt.Fprintf(w, "  and %d other causes\n", len(order)-i)
			break
		}
		fmt.Fprintf(w, "  %d: %s\n", causes[cause], cause)
	}
}

func (a *app) dockerfileCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "dockerfile TARGET...", Short: "Print the Dockerfile that a target renders to",
		Example: "  jetcrate dockerfile pytorch --l4t r36.4",
		RunE: func(_ *cobra.Command, args []string) error {
			_, _, p, err := a.plan(&s, args)
			if err != nil {
				return err
			}
			img := p.Node(p.Cells[0].Image)
			labels, err := execute.LabelsOf(img).Map()
			if err != nil {
				return err
			}
			r, err := recipe.Full(p, img, labels)
			if err != nil {
				return usage{err}
			}
			fmt.Fprint(a.stdout, r.Dockerfile)
			return nil
		},
	}
	s.flags(c, a)
	return c
}

package jetcrate

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
	"github.com/jetcrate/jetcrate/internal/store"
)

func (a *app) planCommand() *cobra.Command {
	var s selection
	var reuse bool
	var shards shardFlags
	c := &cobra.Command{
		Use: "plan TARGET... | --cells | --all", Short: "Show what a target is made of, with keys; nothing is built",
		Long: `Shows what a target is made of, with keys; nothing is built.

--cells plans the cells of strategy.matrix, those that build --all builds. --all plans
every package on every platform with every CUDA stack: each resolves or says why not.
Both end with totals: how many layers, artifacts and tests there are, and how many layers
are laid for each package version on a platform with a stack.

--shards cuts the plan into jobs for many machines (docs/scale-out.md): -o github gives
matrices for GitHub Actions, -o argo an Argo workflow. --shared leaves out what one cell
alone needs, for workflows whose last wave is a job for each cell.

-o tree shows what each image is made of, with what its builds need; -o dot draws it for
Graphviz. --reuse asks the store what it has already, and how large that is; without it
the same catalog gives the same bytes.`,
		Example: "  jetcrate plan pytorch --l4t r36.4\n  jetcrate plan pytorch --l4t r36.4 -o tree --reuse\n  jetcrate plan --cells -o json\n  jetcrate plan --all --filter l4t=36.4.0",
		RunE: func(c *cobra.Command, args []string) error {
			formats := []string{"text", "json", "dot", "tree"}
			cut := c.Flags().Changed("shards")
			if cut {
				formats = []string{"text", "json", "github", "argo"}
			} else if shards.devices || shards.shared {
				return usage{errors.New("--devices and --shared belong to --shards")}
			}
			if err := a.formats(formats...); err != nil {
				return err
			}
			_, files, p, err := a.plan(&s, args)
			if err != nil {
				return err
			}
			if cut {
				return shards.print(a, p, files, s.whole, s.again(args))
			}
			var have map[string]execute.Stored
			if reuse {
				err := a.withStore(c.Context(), func(st *store.Store) (err error) {
					have, err = execute.Have(c.Context(), st, p)
					return err
				})
				if err != nil {
					return err
				}
			}
			return a.printed(p, s.whole, reuse, have)
		},
	}
	s.flags(c, a)
	a.lockedFlag(c)
	c.Flags().BoolVar(&s.whole, "all", false, "every package on every platform with every CUDA stack")
	c.Flags().BoolVar(&s.all, "cells", false, "every cell of the matrix")
	s.filter.flag(c)
	c.Flags().StringVar(&s.name, "name", "", "name of the image")
	shards.flags(c)
	c.Flags().BoolVar(&reuse, "reuse", false, "ask the store what it has already, and how large that is")
	return c
}

// printed prints a plan in the form that is wanted.
func (a *app) printed(p *plan.Plan, whole, reuse bool, have map[string]execute.Stored) error {
	about := func(n *plan.Node) plan.About {
		if s, ok := have[n.Key]; ok {
			return plan.About{Note: "stored, " + size(s.Size), There: true}
		}
		return plan.About{}
	}
	if a.output == "json" {
		if !reuse {
			return a.json(p)
		}
		return a.json(struct {
			*plan.Plan
			Store map[string]execute.Stored `json:"store"` // what it has, by key
		}{p, have})
	}
	if a.output == "dot" {
		return p.Graph(about).Dot(a.stdout)
	}
	return a.buffered(func(w io.Writer) {
		switch {
		case a.output == "tree":
			for _, c := range p.Cells {
				p.Tree(w, c, about)
			}
		case whole:
			printCells(w, p)
		default:
			printPlan(w, p, about)
		}
		printTotals(w, p)
		if reuse {
			printReuse(w, p, have)
		}
	})
}

// printReuse prints how much of a plan the store has.
func printReuse(w io.Writer, p *plan.Plan, have map[string]execute.Stored) {
	there, all := map[plan.Kind]int{}, p.Sizes()
	var bytes int64
	for _, n := range p.Nodes {
		if s, ok := have[n.Key]; ok {
			there[n.Kind]++
			if n.Kind != plan.Image { // which is made of the others
				bytes += s.Size
			}
		}
	}
	var parts []string
	for _, k := range plan.Kinds() {
		if all[k] > 0 && k != plan.Test {
			parts = append(parts, fmt.Sprintf("%d of %d %s", there[k], all[k], k))
		}
	}
	fmt.Fprintf(w, "the store has %s; %s without images\n", strings.Join(parts, ", "), size(bytes))
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

func printPlan(w io.Writer, p *plan.Plan, about func(*plan.Node) plan.About) {
	line := func(indent string, n *plan.Node, more string) {
		s := fmt.Sprintf("  %s%s  %-*s %s%s", n.Key[:12], indent, 12-len(indent), n.Kind, n.Title(), more)
		if a := about(n); a.Note != "" {
			s += "  (" + a.Note + ")"
		}
		fmt.Fprintln(w, s)
	}
	for _, c := range p.Cells {
		fmt.Fprintf(w, "%s\n", c.ID)
		if c.Impossible != nil {
			fmt.Fprintf(w, "  impossible: %v\n", c.Impossible)
			continue
		}
		img := p.Node(c.Image)
		for _, k := range append(append([]string(nil), img.Chain...), img.Linked...) {
			n := p.Node(k)
			line("", n, "")
			if n.Artifact != "" {
				line("  ", p.Node(n.Artifact), "")
			}
		}
		line("", img, fmt.Sprintf(", %d tests", len(c.Tests)+len(c.Gates)))
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
		fmt.Fprintf(w, "%s %s %s: %s, %s\n", c.ID, c.Image[:12], c.Tag, count(len(img.Chain)-1+len(img.Linked), "layer"), count(len(c.Tests)+len(c.Gates), "test"))
	}
}

func printTotals(w io.Writer, p *plan.Plan) {
	t := p.Totals()
	var parts []string
	sizes := p.Sizes()
	for _, k := range plan.Kinds() {
		if sizes[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", sizes[k], k))
		}
	}
	fmt.Fprintf(w, "%s, %d impossible; nodes: %s\n", count(t.Cells, "cell"), t.Impossible, strings.Join(parts, ", "))
	if t.Distinct == 0 {
		return
	}
	fmt.Fprintf(w, "%s, %d more for builds alone; laid / distinct (package version, platform, stack): %d / %d = %.2f\n",
		count(t.Layers, "layer"), t.BuildLayers, t.Laid, t.Distinct, t.Ratio())
	fmt.Fprintf(w, "%s for %s on platforms; beyond the first of each: %d", count(t.Artifacts, "artifact"), count(t.Versions, "package version"), len(t.Repeats))
	if len(t.Repeats) > 0 {
		fmt.Fprint(w, ", because of:")
	}
	fmt.Fprintln(w)
	causes := map[string]int{}
	for _, r := range t.Repeats {
		causes[r.Cause]++
	}
	order := slices.SortedFunc(maps.Keys(causes), func(a, b string) int {
		return cmp.Or(causes[b]-causes[a], strings.Compare(a, b))
	})
	for _, cause := range order {
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

package jetcrate

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
)

func (a *app) planCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "plan TARGET... | --all", Short: "Show what a target is made of, with keys; nothing is built",
		Example: "  jetcrate plan pytorch --l4t r36.4\n  jetcrate plan --all -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			_, _, p, err := a.plan(&s, args)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(p)
			}
			a.printPlan(p)
			return nil
		},
	}
	s.flags(c, a)
	s.allFlags(c)
	c.Flags().StringVar(&s.name, "name", "", "name of the image")
	return c
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

func (a *app) printPlan(p *plan.Plan) {
	for _, c := range p.Cells {
		fmt.Fprintf(a.stdout, "%s\n", c.ID)
		if c.Impossible != nil {
			fmt.Fprintf(a.stdout, "  impossible: %v\n", c.Impossible)
			continue
		}
		img := p.Node(c.Image)
		for _, k := range append(append([]string(nil), img.Chain...), img.Linked...) {
			n := p.Node(k)
			fmt.Fprintf(a.stdout, "  %s  %-12s %s\n", k[:12], n.Kind, n.Title())
			if n.Artifact != "" {
				b := p.Node(n.Artifact)
				fmt.Fprintf(a.stdout, "  %s    %-10s %s\n", b.Key[:12], b.Kind, b.Title())
			}
		}
		fmt.Fprintf(a.stdout, "  %s  %-12s %s, %d tests\n", c.Image[:12], img.Kind, c.Tag, len(c.Tests)+len(c.Gates))
	}
	var parts []string
	sizes := p.Sizes()
	for _, k := range plan.Kinds() {
		if sizes[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", sizes[k], k))
		}
	}
	fmt.Fprintf(a.stdout, "%d cells; nodes: %s\n", len(p.Cells), strings.Join(parts, ", "))
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

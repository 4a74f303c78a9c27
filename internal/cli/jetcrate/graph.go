package jetcrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
)

func (a *app) graphCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "graph [TARGET...]", Short: "Draw what stands on what, for Graphviz or as SVG",
		Long: `Draws which packages stand on which, from below upwards; dashed is what only a build needs.

Without --l4t it is what the specs declare, with conditions and versions on the arrows: of
the packages named and all below them, or of the whole catalog. With --l4t it is what the
targets resolve to there. jetcrate plan TARGET -o dot draws layers and artifacts.

-o dot is the language of Graphviz; -o svg runs its program dot.`,
		Example: "  jetcrate graph pytorch\n  jetcrate graph ros2:humble --l4t r36.4 -o svg > ros2.svg",
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("output") {
				a.output = "dot"
			}
			if err := a.formats("dot", "svg"); err != nil {
				return err
			}
			g, err := a.packageGraph(&s, args)
			if err != nil {
				return err
			}
			if a.output == "dot" {
				return g.Dot(a.stdout)
			}
			return a.svg(c.Context(), g)
		},
	}
	s.flags(c, a)
	return c
}

func (a *app) packageGraph(s *selection, args []string) (*plan.Graph, error) {
	cat, _, err := a.load()
	if err != nil {
		return nil, err
	}
	if s.l4t == "" {
		if s.flavour+s.cuda+s.python != "" {
			return nil, usage{errors.New("--flavour, --cuda and --python choose among the platforms of --l4t: give it too")}
		}
		return plan.Declared(cat, args)
	}
	reqs, err := s.requests(cat, args)
	if err != nil {
		return nil, err
	}
	r, err := solve.Solve(cat, solve.Query{Targets: reqs[0].Targets, Platform: reqs[0].Platform, Pins: reqs[0].Pins})
	if err != nil {
		return nil, err
	}
	return plan.Resolved(r), nil
}

// svg draws a graph with the program dot.
func (a *app) svg(ctx context.Context, g *plan.Graph) error {
	program, err := exec.LookPath("dot")
	if err != nil {
		return fmt.Errorf("drawing SVG needs the program dot of Graphviz (Debian and Ubuntu: apt-get install graphviz); -o dot needs nothing: %w", err)
	}
	var in, stderr bytes.Buffer
	if err := g.Dot(&in); err != nil {
		return err
	}
	dot := exec.CommandContext(ctx, program, "-Tsvg")
	dot.Stdin, dot.Stdout, dot.Stderr = &in, a.stdout, &stderr
	if err := dot.Run(); err != nil {
		return fmt.Errorf("drawing with %s: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

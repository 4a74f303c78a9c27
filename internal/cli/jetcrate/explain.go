package jetcrate

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/solve"
)

func (a *app) explainCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "explain TARGET...", Short: "Say which versions a target resolves to and why, or why it is impossible",
		Example: "  jetcrate explain pytorch --l4t r36.4\n  jetcrate explain pytorch:2.8 --l4t r35.4.1",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			cat, _, err := a.load()
			if err != nil {
				return err
			}
			reqs, err := s.requests(cat, args)
			if err != nil {
				return err
			}
			q := solve.Query{Targets: reqs[0].Targets, Platform: reqs[0].Platform, Pins: reqs[0].Pins}
			why, err := solve.New(cat).Explain(q)
			var impossible *solve.Impossible
			if errors.As(err, &impossible) && a.output == "json" {
				return cmp.Or(a.json(impossible), error(said{exitNo}))
			}
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(why)
			}
			for _, w := range why {
				fmt.Fprintf(a.stdout, "%s %s: %s\n", w.Package, w.Version, w.Reason)
				for _, r := range w.Refused {
					fmt.Fprintf(a.stdout, "  not %s\n", r)
				}
			}
			return nil
		},
	}
	s.flags(c, a)
	return c
}

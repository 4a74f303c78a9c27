package jetcrate

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/store"
)

// withStore opens the store for as long as do runs.
func (a *app) withStore(ctx context.Context, do func(*store.Store) error) error {
	d, err := findDirs()
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, d)
	if err != nil {
		return err
	}
	defer st.Close()
	return do(st)
}

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "store", Short: "Look at and serve the store: the registry that holds everything made",
		Args: noArgs, Example: "  jetcrate store ls\n  jetcrate store serve",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List the records and names in the store", Example: "  jetcrate store ls", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), func(st *store.Store) error {
					tags, err := st.Tags(c.Context())
					for _, t := range tags {
						fmt.Fprintf(a.stdout, "%s:%s\n", st.Repository(), t)
					}
					return err
				})
			},
		},
		&cobra.Command{
			Use: "serve", Short: "Serve the embedded store until interrupted, so that docker can pull from it",
			Example: "  jetcrate store serve", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), func(st *store.Store) error {
					fmt.Fprintf(a.stderr, "serving %s; Ctrl-C ends it\n", st.Repository())
					<-c.Context().Done()
					return nil
				})
			},
		},
	)
	return c
}

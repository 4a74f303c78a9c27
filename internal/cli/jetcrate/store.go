package jetcrate

import (
	"fmt"

	"github.com/spf13/cobra"
)

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
				d, err := findDirs()
				if err != nil {
					return err
				}
				st, err := a.openStore(c.Context(), d)
				if err != nil {
					return err
				}
				defer st.Close()
				tags, err := st.Tags(c.Context())
				if err != nil {
					return err
				}
				for _, t := range tags {
					fmt.Fprintf(a.stdout, "%s:%s\n", st.Repository(), t)
				}
				return nil
			},
		},
		&cobra.Command{
			Use: "serve", Short: "Serve the embedded store until interrupted, so that docker can pull from it",
			Example: "  jetcrate store serve", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				d, err := findDirs()
				if err != nil {
					return err
				}
				st, err := a.openStore(c.Context(), d)
				if err != nil {
					return err
				}
				defer st.Close()
				fmt.Fprintf(a.stderr, "serving %s; Ctrl-C ends it\n", st.Repository())
				<-c.Context().Done()
				return nil
			},
		},
	)
	return c
}

package jetcrate

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/spec"
)

func (a *app) schemaCommand() *cobra.Command {
	var with bool
	c := &cobra.Command{
		Use: "schema " + strings.Join(spec.Kinds(), "|"), Short: "Print the JSON schema of a file format",
		Long: `Prints the JSON schema of a file format, for editors.

--with-catalog makes it know the packages of this catalog with their versions, aliases,
steps with their inputs, and platforms: an editor completes them, and marks a name that
there is not. It goes out of date with the catalog: write it anew, and keep it out of git.`,
		Example:   "  jetcrate schema package > package.schema.json\n  jetcrate schema package --with-catalog > .cache/package.schema.json",
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
			if with {
				if b, err = a.schemaWithCatalog(args[0]); err != nil {
					return err
				}
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
	c.Flags().BoolVar(&with, "with-catalog", false, "know what this catalog holds")
	return c
}

// schemaWithCatalog takes what a catalog with mistakes holds, too: the schema is
// there to mend them.
func (a *app) schemaWithCatalog(kind string) ([]byte, error) {
	cat, _, list, err := a.read()
	if err != nil {
		return nil, err
	}
	if list.HasErrors() {
		fmt.Fprintln(a.stderr, "jetcrate: the catalog has mistakes, and the schema may lack what they hide; jetcrate lint lists them")
	}
	return spec.SchemaWith(kind, cat)
}

package jetcrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

// pipelineKind is the kind of file that spec leaves to workflow.
const pipelineKind = "pipeline"

func (a *app) schemaCommand() *cobra.Command {
	var with bool
	kinds := append(spec.Kinds(), pipelineKind)
	c := &cobra.Command{
		Use: "schema " + strings.Join(kinds, "|"), Short: "Print the JSON schema of a file format",
		Long: `Prints the JSON schema of a file format, for editors.

--with-catalog makes it know the packages of this catalog with their versions, aliases,
steps with their inputs, and platforms: an editor completes them, and marks a name that
there is not. It goes out of date with the catalog: write it anew, and keep it out of git.
A pipeline holds nothing of the catalog, and its schema has no such form.`,
		Example:   "  jetcrate schema package > package.schema.json\n  jetcrate schema package --with-catalog > .cache/package.schema.json",
		ValidArgs: kinds,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usage{fmt.Errorf("name one schema; allowed: %s", strings.Join(kinds, ", "))}
			case !slices.Contains(kinds, args[0]):
				return usage{fmt.Errorf("no schema %q; allowed: %s", args[0], strings.Join(kinds, ", "))}
			case with && args[0] == pipelineKind:
				return usage{errors.New("the schema of a pipeline holds nothing of a catalog: leave --with-catalog out")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := a.schema(args[0], with)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
	c.Flags().BoolVar(&with, "with-catalog", false, "know what this catalog holds")
	return c
}

func (a *app) schema(kind string, withCatalog bool) ([]byte, error) {
	switch {
	case kind == pipelineKind:
		f, err := workflow.Format()
		if err != nil {
			return nil, err
		}
		return f.Schema(), nil
	case withCatalog:
		return a.schemaWithCatalog(kind)
	}
	return spec.Schema(kind)
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

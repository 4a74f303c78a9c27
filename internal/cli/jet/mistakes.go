package jet

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// unknownFlag says which flag was meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	if cmd.Root() == cmd {
		return mistake("%w\nflags come after the command, as in: jet autotag pytorch --why", err)
	}
	if near := nearFlag(cmd.Flags(), unknown.GetSpecifiedName()); near != "" {
		return mistake("%w\ndid you mean --%s?", err, near)
	}
	return mistake("%w\nallowed: %s --help lists them", err, cmd.CommandPath())
}

// nearFlag is the flag that a name is a slip of, or the end of: --l4t is --host-l4t.
func nearFlag(flags *pflag.FlagSet, name string) string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := diag.Suggest(name, names); near != "" {
		return near
	}
	i := slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "-"+name) })
	if i < 0 {
		return ""
	}
	return names[i]
}

// unknownCommand says which command was meant, where the first word is none.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := diag.Suggest(args[0], names); near != "" {
		return mistake("there is no command %q\ndid you mean %q?", args[0], near)
	}
	return mistake("there is no command %q\njet --help lists them; a package follows one, as in: jet run pytorch", args[0])
}

// noArgs takes no words, and somePackages one at least.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return mistake("%s takes flags only, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func somePackages(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return mistake("name a package, as in: %s pytorch\njet list says which run here", cmd.CommandPath())
	}
	return nil
}

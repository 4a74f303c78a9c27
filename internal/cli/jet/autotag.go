package jet

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) autotagCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	cmd := &cobra.Command{
		Use:   "autotag PACKAGE[:VERSION][+OPTION]...",
		Short: "Print the image of these packages that runs on this host",
		Long: `Prints the reference of one image that holds all the packages and runs on this
host, and nothing else on stdout. Reasons go to stderr.

Exit code 3 says that no image is known to run here: why, and what comes nearest,
is on stderr.`,
		Example: `  jet autotag pytorch
  jet autotag pytorch:2.8 ros2:humble --why
  jet autotag pytorch --host-l4t 36.4.3 -o json
  docker run --runtime nvidia --rm $(jet autotag pytorch)`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return mistake("--output %q is none of text, json", output)
			}
			r, err := q.ask(args)
			if err != nil {
				return err
			}
			return a.answer(r, output, q.why)
		},
	}
	q.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(cmd, "output", "text", "json")
	return cmd
}

func (a *app) answer(r *reply, output string, why bool) error {
	if why {
		r.explain(a)
	}
	if output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return environment("writing the answer: %w", err)
		}
	}
	if r.Chosen == nil {
		return &no{r.Why}
	}
	r.warn(a)
	if output == "text" {
		if _, err := fmt.Fprintln(a.stdout, r.Reference); err != nil {
			return environment("writing the answer: %w", err)
		}
	}
	return nil
}

package jet

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/resolve"
)

func (a *app) autotagCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	var build bool
	cmd := &cobra.Command{
		Use:   "autotag PACKAGE[:VERSION][+OPTION]...",
		Short: "Print the image of these packages that runs on this host",
		Long: `Prints the reference of one image that holds all the packages and runs on this
host, and nothing else on stdout. Reasons go to stderr.

Images that Docker has count like those of the table, by what their labels say.

Exit code 3 says that no image is known to run here: why, what comes nearest, and
what could be built is on stderr.`,
		Example: `  jet autotag pytorch
  jet autotag pytorch:2.8 ros2:humble --why
  jet autotag pytorch --host-l4t 36.4.3 -o json
  docker run --runtime nvidia --rm $(jet autotag pytorch)`,
		Args: somePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			r, err := q.ask(cmd.Context(), args, q.why || output == "json")
			if err != nil {
				return err
			}
			if build && r.Chosen == nil && r.Build != nil {
				if err := a.build(cmd.Context(), r.Build); err != nil {
					return err
				}
				if r, err = q.ask(cmd.Context(), args, q.why || output == "json"); err != nil {
					return err
				}
			}
			return a.answer(r, output, q.why)
		},
	}
	q.flags(cmd)
	cmd.Flags().BoolVar(&build, "build", false, "where no image is there but one is declared, run jetcrate to build it")
	outputFlag(cmd, &output)
	return cmd
}

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text or json")
	complete(cmd, "output", "text", "json")
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return mistake("--output %q is none of text, json", output)
	}
	return nil
}

func (a *app) answer(r *reply, output string, why bool) error {
	if why {
		r.explain(a)
	}
	if output == "json" {
		if err := a.json(r); err != nil {
			return err
		}
	}
	if r.Chosen == nil {
		return r.refusal()
	}
	r.warn(a)
	if output == "text" {
		return a.line(r.Reference)
	}
	return nil
}

// refusal says why there is no image, and what could be built.
func (r *reply) refusal() error {
	lines := r.Why
	if len(r.Composition) > 0 {
		var names []string
		for _, c := range r.Composition {
			names = append(names, c.Image)
		}
		lines = append(lines, "jet pull and jet run put one together of the layers of "+strings.Join(names, " and "))
	}
	if r.Build != nil {
		line, err := commandLine(buildLine(r.Build))
		if err != nil {
			return err
		}
		lines = append(lines, "it is declared and could be built: "+line)
	}
	return &no{lines}
}

// buildLine is the command that builds what is declared and leaves it in Docker.
func buildLine(b *resolve.Build) []string {
	argv := append([]string{"jetcrate", "build"}, b.Packages...)
	argv = append(argv, "--l4t", b.Platform.L4T, "--flavour", b.Platform.Flavour)
	if b.Platform.CUDA != nil {
		argv = append(argv, "--cuda", b.Platform.CUDA.Version)
	}
	if b.Platform.Python != "" {
		argv = append(argv, "--python", b.Platform.Python)
	}
	return append(argv, "--load")
}

// build runs jetcrate; its output goes to stderr, where progress belongs.
func (a *app) build(ctx context.Context, b *resolve.Build) error {
	argv := buildLine(b)
	line, err := commandLine(argv)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return environment("jetcrate is not to be found on PATH; where it is, run: %s", line)
	}
	a.say("building: %s", line)
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Stdout, cmd.Stderr = a.stderr, a.stderr
	if err := cmd.Run(); err != nil {
		return environment("building: %w", err)
	}
	return nil
}

// json writes a value to stdout.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return environment("writing the answer: %w", err)
	}
	return nil
}

// line writes a line to stdout.
func (a *app) line(s string) error {
	if _, err := fmt.Fprintln(a.stdout, s); err != nil {
		return environment("writing the answer: %w", err)
	}
	return nil
}

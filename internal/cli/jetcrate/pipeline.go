package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

func (a *app) pipelineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "pipeline", Short: "Run the pipelines of the catalog, and render them for GitHub",
		Long: `A pipeline is pipelines/NAME.yaml, a GitHub workflow whose actions are jetcrate's own
commands. It runs here as it runs on GitHub. docs/pipelines.md says what is supported.`,
		Example: "  jetcrate pipeline list\n  jetcrate pipeline run nightly --matrix l4t=36.4.0\n  jetcrate pipeline render",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.pipelineListCommand(), a.pipelineLintCommand(), a.pipelineGraphCommand(), a.pipelineRunCommand(),
		a.pipelineRenderCommand(), a.pipelineActionCommand())
	return c
}

// pipelines reads the pipelines of the catalog; mistakes are the error.
func (a *app) pipelines(engine string) (string, []*workflow.Workflow, error) {
	dir, all, list, err := a.readPipelines(engine)
	if err != nil {
		return "", nil, err
	}
	return dir, all, list.Err()
}

func (a *app) readPipelines(engine string) (string, []*workflow.Workflow, diag.List, error) {
	dir, err := a.catalogRoot()
	if err != nil {
		return "", nil, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", nil, nil, fmt.Errorf("opening the catalog: %w", err)
	}
	defer root.Close()
	all, list, err := workflow.Load(root.FS(), a.actions(engine))
	return dir, all, list, err
}

// pipeline finds one by its name.
func pipeline(all []*workflow.Workflow, name string) (*workflow.Workflow, error) {
	if w := workflow.Find(all, name); w != nil {
		return w, nil
	}
	var names []string
	for _, w := range all {
		names = append(names, w.ID)
	}
	hint := diag.DidYouMean(name, names)
	switch {
	case len(names) == 0:
		hint = "the folder " + workflow.Folder + " of the catalog has none"
	case hint == "":
		hint = "there are: " + strings.Join(names, ", ")
	}
	return nil, usage{fmt.Errorf("no pipeline %q; %s", name, hint)}
}

func onePipeline(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage{fmt.Errorf("%s takes the name of one pipeline", c.CommandPath())}
	}
	return nil
}

// completePipelines completes names of pipelines.
func (a *app) completePipelines(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	_, all, _, err := a.readPipelines("")
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, w := range all {
		names = append(names, w.ID+"\t"+w.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) pipelineListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the pipelines, what starts them and their jobs", Args: noArgs,
		Example: "  jetcrate pipeline list\n  jetcrate pipeline list -o json",
		RunE: func(*cobra.Command, []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			_, all, err := a.pipelines("")
			if err != nil {
				return err
			}
			type row struct {
				ID   string   `json:"id"`
				Name string   `json:"name"`
				On   []string `json:"on"`
				Jobs []string `json:"jobs"`
			}
			rows := []row{}
			width := 0
			for _, w := range all {
				rows = append(rows, row{w.ID, w.Name, w.EventNames(), w.Order})
				width = max(width, len(w.ID))
			}
			if a.output == "json" {
				return a.json(rows)
			}
			for _, r := range rows {
				fmt.Fprintf(a.stdout, "%-*s  %s; on %s; jobs %s\n", width, r.ID, r.Name, strings.Join(r.On, ", "), strings.Join(r.Jobs, ", "))
			}
			return nil
		},
	}
}

func (a *app) pipelineLintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint", Short: "Check every pipeline", Args: noArgs,
		Long: `Checks every pipeline: keys, contexts and functions as GitHub has them, needs, matrices,
inputs of actions, shell syntax, and values in run that a shell could read as code.`,
		Example: "  jetcrate pipeline lint\n  jetcrate pipeline lint -o sarif",
		RunE: func(*cobra.Command, []string) error {
			if err := a.formats("text", "json", "sarif"); err != nil {
				return err
			}
			_, all, list, err := a.readPipelines("")
			if err != nil {
				return err
			}
			switch a.output {
			case "json":
				err = diag.WriteJSON(a.stdout, list)
			case "sarif":
				err = diag.WriteSARIF(a.stdout, list)
			default:
				err = diag.WriteText(a.stderr, list, a.colour())
			}
			switch {
			case err != nil:
				return err
			case list.HasErrors():
				return said{exitMistake}
			case a.output == "text":
				fmt.Fprintf(a.stdout, "%s: no mistakes\n", count(len(all), "pipeline"))
			}
			return nil
		},
	}
}

func (a *app) pipelineGraphCommand() *cobra.Command {
	return &cobra.Command{
		Use: "graph NAME", Short: "Show the jobs of a pipeline in the order of their needs", Args: onePipeline,
		Example: "  jetcrate pipeline graph nightly\n  jetcrate pipeline graph nightly -o dot | dot -Tsvg > nightly.svg", ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text", "json", "dot"); err != nil {
				return err
			}
			_, all, err := a.pipelines("")
			if err != nil {
				return err
			}
			w, err := pipeline(all, args[0])
			if err != nil {
				return err
			}
			switch a.output {
			case "json":
				return a.json(w.Waves())
			case "dot":
				fmt.Fprintf(a.stdout, "digraph %q {\n  rankdir=LR;\n", w.ID)
				for _, id := range w.Order {
					fmt.Fprintf(a.stdout, "  %q;\n", id)
					for _, n := range w.Jobs[id].Needs {
						fmt.Fprintf(a.stdout, "  %q -> %q;\n", n, id)
					}
				}
				fmt.Fprintln(a.stdout, "}")
				return nil
			}
			for i, wave := range w.Waves() {
				for _, id := range wave {
					line := fmt.Sprintf("%d  %s", i+1, id)
					if needs := w.Jobs[id].Needs; len(needs) > 0 {
						line += " after " + strings.Join(needs, ", ")
					}
					if s := w.Jobs[id].Strategy; s != nil && s.Matrix != nil {
						line += " (matrix)"
					}
					fmt.Fprintln(a.stdout, line)
				}
			}
			return nil
		},
	}
}

// pipelineActionCommand is what rendered workflows run: one action, with its
// inputs in the variables INPUT_<NAME>, or as lines NAME=VALUE in INPUT_WITH.
func (a *app) pipelineActionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "action NAME", Short: "Run one action; its inputs are the variables INPUT_NAME", Hidden: true,
		Example: "  INPUT_ALL=true jetcrate pipeline action jetcrate/build",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage{fmt.Errorf("%s takes the name of one action", c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.runAction(c.Context(), args[0]) },
	}
}

func (a *app) runAction(ctx context.Context, name string) error {
	actions := a.actions("")
	act, ok := actions[name]
	if !ok {
		return usage{fmt.Errorf("no action %q; there are %s", name, strings.Join(slices.Sorted(keysOf(actions)), ", "))}
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	call := workflow.Call{With: map[string]string{}, Dir: dir, Stdout: a.stdout, Stderr: a.stderr}
	for input := range act.Inputs {
		if v, ok := os.LookupEnv(workflow.InputVariable(input)); ok {
			call.With[input] = v
		}
	}
	for line := range strings.Lines(os.Getenv("INPUT_WITH")) {
		line = strings.TrimSpace(line)
		k, v, ok := strings.Cut(line, "=")
		if _, known := act.Inputs[k]; line != "" && (!ok || !known) {
			return usage{fmt.Errorf("INPUT_WITH: %q is not NAME=VALUE with an input of %s: %s", line, name, strings.Join(slices.Sorted(keysOf(act.Inputs)), ", "))}
		}
		if line != "" {
			call.With[k] = v
		}
	}
	summary, err := appendTo("GITHUB_STEP_SUMMARY")
	if err != nil {
		return err
	}
	defer summary.Close()
	call.Summary = summary
	outputs, err := act.Run(ctx, call)
	if writeErr := writeOutputs(outputs); writeErr != nil && err == nil {
		err = writeErr
	}
	var failed *workflow.Failed
	if errors.As(err, &failed) {
		a.say(err)
		return said{exitNo}
	}
	return err
}

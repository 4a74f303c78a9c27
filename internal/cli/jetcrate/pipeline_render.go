package jetcrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/workflow"
)

func (a *app) pipelineRenderCommand() *cobra.Command {
	var out string
	var check bool
	c := &cobra.Command{
		Use: "render [NAME...]", Short: "Write the pipelines as GitHub workflows",
		Long: `Writes .github/workflows/NAME.yml for every pipeline, or those named: the same jobs, with
actions of others pinned by commit, no more permissions than the pipeline asks for, and
values handed to commands as variables. --check writes nothing and says what differs.`,
		Example:           "  jetcrate pipeline render\n  jetcrate pipeline render --check",
		ValidArgsFunction: a.completePipelines,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.formats("text"); err != nil {
				return err
			}
			dir, all, err := a.pipelines("")
			if err != nil {
				return err
			}
			if len(args) > 0 {
				var some []*workflow.Workflow
				for _, name := range args {
					w, err := pipeline(all, name)
					if err != nil {
						return err
					}
					some = append(some, w)
				}
				all = some
			}
			if out == "" {
				out = filepath.Join(dir, ".github", "workflows")
			}
			return a.render(all, out, check)
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to write to (default .github/workflows of the catalog)")
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit with 3 where a file differs")
	return c
}

func (a *app) render(all []*workflow.Workflow, out string, check bool) error {
	differs := false
	for _, w := range all {
		data, err := workflow.Render(w)
		if err != nil {
			return err
		}
		file := filepath.Join(out, w.ID+".yml")
		have, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading what was rendered: %w", err)
		}
		switch {
		case err == nil && bytes.Equal(have, data):
		case check:
			differs = true
			fmt.Fprintf(a.stdout, "%s differs from %s: jetcrate pipeline render\n", file, w.Doc.Name)
		default:
			if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("writing %s: %w", file, err)
			}
			if err := renameio.WriteFile(file, data, 0o644); err != nil {
				return fmt.Errorf("writing %s: %w", file, err)
			}
			fmt.Fprintln(a.stdout, file)
		}
	}
	if differs {
		return said{exitNo}
	}
	return nil
}

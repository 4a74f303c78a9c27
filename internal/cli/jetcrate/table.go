package jetcrate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/docker/go-units"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/fold"
)

func (a *app) tableCommand() *cobra.Command {
	s := selection{all: true}
	var out, push string
	var of place
	c := &cobra.Command{
		Use: "table", Short: "Write the compatibility table of what the store holds for the matrix, or of what was published",
		Example: "  jetcrate table\n  jetcrate table --published registry.example.org/jetson --out site/", Args: noArgs,
		Long: `Writes table.json, which jet answers from, and table.md. A row says what evidence
says and nothing else: a cell without an image or without tests is shown as such.
With --published it is the fold of the signed log of a place and of the matrix, and
carries that log: whoever has one such table can tell that the next goes on from it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			ctx := c.Context()
			cat, _, p, err := a.plan(&s, nil)
			if err != nil {
				return err
			}
			d, err := findDirs()
			if err != nil {
				return err
			}
			if out == "" {
				out = d.data
			}
			if of.to != "" {
				if err := of.check(); err != nil {
					return err
				}
				rules := cat.Matrix.Repository(of.to)
				return a.withLedger(ctx, of, rules, func(_ *store.Store, l *ledger.Ledger) error {
					s, err := l.Read(ctx)
					if err != nil {
						return err
					}
					if s.Head.Size == 0 {
						a.say(fmt.Errorf("warning: nothing was published to %s: its log has no entries", l.Place()))
					}
					p.Cells = slices.DeleteFunc(p.Cells, func(c *plan.Cell) bool { return c.Platform.Testbed && !rules.Testbed })
					return a.writeTable(ctx, fold.Published(p, l.Place(), s.Rows(), s.Others(), s.Signed, about(cat)), out, push)
				})
			}
			st, err := a.openStore(ctx, d)
			if err != nil {
				return err
			}
			defer st.Close()
			t, err := fold.Table(ctx, p, st, about(cat))
			if err != nil {
				return fmt.Errorf("making the table: %w", err)
			}
			return a.writeTable(ctx, t, out, push)
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder for table.json and table.md (default: where jet looks)")
	c.Flags().StringVar(&push, "push", "", "registry reference to push it to as well, for jet update oci://...")
	of.flags(c, "published", "place whose log is folded: host/path (default: what the store holds)")
	return c
}

func (a *app) writeTable(ctx context.Context, t *table.Table, dir, push string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	var js, md bytes.Buffer
	if err := t.Write(&js); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if err := t.Markdown(&md); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	for name, b := range map[string][]byte{"table.json": js.Bytes(), "table.md": md.Bytes()} {
		if err := renameio.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return fmt.Errorf("writing the table: %w", err)
		}
	}
	if push != "" {
		digest, err := image.PushFile(ctx, push, table.MediaType, js.Bytes(), a.insecure)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "pushed %s@%s\n", push, digest)
	}
	if a.output == "json" {
		_, err := a.stdout.Write(js.Bytes())
		return err
	}
	cells, built, tested := 0, 0, 0
	for _, r := range t.Rows {
		if r.Status != table.Current {
			continue
		}
		cells++
		if r.State == table.Built {
			built++
			if r.Evidence.Tested() {
				tested++
			}
		}
	}
	fmt.Fprintf(a.stdout, "%d cells, %d with an image, %d of them tested: %s\n", cells, built, tested, filepath.Join(dir, "table.json"))
	return nil
}

// about is what a device wants to know of a package.
func about(cat *spec.Catalog) fold.About {
	return func(name string) (aliases []string, models int64) {
		p := cat.Packages[name]
		if p.Storage != nil {
			models, _ = units.RAMInBytes(p.Storage.Models) // lint has looked at it; "" is none
		}
		return p.Aliases, max(models, 0)
	}
}

package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/spec/revision"
)

func (a *app) diffCommand() *cobra.Command {
	var s selection
	c := &cobra.Command{
		Use: "diff OLD [NEW [TARGET...]]", Short: "Say which cells change between two catalogs or revisions, and why",
		Long: `Says which cells change between two catalogs, and why: what falls out first, then each
cause once with how many cells, layers and artifacts it reaches. Nothing is built.

OLD and NEW are folders of catalogs (with a matrix.yaml) or git revisions of the
catalog's repository, which are read without touching the working tree. NEW is the
catalog itself unless given. Compared are the cells of strategy.matrix; --all takes
every package on every platform with every CUDA stack, TARGETs with --l4t only these.
-o github prints the cells of the matrix that have to be made, as strategy.matrix of a
workflow takes them by fromJSON.

What is in no key changes nothing: comments, hosts, timeouts, resources.`,
		Example: "  jetcrate diff main\n  jetcrate diff v1.2.0 HEAD --all --filter l4t=36.4.0\n  jetcrate diff main . pytorch --l4t r36.4\n  jetcrate diff origin/main HEAD -o markdown",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage{errors.New("name what to compare with: a git revision such as main, or the folder of a catalog")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json", "markdown", "github"); err != nil {
				return err
			}
			newName, targets := ".", []string{}
			here := len(args) < 2 || args[1] == "." // wherever below it this is
			if len(args) > 1 {
				newName, targets = args[1], args[2:]
			}
			s.all = len(targets) == 0 && !s.whole
			d, err := a.diff(c.Context(), &s, args[0], newName, here, targets)
			if err != nil {
				return err
			}
			switch a.output {
			case "json":
				return a.json(d)
			case "markdown":
				return a.buffered(func(w io.Writer) { d.Markdown(w) })
			case "github":
				cat, files, err := a.catalogAt(c.Context(), newName, here)
				if err != nil {
					return err
				}
				return a.affected(cat, files, s, d)
			}
			return a.buffered(func(w io.Writer) { d.Text(w) })
		},
	}
	s.flags(c, a)
	c.ValidArgsFunction = nil
	c.Flags().BoolVar(&s.whole, "all", false, "every package on every platform with every CUDA stack")
	s.filter.flag(c)
	return c
}

// diff plans both sides and compares them. Where one of them cannot be asked for
// the targets, all its cells are missing.
func (a *app) diff(ctx context.Context, s *selection, oldName, newName string, here bool, targets []string) (*plan.Changes, error) {
	old, oldErr, err := a.side(ctx, s, oldName, false, targets)
	if err != nil {
		return nil, err
	}
	new, newErr, err := a.side(ctx, s, newName, here, targets)
	if err != nil {
		return nil, err
	}
	switch {
	case oldErr != nil && newErr != nil:
		return nil, newErr
	case oldErr != nil:
		fmt.Fprintf(a.stderr, "jetcrate: %s has no such cells: %s\n", oldName, diag.Clean(oldErr.Error()))
	case newErr != nil:
		fmt.Fprintf(a.stderr, "jetcrate: %s has no such cells: %s\n", newName, diag.Clean(newErr.Error()))
	}
	return plan.Diff(old, new), nil
}

// side plans what one side has of the cells; asked is why it can have none.
func (a *app) side(ctx context.Context, s *selection, name string, here bool, targets []string) (p *plan.Plan, asked, err error) {
	cat, files, err := a.catalogAt(ctx, name, here)
	if err != nil {
		return nil, nil, err
	}
	one := *s // requests fills it from the environment
	reqs, asked := one.requests(cat, targets)
	if asked != nil && (len(targets) == 0 || one.l4t == "") {
		return nil, nil, asked
	}
	if asked != nil {
		reqs = nil
	}
	p, err = plan.New(cat, files, reqs)
	return p, asked, at(name, err)
}

// catalogAt reads the catalog of a folder or of a git revision; here is the
// catalog itself.
func (a *app) catalogAt(ctx context.Context, name string, here bool) (*spec.Catalog, fs.FS, error) {
	if here {
		return a.load()
	}
	files, err := a.filesAt(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	cat, list := spec.Load(files, spec.Options{Matrix: a.matrix})
	return cat, files, at(name, list.Err())
}

func (a *app) filesAt(ctx context.Context, name string) (fs.FS, error) {
	if _, err := os.Stat(filepath.Join(name, "matrix.yaml")); err == nil && name != "" {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, fmt.Errorf("opening the catalog %s: %w", name, err)
		}
		return root.FS(), nil
	}
	dir, err := a.catalogRoot()
	if err != nil {
		return nil, err
	}
	c, err := revision.Read(ctx, dir, name, a.matrix...)
	var unknown *revision.Unknown
	if errors.As(err, &unknown) {
		return nil, usage{fmt.Errorf("%q is neither a folder with a matrix.yaml nor a git revision of the catalog: %s", name, unknown.Reason)}
	}
	if err != nil {
		return nil, err
	}
	return c.Files, nil
}

// at says in which catalog the mistakes are.
func at(name string, err error) error {
	list, ok := diag.From(err)
	if !ok {
		return err
	}
	named := make(diag.List, len(list))
	for i, d := range list {
		d.File = strings.TrimSuffix(name+":"+d.File, ":")
		named[i] = d
	}
	return named.Err()
}

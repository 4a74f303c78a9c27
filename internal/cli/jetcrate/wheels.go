package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
)

func (a *app) wheelsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "wheels", Short: "The index of the wheels that were built and tested: list, write, bundle, upload, yank",
		Args: noArgs, Example: "  jetcrate wheels index public/wheels\n  jetcrate wheels ls\n  jetcrate wheels push https://pypi.example/legacy/ --line jp6/cu126",
		Long: `An index for pip for each platform line and CUDA (jp6/cu126), made of the artifacts in
the store whose packages passed their tests. It is recorded in the store with all its
files, and only grows: what must no longer be used is yanked.`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.wheelsListCommand(), a.wheelsIndexCommand(), a.wheelsExportCommand(), a.wheelsPushCommand(), a.wheelsYankCommand())
	return c
}

// lineFlag is the flag --line of a command.
func (a *app) lineFlag(c *cobra.Command, into *string) {
	c.Flags().StringVar(into, "line", "", "only the index of this line, such as jp6/cu126")
	_ = c.RegisterFlagCompletionFunc("line", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var out []string
		_ = a.withStore(c.Context(), func(st *store.Store) error {
			lines, err := wheel.Lines(c.Context(), st)
			for _, l := range lines {
				out = append(out, l.String())
			}
			return err
		})
		return out, cobra.ShellCompDirectiveNoFileComp
	})
}

// trees reads what the store records, of one line or of all.
func trees(ctx context.Context, st *store.Store, line string) ([]*wheel.Tree, error) {
	all, err := wheel.Trees(ctx, st)
	if err != nil {
		return nil, err
	}
	if line == "" {
		if len(all) == 0 {
			return nil, usage{errors.New("the store has no index of wheels yet: jetcrate wheels index makes one of what was built")}
		}
		return all, nil
	}
	l, err := wheel.ParseLine(line)
	if err != nil {
		return nil, usage{fmt.Errorf("--line: %w", err)}
	}
	var known []string
	for _, t := range all {
		if t.Line == l {
			return []*wheel.Tree{t}, nil
		}
		known = append(known, t.Line.String())
	}
	return nil, usage{fmt.Errorf("--line: the store has no wheels of %s; it has %s", l, or(strings.Join(known, ", "), "none"))}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (a *app) wheelsListCommand() *cobra.Command {
	var line string
	c := &cobra.Command{
		Use: "ls", Short: "List the wheels of the index", Args: noArgs, Example: "  jetcrate wheels ls\n  jetcrate wheels ls --line jp6/cu126 -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				list, err := trees(c.Context(), st, line)
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.json(list)
				}
				w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
				for _, t := range list {
					for _, x := range t.Wheels {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Line, x.Name, size(x.Size), "sha256:"+x.SHA256[:12], notes(t, x))
					}
				}
				return w.Flush()
			})
		},
	}
	a.lineFlag(c, &line)
	return c
}

// notes is what people should know of a wheel.
func notes(t *wheel.Tree, w wheel.Wheel) string {
	var out []string
	if w.GPU {
		out = append(out, "CUDA code")
		if !w.Labelled {
			out = append(out, "version without +"+t.Line.CUDA)
		}
	}
	if w.Untested {
		out = append(out, "untested")
	}
	if t.Testbed {
		out = append(out, "testbed")
	}
	if w.Yanked {
		out = append(out, "yanked: "+diag.Clean(w.Reason))
	}
	return strings.Join(out, ", ")
}

func (a *app) wheelsIndexCommand() *cobra.Command {
	s := selection{all: true}
	var o wheel.Options
	var replace, mirror bool
	var line string
	c := &cobra.Command{
		Use: "index [DIR]", Short: "Record the wheels of the store in its index, and write that as static files",
		Example: "  jetcrate wheels index public/wheels\n  jetcrate wheels index --l4t r36.4\n  jetcrate wheels index --mirror public/wheels",
		Long: `Adds the wheels that were built for the matrix, and whose packages passed their tests, to
the index in the store, and writes that to DIR for any web server: PEP 503 pages, PEP 691
JSON, the metadata files of PEP 658. A reader never sees half of it.

--mirror writes what the store records and needs no catalog: a copy of the store gives
the same files. A file name that is in the index keeps its bytes; another file of that
name is reported and left out, unless --replace is given.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) > 1 {
				return usage{fmt.Errorf("wheels index takes one folder, got %q", args[1])}
			}
			if mirror && len(args) == 0 {
				return usage{errors.New("--mirror writes the index: name a folder")}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				var left []wheel.Left
				if !mirror {
					var err error
					if left, err = a.recordWheels(c.Context(), st, &s, o, replace); err != nil {
						return err
					}
				}
				list, err := wheel.Trees(c.Context(), st)
				if err == nil && line != "" {
					list, err = trees(c.Context(), st, line)
				}
				if err != nil {
					return err
				}
				fresh := 0
				if len(args) == 1 {
					if fresh, err = (wheel.Site{Trees: list, Store: st}).Write(c.Context(), args[0]); err != nil {
						return err
					}
				}
				return a.indexed(list, left, args, fresh)
			})
		},
	}
	s.flags(c, a)
	c.ValidArgsFunction = nil // a folder
	s.filter.flag(c)
	f := c.Flags()
	f.BoolVar(&o.Untested, "untested", false, "take wheels whose tests nobody ran, too; those that failed are never taken")
	f.BoolVar(&o.Testbed, "testbed", false, "take the wheels made on the testbed's stand-ins, and no others; for checks")
	f.BoolVar(&replace, "replace", false, "let a new file take the name of another; breaks whoever has the old hash")
	f.BoolVar(&mirror, "mirror", false, "write what the store records, and look for nothing new")
	a.lineFlag(c, &line)
	return c
}

// recordWheels adds what the store has for the matrix to its index.
func (a *app) recordWheels(ctx context.Context, st *store.Store, s *selection, o wheel.Options, replace bool) ([]wheel.Left, error) {
	_, _, p, err := a.plan(s, nil)
	if err != nil {
		return nil, err
	}
	if o.Known, err = wheel.Trees(ctx, st); err != nil {
		return nil, err
	}
	found, err := wheel.Collect(ctx, p, st, o)
	if err != nil {
		return nil, err
	}
	_, left, err := found.Record(ctx, st, replace, o.Testbed)
	return left, err
}

// indexed says what an index has become.
func (a *app) indexed(list []*wheel.Tree, left []wheel.Left, dirs []string, fresh int) error {
	var unlabelled []string
	for _, t := range list {
		for _, w := range t.Wheels {
			if w.GPU && !w.Labelled {
				unlabelled = append(unlabelled, fmt.Sprintf("%s: %s", t.Line, w.Name))
			}
		}
	}
	if a.output == "json" {
		return a.json(struct {
			Trees      []*wheel.Tree `json:"trees"`
			Left       []wheel.Left  `json:"left"`
			Unlabelled []string      `json:"unlabelled"`
		}{list, append([]wheel.Left{}, left...), append([]string{}, unlabelled...)})
	}
	for _, l := range left {
		fmt.Fprintf(a.stderr, "left out: %s\n", diag.Clean(l.String()))
	}
	for _, w := range unlabelled {
		fmt.Fprintf(a.stderr, "warning: %s holds CUDA code, and its version does not say so: beside another index pip cannot tell it from a build without\n", w)
	}
	for _, t := range list {
		fmt.Fprintf(a.stdout, "%s: %s in %s\n", t.Line, count(len(t.Wheels), "wheel"), count(len(t.Projects()), "project"))
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stderr, "no wheels: nothing that was built for this matrix, and tested, left any")
	}
	if len(dirs) == 1 {
		fmt.Fprintf(a.stderr, "%s: %s new\n", dirs[0], count(fresh, "file"))
	}
	return nil
}

func (a *app) wheelsExportCommand() *cobra.Command {
	var line string
	var offline bool
	c := &cobra.Command{
		Use: "export FILE.tar|DIR [PROJECT...]", Short: "Bundle wheels as an index on disk, for a device without a network",
		Example: "  jetcrate wheels export --offline robot.tar --line jp6/cu126\n  jetcrate wheels export usb/wheels markupsafe --line jp6/cu126",
		Long: `Writes a part of the index: all of it, or the distributions that are named. --offline adds
what they require, and says what of that the index does not have: the device must have
those itself. On the device, in the folder or where the archive was unpacked:

  pip install --index-url file://$PWD/jp6/cu126/simple NAME`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) == 0 {
				return usage{errors.New("wheels export needs a file (.tar) or a folder to write to")}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				list, err := trees(c.Context(), st, line)
				if err != nil {
					return err
				}
				out := exported{Lines: []exportedLine{}, File: args[0]}
				site := wheel.Site{Store: st}
				for _, t := range list {
					part, missing, err := t.Select(args[1:], offline)
					if err != nil {
						return usage{err}
					}
					site.Trees = append(site.Trees, part)
					out.Lines = append(out.Lines, exportedLine{t.Line.String(), len(part.Wheels), append([]string{}, missing...)})
				}
				if err := writeBundle(c.Context(), site, args[0]); err != nil {
					return err
				}
				return a.exported(out)
			})
		},
	}
	a.lineFlag(c, &line)
	c.Flags().BoolVar(&offline, "offline", false, "take what they require too, and say what is missing")
	return c
}

type exported struct {
	File  string         `json:"file"`
	Lines []exportedLine `json:"lines"`
}

type exportedLine struct {
	Line    string   `json:"line"`
	Wheels  int      `json:"wheels"`
	Missing []string `json:"missing"`
}

func (a *app) exported(e exported) error {
	if a.output == "json" {
		return a.json(e)
	}
	for _, l := range e.Lines {
		fmt.Fprintf(a.stdout, "%s: %s: %s\n", e.File, l.Line, count(l.Wheels, "wheel"))
		if len(l.Missing) > 0 {
			fmt.Fprintf(a.stderr, "%s: they require what the index does not have, and the device must: %s\n", l.Line, strings.Join(l.Missing, ", "))
		}
	}
	return nil
}

// writeBundle writes an archive, which has its name once it is whole, or a folder.
func writeBundle(ctx context.Context, site wheel.Site, to string) error {
	switch filepath.Ext(to) {
	case ".zip", ".gz", ".tgz", ".xz", ".zst", ".bz2":
		return usage{fmt.Errorf("%s: an archive of wheels, which are compressed, is a .tar", to)}
	}
	if !strings.HasSuffix(to, ".tar") {
		_, err := site.Write(ctx, to)
		return err
	}
	f, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	defer f.Cleanup() // nothing once it is in its place
	if err := site.WriteTar(ctx, f); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return nil
}

func (a *app) wheelsYankCommand() *cobra.Command {
	var line, reason string
	var undo bool
	c := &cobra.Command{
		Use: "yank NAME==VERSION --reason TEXT", Short: "Mark a version as not to be used; who asks for exactly it still gets it",
		Example: "  jetcrate wheels yank torch==2.8.0 --reason 'wrong results on Orin Nano'\n  jetcrate wheels yank torch==2.8.0 --undo",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) != 1 {
				return usage{errors.New("wheels yank takes one NAME==VERSION")}
			}
			name, ver, ok := strings.Cut(args[0], "==")
			if !ok || name == "" || ver == "" {
				return usage{fmt.Errorf("%q is no NAME==VERSION", args[0])}
			}
			reason = strings.Join(strings.Fields(diag.Clean(reason)), " ")
			if undo == (reason != "") {
				return usage{errors.New("say why with --reason, or take it back with --undo")}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				list, err := trees(c.Context(), st, line)
				if err != nil {
					return err
				}
				changed := []string{}
				for _, t := range list {
					_, err := wheel.Update(c.Context(), st, t.Line, func(t *wheel.Tree) error {
						for _, file := range t.Yank(name, ver, reason) {
							changed = append(changed, t.Line.String()+": "+file)
						}
						return nil
					})
					if err != nil {
						return err
					}
				}
				if len(changed) == 0 {
					return usage{fmt.Errorf("the index has no %s %s; jetcrate wheels ls shows what it has", name, ver)}
				}
				if a.output == "json" {
					return a.json(changed)
				}
				for _, x := range changed {
					fmt.Fprintf(a.stdout, "%s %s\n", map[bool]string{false: "yanked", true: "no longer yanked"}[undo], x)
				}
				fmt.Fprintln(a.stderr, "jetcrate serve shows it at once; jetcrate wheels index DIR writes it to static files")
				return nil
			})
		},
	}
	a.lineFlag(c, &line)
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever meets it")
	c.Flags().BoolVar(&undo, "undo", false, "take the mark away")
	return c
}

package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/store"
)

// withStore opens the store for as long as do runs.
func (a *app) withStore(ctx context.Context, do func(*store.Store) error) error {
	d, err := findDirs()
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, d)
	if err != nil {
		return err
	}
	defer st.Close()
	err = do(st)
	var mistake *store.Mistake
	if errors.As(err, &mistake) {
		return usage{err}
	}
	return err
}

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "store", Short: "Look at, serve, check and clean the store: the registry that holds everything made",
		Args: noArgs, Example: "  jetcrate store ls\n  jetcrate store serve\n  jetcrate store gc --quota 50GiB --dry-run",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.storeListCommand(), a.storeVerifyCommand(), a.storeGCCommand(), a.storeServeCommand(),
		a.storeNamesCommand("rm", "Remove names, records or runs from the embedded store; gc frees the space", "removed",
			"  jetcrate store rm robot-kit-1.0-r36.4.0-cu126-py311\n  jetcrate store rm layer-3fb1c2d4e5f6 run-12", (*store.Store).Remove),
		a.storeNamesCommand("pin", "Make gc keep names, records or runs, whatever its limits are", "pinned",
			"  jetcrate store pin run-12", (*store.Store).Pin),
		a.storeNamesCommand("unpin", "Undo pin", "unpinned",
			"  jetcrate store unpin run-12", (*store.Store).Unpin),
	)
	return c
}

func (a *app) storeServeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Serve the embedded store until interrupted, so that docker can pull from it",
		Example: "  jetcrate store serve", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(st *store.Store) error {
				fmt.Fprintf(a.stderr, "serving %s; Ctrl-C ends it\n", st.Repository())
				return st.Serve(c.Context())
			})
		},
	}
}

func (a *app) storeListCommand() *cobra.Command {
	var records, runs bool
	c := &cobra.Command{
		Use: "ls", Short: "List the names in the store, its records or its last runs", Args: noArgs,
		Example: "  jetcrate store ls\n  jetcrate store ls --records\n  jetcrate store ls --runs -o json",
		Long: `Lists the names that builds gave their images. --records lists what there is by key,
--runs the last builds of the embedded store, whose records gc keeps. A size counts all
that is needed, also what others share.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if records && runs {
				return usage{errors.New("--records and --runs: name one of them")}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				list, err := st.List(c.Context())
				if err != nil {
					return err
				}
				if runs {
					return a.listRuns(list)
				}
				if a.output == "json" {
					return a.json(list)
				}
				return a.listEntries(st, list, records)
			})
		},
	}
	c.Flags().BoolVar(&records, "records", false, "list the records instead of the names")
	c.Flags().BoolVar(&runs, "runs", false, "list the last runs instead of the names")
	return c
}

func (a *app) listEntries(st *store.Store, list store.Contents, records bool) error {
	entries := list.Names
	if records {
		entries = list.Records
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, e := range entries {
		pinned := ""
		if e.Pinned {
			pinned = "\tpinned"
		}
		fmt.Fprintf(w, "%s:%s\t%s\t%s%s\n", st.Repository(), e.Tag, shortDigest(e.Digest), size(e.Size), pinned)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s, %s", count(len(list.Names), "name"), count(len(list.Records), "record"))
	if list.Blobs > 0 {
		fmt.Fprintf(a.stderr, ", %s in %s, %s", size(list.Bytes), count(list.Blobs, "blob"), count(len(list.Runs), "run"))
	}
	fmt.Fprintln(a.stderr)
	return nil
}

func (a *app) listRuns(list store.Contents) error {
	if a.output == "json" {
		type run struct {
			store.RunInfo
			Name   string `json:"name"`
			Live   bool   `json:"live"`
			Pinned bool   `json:"pinned"`
		}
		out := []run{}
		for _, r := range list.Runs {
			name := store.RunName(r.ID)
			out = append(out, run{r, name, r.Live && r.Ended.IsZero(), slices.Contains(list.Pins, name)})
		}
		return a.json(out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range list.Runs {
		state := runState(r)
		if slices.Contains(list.Pins, store.RunName(r.ID)) {
			state += ", pinned"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", store.RunName(r.ID), r.Started.Format(time.RFC3339), state, r.What)
	}
	return w.Flush()
}

func (a *app) storeVerifyCommand() *cobra.Command {
	var o store.VerifyOptions
	c := &cobra.Command{
		Use: "verify", Short: "Check that everything in the store is there and undamaged", Args: noArgs,
		Example: "  jetcrate store verify\n  jetcrate store verify --repair",
		Long: `Reads every blob and compares it with its digest, and checks that records have all that
they name and test results the image that they are about. --repair removes what is
damaged, and the records that are not whole without it, from the embedded store: the
next build makes them again. Exit code 3 where something is wrong.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				v, err := st.Verify(c.Context(), o)
				if err != nil {
					return err
				}
				if err := a.verified(v); err != nil {
					return err
				}
				if len(v.Problems) > 0 && !o.Repair {
					return said{exitNo}
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&o.Quick, "quick", false, "check that blobs are there with their sizes, and read none")
	c.Flags().BoolVar(&o.Repair, "repair", false, "remove what is damaged, and the records that need it")
	return c
}

func (a *app) verified(v store.Verified) error {
	if a.output == "json" {
		return a.json(v)
	}
	for _, p := range v.Problems {
		needs := "nothing needs it"
		if p.Record != "" {
			needs = "needed by " + p.Record
		}
		fmt.Fprintf(a.stdout, "%s %s (%s)\n", p.Digest, p.What, needs)
	}
	for _, tag := range v.Removed {
		fmt.Fprintf(a.stdout, "removed %s\n", tag)
	}
	fmt.Fprintf(a.stderr, "%s, %s, %s in %s: ", count(v.Records, "record"), count(v.Names, "name"), size(v.Bytes), count(v.Blobs, "blob"))
	switch {
	case len(v.Problems) == 0:
		fmt.Fprintln(a.stderr, "all there and undamaged")
	case v.Removed != nil:
		fmt.Fprintf(a.stderr, "%s, repaired; the next build makes again what is missing\n", count(len(v.Problems), "problem"))
	default:
		fmt.Fprintf(a.stderr, "%s; jetcrate store verify --repair removes what is damaged, and the next build makes it again\n", count(len(v.Problems), "problem"))
	}
	return nil
}

func (a *app) storeGCCommand() *cobra.Command {
	o := store.Retention{Runs: 20}
	var quota string
	c := &cobra.Command{
		Use: "gc", Short: "Free what neither names, pins, the last runs nor builds under way need", Args: noArgs,
		Example: "  jetcrate store gc --dry-run\n  jetcrate store gc --keep-runs 5 --quota 50GiB",
		Long: `Frees what nothing keeps: names (tags) keep their image, pins what they name, and the
last runs all that they needed. Builds may go on meanwhile: what they use, and what was
written since they began, stays. Exit code 3 where the quota cannot be met.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if o.Runs < 0 {
				return usage{fmt.Errorf("--keep-runs %d: it must not be negative", o.Runs)}
			}
			if quota != "" {
				n, err := units.RAMInBytes(quota)
				if err != nil || n <= 0 {
					return usage{fmt.Errorf("--quota %q is no size; one looks like 500MiB or 50GiB", quota)}
				}
				o.Quota = n
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				got, err := st.GC(c.Context(), o)
				if err != nil {
					return err
				}
				return a.collected(o, got)
			})
		},
	}
	f := c.Flags()
	f.IntVar(&o.Runs, "keep-runs", o.Runs, "how many of the last runs keep what they needed")
	f.StringVar(&quota, "quota", "", "how large the store may be, such as 50GiB; runs are given up for it, the oldest first")
	f.BoolVarP(&o.DryRun, "dry-run", "n", false, "only say what would go")
	return c
}

func (a *app) collected(o store.Retention, c store.Collected) error {
	if a.output == "json" {
		if err := a.json(c); err != nil {
			return err
		}
	} else {
		for _, tag := range c.Removed {
			fmt.Fprintln(a.stdout, tag)
		}
		freed := "freed"
		if o.DryRun {
			freed = "would free"
		}
		fmt.Fprintf(a.stderr, "%s %s in %s: %s", freed, size(c.Freed.Bytes), count(c.Freed.Blobs, "blob"), count(c.Freed.Records, "record"))
		if len(c.Runs) > 0 {
			fmt.Fprintf(a.stderr, ", %s", count(len(c.Runs), "old run"))
		}
		fmt.Fprintf(a.stderr, "\nkept %s in %s: %s, %s\n", size(c.Kept.Bytes), count(c.Kept.Blobs, "blob"), count(c.Kept.Names, "name"), count(c.Kept.Records, "record"))
		if c.Builds > 0 {
			fmt.Fprintf(a.stderr, "%s under way: all that is theirs or new stays until the next gc\n", count(c.Builds, "build"))
		}
	}
	if c.Over > 0 {
		fmt.Fprintf(a.stderr, "jetcrate: names, pins and builds under way alone are %s above the quota; jetcrate store rm removes names\n", size(c.Over))
		return said{exitNo}
	}
	return nil
}

// storeNamesCommand is a command on names, records and runs.
func (a *app) storeNamesCommand(use, short, done, example string, do func(*store.Store, context.Context, []string) ([]string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME...", Short: short, Example: example,
		Long: short + ".\n\nA NAME is a tag as store ls shows it, a record (KIND-KEY; 12 digits of the key will do) or a run (run-N).",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) == 0 {
				return usage{fmt.Errorf("%s needs a name: a tag, a record (KIND-KEY) or a run (run-N)", c.CommandPath())}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				for i := range args { // as ls prints it
					args[i] = strings.TrimPrefix(args[i], st.Repository()+":")
				}
				names, err := do(st, c.Context(), args)
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.json(names)
				}
				for _, n := range names {
					fmt.Fprintf(a.stdout, "%s %s\n", done, n)
				}
				return nil
			})
		},
		ValidArgsFunction: func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			var names []string
			_ = a.withStore(c.Context(), func(st *store.Store) error {
				tags, err := st.Tags(c.Context())
				for _, t := range tags {
					if strings.HasPrefix(t, begun) {
						names = append(names, t)
					}
				}
				return err
			})
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func size(n int64) string { return units.BytesSize(float64(n)) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func shortDigest(d string) string {
	if hex, ok := strings.CutPrefix(d, "sha256:"); ok && len(hex) > 12 {
		return "sha256:" + hex[:12]
	}
	return d
}

// runState says how a run ended, or that it goes on.
func runState(r store.RunInfo) string {
	switch {
	case r.Ended.IsZero() && r.Live:
		return "under way"
	case r.Ended.IsZero():
		return "killed"
	case r.Good:
		return "good"
	}
	return "failed"
}

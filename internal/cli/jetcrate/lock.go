package jetcrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/lock"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

func (a *app) lockCommand() *cobra.Command {
	o := lock.Options{}
	var kinds []string
	var check bool
	c := &cobra.Command{
		Use: "lock [PACKAGE...]", Short: "Resolve what the catalog names loosely, and pin it in jetcrate.lock",
		Long: `Resolves base image tags to digests, git tags and branches to commits, addresses to the
SHA-256 of what is there, and Python requirements to name==version with hashes, and writes
them into jetcrate.lock, each with the file and line that names it. What has an entry is
left as it is: --update resolves a kind again (` + join(lock.Kinds()) + `).

What cannot be reached keeps its entry, or stays unlocked, with the reason; only where
packages or kinds are named is that a failure. Python requirements are resolved by pip, from
wheels alone, with --update python or --index.`,
		Example: `  jetcrate lock
  jetcrate lock opencv
  jetcrate lock --update apt
  jetcrate lock --update python --index ./wheels
  jetcrate lock --check`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			for _, k := range kinds {
				if !slices.Contains(lock.Kinds(), lock.Kind(k)) {
					return usage{fmt.Errorf("--update %s: no such kind; allowed: %s", k, join(lock.Kinds()))}
				}
				o.Update = append(o.Update, lock.Kind(k))
			}
			if check && (len(args)+len(kinds) > 0 || o.Prune || o.Index != "") {
				return usage{errors.New("--check looks at the whole lock and writes nothing: it takes no packages and no other flag")}
			}
			if o.Index != "" && !strings.Contains(o.Index, "://") {
				if info, err := os.Stat(o.Index); err != nil || !info.IsDir() {
					return usage{fmt.Errorf("--index %s: neither an address nor a folder", o.Index)}
				}
			}
			cat, loose, err := a.loose()
			if err != nil {
				return err
			}
			if check {
				return a.checkLock(cat, loose)
			}
			for _, name := range args {
				t, err := spec.ParseTarget(name)
				if err != nil {
					return err
				}
				_, p, err := solve.Lookup(cat, t)
				if err != nil {
					return err
				}
				o.Packages = append(o.Packages, p.Name)
			}
			o.Today = time.Now().UTC().Format(time.DateOnly)
			o.Sources = lock.Reach()
			o.Say = func(s string) { fmt.Fprintln(a.stderr, diag.Clean(s)) }
			l, outcomes, err := lock.Update(c.Context(), cat, loose, o)
			if err != nil {
				return err
			}
			dir, err := a.catalogRoot()
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				return fmt.Errorf("opening the catalog: %w", err)
			}
			defer root.Close()
			changed, err := lock.Write(root, l)
			if err != nil {
				return err
			}
			if err := a.sayLocked(outcomes, changed); err != nil {
				return err
			}
			if len(o.Packages)+len(o.Update) > 0 && lock.Count(outcomes, lock.Unlocked)+lock.Count(outcomes, lock.Stale) > 0 {
				return said{exitEnvironment}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&kinds, "update", nil, "kinds to resolve again: "+join(lock.Kinds()))
	f.StringVar(&o.Index, "index", "", "Python index (an address as pip's --index-url takes it) or folder of wheels (default: as pip is set up)")
	f.BoolVar(&o.Prune, "prune", false, "remove entries that nothing names")
	f.BoolVar(&check, "check", false, "resolve and write nothing: list what is not locked, and what nothing names")
	_ = c.RegisterFlagCompletionFunc("update", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return strings.Split(join(lock.Kinds()), ", "), cobra.ShellCompDirectiveNoFileComp
	})
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cat, _, _, err := a.read()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cat.Names(), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// loose lists what the catalog names loosely, for every package on every
// platform with every stack.
func (a *app) loose() (*spec.Catalog, []plan.Loose, error) {
	cat, fsys, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	reqs, err := (&selection{whole: true}).requests(cat, nil)
	if err != nil {
		return nil, nil, err
	}
	p, err := plan.New(cat, fsys, reqs)
	if err != nil {
		return nil, nil, err
	}
	return cat, p.Loose, nil
}

func (a *app) checkLock(cat *spec.Catalog, loose []plan.Loose) error {
	list := lock.Drift(cat, loose, true)
	if err := list.Err(); err != nil {
		return err
	}
	if a.output == "json" {
		return diag.WriteJSON(a.stdout, list)
	}
	_, err := fmt.Fprintln(a.stdout, "everything that the catalog names is locked")
	return err
}

// sayLocked prints what became of things; many that are alike in a few lines.
func (a *app) sayLocked(outcomes []lock.Outcome, changed bool) error {
	if a.output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(outcomes)
	}
	const most = 5
	alike := map[string]int{}
	var order []string
	for _, x := range outcomes {
		line := ""
		switch x.Status {
		case lock.Added, lock.Removed:
			line = fmt.Sprintf("%s %s: %s %s", x.Status, x.Kind, x.What, shorten(x.Value))
		case lock.Changed:
			line = fmt.Sprintf("changed %s: %s %s -> %s", x.Kind, x.What, shorten(x.Before), shorten(x.Value))
		case lock.Unused:
			line = fmt.Sprintf("unused %s: %s; --prune removes it", x.Kind, x.What)
		case lock.Unlocked, lock.Stale, lock.Unlockable:
			group := fmt.Sprintf("%s %s: %%s: %s", x.Status, x.Kind, x.Reason)
			if alike[group]++; alike[group] > most {
				if alike[group] == most+1 {
					order = append(order, group)
				}
				continue
			}
			line = fmt.Sprintf("%s %s: %s: %s", x.Status, x.Kind, x.What, x.Reason)
		default:
			continue
		}
		fmt.Fprintln(a.stdout, diag.Clean(line))
	}
	for _, group := range order {
		fmt.Fprintln(a.stdout, diag.Clean(fmt.Sprintf(group, fmt.Sprintf("%d more", alike[group]-most))))
	}
	counts := map[lock.Status]int{}
	for _, x := range outcomes {
		counts[x.Status]++
	}
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
	}
	end := ": " + strings.Join(parts, ", ")
	if len(parts) == 0 {
		end = ": nothing is named loosely"
	}
	what := lock.File + " is as it was"
	if changed {
		what = lock.File + " written"
	}
	_, err := fmt.Fprintln(a.stdout, what+end)
	return err
}

// shorten makes a digest or a commit readable.
func shorten(s string) string {
	bare := strings.TrimPrefix(s, "sha256:")
	if len(bare) >= 40 && !strings.ContainsAny(bare, " =") {
		return strings.TrimSuffix(s, bare) + bare[:12]
	}
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

func join(kinds []lock.Kind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// lockedFlag is --locked of commands that plan.
func (a *app) lockedFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.locked, "locked", false, "refuse what the catalog names and jetcrate.lock does not have")
}

// drift refuses a plan that is not locked, where that is asked for.
func (a *app) drift(cat *spec.Catalog, p *plan.Plan) error {
	if !a.locked {
		return nil
	}
	return lock.Drift(cat, p.Loose, false).Err()
}

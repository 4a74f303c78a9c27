package jetcrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/store"
)

func (a *app) reportCommand() *cobra.Command {
	var list, durations bool
	c := &cobra.Command{
		Use: "report [RUN | FILE]", Short: "Show what a run did: as text, JUnit XML, Markdown, or a page with a timeline",
		Long: `Shows what a run did with every node, how long it took and why it was made. RUN is
run-12 or 12, and the last run where none is named; FILE is what build -o jsonl printed.

-o junit is JUnit XML, -o markdown for $GITHUB_STEP_SUMMARY, -o html a page with a
timeline. --list lists the runs. --durations gives how long nodes took, which builds
order their work by; as durations.json in the catalog, plan --shards balances by it.

What was made again is told with the part of its key that changed, as jetcrate why does,
where the store has a record from before the run; a FILE is shown as it is.`,
		Example: `  jetcrate report
  jetcrate report run-12 -o html > run.html
  jetcrate report -o markdown >> "$GITHUB_STEP_SUMMARY"
  jetcrate report --list
  jetcrate report --durations > durations.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && (list || durations) {
				return usage{fmt.Errorf("%s takes one run or file, got %q", c.CommandPath(), args)}
			}
			if list && durations {
				return usage{errors.New("--list and --durations: name one of them")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if list || durations {
				if err := a.formats("text", "json"); err != nil {
					return err
				}
			} else if err := a.formats("text", "json", "junit", "markdown", "html"); err != nil {
				return err
			}
			which := ""
			if len(args) == 1 {
				which = args[0]
			}
			if info, err := os.Stat(which); err == nil && info.Mode().IsRegular() {
				run, err := readRun(which, 0)
				if err != nil {
					return usage{err}
				}
				return a.printRun(run)
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				if durations {
					return a.printDurations(st)
				}
				journals, err := st.Journals()
				if err != nil {
					return err
				}
				if list {
					return a.printRuns(journals)
				}
				j, err := findRun(journals, which)
				if err != nil {
					return err
				}
				run, err := readRun(j.File, j.ID)
				if err == nil {
					err = a.explain(c.Context(), st, run)
				}
				if err != nil {
					return err
				}
				return a.printRun(run)
			})
		},
		ValidArgsFunction: func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			_ = a.withStore(c.Context(), func(st *store.Store) error {
				journals, err := st.Journals()
				for _, j := range journals {
					names = append(names, store.RunName(j.ID))
				}
				return err
			})
			return append(names, "latest"), cobra.ShellCompDirectiveDefault
		},
	}
	c.Flags().BoolVar(&list, "list", false, "list the runs")
	c.Flags().BoolVar(&durations, "durations", false, "print how long nodes took, as JSON")
	return c
}

// runsCommand is report --list by the name that people look for.
func (a *app) runsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "runs", Short: "List the runs that report can show", Example: "  jetcrate runs", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				journals, err := st.Journals()
				if err != nil {
					return err
				}
				return a.printRuns(journals)
			})
		},
	}
}

// findRun finds a run by its name or number; "" and latest are the last.
func findRun(journals []store.JournalInfo, which string) (store.JournalInfo, error) {
	if len(journals) == 0 {
		return store.JournalInfo{}, usage{fmt.Errorf("no run is on record here; jetcrate build makes one")}
	}
	if which == "" || which == "latest" {
		return journals[len(journals)-1], nil
	}
	id, err := strconv.Atoi(strings.TrimPrefix(which, "run-"))
	at := slices.IndexFunc(journals, func(j store.JournalInfo) bool { return j.ID == id })
	if err != nil || at < 0 {
		return store.JournalInfo{}, usage{fmt.Errorf("no run and no file %q; runs are %s to %s, see jetcrate report --list", which,
			store.RunName(journals[0].ID), store.RunName(journals[len(journals)-1].ID))}
	}
	return journals[at], nil
}

func readRun(file string, id int) (*report.Run, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading a run: %w", err)
	}
	defer f.Close()
	run, err := report.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	run.ID = id
	return run, nil
}

// explain notes why nodes were made again. What failed has no record: the plan of
// the catalog knows it, where there is one and it has not changed since.
func (a *app) explain(ctx context.Context, st *store.Store, run *report.Run) error {
	if !slices.ContainsFunc(run.Nodes, func(n report.Node) bool { return n.Why == execute.NewKey }) {
		return nil // and no record of a far store is read
	}
	origins, err := execute.Origins(ctx, st)
	if err != nil {
		return err
	}
	k := &keys{plan: &plan.Plan{}, origins: origins}
	if slices.ContainsFunc(run.Nodes, func(n report.Node) bool { return n.Status == execute.Failed && n.Kind != string(plan.Test) }) {
		if p, err := a.planAll(); err == nil {
			k.plan = p
		}
	}
	k.explain(run)
	return nil
}

func (a *app) printRun(run *report.Run) error {
	switch a.output {
	case "json":
		return a.json(run)
	case "junit":
		return run.JUnit(a.stdout)
	case "markdown":
		return run.Markdown(a.stdout)
	case "html":
		return run.HTML(a.stdout)
	}
	return a.buffered(func(w io.Writer) { _ = run.Text(w, false) })
}

func (a *app) printDurations(st *store.Store) error {
	d, err := execute.LocalDurations(st)
	if err != nil {
		return err
	}
	b, err := d.Write()
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}

// listedRun is a line of the list.
type listedRun struct {
	Name    string         `json:"name"`
	What    string         `json:"what"`
	Started time.Time      `json:"started"`
	Seconds float64        `json:"seconds"`
	Outcome report.Outcome `json:"outcome"`
	Nodes   int            `json:"nodes"`
	Made    int            `json:"made"` // by this run
	Failed  int            `json:"failed"`
}

func (a *app) printRuns(journals []store.JournalInfo) error {
	runs := []listedRun{}
	for _, j := range slices.Backward(journals) {
		r, err := readRun(j.File, j.ID)
		if err != nil { // one that is damaged hides no other
			runs = append(runs, listedRun{Name: store.RunName(j.ID), What: err.Error()})
			continue
		}
		x := listedRun{Name: store.RunName(j.ID), What: r.What, Started: r.Started, Seconds: r.Ended.Sub(r.Started).Seconds(), Outcome: r.Outcome, Nodes: len(r.Nodes)}
		for _, n := range r.Nodes {
			switch n.Status {
			case execute.Built, execute.Assembled, execute.Passed:
				x.Made++
			case execute.Failed:
				x.Failed++
			}
		}
		runs = append(runs, x)
	}
	if a.output == "json" {
		return a.json(runs)
	}
	if len(runs) == 0 {
		_, err := fmt.Fprintln(a.stderr, "no run is on record here; jetcrate build makes one")
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTARTED\tTOOK\tOUTCOME\tNODES\tMADE\tFAILED\tWHAT")
	for _, x := range runs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", x.Name, x.Started.UTC().Format(time.DateTime),
			time.Duration(x.Seconds*float64(time.Second)).Round(100*time.Millisecond), cmp.Or(x.Outcome, "unreadable"), x.Nodes, x.Made, x.Failed, x.What)
	}
	return w.Flush()
}

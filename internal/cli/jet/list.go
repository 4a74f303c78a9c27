package jet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
)

// listed is a package with the image that autotag would print.
type listed struct {
	Package   string   `json:"package"`
	Version   string   `json:"version,omitempty"`
	Reference string   `json:"reference,omitempty"`
	Platform  string   `json:"platform,omitempty"`
	Standing  string   `json:"standing,omitempty"` // tested, untested
	Size      int64    `json:"size,omitempty"`
	Local     bool     `json:"local,omitempty"`
	Why       []string `json:"why,omitempty"` // where nothing runs here
}

func (a *app) listCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the packages that run on this host",
		Long: `Lists each package of the table that has an image for this host: in which version,
and what the image is that autotag would choose (-o json has its reference). With
--all those are listed too that have none, with the reason.`,
		Example: `  jet list
  jet list --all -o json
  jet list --host-l4t 35.4.1 --cuda 11.4`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			entries, err := q.list(cmd, all)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(entries)
			}
			return a.tabulate(entries)
		},
	}
	q.choiceFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list what does not run here too, with the reason")
	outputFlag(cmd, &output)
	return cmd
}

func (q *question) list(cmd *cobra.Command, all bool) ([]listed, error) {
	query, err := q.query(nil)
	if err != nil {
		return nil, err
	}
	if _, err := q.host(&query); err != nil {
		return nil, err
	}
	src, _, done, err := q.source()
	if err != nil {
		return nil, err
	}
	defer done()
	d := q.daemon()
	defer d.close()
	if query.Local, err = d.images(cmd.Context()); err != nil {
		q.app.say("note: Docker's images are not considered: %s", err)
	}
	entries := []listed{} // [] rather than null
	names := src.Names()
	for _, name := range slices.Sorted(keys(names.Versions)) {
		query.Packages = []resolve.Wanted{{Name: name}}
		answer, err := resolve.Choose(src, query)
		if err != nil {
			return nil, environment("reading the table: %w", err)
		}
		if c := answer.Chosen; c != nil {
			p, _ := c.Row.Package(name)
			e := listed{Package: name, Version: p.Version, Reference: c.Image, Platform: platformName(c.Row), Standing: c.Row.Standing(), Local: c.Local}
			if c.Row.Image != nil {
				e.Size = c.Row.Image.Size
			}
			entries = append(entries, e)
		} else if all {
			entries = append(entries, listed{Package: name, Why: answer.Why})
		}
	}
	return entries, nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (a *app) tabulate(entries []listed) error {
	if len(entries) == 0 {
		return &no{[]string{"nothing is known to run on this host", "jet list --all says why"}}
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PACKAGE\tVERSION\tMADE FOR\tSTANDING\tTO PULL")
	for _, e := range entries {
		if e.Why != nil {
			// The first line says that there is none, the second what comes nearest.
			fmt.Fprintf(w, "%s\t-\t-\t-\t%s\n", diag.Escape(e.Package), diag.Escape(e.Why[min(1, len(e.Why)-1)]))
			continue
		}
		size := units.HumanSize(float64(e.Size))
		if e.Local {
			size = "in Docker"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", diag.Escape(e.Package), diag.Escape(e.Version), diag.Escape(e.Platform), diag.Escape(e.Standing), size)
	}
	if err := w.Flush(); err != nil {
		return environment("writing the list: %w", err)
	}
	return nil
}

// shown is a row of the table about a package.
type shown struct {
	Target    string          `json:"target"`
	Version   string          `json:"version,omitempty"`
	Platform  string          `json:"platform"`
	Hosts     string          `json:"hosts"`
	Standing  string          `json:"standing"`
	Reference string          `json:"reference,omitempty"`
	Verdict   resolve.Verdict `json:"verdict"` // on this host
	Against   []string        `json:"against,omitempty"`
}

type packageReport struct {
	Package  string   `json:"package"`
	Aliases  []string `json:"aliases,omitempty"`
	Versions []string `json:"versions"`
	Rows     []shown  `json:"rows"`
}

func (a *app) showCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	var all bool
	cmd := &cobra.Command{
		Use:   "show PACKAGE[:VERSION]",
		Short: "Show what the table has of a package, and what of it runs here",
		Long: `Shows a package's names and versions, and the targets that are about it with what
this host is to each. Images of other targets that hold it too are shown with --all.`,
		Example: `  jet show pytorch
  jet show pytorch:2.8 --all
  jet show pytorch --host-l4t 35.4.1 -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return mistake("%s shows one package, not also %q", cmd.CommandPath(), args[1])
			}
			return somePackages(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			report, err := q.show(args[0], all)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(report)
			}
			return a.describe(report)
		},
	}
	q.hostFlags(cmd)
	cmd.ValidArgsFunction = q.completeNames
	cmd.Flags().BoolVar(&all, "all", false, "show the images of other targets that hold it too")
	outputFlag(cmd, &output)
	return cmd
}

func (q *question) show(what string, all bool) (*packageReport, error) {
	want, err := resolve.ParseWanted(what)
	if err != nil {
		return nil, err
	}
	query := resolve.Query{Packages: []resolve.Wanted{want}, All: true}
	if _, err := q.host(&query); err != nil {
		return nil, err
	}
	src, _, done, err := q.source()
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := resolve.Choose(src, query)
	if err != nil {
		if _, isMistake := diag.From(err); isMistake {
			return nil, err
		}
		return nil, environment("reading the table: %w", err)
	}
	names := src.Names()
	name := want.Name
	if _, ok := names.Versions[name]; !ok {
		name = cmp.Or(names.Aliases[what].Name, names.Aliases[name].Name)
	}
	report := &packageReport{Package: name, Versions: names.Versions[name], Rows: []shown{}}
	for alias, to := range names.Aliases {
		if to.Name == name {
			report.Aliases = append(report.Aliases, alias)
		}
	}
	slices.Sort(report.Aliases)
	for _, c := range answer.Candidates {
		if !all && !slices.Contains(c.Row.Roots, name) {
			continue
		}
		report.Rows = append(report.Rows, shownRow(c, name))
	}
	if len(answer.Candidates) == 0 {
		return nil, &no{answer.Why} // not in this version
	}
	return report, nil
}

func shownRow(c resolve.Candidate, name string) shown {
	p, _ := c.Row.Package(name)
	return shown{
		Target: c.Row.Target, Version: p.Version, Platform: platformName(c.Row), Hosts: c.Row.Hosts, Standing: c.Row.Standing(),
		Reference: reference(c.Row), Verdict: c.Verdict, Against: c.Against,
	}
}

func platformName(r *table.Row) string {
	if r.Platform.Testbed {
		return r.Platform.String() + " (testbed)"
	}
	return r.Platform.String()
}

func reference(r *table.Row) string {
	if r.Image == nil {
		return ""
	}
	return r.Image.Reference
}

func (a *app) describe(r *packageReport) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "package:  %s\n", diag.Escape(r.Package))
	if len(r.Aliases) > 0 {
		fmt.Fprintf(w, "aliases:  %s\n", diag.Escape(strings.Join(r.Aliases, ", ")))
	}
	fmt.Fprintf(w, "versions: %s\n\n", diag.Escape(strings.Join(r.Versions, ", ")))
	fmt.Fprintln(w, "TARGET\tVERSION\tMADE FOR\tSTANDING\tHERE")
	for _, row := range r.Rows {
		here := string(row.Verdict)
		if len(row.Against) > 0 {
			here += ": " + strings.Join(row.Against, "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", diag.Escape(row.Target), diag.Escape(cmp.Or(row.Version, "-")), diag.Escape(row.Platform), diag.Escape(row.Standing), diag.Escape(here))
	}
	if err := w.Flush(); err != nil {
		return environment("writing: %w", err)
	}
	return nil
}

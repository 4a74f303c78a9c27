package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

// question holds the flags that commands share: which table, which host, and
// what else is asked for.
type question struct {
	app     *app
	table   string
	root    string
	hostL4T string
	flavour string
	cuda    string
	python  string
	prefer  string
	noLocal bool
	digest  bool
	why     bool
}

// hostFlags are those that say which host and which table.
func (q *question) hostFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.table, "table", "", "compatibility table: a `file`, or - for stdin")
	q.rootFlag(cmd)
	f.StringVar(&q.hostL4T, "host-l4t", "", "L4T `release` of the host, such as 36.4.3; not read from its files")
	f.StringVar(&q.flavour, "flavour", "", "flavour of the host: tegra or sbsa (default: the one that the table has for its release)")
	complete(cmd, "flavour", "tegra", "sbsa")
	q.completePlatforms(cmd, "host-l4t", func(p table.Platform) string { return p.L4T })
}

func (q *question) rootFlag(cmd *cobra.Command) {
	root := cmp.Or(q.app.getenv("JETCRATE_ROOT"), "/")
	cmd.Flags().StringVar(&q.root, "root", root, "`folder` that the host's facts are read from; $JETCRATE_ROOT sets the default")
}

// choiceFlags are those that narrow the choice of an image.
func (q *question) choiceFlags(cmd *cobra.Command) {
	q.hostFlags(cmd)
	q.versionFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.prefer, "prefer", "tested", "what comes first among images that run here: tested, newest, local (what Docker has) or remote")
	f.BoolVar(&q.noLocal, "no-local", false, "do not look at Docker's images")
	complete(cmd, "prefer", resolve.Preferences()...)
}

func (q *question) versionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.cuda, "cuda", "", "CUDA `version` that the image must have")
	f.StringVar(&q.python, "python", "", "Python `version` that the image must have")
	q.completePlatforms(cmd, "cuda", func(p table.Platform) string {
		if p.CUDA == nil {
			return ""
		}
		return p.CUDA.Version
	})
	q.completePlatforms(cmd, "python", func(p table.Platform) string { return p.Python })
}

// flags are those of a command that answers with one image.
func (q *question) flags(cmd *cobra.Command) {
	q.choiceFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&q.digest, "digest", false, "name the image by digest, not by tag")
	f.BoolVar(&q.why, "why", false, "explain the choice, on stderr")
	cmd.ValidArgsFunction = q.completeNames
}

func (q *question) completeNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	// Completion has no place for an error: without a table there are no names.
	src, _, done, err := q.source()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer done()
	return resolve.Names(src), cobra.ShellCompDirectiveNoFileComp
}

// complete offers the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	completeWith(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completePlatforms offers what the table's platforms have.
func (q *question) completePlatforms(cmd *cobra.Command, flag string, value func(table.Platform) string) {
	completeWith(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		src, _, done, err := q.source()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer done()
		var values []string
		for _, p := range src.Placements() {
			values = append(values, value(p.Platform))
		}
		slices.Sort(values)
		values = slices.DeleteFunc(slices.Compact(values), func(v string) bool { return v == "" })
		return values, cobra.ShellCompDirectiveNoFileComp
	})
}

func completeWith(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	// The only error is an unknown flag, a mistake that the tests would show.
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// reply is an answer with the host that it is for.
type reply struct {
	Reference string     `json:"reference,omitempty"`
	Digest    string     `json:"digest,omitempty"`
	Host      hostReport `json:"host"`
	resolve.Answer

	// Composition are images that only together hold the packages; see compose.
	Composition []resolve.Candidate `json:"composition,omitempty"`

	docker string // why Docker's images were not looked at
}

type hostReport struct {
	L4T       string   `json:"l4t,omitempty"`
	Source    string   `json:"source,omitempty"`
	Flavour   string   `json:"flavour,omitempty"`
	Model     string   `json:"model,omitempty"`
	GPU       string   `json:"gpu,omitempty"`
	Conflicts []string `json:"conflicts,omitempty"`
}

// ask answers for packages; all asks for every candidate. An answer without a
// choice is no error here.
func (q *question) ask(ctx context.Context, packages []string, all bool) (*reply, error) {
	query, err := q.query(packages)
	if err != nil {
		return nil, err
	}
	query.All = all
	report, err := q.host(&query)
	if err != nil {
		return nil, err
	}
	src, _, done, err := q.source()
	if err != nil {
		return nil, err
	}
	defer done()
	r := &reply{Host: report}
	d := q.daemon()
	defer d.close()
	r.docker = d.why
	if query.Local, err = d.images(ctx); err != nil {
		q.app.say("note: Docker's images are not considered: %s", err)
		r.docker = err.Error()
	}
	if r.Answer, err = resolve.Choose(src, query); err != nil {
		if _, isMistake := diag.From(err); isMistake {
			return nil, err
		}
		return nil, environment("reading the table: %w", err)
	}
	if c := r.Chosen; c != nil {
		r.Reference, r.Digest = c.Image, c.Digest
		if q.digest {
			r.Reference = c.Pinned()
		}
	} else if r.Composition, err = resolve.Compose(src, query); err != nil {
		return nil, environment("reading the table: %w", err)
	}
	return r, nil
}

// query is what is asked for, without the host.
func (q *question) query(packages []string) (resolve.Query, error) {
	query := resolve.Query{CUDA: q.cuda, Python: q.python, Prefer: resolve.Preference(q.prefer)}
	if q.prefer != "" && !slices.Contains(resolve.Preferences(), q.prefer) {
		return query, mistake("--prefer %q is none of %s", q.prefer, strings.Join(resolve.Preferences(), ", "))
	}
	for _, f := range []struct{ flag, value, such string }{{"cuda", q.cuda, "12.6"}, {"python", q.python, "3.10"}} {
		if f.value != "" && (f.value[0] < '0' || f.value[0] > '9') {
			return query, mistake("--%s %q is no version, such as %s", f.flag, f.value, f.such)
		}
	}
	for _, p := range packages {
		w, err := resolve.ParseWanted(p)
		if err != nil {
			return query, err
		}
		query.Packages = append(query.Packages, w)
	}
	return query, nil
}

// fs is the host's root.
func (q *question) fs() (fs.FS, error) {
	switch info, err := os.Stat(q.root); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, mistake("--root names %q, which does not exist", q.root)
	case err == nil && !info.IsDir():
		return nil, mistake("--root names %q, which is not a folder", q.root)
	}
	fsys, end, err := host.Root(q.root)
	if err != nil {
		return nil, environment("reading --root: %w", err)
	}
	q.app.atEnd = append(q.app.atEnd, end)
	return fsys, nil
}

// host fills the query with what is known of the host.
func (q *question) host(query *resolve.Query) (hostReport, error) {
	if q.flavour != "" && q.flavour != "tegra" && q.flavour != "sbsa" {
		return hostReport{}, mistake("--flavour %q is none of tegra, sbsa", q.flavour)
	}
	fsys, err := q.fs()
	if err != nil {
		return hostReport{}, err
	}
	facts := host.Detect(fsys)
	query.SetHost(facts)
	report := hostReport{
		L4T: facts.L4T.Value, Source: facts.L4T.Source, Flavour: query.Flavour, Model: facts.Model.Value, GPU: facts.GPU.Value, Conflicts: facts.Conflicts,
	}
	if q.hostL4T != "" {
		said, err := version.ParseL4T(q.hostL4T)
		if err != nil {
			return hostReport{}, mistake("--host-l4t: %w", err)
		}
		own, known := facts.Release()
		query.L4T, query.Unknown = said, ""
		query.Arch = "" // a person speaks of a Jetson, and may do so anywhere
		report.L4T, report.Source = said.String(), "--host-l4t"
		switch {
		case known && own.Compare(said) != 0:
			// The question is about another device: nothing here says what it is.
			query.GPU, query.Tegra, query.Flavour = "", false, ""
			report.Model, report.GPU = "", ""
		case !known:
			query.Flavour = ""
		}
		if query.Flavour == "" && said.Major() < 38 {
			query.Flavour = "tegra" // SBSA came with 38
		}
		report.Flavour = query.Flavour
	}
	if q.flavour != "" {
		query.Flavour, report.Flavour = q.flavour, q.flavour
	}
	return report, nil
}

// explain writes the whole weighing to stderr.
func (r *reply) explain(a *app) {
	if r.Host.L4T == "" {
		a.print("host: L4T unknown")
	} else {
		a.print("host: L4T %s (%s)", r.Host.L4T, r.Host.Source)
	}
	for _, f := range []struct{ name, value string }{{"model", r.Host.Model}, {"GPU", r.Host.GPU}} {
		if f.value != "" {
			a.print("host: %s %s", f.name, f.value)
		}
	}
	for _, c := range r.Host.Conflicts {
		a.print("host: contradiction: %s", c)
	}
	if r.docker != "" {
		a.print("Docker's images: not looked at: %s", r.docker)
	}
	for i, c := range r.Candidates {
		head := map[resolve.Verdict]string{resolve.Yes: "possible", resolve.No: "ruled out", resolve.Unknown: "unknown"}[c.Verdict]
		if i == 0 && r.Chosen != nil {
			head = "chosen"
		}
		a.print("%s: %s", head, c.Name)
		for _, text := range c.For {
			a.print("  + %s", text)
		}
		for _, text := range c.Against {
			a.print("  - %s", text)
		}
	}
}

// warn says what a user should know of the chosen image without asking.
func (r *reply) warn(a *app) {
	row := r.Chosen.Row
	for _, c := range r.Host.Conflicts {
		a.say("warning: %s", c)
	}
	if row.Platform.Testbed {
		a.say("warning: %s is a stand-in for checks, not an image for a Jetson", r.Chosen.Name)
	}
	if !row.Evidence.Tested() {
		a.say("warning: no test of %s has passed", r.Chosen.Name)
	}
}

// print writes one line to stderr; what comes after its indent is escaped.
func (a *app) print(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	indent := len(text) - len(strings.TrimLeft(text, " "))
	fmt.Fprintln(a.stderr, text[:indent]+diag.Escape(text[indent:]))
}

package jet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
	"github.com/spf13/cobra"
)

// question holds the flags that autotag and run share: which table, which host,
// and what else is asked for.
type question struct {
	app     *app
	table   string
	root    string
	hostL4T string
	flavour string
	cuda    string
	python  string
	digest  bool
	why     bool
}

func (q *question) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.table, "table", "", "compatibility table: a `file`, or - for stdin")
	f.StringVar(&q.root, "root", "/", "`folder` that the host's facts are read from")
	f.StringVar(&q.hostL4T, "host-l4t", "", "L4T `release` of the host, such as 36.4.3; not read from its files")
	f.StringVar(&q.flavour, "flavour", "tegra", "flavour of the host: tegra or sbsa")
	f.StringVar(&q.cuda, "cuda", "", "CUDA `version` that the image must have")
	f.StringVar(&q.python, "python", "", "Python `version` that the image must have")
	f.BoolVar(&q.digest, "digest", false, "name the image by digest, not by tag")
	f.BoolVar(&q.why, "why", false, "explain the choice, on stderr")
	complete(cmd, "flavour", "tegra", "sbsa")
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		// Completion has no place for an error: without a table there are no names.
		t, err := q.readTable()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return resolve.Names(t), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete offers the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is an unknown flag, a mistake that the tests would show.
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// reply is an answer with the host that it is for.
type reply struct {
	Reference string     `json:"reference,omitempty"`
	Digest    string     `json:"digest,omitempty"`
	Host      hostReport `json:"host"`
	resolve.Answer
}

type hostReport struct {
	L4T       string   `json:"l4t,omitempty"`
	Source    string   `json:"source,omitempty"`
	Flavour   string   `json:"flavour"`
	Model     string   `json:"model,omitempty"`
	GPU       string   `json:"gpu,omitempty"`
	Conflicts []string `json:"conflicts,omitempty"`
}

// ask answers for packages. An answer without a choice is no error here.
func (q *question) ask(packages []string) (*reply, error) {
	query := resolve.Query{Flavour: q.flavour, CUDA: q.cuda, Python: q.python}
	if q.flavour != "tegra" && q.flavour != "sbsa" {
		return nil, mistake("--flavour %q is none of tegra, sbsa", q.flavour)
	}
	for _, p := range packages {
		w, err := resolve.ParseWanted(p)
		if err != nil {
			return nil, err
		}
		query.Packages = append(query.Packages, w)
	}
	report, err := q.host(&query)
	if err != nil {
		return nil, err
	}
	t, err := q.readTable()
	if err != nil {
		return nil, err
	}
	answer, err := resolve.Choose(t, query)
	if err != nil {
		return nil, err
	}
	r := &reply{Host: report, Answer: answer}
	if c := answer.Chosen; c != nil {
		r.Reference, r.Digest = c.Image, c.Digest
		if q.digest {
			r.Reference = c.Row.Image.Pinned()
		}
	}
	return r, nil
}

// host fills the query with what is known of the host.
func (q *question) host(query *resolve.Query) (hostReport, error) {
	info, err := os.Stat(q.root)
	if err != nil || !info.IsDir() {
		return hostReport{}, mistake("--root %s is not a folder", q.root)
	}
	facts := host.Detect(os.DirFS(q.root))
	report := hostReport{Flavour: q.flavour, Model: facts.Model.Value, GPU: facts.GPU.Value, Conflicts: facts.Conflicts}
	own, known := facts.Release()
	if q.hostL4T == "" {
		if !known {
			query.Unknown = facts.L4T.Reason
		}
		query.L4T, query.GPU = own, facts.GPU.Value
		report.L4T, report.Source = facts.L4T.Value, facts.L4T.Source
		return report, nil
	}
	said, err := version.ParseL4T(q.hostL4T)
	if err != nil {
		return hostReport{}, mistake("--host-l4t: %w", err)
	}
	query.L4T = said
	report.L4T, report.Source = said.String(), "--host-l4t"
	if known && own.Compare(said) != 0 {
		// The question is about another device: nothing here says what it is.
		report.Model, report.GPU = "", ""
	}
	query.GPU = report.GPU
	return report, nil
}

// tablePath is where the table lies, and which setting says so.
func (q *question) tablePath() (path, setting string) {
	if q.table != "" {
		return q.table, "--table"
	}
	if path := q.app.getenv("JETCRATE_TABLE"); path != "" {
		return path, "$JETCRATE_TABLE"
	}
	data := q.app.getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) { // the specification ignores relative ones
		data = filepath.Join(q.app.getenv("HOME"), ".local", "share")
	}
	return filepath.Join(data, "jetcrate", "table.json"), ""
}

func (q *question) readTable() (*table.Table, error) {
	path, setting := q.tablePath()
	var in io.Reader = q.app.stdin
	if path != "-" {
		f, err := os.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && setting == "":
			return nil, environment("there is no compatibility table at %s\nname one with --table FILE or JETCRATE_TABLE, or let `jetcrate table` write it there", path)
		case errors.Is(err, fs.ErrNotExist):
			return nil, mistake("%s names %s, which does not exist", setting, path)
		case err != nil:
			return nil, environment("reading the table: %w", err)
		}
		defer f.Close()
		in = f
	}
	t, err := table.Read(in)
	if err != nil {
		return nil, environment("%s: %w", path, err)
	}
	return t, nil
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

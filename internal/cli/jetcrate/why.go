package jetcrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/store"
)

func (a *app) whyCommand() *cobra.Command {
	var against string
	c := &cobra.Command{
		Use: "why KEY", Short: "Say what a key is made of, and which of it made it another than before",
		Long: `Says what the key of an artifact or a layer is made of, which cells use it today, and
which input of the key changed since the nearest record of the same package: old and new.

KEY is at least six digits of a key, as plan, build and store ls --records print them, with
or without the kind in front (layer-3fb1c2d4e5f6). It is looked for in the plan of the whole
catalog and in the store. The nearest record is one of the same kind, on the same base if
there is any, that was made before, with the fewest differences; --against names another.`,
		Example: "  jetcrate why 3fb1c2d4e5f6\n  jetcrate why 3fb1c2d4e5f6 --against 77aa01bc3d5e -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage{errors.New("name one key, such as 3fb1c2d4e5f6; jetcrate plan TARGET prints those of a target")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			w, err := a.readKeys(c.Context())
			if err != nil {
				return err
			}
			r, err := w.why(args[0], against)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(r)
			}
			var text strings.Builder
			r.print(&text)
			_, err = io.WriteString(a.stdout, diag.Clean(text.String())) // what a store tells must not drive a terminal
			return err
		},
	}
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.Flags().StringVar(&against, "against", "", "compare with this key")
	return c
}

// keys are all that is known of keys: today's plan, and what the store tells.
type keys struct {
	plan    *plan.Plan
	origins map[string]execute.Origin
}

func (a *app) readKeys(ctx context.Context) (*keys, error) {
	p, err := a.planAll()
	if err != nil {
		return nil, err
	}
	k := &keys{plan: p}
	err = a.withStore(ctx, func(st *store.Store) (err error) {
		k.origins, err = execute.Origins(ctx, st)
		return err
	})
	return k, err
}

// planAll is the plan of every cell of the catalog and of every package.
func (a *app) planAll() (*plan.Plan, error) {
	cat, files, err := a.load()
	if err != nil {
		return nil, err
	}
	var all []plan.Request
	for _, s := range []selection{{whole: true}, {all: true}} {
		reqs, err := s.requests(cat, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, reqs...)
	}
	return plan.New(cat, files, all)
}

// reason is the answer to why.
type reason struct {
	Inputs  *plan.Inputs `json:"inputs"`
	Record  *recorded    `json:"record,omitempty"` // nil: the store has none, or one that tells nothing
	Current bool         `json:"current"`          // today's catalog has it
	Cells   []string     `json:"cells,omitempty"`  // today's, that stand on it or were built with it
	Against *against     `json:"against,omitempty"`
	Causes  []plan.Cause `json:"causes"`
}

type recorded struct {
	Digest string    `json:"digest"`
	Run    int       `json:"run,omitempty"`
	When   time.Time `json:"when,omitzero"`
}

type against struct {
	Key     string    `json:"key"`
	Title   string    `json:"title"`
	Current bool      `json:"current"`
	Record  *recorded `json:"record,omitempty"`
}

var keyWord = regexp.MustCompile(`^(?:(?:layer|artifact|base|image)-)?([0-9a-f]{6,64})$`)

// find is the key that a word begins.
func (k *keys) find(word string) (string, error) {
	m := keyWord.FindStringSubmatch(word)
	if m == nil {
		return "", usage{fmt.Errorf("%q is no key: one has 64 hex digits, of which the first 6 do", word)}
	}
	found := map[string]string{}
	for _, n := range k.plan.Nodes {
		if strings.HasPrefix(n.Key, m[1]) {
			found[n.Key] = n.Title()
			if n.Kind == plan.Test || n.Kind == plan.Source {
				found[n.Key] = ""
			}
		}
	}
	for key, o := range k.origins {
		if strings.HasPrefix(key, m[1]) && found[key] == "" {
			found[key] = o.Inputs.Title()
		}
	}
	all := slices.Sorted(maps.Keys(found))
	switch {
	case len(all) == 0:
		return "", usage{fmt.Errorf("neither today's plan of the catalog nor a record of the store that tells of its inputs has a key that begins with %s", m[1])}
	case len(all) > 1:
		var some []string
		for _, key := range all[:min(len(all), 5)] {
			some = append(some, key[:12]+" "+cmp.Or(found[key], "a test or a source"))
		}
		return "", usage{fmt.Errorf("%d keys begin with %s: %s", len(all), m[1], strings.Join(some, ", "))}
	case found[all[0]] == "":
		return "", usage{fmt.Errorf("%s is a test or a source: a test runs again when it or its image changed, a source is its SHA-256; name an artifact, a layer or an image", m[1])}
	}
	return all[0], nil
}

// inputs are those of a key, by today's plan or by the store.
func (k *keys) inputs(key string) *plan.Inputs {
	if in := k.plan.Inputs(k.plan.Node(key)); in != nil {
		return in
	}
	if o, ok := k.origins[key]; ok {
		return &o.Inputs
	}
	return nil
}

func (k *keys) record(key string) *recorded {
	o, ok := k.origins[key]
	if !ok {
		return nil
	}
	return &recorded{Digest: o.Record.Digest, Run: o.Run, When: o.When}
}

func (k *keys) why(word, other string) (*reason, error) {
	key, err := k.find(word)
	if err != nil {
		return nil, err
	}
	r := &reason{Inputs: k.inputs(key), Record: k.record(key), Current: k.plan.Node(key) != nil, Causes: []plan.Cause{}}
	if r.Current {
		for _, c := range k.plan.Using(key) {
			r.Cells = append(r.Cells, c.ID)
		}
		slices.Sort(r.Cells)
		r.Cells = slices.Compact(r.Cells)
	}
	var before *plan.Inputs
	switch {
	case other != "":
		found, err := k.find(other)
		if err != nil {
			return nil, err
		}
		before = k.inputs(found)
		if before.Package != r.Inputs.Package || (before.Kind == plan.Image) != (r.Inputs.Kind == plan.Image) {
			return nil, usage{fmt.Errorf("%s is %s and %s is %s: what differs between two packages says nothing", key[:12], r.Inputs.Title(), found[:12], before.Title())}
		}
	default:
		before = k.nearest(r.Inputs, func(string, execute.Origin) bool { return true })
	}
	if before != nil {
		r.Against = &against{Key: before.Key, Title: before.Title(), Current: k.plan.Node(before.Key) != nil, Record: k.record(before.Key)}
		r.Causes = k.causes(before, r.Inputs)
	}
	return r, nil
}

// causes say why now has another key than before.
func (k *keys) causes(before, now *plan.Inputs) []plan.Cause {
	return plan.Causes(before, now, k.inputs, k.inputs)
}

// explain notes for what a run made under a new key why it has that: compared
// with the nearest record of the same base from before the run. What was made for
// the first time has none, and neither has what failed and no plan of today knows.
func (k *keys) explain(run *report.Run) {
	made := map[string]bool{}
	for _, n := range run.Nodes {
		made[n.Key] = n.Why == execute.NewKey
	}
	for i, n := range run.Nodes {
		in := k.inputs(n.Key)
		if !made[n.Key] || in == nil || in.Kind == plan.Image {
			continue
		}
		before := k.nearest(in, func(key string, o execute.Origin) bool {
			return !made[key] && (o.Run == 0 || o.Run < run.ID) && sameBase(&o.Inputs, in)
		})
		if before != nil {
			run.Nodes[i].Before, run.Nodes[i].Causes = before.Key, k.causes(before, in)
		}
	}
}

// nearest is the record that a key is best compared with, of those that are
// usable; nil if there is none.
func (k *keys) nearest(in *plan.Inputs, usable func(string, execute.Origin) bool) *plan.Inputs {
	mine := k.origins[in.Key].Run
	var best *plan.Inputs
	var rank []int
	for _, key := range slices.Sorted(maps.Keys(k.origins)) {
		o := k.origins[key]
		if key == in.Key || o.Inputs.Package != in.Package || o.Inputs.Kind != in.Kind || !usable(key, o) {
			continue
		}
		before := &o.Inputs
		r := []int{
			truth(!sameBase(before, in)),
			truth(mine > 0 && o.Run >= mine),
			len(k.causes(before, in)),
			-o.Run,
		}
		if best == nil || slices.Compare(r, rank) < 0 {
			best, rank = before, r
		}
	}
	return best
}

// sameBase reports whether two are of images on a base of the same name.
func sameBase(a, b *plan.Inputs) bool {
	return a.Arch == b.Arch && (a.Base == nil || b.Base == nil || a.Base.String() == b.Base.String())
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *reason) print(w io.Writer) {
	in := r.Inputs
	fmt.Fprintf(w, "%s  %s\n", in.Title(), in.Key)
	fmt.Fprintf(w, "  store: %s\n", r.Record)
	switch {
	case !r.Current:
		fmt.Fprintln(w, "  today: no cell of the catalog has it")
	case len(r.Cells) == 0:
		fmt.Fprintln(w, "  today: in the plan, but under no cell's image")
	default:
		fmt.Fprintf(w, "  today: %s of the catalog: %s\n", count(len(r.Cells), "cell"), strings.Join(some(r.Cells, 6), ", "))
	}
	var below []string
	for _, b := range in.Below {
		title := strings.TrimSpace(b.Package + " " + b.Version)
		if b.Package == "" {
			title = "the base"
			if in.Base != nil {
				title = in.Base.String()
			}
		}
		below = append(below, title+" "+b.Key[:12])
	}
	if len(below) > 0 {
		fmt.Fprintf(w, "  on: %s\n", strings.Join(below, ", "))
	}
	if in.Artifact != "" {
		fmt.Fprintf(w, "  holds its artifact %s\n", in.Artifact[:12])
	}
	for i, x := range in.Instructions {
		fmt.Fprintf(w, "  step %d: %s\n", i+1, cmp.Or(x.Step, "a script of its own"))
	}
	for _, f := range in.Files {
		fmt.Fprintf(w, "  file %s %s\n", f.Path, f.SHA256[:12])
	}
	for _, v := range in.Env {
		fmt.Fprintf(w, "  variable %s=%s\n", v.Name, strings.Join(some(strings.Split(v.Value, "\n"), 1), " "))
	}
	if r.Against == nil && in.Kind == plan.Image {
		fmt.Fprintln(w, "an image is put together from its layers, without an engine; ask why of one of them")
		return
	}
	if r.Against == nil {
		fmt.Fprintln(w, "there is no other record of it to compare with: it is made for the first time, or what the store has tells nothing of its inputs")
		return
	}
	now := ""
	if r.Against.Current {
		now = ", which other cells of today have"
	}
	fmt.Fprintf(w, "another than %s %s (%s)%s, because of:\n", r.Against.Title, r.Against.Key[:12], r.Against.Record, now)
	for i, c := range r.Causes {
		fmt.Fprintf(w, "  %d. %s\n", i+1, c.Title())
		for _, l := range c.Lines(40) {
			fmt.Fprintf(w, "     %s\n", l)
		}
	}
	if len(r.Causes) == 0 {
		fmt.Fprintln(w, "  nothing that is recorded")
	}
}

// String is where a record comes from.
func (r *recorded) String() string {
	switch {
	case r == nil:
		return "not recorded"
	case r.Run == 0:
		return "recorded"
	}
	return fmt.Sprintf("recorded, run %d of %s", r.Run, r.When.UTC().Format("2006-01-02 15:04"))
}

func some(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("... and %d more", len(list)-most))
}

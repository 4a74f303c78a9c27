package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/report"
	"github.com/jetcrate/jetcrate/internal/store"
)

// work is the flags of commands that run a plan.
type work struct {
	selection
	engine      string
	keep        bool
	concurrency int
	progress    string
	secrets     []string
	verbose     bool
	noTests     bool
	onlyTest    string
	gpu         gpuFlags
	part        partFlags
	outputs
}

func (w *work) flags(c *cobra.Command, a *app) {
	w.selection.flags(c, a)
	w.selection.allFlags(c)
	a.lockedFlag(c)
	f := c.Flags()
	f.StringVar(&w.engine, "engine", os.Getenv("JETCRATE_ENGINE"), "engine: an address of a BuildKit (unix://, tcp://, docker-container://), private, docker or dagger; several, with commas between, share the work (default: the first BuildKit that works)")
	f.BoolVar(&w.keep, "keep-engine", false, "leave a private buildkitd running for the next command")
	f.IntVarP(&w.concurrency, "jobs", "j", 0, "nodes of the plan at work at once (default: 2 for each engine)")
	f.StringVar(&w.progress, "progress", "auto", "progress: auto, tty, plain or quiet")
	f.BoolVarP(&w.verbose, "verbose", "v", false, "show the output of all steps as it comes (plain progress)")
	f.StringArrayVar(&w.secrets, "secret", nil, "secret for steps that name it: id=NAME,src=FILE or id=NAME,env=VARIABLE")
}

func (a *app) buildCommand() *cobra.Command {
	var w work
	c := &cobra.Command{
		Use: "build TARGET... | --all", Short: "Build and test the image of a target; several targets make one image",
		Example: `  jetcrate build pytorch --l4t r36.4
  jetcrate build --name my-robot opencv ros2:humble --l4t r36.4 --load
  jetcrate build --all --filter l4t=36.4.0`,
		RunE: func(c *cobra.Command, args []string) error { return a.work(c.Context(), &w, args) },
	}
	w.flags(c, a)
	c.Flags().StringVar(&w.name, "name", "", "name of the image")
	w.part.flags(c)
	c.Flags().BoolVar(&w.noTests, "no-tests", false, "make the image without testing it; it gets into no table")
	w.outputs.flags(c)
	return c
}

func (a *app) testCommand() *cobra.Command {
	var w work
	c := &cobra.Command{
		Use: "test TARGET... | IMAGE | --all", Short: "Run the tests of a target that have not passed yet, building what they need",
		Long: `Runs the tests of a target, or of an image that this catalog makes.

With --gpu only the tests that need a GPU are run, on this machine's: one after
the other, by Docker or podman with the flags of jet run, or by BuildKit with a CDI
device. The evidence names the device. Where there is no GPU they are skipped; on a
CDI device without a driver they are simulated, which proves nothing.`,
		Example: `  jetcrate test numpy --l4t r36.4
  jetcrate test numpy --l4t r36.4 --test import
  jetcrate test pytorch --l4t r36.4 --gpu --wait-for-lock
  jetcrate test registry.example/jetcrate:pytorch-2.8.0-r36.4.0-cu126-py310 --gpu`,
		RunE: func(c *cobra.Command, args []string) error { return a.work(c.Context(), &w, args) },
	}
	w.flags(c, a)
	c.Flags().StringVar(&w.onlyTest, "test", "", "only the tests of this name")
	w.part.flags(c)
	w.gpu.flags(c)
	return c
}

// work runs a plan.
func (a *app) work(ctx context.Context, w *work, args []string) error {
	if err := a.formats("text", "json", "jsonl"); err != nil {
		return err
	}
	secrets, err := readSecrets(w.secrets)
	if err != nil {
		return err
	}
	if err := w.gpu.check(); err != nil {
		return err
	}
	dirs, err := findDirs()
	if err != nil {
		return err
	}
	open, done := a.opening(ctx, dirs)
	defer done()
	var img *namedImage
	if len(args) == 1 && isReference(args[0]) {
		if _, err := open(); err != nil { // it may be the one that has the image, and serve it
			return err
		}
		if img, err = a.openImage(ctx, args[0]); err != nil {
			return err
		}
		if args, err = img.target(a, &w.selection); err != nil {
			return err
		}
	}
	cat, fsys, p, err := a.plan(&w.selection, args)
	if err == nil {
		err = errors.Join(knownTest(p, w.onlyTest), w.outputs.check(len(p.Cells)))
	}
	if err != nil {
		return err
	}
	st, err := open()
	if err != nil {
		return err
	}
	run, err := dirs.run()
	if err != nil {
		return err
	}
	defer os.RemoveAll(run.scratch)
	rep, err := a.reporter(w)
	if err != nil {
		return err
	}
	if img != nil {
		if err := img.keep(ctx, st); err != nil {
			return err
		}
	}
	connect := func(ctx context.Context) (engine.Engine, error) { return w.connect(ctx, dirs, run, rep) }
	gpu, err := w.gpu.open(ctx, p, st, connect, func(s string) { rep.Event(execute.Event{Kind: execute.Message, Text: s, Time: time.Now()}) })
	if err != nil {
		return err
	}
	var device execute.Device // not a nil *device.Device
	if gpu != nil {
		defer gpu.Close()
		device = gpu
	}
	list, err := w.engines()
	if err != nil {
		return err
	}
	if w.concurrency <= 0 {
		w.concurrency = jobsPerEngine * len(list)
	}
	only, err := w.part.only(p, fsys)
	if err != nil {
		return err
	}
	res, runErr := execute.Run(ctx, execute.Options{
		FailFast: w.part.failFast, Only: only, Retry: retryPolicy(),
		Device: device, OnlyGPU: w.gpu.on,
		Plan: p, Cells: p.Possible(), Catalog: cat, Files: fsys, Store: st, Secrets: secrets,
		Concurrency: w.concurrency, CPUs: runtime.NumCPU(), Memory: freeMemory(), Machines: len(list),
		Scratch: run.scratch, Logs: run.logs, Events: rep.Event, SkipTests: w.noTests, OnlyTest: w.onlyTest,
		Engine: func(ctx context.Context) (engine.Engine, error) {
			return w.connect(ctx, dirs, run, rep)
		},
	})
	if err := rep.Close(); err != nil {
		return err
	}
	if a.output == "text" && len(res.Nodes) > 0 {
		if err := rep.Summary(a.stderr); err != nil {
			return err
		}
	}
	for _, c := range res.Cells {
		if c.Digest == "" {
			continue
		}
		if err := st.Tag(ctx, c.Cell.Tag, c.Digest); err != nil && runErr == nil {
			runErr = err
		}
	}
	if err := a.attest(ctx, st, cat, p, res); err != nil && runErr == nil {
		runErr = err
	}
	if err := a.results(st, p, res); err != nil {
		return err
	}
	if runErr != nil {
		return runErr
	}
	for _, c := range res.Cells {
		if err := w.outputs.write(ctx, a, st, p, c); err != nil {
			return err
		}
	}
	return nil
}

// knownTest refuses --test with a name that no test of the plan has.
func knownTest(p *plan.Plan, name string) error {
	var names []string
	for _, n := range p.Nodes {
		if n.Test != nil {
			names = append(names, n.Test.Name)
		}
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	slices.Sort(names)
	return usage{fmt.Errorf("--test %q: no such test; there are %s", name, strings.Join(slices.Compact(names), ", "))}
}

// results prints an image reference per cell, and why a cell has none.
func (a *app) results(st *store.Store, p *plan.Plan, res *execute.Result) error {
	type cell struct {
		ID        string `json:"id"`
		Reference string `json:"reference,omitempty"`
		Digest    string `json:"digest,omitempty"`
		Good      bool   `json:"good"`
		Reason    string `json:"reason,omitempty"`
	}
	var out []cell
	for _, c := range res.Cells {
		x := cell{ID: c.Cell.ID, Digest: c.Digest, Good: c.Good}
		if c.Digest != "" {
			x.Reference = st.Repository() + ":" + c.Cell.Tag
		}
		out = append(out, x)
	}
	for _, c := range p.Cells {
		if c.Impossible != nil {
			out = append(out, cell{ID: c.ID, Reason: c.Impossible.Error()})
		}
	}
	switch a.output {
	case "json":
		return a.json(out)
	case "jsonl":
		return nil
	}
	for _, c := range out {
		switch {
		case c.Good:
			fmt.Fprintln(a.stdout, c.Reference)
		case c.Reason != "":
			fmt.Fprintf(a.stderr, "%s: impossible: %s\n", c.ID, c.Reason)
		}
	}
	return nil
}

func (a *app) reporter(w *work) (*report.Reporter, error) {
	modes := map[string]report.Mode{"auto": report.Auto, "tty": report.TTY, "plain": report.Plain, "quiet": report.Quiet}
	mode, ok := modes[w.progress]
	if !ok {
		return nil, usage{fmt.Errorf("--progress %q; allowed: auto, tty, plain, quiet", w.progress)}
	}
	if a.output == "jsonl" {
		return report.New(a.stdout, report.Options{Mode: report.JSONL})
	}
	return report.New(a.stderr, report.Options{Mode: mode, Verbose: w.verbose, Colour: a.colour()})
}

// readSecrets reads --secret id=NAME,src=FILE or id=NAME,env=VARIABLE.
func readSecrets(flags []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, f := range flags {
		var id, src, env string
		for _, part := range strings.Split(f, ",") {
			k, v, _ := strings.Cut(part, "=")
			switch k {
			case "id":
				id = v
			case "src":
				src = v
			case "env":
				env = v
			default:
				return nil, usage{fmt.Errorf("--secret has the parts id, src and env, not %q", k)}
			}
		}
		switch {
		case id == "" || (src == "") == (env == ""):
			return nil, usage{errors.New("--secret needs id=NAME and one of src=FILE and env=VARIABLE")}
		case src != "":
			b, err := os.ReadFile(src)
			if err != nil {
				return nil, usage{fmt.Errorf("--secret %s: %w", id, err)}
			}
			out[id] = b
		default:
			v, ok := os.LookupEnv(env)
			if !ok {
				return nil, usage{fmt.Errorf("--secret %s: the environment has no %s", id, env)}
			}
			out[id] = []byte(v)
		}
	}
	return out, nil
}

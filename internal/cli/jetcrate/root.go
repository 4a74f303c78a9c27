// Package jetcrate wires the rooms to the command `jetcrate`: flags, files,
// exit codes and output. Results go to stdout, progress and reasons to stderr.
//
// Exit codes: 0 done; 1 a mistake in what the user wrote; 2 the environment
// failed; 3 the answer is no; 130 interrupted.
package jetcrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Exit codes.
const (
	exitDone        = 0
	exitMistake     = 1
	exitEnvironment = 2
	exitNo          = 3
	exitInterrupted = 130
)

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	catalogDir string
	matrix     []string
	storeAt    string
	insecure   bool
	output     string
	locked     bool // --locked
}

// result is stdout. It keeps the first error: a result that was not written whole
// is none, whatever the command did.
type result struct {
	w   io.Writer
	err error
}

func (r *result) Write(b []byte) (int, error) {
	n, err := r.w.Write(b)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// usage is a mistake in a command line.
type usage struct{ err error }

func (u usage) Error() string { return u.err.Error() }

// said is an answer that is already printed; code is the exit code.
type said struct{ code int }

func (s said) Error() string { return fmt.Sprintf("exit code %d", s.code) }

// Main runs the command and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	out := &result{w: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "jetcrate: internal error: %v\nThis is a bug in jetcrate; please report it with this:\n%s", p, debug.Stack())
			code = exitEnvironment
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // a second Ctrl-C ends at once
		<-ctx.Done()
		stop()
	}()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("writing the result: %w", out.err)
	}
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(stderr, "jetcrate: interrupted; what was finished is kept, the same command goes on from there")
		return exitInterrupted
	}
	return a.exit(err)
}

// exit prints an error in its form and picks the exit code.
func (a *app) exit(err error) int {
	var s said
	var u usage
	var impossible *solve.Impossible
	var failures *execute.Failures
	var unavailable *engine.Unavailable
	var syntax *version.SyntaxError
	list, mistakes := diag.From(err)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &s):
		return s.code
	case mistakes:
		if a.output == "json" {
			_ = diag.WriteJSON(a.stdout, list)
		} else {
			_ = diag.WriteText(a.stderr, list, a.colour())
		}
		return exitMistake
	case errors.As(err, &u), errors.As(err, &syntax):
		a.say(err)
		return exitMistake
	case errors.As(err, &impossible):
		a.say(err)
		return exitNo
	case errors.As(err, &failures):
		a.say(err)
		return exitNo
	case errors.As(err, &unavailable):
		a.say(err)
		return exitEnvironment
	}
	a.say(err)
	return exitEnvironment
}

// say prints an error. It may hold what a build or a registry wrote, such as the
// name of a file, which must not drive a terminal.
func (a *app) say(err error) {
	fmt.Fprintf(a.stderr, "jetcrate: %s\n", diag.Clean(err.Error()))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "jetcrate",
		Short: "Builds and tests ARM64 images for NVIDIA Jetson from declarative specs",
		Long: `jetcrate turns a catalog of package specs into tested ARM64 container images and
wheels for NVIDIA Jetson, and a table that tells a Jetson which of them it can run.

A target is name[:version][+option...]; --l4t r36.4 means the newest release of
that line in the matrix. CUDA_VERSION, L4T_VERSION, PYTHON_VERSION and
<PACKAGE>_VERSION in the environment work like the flags.`,
		Example: `  jetcrate lint
  jetcrate build pytorch --l4t r36.4
  jetcrate build --name my-robot opencv ros2:humble --l4t r36.4
  jetcrate table`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				var names []string
				for _, known := range c.Commands() {
					names = append(names, known.Name())
				}
				hint := cmp.Or(diag.DidYouMean(args[0], names), "jetcrate --help lists them")
				return usage{fmt.Errorf("unknown command %q; %s", args[0], hint)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.catalogDir, "catalog", "C", "", "folder of the catalog (default: the nearest one above that holds matrix.yaml)")
	f.StringArrayVar(&a.matrix, "matrix", nil, "matrix file, relative to the catalog; the second and later ones are overlays (default matrix.yaml)")
	f.StringVar(&a.storeAt, "store", os.Getenv("JETCRATE_STORE"), "registry that is the store: host/repository (default: the embedded one)")
	f.BoolVar(&a.insecure, "store-insecure", false, "speak plain HTTP with --store")
	f.StringVarP(&a.output, "output", "o", "text", "form of the result: text, json or jsonl")
	root.AddCommand(a.lintCommand(), a.lockCommand(), a.schemaCommand(), a.planCommand(), a.dockerfileCommand(), a.buildCommand(), a.testCommand(),
		a.listCommand(), a.showCommand(), a.newCommand(), a.matrixCommand(), a.explainCommand(), a.diffCommand(), a.graphCommand(), a.whyCommand(), a.tableCommand(), a.docsCommand(), a.inspectCommand(), a.siteCommand(), a.storeCommand(), a.reportCommand(), a.runsCommand(), a.pipelineCommand(), a.upstreamCommand(), a.wheelsCommand(), a.serveCommand(), a.versionCommand())
	root.AddCommand(a.publishCommand(), a.keysCommand(), a.verifyCommand(), a.withdrawCommand(), a.releaseCommand())
	root.InitDefaultCompletionCmd()
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  jetcrate version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				v = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v += " " + s.Value
					}
				}
			}
			fmt.Fprintln(a.stdout, "jetcrate", v)
			return nil
		},
	}
}

// colour reports whether stderr is a terminal that wants colours
// (https://no-color.org).
func (a *app) colour() bool {
	f, ok := a.stderr.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage{fmt.Errorf("%s takes no arguments, got %q", c.CommandPath(), args[0])}
	}
	return nil
}

// formats refuses a form of output that a command does not have.
func (a *app) formats(allowed ...string) error {
	if slices.Contains(allowed, a.output) {
		return nil
	}
	return usage{fmt.Errorf("no output %q here; allowed: %s", a.output, strings.Join(allowed, ", "))}
}

// Package jet is the command line of jet, the program for a Jetson: which image
// runs on this device (autotag), pulling it (pull), running it (run), what is wrong
// with the device (doctor), what there is for it (list, show), what lies on it (storage), and which
// image runs on several (fleet).
// Called by the name autotag it is that command.
//
// Results go to stdout and nothing else does; reasons and errors go to stderr.
// Exit codes: 0 done; 1 a mistake in what the user wrote; 2 the environment
// failed (no table, no Docker); 3 the answer is no (nothing compatible, or not
// known to be). Text that comes from a table or a device is escaped before it
// reaches a terminal.
package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	exitMistake     = 1
	exitEnvironment = 2
	exitNo          = 3
)

// app is what the commands need of the process.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	terminal       bool                              // stdin and stdout are a terminal
	piped          bool                              // stdin is a pipe or a file
	width          int                               // of the terminal that stdout is; 0 is none
	free           func(folder string) (int64, bool) // free space; nil asks the system
	clock          func() time.Time                  // nil is the real one
	dockerArgs     []string                          // flags of `jet run` that are docker's
	unknownPackage string                            // what to do about a name that is like no package's
	atEnd          []func() error                    // closes what was opened to read
}

// Main runs jet with the process's arguments and returns its exit code.
func Main() int {
	// The first collection comes at 4 MiB, which an answer passes by little: later,
	// an answer takes two thirds of the time and no more memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())),
	}
	if info, err := os.Stdin.Stat(); err == nil {
		a.piped = info.Mode()&os.ModeNamedPipe != 0 || info.Mode().IsRegular()
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		a.width = width
	}
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "autotag" {
		args = append([]string{"autotag"}, args...)
	}
	return a.run(context.Background(), args)
}

func (a *app) now() time.Time {
	if a.clock != nil {
		return a.clock()
	}
	return time.Now()
}

func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			a.say("internal error: %v (this is a mistake in jet, please report it)", p)
			code = exitEnvironment
		}
		for _, end := range a.atEnd {
			_ = end() // nothing was written
		}
	}()
	root := a.root()
	if len(args) > 0 && args[0] == "run" {
		cmd, _, err := root.Find(args[:1])
		if err != nil {
			return a.report(err)
		}
		var own []string
		own, a.dockerArgs = split(cmd.Flags(), args[1:])
		args = append([]string{"run"}, own...)
	}
	root.SetArgs(args)
	return a.report(root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "jet",
		Short: "Find and run the container image that fits this Jetson",
		Long: `jet answers from a compatibility table which image runs on this Jetson, and why.
It never guesses: what the table does not cover is unknown, and gets no image.

The table is the file of --table, else of $JETCRATE_TABLE, else
$XDG_DATA_HOME/jetcrate/table.json (~/.local/share/jetcrate/table.json).`,
		Example: `  jet autotag pytorch
  docker run --runtime nvidia --rm $(jet autotag pytorch)
  jet run pytorch -- python3 -c 'import torch'
  jet doctor`,
		Args:          unknownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(unknownFlag)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.autotagCommand(), a.runCommand(), a.pullCommand(), a.updateCommand(), a.doctorCommand(), a.hostCommand(), a.listCommand(), a.showCommand(), a.storageCommand(), a.fleetCommand(), a.versionCommand())
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of jet",
		Example: "  jet version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "jet %s %s/%s\n", buildVersion(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// buildVersion is the version that the Go toolchain recorded.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// failure is an error with the exit code that belongs to it. Without one, an
// error is a mistake in what the user wrote: cobra's own are of that kind.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func environment(format string, args ...any) error {
	return &failure{exitEnvironment, fmt.Errorf(format, args...)}
}

func mistake(format string, args ...any) error {
	return &failure{exitMistake, fmt.Errorf(format, args...)}
}

// no is the answer no: its lines say why.
type no struct{ lines []string }

func (n *no) Error() string { return strings.Join(n.lines, "\n") }

// report prints an error and gives its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	if list, ok := diag.From(err); ok {
		for _, d := range list {
			if pos := d.Position.String(); pos != "" {
				a.say("%s: %s", pos, d.Message)
			} else {
				a.say("%s", d.Message)
			}
			if len(d.Allowed) > 0 {
				a.more("allowed: %s", strings.Join(d.Allowed, ", "))
			}
			switch {
			case d.Hint != "":
				a.more("%s", d.Hint)
			case d.Code == "unknown-package":
				a.more("%s", cmp.Or(a.unknownPackage, "jet list --all names those that it has"))
			}
		}
		return exitMistake
	}
	lines := strings.Split(err.Error(), "\n")
	a.say("%s", lines[0])
	for _, line := range lines[1:] {
		if line = strings.TrimSpace(line); line != "" {
			a.more("%s", line)
		}
	}
	var n *no
	var f *failure
	switch {
	case errors.As(err, &n):
		return exitNo
	case errors.As(err, &f):
		return f.code
	}
	return exitMistake
}

// say writes one line about what went wrong, and more one that goes with it.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "jet: %s\n", diag.Escape(fmt.Sprintf(format, args...)))
}

func (a *app) more(format string, args ...any) {
	fmt.Fprintf(a.stderr, "  %s\n", diag.Escape(fmt.Sprintf(format, args...)))
}

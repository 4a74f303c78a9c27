package workflow

import (
	"context"
	"io"
)

// Machine runs the scripts of one job, one after the other.
type Machine interface {
	// Place says where things are on it.
	Place() Place
	// Run runs a script to its end. A code other than 0 is no error.
	Run(ctx context.Context, s Script) (code int, files Files, err error)
	// Close ends it.
	Close() error
}

// Place is where things are on a machine.
type Place struct {
	Workspace string
	Temp      string
	OS, Arch  string // as RUNNER_OS and RUNNER_ARCH say them: Linux, ARM64
	Name      string // of the runner
}

// Script is a step's `run:`.
type Script struct {
	Text           string
	Shell          string // sh, bash, or bash with pipefail
	Env            map[string]string
	Path           []string // folders before those of PATH
	Dir            string   // relative to the workspace, or absolute; "" is the workspace
	Stdout, Stderr io.Writer
}

// MachineFor is what a job asks of a machine.
type MachineFor struct {
	Job     string // its name, for people
	Labels  []string
	Scripts bool              // it has `run:` steps
	Image   string            // "" is none
	Env     map[string]string // of the container
}

// NoMachine says why no machine fits a job here; the job is skipped.
type NoMachine struct{ Reason string }

func (n *NoMachine) Error() string { return n.Reason }

// The shells, as GitHub starts them.
const (
	shellDefault = ""     // bash -e, sh -e where there is no bash
	shellBash    = "bash" // bash --noprofile --norc -eo pipefail
	shellSh      = "sh"   // sh -e
)

// command is what runs a script file.
func shellCommand(shell, file string, bash bool) []string {
	switch {
	case shell == shellBash:
		return []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", file}
	case shell == shellDefault && bash:
		return []string{"bash", "-e", file}
	}
	return []string{"sh", "-e", file}
}

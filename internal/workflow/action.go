package workflow

import (
	"context"
	"io"
)

// Actions are what `uses:` may name, by name: jetcrate/build.
type Actions map[string]Action

// Action is a step that runs inside jetcrate.
type Action struct {
	Summary string
	Inputs  map[string]ActionInput
	Outputs map[string]string // with what each is
	Run     func(ctx context.Context, call Call) (map[string]string, error)
}

// ActionInput is something that an action takes with `with:`.
type ActionInput struct {
	Summary  string
	Required bool
}

// Call is one use of an action.
type Call struct {
	With           map[string]string // evaluated
	Env            map[string]string // of the step
	Dir            string            // the workspace
	Stdout, Stderr io.Writer         // the step's log
	Summary        io.Writer         // GITHUB_STEP_SUMMARY
}

// Failed is an action that did what it could and whose answer is no. Any other
// error means that its surroundings failed; the step fails alike.
type Failed struct{ Reason string }

func (f *Failed) Error() string { return f.Reason }

// names lists the actions.
func (a Actions) names() []string { return sorted(a) }

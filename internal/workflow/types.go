// Package workflow runs the pipelines of a catalog, pipelines/*.yaml, and renders
// them as GitHub workflows.
//
// A pipeline has the syntax and the meaning of a GitHub workflow; what of it is
// supported is types.go. Load reads all of them and reports every mistake with its
// place: unknown keys, contexts and functions where GitHub has none, and values in
// `run:` that could become code. Run runs one: jobs as their needs allow, each on
// a Machine (this host, or a container of the engine), its steps one after the
// other; `uses: jetcrate/NAME` is an Action that the caller gives. Render writes
// the file for GitHub. Nothing here reads the clock, the environment or the network but
// through Options and machines. docs/pipelines.md is the user's description.
package workflow

import (
	"encoding/json"
	"fmt"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// Workflow is a pipeline. Values that may hold an expression are texts here.
type Workflow struct {
	Name        string            `json:"name" jsonschema:"minLength=1,description=What people call it"`
	On          Triggers          `json:"on" jsonschema:"description=Events that start it"`
	Permissions map[string]string `json:"permissions,omitempty" jsonschema:"description=What GitHub's token may do; nothing else may"`
	Env         map[string]string `json:"env,omitempty"`
	Defaults    *Defaults         `json:"defaults,omitempty"`
	Concurrency *Concurrency      `json:"concurrency,omitempty" jsonschema:"description=Runs of one group wait for each other"`
	Jobs        map[string]*Job   `json:"jobs"`

	ID    string         `json:"-"` // the file's name: nightly
	Doc   *spec.Document `json:"-"`
	Order []string       `json:"-"` // jobs as in the file
}

// Triggers are the events of `on:`, each with its filters; nil has none.
type Triggers map[string]*Trigger

// Trigger is what `on:` says of one event.
type Trigger struct {
	Types          []string            `json:"types,omitempty"`
	Branches       []string            `json:"branches,omitempty"`
	BranchesIgnore []string            `json:"branches-ignore,omitempty"`
	Tags           []string            `json:"tags,omitempty"`
	TagsIgnore     []string            `json:"tags-ignore,omitempty"`
	Paths          []string            `json:"paths,omitempty"`
	PathsIgnore    []string            `json:"paths-ignore,omitempty"`
	Inputs         map[string]*EvInput `json:"inputs,omitempty" jsonschema:"description=What a run by hand asks for"`
	Cron           []string            `json:"-"`
}

// EvInput is an input of workflow_dispatch.
type EvInput struct {
	Description string   `json:"description,omitempty"`
	Required    bool     `json:"required,omitempty"`
	Default     any      `json:"default,omitempty"`
	Type        string   `json:"type,omitempty" jsonschema:"enum=string,enum=boolean,enum=number,enum=choice,default=string"`
	Options     []string `json:"options,omitempty"`
}

// Defaults are settings of steps that do not give their own.
type Defaults struct {
	Run RunDefaults `json:"run"`
}

// RunDefaults are those of `run:` steps.
type RunDefaults struct {
	Shell            string `json:"shell,omitempty" jsonschema:"enum=sh,enum=bash"`
	WorkingDirectory string `json:"working-directory,omitempty"`
}

// Concurrency is a group of runs or jobs of which one runs at a time.
type Concurrency struct {
	Group            string `json:"group" jsonschema:"minLength=1"`
	CancelInProgress string `json:"cancel-in-progress,omitempty" jsonschema:"description=true: a new one ends the one that runs; otherwise it waits"`
}

// Job is a list of steps on one machine.
type Job struct {
	Name            string            `json:"name,omitempty"`
	Needs           Names             `json:"needs,omitempty" jsonschema:"description=Jobs that come first"`
	If              string            `json:"if,omitempty"`
	RunsOn          Names             `json:"runs-on" jsonschema:"description=host, or labels of GitHub's runners"`
	Permissions     map[string]string `json:"permissions,omitempty"`
	Environment     string            `json:"environment,omitempty" jsonschema:"description=GitHub's environment; its reviewers and secrets are GitHub's alone"`
	Concurrency     *Concurrency      `json:"concurrency,omitempty"`
	Outputs         map[string]string `json:"outputs,omitempty"`
	Env             map[string]string `json:"env,omitempty"`
	Defaults        *Defaults         `json:"defaults,omitempty"`
	Container       *Container        `json:"container,omitempty" jsonschema:"description=Image that the steps run in"`
	Strategy        *Strategy         `json:"strategy,omitempty"`
	TimeoutMinutes  string            `json:"timeout-minutes,omitempty"`
	ContinueOnError string            `json:"continue-on-error,omitempty"`
	Steps           []*Step           `json:"steps" jsonschema:"minItems=1"`

	ID string `json:"-"`
}

// Container is the image of a job.
type Container struct {
	Image string            `json:"image" jsonschema:"minLength=1"`
	Env   map[string]string `json:"env,omitempty"`
}

// Strategy makes several jobs of one.
type Strategy struct {
	Matrix      *Matrix `json:"matrix,omitempty"`
	FailFast    string  `json:"fail-fast,omitempty"`
	MaxParallel string  `json:"max-parallel,omitempty"`
}

// Step runs a script or an action. Exactly one of Uses and Run is given.
type Step struct {
	ID               string            `json:"id,omitempty"`
	Name             string            `json:"name,omitempty"`
	If               string            `json:"if,omitempty"`
	Uses             string            `json:"uses,omitempty" jsonschema:"description=A built-in action such as jetcrate/build"`
	With             map[string]string `json:"with,omitempty"`
	Run              string            `json:"run,omitempty" jsonschema:"description=A shell script. Values reach it through env"`
	Shell            string            `json:"shell,omitempty" jsonschema:"enum=sh,enum=bash"`
	WorkingDirectory string            `json:"working-directory,omitempty"`
	Env              map[string]string `json:"env,omitempty"`
	ContinueOnError  string            `json:"continue-on-error,omitempty"`
	TimeoutMinutes   string            `json:"timeout-minutes,omitempty"`
}

// Names is a list of texts, or a single one.
type Names []string

// UnmarshalJSON takes a list, or a text.
func (n *Names) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*n = Names{one}
		return nil
	}
	var all []string
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*n = all
	return nil
}

// UnmarshalJSON takes a map, or the image alone.
func (c *Container) UnmarshalJSON(data []byte) error {
	*c = Container{}
	if json.Unmarshal(data, &c.Image) == nil {
		return nil
	}
	type plain Container
	return json.Unmarshal(data, (*plain)(c))
}

// UnmarshalJSON takes a map, or the group alone.
func (c *Concurrency) UnmarshalJSON(data []byte) error {
	*c = Concurrency{}
	if json.Unmarshal(data, &c.Group) == nil {
		return nil
	}
	type plain Concurrency
	return json.Unmarshal(data, (*plain)(c))
}

// UnmarshalJSON takes an event, a list of events, or a map with their filters.
func (t *Triggers) UnmarshalJSON(data []byte) error {
	*t = Triggers{}
	var names Names
	if names.UnmarshalJSON(data) == nil {
		for _, name := range names {
			(*t)[name] = &Trigger{}
		}
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for name, raw := range all {
		trigger := &Trigger{}
		if name == "schedule" {
			var times []struct {
				Cron string `json:"cron"`
			}
			if err := json.Unmarshal(raw, &times); err != nil {
				return fmt.Errorf("schedule: %w", err)
			}
			for _, at := range times {
				trigger.Cron = append(trigger.Cron, at.Cron)
			}
		} else if err := json.Unmarshal(raw, trigger); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		(*t)[name] = trigger
	}
	return nil
}

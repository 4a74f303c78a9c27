package jetcrate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jetcrate/jetcrate/internal/workflow"
)

// maxResult bounds what a step keeps of a command's result.
const maxResult = 1 << 20

// actionCommands are the commands that a pipeline may use: jetcrate/build, and
// jetcrate/wheels-index for a command of a command.
func actionCommands() []string {
	return []string{
		"build", "diff", "docs", "lint", "matrix", "plan", "publish", "release", "report", "site", "table", "test", "upstream", "verify",
		"store gc", "wheels export", "wheels index", "wheels push",
	}
}

// ownInputs are inputs that every action has beside its command's flags.
func ownInputs() map[string]workflow.ActionInput {
	return map[string]workflow.ActionInput{
		"arguments": {Summary: "arguments of the command, one per line or separated by spaces"},
		"summary":   {Summary: "true: the result becomes part of the step summary"},
	}
}

// actions are the commands as actions: every flag is an input of the same name,
// lists with a value per line.
func (a *app) actions(engine string) workflow.Actions {
	out := workflow.Actions{}
	root := (&app{}).root() // not a.root: defining flags sets them
	for _, name := range actionCommands() {
		words := strings.Fields(name)
		c, rest, err := root.Find(words)
		if err != nil || len(rest) > 0 || c == root {
			continue
		}
		act := workflow.Action{
			Summary: c.Short, Inputs: ownInputs(),
			Outputs: map[string]string{"result": "what the command printed", "exit-code": "its exit code"},
		}
		c.InheritedFlags() // merges them
		visit := func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden {
				act.Inputs[f.Name] = workflow.ActionInput{Summary: f.Usage}
			}
		}
		c.LocalFlags().VisitAll(visit)
		c.InheritedFlags().VisitAll(visit)
		act.Run = func(ctx context.Context, call workflow.Call) (map[string]string, error) {
			return a.act(ctx, c, engine, call)
		}
		out["jetcrate/"+strings.Join(words, "-")] = act
	}
	return out
}

// act runs a command as a program of its own: this one again, so that the step's
// variables reach it and nothing of it reaches the run.
func (a *app) act(ctx context.Context, c *cobra.Command, engine string, call workflow.Call) (map[string]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	args, err := a.actionArgs(c, engine, call.With)
	if err != nil {
		return nil, err
	}
	var result bytes.Buffer
	call.Stdout = io.MultiWriter(call.Stdout, &limited{to: &result, left: maxResult})
	code, err := workflow.Program(ctx, call, os.Environ(), self, args...)
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(result.String(), "\n")
	if call.With["summary"] == "true" && text != "" {
		fmt.Fprintln(call.Summary, text)
	}
	outputs := map[string]string{"result": text, "exit-code": fmt.Sprint(code)}
	switch code {
	case exitDone:
		return outputs, nil
	case exitNo:
		return outputs, &workflow.Failed{Reason: c.CommandPath() + ": the answer is no (exit code 3)"}
	case exitMistake:
		return outputs, &workflow.Failed{Reason: c.CommandPath() + ": a mistake in what is written (exit code 1)"}
	}
	return outputs, fmt.Errorf("%s ended with exit code %d", c.CommandPath(), code)
}

// actionArgs are the arguments that the inputs of an action mean. What the run
// itself was told (catalog, matrix files, store, engine) holds unless the step
// says otherwise.
func (a *app) actionArgs(c *cobra.Command, engine string, with map[string]string) ([]string, error) {
	args := commandWords(c)
	given := func(name, value string) {
		if _, has := with[name]; !has && value != "" && c.Flag(name) != nil {
			args = append(args, "--"+name+"="+value)
		}
	}
	given("catalog", a.catalogDir)
	for _, m := range a.matrix {
		given("matrix", m)
	}
	given("store", a.storeAt)
	if a.insecure {
		given("store-insecure", "true")
	}
	given("engine", engine)
	given("progress", "plain")
	names := make([]string, 0, len(with))
	for name := range with {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := with[name]
		if _, own := ownInputs()[name]; own || strings.TrimSpace(value) == "" {
			continue
		}
		f := c.Flag(name)
		if f == nil {
			return nil, fmt.Errorf("%s has no input %q", c.CommandPath(), name)
		}
		if !strings.HasSuffix(f.Value.Type(), "Array") && !strings.HasSuffix(f.Value.Type(), "Slice") {
			args = append(args, "--"+name+"="+value)
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" {
				args = append(args, "--"+name+"="+line)
			}
		}
	}
	for _, arg := range strings.Fields(with["arguments"]) {
		if strings.HasPrefix(arg, "-") { // it would be a flag
			return nil, fmt.Errorf("the argument %q begins with -", arg)
		}
		args = append(args, arg)
	}
	return args, nil
}

// commandWords are the words of a command behind the program's name.
func commandWords(c *cobra.Command) []string { return strings.Fields(c.CommandPath())[1:] }

// limited keeps the beginning of what is written.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

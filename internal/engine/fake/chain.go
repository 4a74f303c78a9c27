package fake

import (
	"bytes"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// chain is what a stage stands on: its own instructions and those of the
// stages that it is FROM, first to last.
type chain struct {
	base     *engine.Image // image that the first stage is FROM; nil is an empty one
	commands []instructions.Command
	lines    []string
	id       string // SHA-256 of the lines
}

// chainOf reads the chain of the build's target.
func chainOf(b engine.Build) (chain, error) {
	parsed, err := parser.Parse(bytes.NewReader(b.Dockerfile))
	if err != nil {
		return chain{}, &engine.StepError{Step: b.Name, Fault: err.Error()}
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return chain{}, &engine.StepError{Step: b.Name, Fault: err.Error()}
	}
	at := len(stages) - 1
	if b.Target != "" {
		i, ok := instructions.HasStage(stages, b.Target)
		if !ok {
			return chain{}, &engine.StepError{Step: b.Name, Fault: fmt.Sprintf("target stage %q could not be found", b.Target)}
		}
		at = i
	}
	source := strings.Split(string(b.Dockerfile), "\n")
	var c chain
	for {
		stage := stages[at]
		var lines []string
		for _, cmd := range stage.Commands {
			for _, r := range cmd.Location() { // heredocs included
				lines = append(lines, source[r.Start.Line-1:min(r.End.Line, len(source))]...)
			}
		}
		c.lines = append(lines, c.lines...)
		c.commands = append(append([]instructions.Command(nil), stage.Commands...), c.commands...)
		base := expand(stage.BaseName, b.Args)
		if img, ok := b.Images[base]; ok { // a named context hides a stage
			c.base = &img
			break
		}
		i, ok := instructions.HasStage(stages[:at], base)
		if !ok {
			break
		}
		at = i
	}
	c.id = identity(strings.Join(c.lines, "\n"))
	return c, nil
}

// expand puts build arguments into a FROM.
func expand(name string, args map[string]string) string {
	for _, form := range []string{"${%s}", "$%s"} {
		for k, v := range args {
			if name == fmt.Sprintf(form, k) {
				return v
			}
		}
	}
	return name
}

// configure lets the chain's instructions set the image's config.
func (c chain) configure(cfg *v1.Config) {
	for _, cmd := range c.commands {
		switch cmd := cmd.(type) {
		case *instructions.EnvCommand:
			for _, kv := range cmd.Env {
				setEnv(cfg, kv.Key, kv.Value)
			}
		case *instructions.LabelCommand:
			if cfg.Labels == nil {
				cfg.Labels = map[string]string{}
			}
			for _, kv := range cmd.Labels {
				cfg.Labels[kv.Key] = kv.Value
			}
		case *instructions.WorkdirCommand:
			cfg.WorkingDir = cmd.Path
		case *instructions.UserCommand:
			cfg.User = cmd.User
		case *instructions.CmdCommand:
			cfg.Cmd = cmd.CmdLine
		case *instructions.EntrypointCommand:
			cfg.Entrypoint = cmd.CmdLine
		}
	}
}

func setEnv(cfg *v1.Config, key, value string) {
	for i, have := range cfg.Env {
		if strings.HasPrefix(have, key+"=") {
			cfg.Env[i] = key + "=" + value
			return
		}
	}
	cfg.Env = append(cfg.Env, key+"="+value)
}

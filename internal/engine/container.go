package engine

import (
	"context"
	"io"
)

// Containers is an engine that keeps a container for several commands.
type Containers interface {
	// Container starts one of r's image, with its variables and folder. Its mounts
	// can be written to; what is written is lost with the container. The image
	// must have sh, env, cat, tr and grep.
	Container(ctx context.Context, r Run) (Container, error)
}

// Container runs commands, one after the other.
type Container interface {
	// Exec runs a command; what it changes stays for the next one. When ctx ends,
	// the command and all that it started are killed.
	Exec(ctx context.Context, c Command) (Exit, error)
	// Close ends the container.
	Close() error
}

// Command is one command of a container.
type Command struct {
	Args           []string
	Env            []string // NAME=value, beside those of the container
	Dir            string   // "" is the container's
	Alone          bool     // what it left running is killed at its end too
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Package engine is what executes recipes: a Dockerfile and its context become
// an image or a folder, and a command runs in a container of an image.
//
// An engine keeps nothing that jetcrate relies on: what was made leaves it as
// an OCI layout or a folder and is recorded by store. It never decides what to
// do again: that is the plan's. A step that ends with another exit code than 0
// is a *StepError, the user's to mend; every other error means that the engine
// or its surroundings failed.
package engine

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Engine executes recipes. Implementations: engine/buildkit, engine/fake.
// It is safe for concurrent use.
type Engine interface {
	// Info names the engine, for people and for evidence.
	Info() Info
	// Build executes one stage of a Dockerfile and hands over its result.
	Build(ctx context.Context, b Build) (Result, error)
	// Run runs a command in a new container of an image; its changes are lost.
	// A command that exits with another code than 0 is no error.
	Run(ctx context.Context, r Run) (Exit, error)
	// Close gives the engine back, and ends it if it was started for this run.
	Close() error
}

// Info describes an engine.
type Info struct {
	Kind     string // "buildkit", "fake"
	Version  string // as the engine says it
	Address  string // where it listens, such as unix:///...
	Emulated bool   // linux/arm64 runs under QEMU
	GPU      bool   // it can hand a GPU to a container
}

// Image is an image that the engine may read: all its blobs lie in an OCI
// layout folder on this machine (blobs/sha256/...).
type Image struct {
	Layout string // folder of the OCI layout
	Digest string // digest of the manifest, sha256:...
}

// Build asks for one stage of a Dockerfile.
type Build struct {
	Name       string            // for people: "pytorch 2.8.0: build"
	Dockerfile []byte            // no syntax line; the built-in frontend reads it
	Context    string            // folder on this machine; "" is an empty context
	Target     string            // the stage; "" is the last
	Platform   string            // linux/arm64
	Args       map[string]string // values for ARG
	Images     map[string]Image  // names that FROM and --from use, such as "chain"
	Secrets    map[string][]byte // by id, for RUN --mount=type=secret
	Output     Output
	Events     func(Event) // called from several goroutines; may be nil
}

// Output says where a result goes. Exactly one of Layout and Dir is set.
type Output struct {
	// Layout is an OCI layout folder that receives the image's blobs. Blobs that
	// lie in one of the folders of Have are not copied again.
	Layout string
	Have   []string
	// Tar, unless nil, may be shown the tar of a new layer while it comes, with its
	// diff ID: several at once, and each to its end. It came as a whole if that is
	// io.EOF. An engine that gets layers compressed shows none.
	Tar func(diffID string, tar io.Reader)
	// Dir is a folder that receives the root of the stage, owned by the user.
	Dir string
}

// Result is what a Build made.
type Result struct {
	Digest string // of the image's manifest, when Output.Layout was set
}

// Run asks for a command in a container.
type Run struct {
	Name     string // for people: "pytorch 2.8.0: test import"
	Image    Image
	Platform string   // linux/arm64
	Args     []string // the command; nothing is added to it
	Env      []string // NAME=value, beside the image's own
	Dir      string   // working directory; "" is the image's
	Mounts   []Mount
	Devices  []string  // CDI devices, such as nvidia.com/gpu=all
	Stdout   io.Writer // may be nil
	Stderr   io.Writer
}

// Mount is a folder of this machine, read-only in the container.
type Mount struct {
	Source string
	Target string
}

// Exit is how a command ended.
type Exit struct {
	Code     int
	TimedOut bool // ctx's deadline ended it
}

// Event is progress of a Build: a step that started or ended, or its output.
// It has the shape of BuildKit's own, so that its renderer can draw it.
type Event struct {
	Step string    // identity of the step within the build
	Name string    // instruction, as people read it
	Time time.Time // when

	Kind   EventKind
	Stream int    // 1 stdout, 2 stderr (Kind == Log)
	Data   []byte // (Kind == Log)
	Error  string // why the step failed (Kind == Done)
}

// EventKind tells what an Event says.
type EventKind int

const (
	Started EventKind = iota
	Log
	Done
	Cached // done, from the engine's cache
)

// StepError is a step of a recipe that ended with another exit code than 0:
// the build failed, the engine did not.
type StepError struct {
	Step string // the instruction
	Code int    // exit code
	Log  string // the last lines that the step wrote
	// Fault is set instead of Code where the step never ran because of what the
	// recipe asks for: a file that the context lacks, a checksum that differs.
	Fault string
}

func (e *StepError) Error() string {
	if e.Fault != "" {
		return fmt.Sprintf("step %q: %s", e.Step, e.Fault)
	}
	return fmt.Sprintf("step %q ended with exit code %d", e.Step, e.Code)
}

// Unavailable says why no engine could be had and what to do about it.
type Unavailable struct {
	Tried []string // one line per candidate: what it is and why it was passed over
}

func (e *Unavailable) Error() string {
	s := "no engine that can build ARM64 images:"
	for _, t := range e.Tried {
		s += "\n  " + t
	}
	return s
}

// Package dagger executes recipes on a Dagger engine through its public SDK:
// Dockerfiles by Directory.DockerBuild, commands by Container.WithExec. It
// serves jetcrate on the command line, where the SDK starts a session with the
// dagger CLI, and the functions of the module in ci/, where it joins theirs.
//
// DockerBuild knows no named contexts and the engine reaches no loopback store,
// so a recipe is made to stand alone: what an image of engine.Build holds
// travels in the build context as one tar and becomes a stage of the image's
// name, with its environment, user, working directory and shell (standalone).
// The layers that the recipe adds are then laid on the image's own, whose blobs
// and config stay what they were (compose): the result is the one that
// engine/buildkit gives.
//
// What Dagger does not offer: the output of a step while it runs (Dagger's own
// progress shows it, see Options.Log), the output of a command that its timeout
// ended, and read-only mounts: a command may write to a mount, and its changes
// are lost.
package dagger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Options says how Connect reaches an engine.
type Options struct {
	Scratch string // folder for what travels to the engine; "" is the system's for temporary files
	Log     string // file that receives the progress of a session that Connect starts; "" is none
}

// session is what of Dagger the engine uses.
type session interface {
	info(context.Context) (engine.Info, error)
	// image builds a recipe and writes its image as an OCI archive.
	image(ctx context.Context, r recipe, archive string) error
	// folder builds a recipe and writes the root of its stage to a folder.
	folder(ctx context.Context, r recipe, dir string) error
	// run runs a command in the image of an OCI archive.
	run(ctx context.Context, r engine.Run, archive string) (engine.Exit, error)
	close() error
}

// Connect joins the session that the environment names, or starts one: on the
// engine of _EXPERIMENTAL_DAGGER_RUNNER_HOST, or on the one that the dagger CLI
// finds or starts. The error is an *engine.Unavailable.
func Connect(ctx context.Context, o Options) (engine.Engine, error) {
	log := &tail{}
	if o.Log != "" {
		f, err := os.Create(o.Log)
		if err != nil {
			return nil, fmt.Errorf("making the log of the Dagger session: %w", err)
		}
		log.file = f
	}
	s, err := connect(ctx, log)
	if err != nil {
		return nil, unavailable(ctx, errors.Join(err, log.close()))
	}
	e, err := open(ctx, s, o.Scratch, log)
	if err != nil {
		return nil, unavailable(ctx, errors.Join(err, s.close(), log.close()))
	}
	return e, nil
}

func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("connecting to a Dagger engine: %w", context.Cause(ctx))
	}
	return &engine.Unavailable{Tried: []string{
		"Dagger: " + strings.ReplaceAll(err.Error(), "\n", " "),
		"start Docker and install the dagger CLI, or name a running engine by _EXPERIMENTAL_DAGGER_RUNNER_HOST",
	}}
}

// open makes an engine of a session.
func open(ctx context.Context, s session, scratch string, log *tail) (*engineOf, error) {
	info, err := s.info(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the engine what it is: %w", err)
	}
	dir, err := os.MkdirTemp(scratch, "dagger-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for what travels to the engine: %w", err)
	}
	return &engineOf{session: s, engine: info, log: log, scratch: dir, packed: map[string]*packed{}}, nil
}

// engineOf is an engine of a session.
type engineOf struct {
	session session
	engine  engine.Info
	log     *tail
	scratch string

	mu     sync.Mutex
	packed map[string]*packed // by what it is and the image's digest
	closed bool
}

// packed is a file made once of an image, for all builds and commands.
type packed struct {
	once sync.Once
	file string
	err  error
}

var _ engine.Engine = (*engineOf)(nil)

func (d *engineOf) Info() engine.Info { return d.engine }

func (d *engineOf) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	if err := errors.Join(d.session.close(), d.log.close(), os.RemoveAll(d.scratch)); err != nil {
		return fmt.Errorf("closing the Dagger session: %w", err)
	}
	return nil
}

// pack makes a file of an image, once.
func (d *engineOf) pack(kind string, img engine.Image, write func(engine.Image, io.Writer) error) (string, error) {
	d.mu.Lock()
	p := d.packed[kind+img.Digest]
	if p == nil {
		p = &packed{}
		d.packed[kind+img.Digest] = p
	}
	d.mu.Unlock()
	p.once.Do(func() {
		f, err := os.CreateTemp(d.scratch, kind+"-*.tar")
		if err != nil {
			p.err = fmt.Errorf("packing image %s: %w", img.Digest, err)
			return
		}
		p.file = f.Name()
		if err := errors.Join(write(img, f), f.Close()); err != nil {
			p.err = fmt.Errorf("packing image %s: %w", img.Digest, err)
		}
	})
	return p.file, p.err
}

// wrap names what was being done, and prefers the context's own word.
func wrap(ctx context.Context, doing, name string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s %s: %w", doing, name, err)
}

// keptLines is how much of a failed step's output its error tells, in lines.
const keptLines = 40

// tail keeps the last lines of what is written to it, and all of it in a file
// if there is one.
type tail struct {
	mu   sync.Mutex
	file *os.File
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = lastLines(append(t.text, p...))
	if t.file != nil {
		return t.file.Write(p)
	}
	return len(p), nil
}

func (t *tail) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.file
	t.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

// String gives the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

func lastLines(text []byte) []byte {
	at := len(text)
	for range keptLines + 1 {
		if at = bytes.LastIndexByte(text[:at], '\n'); at < 0 {
			return text
		}
	}
	return append([]byte(nil), text[at+1:]...)
}

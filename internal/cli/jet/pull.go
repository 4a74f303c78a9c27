package jet

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
)

func (a *app) pullCommand() *cobra.Command {
	q := &question{app: a}
	r := &runner{app: a, question: q}
	cmd := &cobra.Command{
		Use:   "pull PACKAGE[:VERSION][+OPTION]...",
		Short: "Pull the image of these packages that fits this host",
		Long: `Has Docker pull the image that autotag would print, by the digest that the table
has for it: other bytes are refused. Free space is looked at before. Layers that came
whole are kept when it is interrupted, and the same command gets the rest.

Where no single image holds all the packages, but images for the same platform do
together, one is put together of their layers and given to Docker: tested layers, but
no test has seen them together.

Prints the image's reference. Progress goes to stderr.`,
		Example: `  jet pull pytorch
  jet pull pytorch:2.8 transformers
  jet pull pytorch --engine podman`,
		Args: somePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.pull(cmd.Context(), args)
		},
	}
	q.flags(cmd)
	r.engineFlags(cmd)
	return cmd
}

func (r *runner) pull(ctx context.Context, packages []string) error {
	a, q := r.app, r.question
	reply, err := q.ask(ctx, packages, q.why)
	if err != nil {
		return err
	}
	if q.why {
		reply.explain(a)
	}
	if reply.Chosen == nil {
		ref, err := r.compose(ctx, reply)
		if err != nil {
			return err
		}
		return a.line(ref)
	}
	reply.warn(a)
	c := reply.Chosen
	if c.Local {
		a.say("note: Docker has it already")
		return a.line(reply.Reference)
	}
	if err := r.pickEngine(); err != nil {
		return err
	}
	if !r.noChecks {
		fsys, err := q.fs()
		if err != nil {
			return err
		}
		device := host.Inspect(fsys)
		if err := q.checkSpace(fsys, device, r.daemonFacts(ctx), c.Image, c.Row.Image.Size); err != nil {
			return err
		}
		q.warnModels(device, c.Row, q.app.dataDir())
	}
	if err := r.fetch(ctx, c); err != nil {
		return err
	}
	return a.line(reply.Reference)
}

// fetch has the engine pull an image by digest, so that other bytes are refused,
// and names it. What is there already is not asked for: there may be no network.
func (r *runner) fetch(ctx context.Context, c *resolve.Candidate) error {
	program, err := lookEngine(r.program)
	if err != nil {
		return err
	}
	steps := [][]string{{"pull", c.Pinned()}, {"tag", c.Pinned(), c.Image}}
	if exec.CommandContext(ctx, program, "image", "inspect", c.Pinned()).Run() == nil {
		steps = steps[1:]
	}
	for _, args := range steps {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stdout, cmd.Stderr = r.app.stderr, r.app.stderr
		if err := cmd.Run(); err != nil {
			return environment("%s %s %s: %w\nlayers that came whole are kept: the same command gets the rest", r.program, args[0], args[1], err)
		}
	}
	return nil
}

// checkSpace says before a download what would end in an error after it.
func (q *question) checkSpace(fsys fs.FS, device host.Device, daemon *engineFacts, ref string, size int64) error {
	if size == 0 {
		return nil
	}
	folder := device.Docker.Root.Value
	if daemon != nil {
		folder = daemon.root
	}
	free, ok := q.app.freeSpace(q.root, folder)
	if !ok {
		return nil
	}
	disk := host.DiskOf(fsys, folder).Value
	if disk == "" {
		disk = "a disk of unknown kind"
	}
	switch {
	case free < size:
		return &no{[]string{
			fmt.Sprintf("the image does not fit: pulling it takes at least %s, and %s has %s free (%s)", units.BytesSize(float64(size)), folder, units.BytesSize(float64(free)), disk),
			"make room: docker system df; docker image prune",
		}}
	case free < 3*size:
		q.app.say("warning: pulling %s takes at least %s, and unpacked it is larger; %s has %s free (%s)", ref, units.BytesSize(float64(size)), folder, units.BytesSize(float64(free)), disk)
	}
	return nil
}

// warnModels says what the models of an image take, which is fetched when it is
// used: room in the folder for them, and memory. It is no refusal: a device may
// use only some of them.
func (q *question) warnModels(device host.Device, row *table.Row, folder string) {
	var models int64
	for _, p := range row.Packages {
		models += p.Models
	}
	if models == 0 {
		return
	}
	if free, ok := q.app.freeSpace(q.root, folder); ok && free < models {
		q.app.say("warning: the models of its packages take up to %s, and %s has %s free; name another folder with --data", units.BytesSize(float64(models)), folder, units.BytesSize(float64(free)))
	}
	if m := device.Memory; m.Known() && m.Bytes < models {
		q.app.say("warning: the models of its packages take up to %s, and this device has %s of memory: the largest will not run", units.BytesSize(float64(models)), units.BytesSize(float64(m.Bytes)))
	}
}

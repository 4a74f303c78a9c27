package jet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/image"
)

// compose puts an image together of the layers of images that only together hold
// the packages, gives it to Docker and names it. Layers are kept until then, so
// that an interrupted one goes on.
func (r *runner) compose(ctx context.Context, reply *reply) (string, error) {
	a := r.app
	if len(reply.Composition) == 0 {
		return "", reply.refusal()
	}
	if err := r.pickEngine(); err != nil {
		return "", err
	}
	if _, err := lookEngine(r.program); err != nil {
		return "", err
	}
	var size int64
	var names, packages []string
	for _, c := range reply.Composition {
		size += c.Row.Image.Size
		names = append(names, c.Image)
		packages = append(packages, c.Row.Roots...)
	}
	a.say("no single image holds them all: putting one together of the layers of %s", strings.Join(names, " and "))
	if !r.noChecks {
		fsys, err := r.question.fs()
		if err != nil {
			return "", err
		}
		if err := r.question.checkSpace(fsys, host.Inspect(fsys), r.daemonFacts(ctx), "them", size); err != nil {
			return "", err
		}
	}
	cache := &image.Cache{
		Dir: filepath.Join(a.xdg("XDG_CACHE_HOME", ".cache"), "layers"),
		Say: func(digest string, size int64) { a.say("fetching %.19s, %s", digest, units.BytesSize(float64(size))) },
	}
	var images []v1.Image
	for _, c := range reply.Composition {
		img, err := image.Open(ctx, c.Pinned(), image.OpenOptions{})
		if err != nil {
			return "", environment("%w", err)
		}
		if img, err = cache.Fetch(ctx, img); err != nil {
			return "", environment("%w\nlayers that came whole are kept: the same command gets the rest", err)
		}
		images = append(images, img)
	}
	img, err := image.Compose(images...)
	var unfit *image.Unfit
	var conflicts image.Conflicts
	if errors.As(err, &unfit) || errors.As(err, &conflicts) {
		lines := []string{"their layers do not go together: " + err.Error()}
		if reply.Build != nil {
			line, err := commandLine(buildLine(reply.Build))
			if err != nil {
				return "", err
			}
			lines = append(lines, "it is declared and could be built: "+line)
		}
		return "", &no{lines}
	} else if err != nil {
		return "", environment("%w", err)
	}
	ref, err := r.give(ctx, img, strings.Join(packages, "-"), reply.Composition[0].Row.Platform.L4T)
	if err != nil {
		return "", err
	}
	a.say("warning: %s is an untested combination of tested layers", ref)
	return ref, os.RemoveAll(cache.Dir)
}

// give loads an image into Docker under a name that no registry has.
func (r *runner) give(ctx context.Context, img v1.Image, packages, l4t string) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", environment("%w", err)
	}
	tag, err := name.NewTag(fmt.Sprintf("jetcrate.local/%s:r%s-%.12s", strings.ToLower(packages), l4t, digest.Hex))
	if err != nil {
		return "", environment("naming the image: %w", err)
	}
	cmd := exec.CommandContext(ctx, r.program, "load", "--quiet")
	cmd.Stdout, cmd.Stderr = r.app.stderr, r.app.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", environment("%w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", environment("running %s load: %w", r.program, err)
	}
	writeErr := tarball.Write(tag, img, in)
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		return "", environment("%s load: %w", r.program, err)
	}
	if writeErr != nil {
		return "", environment("giving the image to %s: %w", r.program, writeErr)
	}
	return tag.Name(), nil
}

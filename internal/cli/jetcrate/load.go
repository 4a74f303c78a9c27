package jetcrate

import (
	"context"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// dockerTag names a cell's image as Docker users do: my-robot:r36.4.0-cu126-py310.
func dockerTag(c *plan.Cell) (name.Tag, error) {
	return name.NewTag(c.Name + ":" + strings.TrimPrefix(c.Tag, c.Name+"-"))
}

// load puts an image into the running Docker daemon.
func load(ctx context.Context, img v1.Image, c *plan.Cell, say func(string)) error {
	tag, err := dockerTag(c)
	if err != nil {
		return err
	}
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer docker.Close()
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(tarball.Write(tag, img, pw)) }()
	res, err := docker.ImageLoad(ctx, pr)
	if err != nil {
		_ = pr.CloseWithError(err)
		return err
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil {
		return err
	}
	say("loaded into Docker as " + c.Name + ":" + tag.TagStr())
	return nil
}

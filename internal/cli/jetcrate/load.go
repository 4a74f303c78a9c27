package jetcrate

import (
	"context"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/store"
)

// load puts an image into the running Docker daemon, named after its cell.
func load(ctx context.Context, st *store.Store, c execute.CellResult, say func(string)) error {
	img, err := st.ImageAt(ctx, c.Digest)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(c.Cell.Name + ":" + strings.TrimPrefix(c.Cell.Tag, c.Cell.Name+"-"))
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
	say("loaded into Docker as " + c.Cell.Name + ":" + tag.TagStr())
	return nil
}

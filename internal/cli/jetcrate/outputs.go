package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// outputs is where a build's image and artifacts go beside the store.
type outputs struct {
	load      bool
	tarball   string
	push      string
	artifacts string
}

func (o *outputs) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.load, "load", false, "put the image into the running Docker daemon")
	f.StringVar(&o.tarball, "tarball", "", "write the image to this file, in the form that docker load reads")
	f.StringVar(&o.push, "push", "", "push the image to this reference, with Docker's credentials or those of JETCRATE_PUSH_USER and JETCRATE_PUSH_TOKEN, and print it by digest")
	f.StringVar(&o.artifacts, "artifacts", "", "write the artifacts (wheels, archives) of the image's packages to this folder")
}

// check refuses what only one image can go to, for many.
func (o *outputs) check(cells int) error {
	if cells > 1 && (o.tarball != "" || o.push != "" || o.artifacts != "") {
		return usage{errors.New("--tarball, --push and --artifacts take one image: name a target instead of --all")}
	}
	return nil
}

// write sends a cell's image and artifacts where they are wanted.
func (o *outputs) write(ctx context.Context, a *app, st *store.Store, p *plan.Plan, c execute.CellResult) error {
	img, err := st.ImageAt(ctx, c.Digest)
	if err != nil {
		return err
	}
	if o.load {
		if err := load(ctx, img, c.Cell, func(s string) { fmt.Fprintln(a.stderr, s) }); err != nil {
			return fmt.Errorf("loading %s into Docker: %w", c.Cell.Tag, err)
		}
	}
	if o.tarball != "" {
		tag, err := dockerTag(c.Cell)
		if err == nil {
			err = tarball.WriteToFile(o.tarball, tag, img)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", o.tarball, err)
		}
	}
	if o.push != "" {
		ref, err := name.ParseReference(o.push)
		if err != nil {
			return usage{fmt.Errorf("--push: %w", err)}
		}
		err = remote.Write(ref, img, remote.WithContext(ctx), pushAuth(),
			remote.WithTransport(image.Transport(nil, image.Patience{})), remote.WithRetryPredicate(image.Retryable))
		if err != nil {
			return fmt.Errorf("pushing %s: %w", ref, image.Explain(ref.Context().Registry, ref.Context().RepositoryStr(), err))
		}
		fmt.Fprintln(a.stdout, ref.Context().Name()+"@"+c.Digest)
	}
	if o.artifacts != "" {
		return writeArtifacts(ctx, st, p, c.Cell, o.artifacts)
	}
	return nil
}

// pushAuth is JETCRATE_PUSH_USER and JETCRATE_PUSH_TOKEN, where they are set, and
// Docker's credentials elsewhere.
func pushAuth() remote.Option {
	if token := os.Getenv("JETCRATE_PUSH_TOKEN"); token != "" {
		return remote.WithAuth(&authn.Basic{Username: os.Getenv("JETCRATE_PUSH_USER"), Password: token})
	}
	return remote.WithAuthFromKeychain(authn.DefaultKeychain)
}

// writeArtifacts writes what the builds of an image's packages left, a folder
// per package that has any.
func writeArtifacts(ctx context.Context, st *store.Store, p *plan.Plan, c *plan.Cell, dir string) error {
	img := p.Node(c.Image)
	for _, k := range append(append([]string(nil), img.Chain...), img.Linked...) {
		n := p.Node(k)
		if n.Artifact == "" {
			continue
		}
		rec, ok, err := st.Lookup(ctx, store.Artifact, n.Artifact)
		if err == nil && !ok {
			err = store.ErrNotFound
		}
		if err == nil {
			err = st.GetFiles(ctx, rec, filepath.Join(dir, n.Package))
		}
		if err != nil {
			return fmt.Errorf("writing the artifact of %s: %w", n.Package, err)
		}
	}
	return nil
}

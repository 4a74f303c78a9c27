// Package buildkit executes recipes on a BuildKit daemon through moby/buildkit's
// client: Dockerfiles by the daemon's built-in frontend, commands in a gateway
// container.
//
// The daemon reaches nothing of jetcrate's but what the client's own connection
// carries: images go in and come out as OCI layouts (`oci-layout` named contexts
// and the oci exporter with a content store of the client), contexts, folders
// and secrets through the same session. It needs no registry, no shared disk and
// no address of the store, so a daemon beside the program, in a container, behind
// ssh or inside Docker serves alike.
//
// Connect looks for a daemon (see candidates); a private one belongs to a state
// folder and is shared by the processes that name that folder (see private).
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// daemon is a BuildKit that Build and Run execute on.
type daemon struct {
	client  *client.Client
	info    engine.Info
	release func() error // gives back what lies behind the client; may be nil
	sent    sync.Map     // of the digest of a layer's blob to the size (int64) of the tar that the daemon sent of it

	life context.Context // ends when the daemon is gone, or closed
	end  context.CancelCauseFunc

	mu     sync.Mutex
	stores map[string]content.Store
	closed bool
}

var _ engine.Engine = (*daemon)(nil)

func (d *daemon) Info() engine.Info { return d.info }

func (d *daemon) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	d.end(errors.New("the engine was closed"))
	err := d.client.Close()
	if d.release != nil {
		err = errors.Join(err, d.release())
	}
	if err != nil {
		return fmt.Errorf("closing engine %s: %w", d.info.Address, err)
	}
	return nil
}

// store opens the blobs of a layout folder. There is one store per folder, as
// its locks are what keeps two builds from writing the same blob at a time.
func (d *daemon) store(layout string) (content.Store, error) {
	dir, err := filepath.Abs(layout)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.stores[dir]; ok {
		return s, nil
	}
	s, err := contentlocal.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening OCI layout %s: %w", layout, err)
	}
	if d.stores == nil {
		d.stores = map[string]content.Store{}
	}
	d.stores[dir] = s
	return s, nil
}

// inputs are the images of a session.
type inputs struct {
	stores map[string]content.Store // by name
	refs   map[string]string        // of the images in them, by what the images are called
	layers []twin
}

// images opens images for a session. BuildKit's cache goes by digest, so a store's
// name says nothing but which folder to ask.
func (d *daemon) images(images map[string]engine.Image) (inputs, error) {
	in := inputs{stores: map[string]content.Store{}, refs: map[string]string{}}
	opened := map[string]*input{}
	for name, img := range images {
		id := storeName(img)
		from, ok := opened[id]
		if !ok {
			s, err := d.store(img.Layout)
			if err != nil {
				return inputs{}, err
			}
			from = &input{Store: s, layout: img.Layout, sent: &d.sent}
			opened[id], in.stores[id] = from, from
		}
		dgst, layers, err := from.name(digest.Digest(img.Digest))
		if err != nil {
			return inputs{}, err
		}
		in.refs[name] = id + "@" + dgst.String()
		in.layers = append(in.layers, layers...)
	}
	return in, nil
}

// imageState is an image of a session by its reference.
func imageState(session, ref string) llb.State {
	store, dgst, _ := strings.Cut(ref, "@")
	return llb.OCILayout("docker.io/jetcrate/image@"+dgst, llb.OCIStore(session, store)) // the first part is for logs only
}

// errGone is what a daemon that dies gives.
var errGone = fmt.Errorf("%w: run the command again, what was finished is kept", engine.ErrGone)

// wrap names what was being done, and prefers the context's own word: the
// daemon reports a cancelled call in many ways.
func wrap(ctx context.Context, doing, name string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	} else if status.Code(err) == codes.Unavailable {
		err = fmt.Errorf("%w (%s)", errGone, status.Convert(err).Message())
	}
	if name == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s %s: %w", doing, name, err)
}

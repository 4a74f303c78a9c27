package execute

import (
	"context"
	"errors"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Stored is what a store has of a node.
type Stored struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // compressed: of a layer alone, of an image all of it
}

// Have tells which bases, sources, artifacts, layers and images of a plan a store
// has, by key. A layer that was laid on another parent than the store's is not
// there, as for a run.
func Have(ctx context.Context, st *store.Store, p *plan.Plan) (map[string]Stored, error) {
	known, err := st.Known(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	manifests := map[string]*v1.Manifest{}
	records := map[string]store.Record{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, n := range p.Nodes {
		rec, ok := known[name(n)]
		if !ok || n.Kind == plan.Test {
			continue
		}
		g.Go(func() error {
			if rec.Digest == "" { // a registry's listing does not tell it
				var err error
				if rec, ok, err = st.Lookup(gctx, rec.Kind, rec.Key); err != nil || !ok {
					return err
				}
			}
			m, err := st.Manifest(gctx, rec)
			if errors.Is(err, store.ErrNotFound) { // gone since
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			manifests[n.Key], records[n.Key] = m, rec
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := map[string]Stored{}
	for _, n := range p.Nodes { // parents come first
		m := manifests[n.Key]
		if m == nil {
			continue
		}
		layers := m.Layers
		if n.Kind == plan.Stacked {
			below := manifests[n.Parent]
			switch {
			case below == nil: // what it was laid on is gone
				layers = layers[max(0, len(layers)-1):]
			case !startsWith(m, below):
				continue
			default:
				layers = layers[len(below.Layers):]
			}
		}
		out[n.Key] = Stored{Digest: records[n.Key].Digest, Size: sizeOf(layers)}
	}
	return out, nil
}

package execute

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// inputsAnnotation is what a record of an artifact or a layer says of its key.
const inputsAnnotation = "io.jetcrate.inputs"

// inputs are the annotations of a record: what its key is made of, so that it can
// be told why another has another key when the plan of this one is gone.
func (r *run) inputs(n *plan.Node) map[string]string {
	in := r.Plan.Inputs(n)
	if in == nil {
		return nil
	}
	text, err := json.Marshal(in.Short())
	if err != nil || len(text) > maxInputs { // no reason to lose what was built
		return nil
	}
	return map[string]string{inputsAnnotation: string(text)}
}

const maxInputs = 256 << 10 // bytes; registries take manifests of 4 MiB

// Origin is a record of an artifact or a layer with what its key is made of.
type Origin struct {
	Inputs plan.Inputs
	Record store.Record
	Run    int       // of the embedded store, the first that still tells of it; 0 is unknown
	When   time.Time // that run began
}

// Origins reads what the artifacts and layers of a store say of their keys, by
// key. Those recorded without it are left out.
func Origins(ctx context.Context, st *store.Store) (map[string]Origin, error) {
	known, err := st.Known(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	out := map[string]Origin{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, rec := range known {
		if rec.Kind != store.Artifact && rec.Kind != store.Layer {
			continue
		}
		g.Go(func() error {
			o, ok, err := origin(gctx, st, rec)
			if ok {
				mu.Lock()
				defer mu.Unlock()
				out[o.Inputs.Key] = o
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, dated(st, out)
}

func origin(ctx context.Context, st *store.Store, rec store.Record) (Origin, bool, error) {
	m, err := st.Manifest(ctx, rec)
	if errors.Is(err, store.ErrNotFound) { // gone since
		return Origin{}, false, nil
	}
	if err != nil {
		return Origin{}, false, err
	}
	text, ok := m.Annotations[inputsAnnotation]
	o := Origin{Record: rec}
	if !ok || json.Unmarshal([]byte(text), &o.Inputs) != nil || !o.Inputs.Valid(rec.Key) {
		return Origin{}, false, nil
	}
	return o, true, nil
}

// dated tells of each record the first run that names it.
func dated(st *store.Store, origins map[string]Origin) error {
	runs, err := st.LastRuns()
	if err != nil {
		return err
	}
	for _, r := range runs {
		for _, tag := range r.Records {
			_, key, _ := strings.Cut(tag, "-")
			if o, ok := origins[key]; ok && o.Run == 0 {
				o.Run, o.When = r.ID, r.Started
				origins[key] = o
			}
		}
	}
	return nil
}

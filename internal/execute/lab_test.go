package execute_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/execute/executetest"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// lab is a store, a fake engine whose calls are counted, and a catalog that a
// test may change between runs.
type lab struct {
	t      *testing.T
	files  fstest.MapFS
	store  *store.Store
	engine *fake.Engine
	calls  engine.Calls
	mu     sync.Mutex // of events
	events []execute.Event

	secrets   map[string][]byte
	connected int
	stopped   bool // no engine is to be had
	options   func(*execute.Options)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, files: executetest.Catalog(t, "testdata/catalog.txtar", nil), engine: &fake.Engine{Files: executetest.Root}}
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.store.Close()) })
	return l
}

// edit replaces text in a file of the catalog.
func (l *lab) edit(file, old, new string) {
	l.t.Helper()
	text := string(l.files[file].Data)
	require.Contains(l.t, text, old)
	l.files[file].Data = []byte(strings.Replace(text, old, new, 1))
}

func (l *lab) plan(targets ...string) *plan.Plan {
	l.t.Helper()
	cat := l.catalog()
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(l.t, err)
	var reqs []plan.Request
	for _, words := range targets {
		r := plan.Request{Platform: pl}
		for _, w := range strings.Fields(words) {
			target, err := spec.ParseTarget(w)
			require.NoError(l.t, err)
			r.Targets = append(r.Targets, target)
		}
		reqs = append(reqs, r)
	}
	p, err := plan.New(cat, l.files, reqs)
	require.NoError(l.t, err)
	return p
}

func (l *lab) catalog() *spec.Catalog {
	l.t.Helper()
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(l.t, list.Err())
	return cat
}

// run plans and executes targets; each is a cell.
func (l *lab) run(targets ...string) (*execute.Result, error) {
	l.t.Helper()
	return l.runIn(context.Background(), targets...)
}

func (l *lab) runIn(ctx context.Context, targets ...string) (*execute.Result, error) {
	l.t.Helper()
	l.calls.Reset()
	l.events, l.connected = nil, 0
	p := l.plan(targets...)
	o := execute.Options{
		Plan: p, Cells: p.Possible(), Catalog: l.catalog(), Files: l.files, Store: l.store, Secrets: l.secrets,
		Scratch: l.t.TempDir(), Logs: l.t.TempDir(), Concurrency: 1,
		Events: func(e execute.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		},
		Engine: func(context.Context) (engine.Engine, error) {
			l.connected++
			if l.stopped {
				return nil, &engine.Unavailable{Tried: []string{"it is stopped"}}
			}
			return engine.Record(l.engine, &l.calls), nil
		},
	}
	if l.options != nil {
		l.options(&o)
	}
	return execute.Run(ctx, o)
}

// status gives how the nodes of a title ended.
func status(res *execute.Result, title string) []execute.Status {
	var out []execute.Status
	for _, n := range res.Nodes {
		if n.Node.Title() == title {
			out = append(out, n.Status)
		}
	}
	return out
}

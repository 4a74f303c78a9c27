package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/execute/executetest"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// site is a registry that can be made to fail.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	inner http.Handler
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func newSite(t testing.TB) *site {
	s := &site{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.inner.ServeHTTP(w, r)
}

func (s *site) fail(fault func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// without does something while nothing fails.
func (s *site) without(do func()) {
	s.mu.Lock()
	fault := s.fault
	s.fault = nil
	s.mu.Unlock()
	do()
	s.fail(fault)
}

func (s *site) host() string { return strings.TrimPrefix(s.URL, "http://") }

// lab is a catalog, a store with what a fake engine made of it, and a place.
type lab struct {
	testing.TB
	files  fstest.MapFS
	store  *store.Store
	engine *fake.Engine
	site   *site
	place  string
	rules  spec.Repository
	signer ledger.Signer
	now    time.Time
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{
		TB: t, files: executetest.Catalog(t, "testdata/catalog.txtar", nil), engine: &fake.Engine{Files: executetest.Root},
		site: newSite(t), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	l.place = l.site.host() + "/jetson"
	l.rules = spec.Repository{Repository: l.place}
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.store.Close()) })
	l.signer, _, err = ledger.NewKey("lab.example", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	return l
}

func (l *lab) edit(file, old, new string) {
	l.Helper()
	text := string(l.files[file].Data)
	require.Contains(l, text, old)
	l.files[file].Data = []byte(strings.Replace(text, old, new, 1))
}

func (l *lab) catalog() *spec.Catalog {
	l.Helper()
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(l, list.Err())
	return cat
}

// plan plans targets, each "L4T target".
func (l *lab) plan(targets ...string) *plan.Plan {
	l.Helper()
	cat := l.catalog()
	var reqs []plan.Request
	for _, words := range targets {
		l4t, word, _ := strings.Cut(words, " ")
		pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: l4t})
		require.NoError(l, err)
		target, err := spec.ParseTarget(word)
		require.NoError(l, err)
		reqs = append(reqs, plan.Request{Platform: pl, Targets: []spec.Target{target}})
	}
	p, err := plan.New(cat, l.files, reqs)
	require.NoError(l, err)
	return p
}

// build makes and tests targets.
func (l *lab) build(p *plan.Plan, options ...func(*execute.Options)) {
	l.Helper()
	o := execute.Options{
		Plan: p, Cells: p.Possible(), Catalog: l.catalog(), Files: l.files, Store: l.store,
		Scratch: l.TempDir(), Logs: l.TempDir(), Concurrency: 1, Events: func(execute.Event) {},
		Engine: func(context.Context) (engine.Engine, error) { return l.engine, nil },
	}
	for _, set := range options {
		set(&o)
	}
	_, _ = execute.Run(context.Background(), o) // a test that fails is an error, and what some tests are about
}

func (l *lab) ledger() *ledger.Ledger {
	return ledger.Open(l.store, l.place, ledger.Options{Now: func() time.Time { return l.now }})
}

func (l *lab) publisher(p *plan.Plan) *publish.Publisher {
	l.Helper()
	cat := l.catalog()
	reg, err := publish.NewRegistry(publish.RegistryOptions{
		Patience: image.Patience{Attempts: 4, Pause: time.Millisecond},
		Backoff:  remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 4},
	})
	require.NoError(l, err)
	return &publish.Publisher{
		Plan: p, Store: l.store, About: func(pkg string) ([]string, int64) { return cat.Packages[pkg].Aliases, 0 },
		Ledger: l.ledger(), Registry: reg, Rules: l.rules, Defaults: publish.Defaults{Matrix: cat.Matrix}, Signer: &l.signer,
	}
}

// publish previews and publishes all cells of a plan.
func (l *lab) publish(p *plan.Plan) (*publish.Preview, error) {
	l.Helper()
	pub := l.publisher(p)
	look, err := pub.Look(context.Background(), p.Cells)
	if err != nil {
		return nil, err
	}
	return pub.Publish(context.Background(), look, func(string) {})
}

// tags lists what a repository of the place shows: tag to digest.
func (l *lab) tags(image string) map[string]string {
	l.Helper()
	repo, err := name.NewRepository(l.place + "/" + image)
	require.NoError(l, err)
	out := map[string]string{}
	list, err := remote.List(repo)
	if err != nil {
		require.ErrorContains(l, err, "NAME_UNKNOWN")
		return out
	}
	for _, t := range list {
		if strings.HasPrefix(t, "sha256-") {
			continue
		}
		d, err := remote.Head(repo.Tag(t))
		require.NoError(l, err)
		out[t] = d.Digest.String()
	}
	return out
}

// digest is that of a cell's image in the store.
func (l *lab) digest(p *plan.Plan) string {
	l.Helper()
	r, ok, err := l.store.Lookup(context.Background(), store.Image, p.Cells[0].Image)
	require.NoError(l, err)
	require.True(l, ok)
	return r.Digest
}

// evidence rewrites what is recorded of a test of the first cell.
func (l *lab) evidence(p *plan.Plan, test string, change func(*execute.Evidence)) {
	l.Helper()
	ctx := context.Background()
	img, rec, err := l.store.Image(ctx, store.Image, p.Cells[0].Image)
	require.NoError(l, err)
	cfg, err := img.ConfigFile()
	require.NoError(l, err)
	for _, k := range p.Cells[0].Tests {
		n := p.Node(k)
		if n.Test.Name != test {
			continue
		}
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		require.NoError(l, err)
		e, err := execute.ReadEvidence(ctx, l.store, key)
		require.NoError(l, err)
		change(&e)
		raw, err := json.Marshal(e)
		require.NoError(l, err)
		_, err = l.store.PutEvidence(ctx, rec.Descriptor(), key, raw)
		require.NoError(l, err)
		return
	}
	l.Fatalf("no test %s", test)
}

func reasons(p *publish.Preview) string {
	var out []string
	for _, c := range p.Changes {
		out = append(out, fmt.Sprintf("%s: %s", c.Action, strings.Join(c.Reasons, "; ")))
	}
	return strings.Join(out, "\n")
}

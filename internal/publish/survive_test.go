package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/fold"
)

// rounds is how often what is random is tried.
func rounds(t *testing.T) int {
	if os.Getenv("JETCRATE_ALL") != "" {
		return 20
	}
	t.Log("3 rounds; 20 with JETCRATE_ALL=1")
	return 3
}

// errand is what a publisher that is a process of its own does.
type errand struct {
	Store, Catalog, Place, Key string
	Targets                    []string
}

const errandVariable = "JETCRATE_TEST_PUBLISHER"

func TestMain(m *testing.M) {
	text := os.Getenv(errandVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var e errand
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (e errand) run(ctx context.Context) error {
	cat, list := spec.Load(os.DirFS(e.Catalog), spec.Options{})
	if err := list.Err(); err != nil {
		return err
	}
	var reqs []plan.Request
	for _, words := range e.Targets {
		l4t, word, _ := strings.Cut(words, " ")
		pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: l4t})
		if err != nil {
			return err
		}
		target, err := spec.ParseTarget(word)
		if err != nil {
			return err
		}
		reqs = append(reqs, plan.Request{Platform: pl, Targets: []spec.Target{target}})
	}
	p, err := plan.New(cat, os.DirFS(e.Catalog), reqs)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: e.Store})
	if err != nil {
		return err
	}
	defer st.Close()
	signer, err := ledger.ReadSigner(e.Key)
	if err != nil {
		return err
	}
	reg, err := publish.NewRegistry(publish.RegistryOptions{Patience: image.Patience{Pause: time.Millisecond}})
	if err != nil {
		return err
	}
	pub := &publish.Publisher{
		Plan: p, Store: st, About: func(pkg string) ([]string, int64) { return cat.Packages[pkg].Aliases, 0 },
		Ledger: ledger.Open(st, e.Place, ledger.Options{}), Registry: reg, Rules: spec.Repository{Repository: e.Place}, Defaults: publish.Defaults{Matrix: cat.Matrix}, Signer: &signer,
	}
	look, err := pub.Look(ctx, p.Cells)
	if err != nil {
		return err
	}
	done, err := pub.Publish(ctx, look, func(string) {})
	if err != nil {
		return err
	}
	for _, c := range done.Changes {
		if c.Action != publish.Add && c.Action != publish.Present || len(c.Reasons) > 0 {
			return fmt.Errorf("%s: %s %v", c.Cell, c.Action, c.Reasons)
		}
	}
	return nil
}

// field is a store with built images, and places that publishers of their own
// processes publish to.
type field struct {
	*lab
	errand
}

func newField(t *testing.T) *field {
	l := newLab(t)
	f := &field{lab: l}
	f.Catalog, f.Key = t.TempDir(), filepath.Join(t.TempDir(), "log.key")
	for path, file := range l.files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(f.Catalog, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(f.Catalog, path), file.Data, 0o644))
	}
	// The processes take the store over from this one, which goes on with it later.
	require.NoError(t, l.store.Close())
	f.Store = t.TempDir()
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Dir: f.Store})
	require.NoError(t, err)
	signer, file, err := ledger.NewKey("lab.example", time.Now().AddDate(1, 0, 0))
	require.NoError(t, err)
	l.signer = signer
	require.NoError(t, ledger.WriteKey(f.Key, file))
	for _, target := range []string{"36.4.0 cpu", "36.4.3 cpu", "36.4.0 cpu:1.1.0", "36.4.3 cpu:1.1.0"} {
		l.build(l.plan(target))
	}
	return f
}

// publisher starts a process that publishes targets.
func (f *field) start(targets ...string) (*exec.Cmd, *strings.Builder) {
	f.lab.Helper()
	e := f.errand
	e.Place, e.Targets = f.place, targets
	text, err := json.Marshal(e)
	require.NoError(f.lab, err)
	exe, err := os.Executable()
	require.NoError(f.lab, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), errandVariable+"="+string(text))
	said := &strings.Builder{}
	cmd.Stderr = said
	require.NoError(f.lab, cmd.Start())
	return cmd, said
}

// whole checks that what a registry shows is complete and logged: whoever looks
// at a tag can pull all of it, and finds it in a log that hangs together.
func (f *field) whole() *ledger.State {
	f.lab.Helper()
	state, err := f.ledger().Read(context.Background())
	require.NoError(f.lab, err)
	logged := map[string]bool{}
	for _, r := range state.Rows() {
		logged[r.Image.Digest] = true
	}
	for tag, digest := range f.tags("cpu") {
		require.True(f.lab, logged[digest], "%s is %s, which the log does not have", tag, digest)
		f.complete(digest)
	}
	for digest := range logged {
		f.complete(digest)
	}
	return state
}

func (f *field) complete(digest string) {
	f.lab.Helper()
	ref, err := name.NewDigest(f.place + "/cpu@" + digest)
	require.NoError(f.lab, err)
	img, err := remote.Image(ref)
	require.NoError(f.lab, err)
	_, err = img.RawConfigFile()
	require.NoError(f.lab, err)
	layers, err := img.Layers()
	require.NoError(f.lab, err)
	for _, l := range layers {
		ok, err := l.Size()
		require.NoError(f.lab, err)
		require.Positive(f.lab, ok)
	}
}

func TestTwoPublishers(t *testing.T) {
	f := newField(t)
	for round := range rounds(t) {
		f.place = fmt.Sprintf("%s/two-%d", f.site.host(), round)
		a, saidA := f.start("36.4.0 cpu", "36.4.0 cpu:1.1.0", "36.4.3 cpu")
		b, saidB := f.start("36.4.3 cpu", "36.4.0 cpu", "36.4.3 cpu:1.1.0")
		require.NoError(t, a.Wait(), saidA)
		require.NoError(t, b.Wait(), saidB)
		state := f.whole()
		require.EqualValues(t, 5, state.Head.Size, "the key, and each image once")
		require.Empty(t, state.Waiting)
		tags := f.tags("cpu")
		require.Len(t, tags, 4+3)
		require.Equal(t, tags["1.2.0-r36.4.3-py311"], tags["r36.4"])
		require.Equal(t, tags["1.2.0-r36.4.3-py311"], tags["1.2-r36.4"])
		require.Equal(t, tags["1.1.0-r36.4.3-py311"], tags["1.1-r36.4"])
		tab := fold.Published(f.plan("36.4.0 cpu"), f.place, state.Rows(), state.Others(), state.Signed, func(string) ([]string, int64) { return nil, 0 })
		_, err := tab.Verify(table.Trust{Keys: []table.Key{f.signer.Key}, Now: time.Now()})
		require.NoError(t, err)
	}
}

func TestKilledPublisher(t *testing.T) {
	f := newField(t)
	all := []string{"36.4.0 cpu", "36.4.3 cpu", "36.4.0 cpu:1.1.0"}
	for round := range rounds(t) {
		f.place = fmt.Sprintf("%s/killed-%d", f.site.host(), round)
		// Each attempt gets a little further: it ends with its Nth request that writes.
		var left atomic.Int64
		var mu sync.Mutex
		var victim *exec.Cmd
		f.site.fail(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet && r.Method != http.MethodHead && left.Add(-1) == 0 {
				mu.Lock()
				defer mu.Unlock()
				_ = victim.Process.Kill()
				return rand.IntN(2) == 0 // half of the time the request gets lost with it
			}
			return false
		})
		kills := 0
		for next := 1 + rand.IntN(4); ; next += 1 + rand.IntN(6) {
			mu.Lock()
			left.Store(int64(next))
			cmd, said := f.start(all...)
			victim = cmd
			mu.Unlock()
			err := cmd.Wait()
			f.site.without(func() { f.whole() })
			if err == nil {
				break
			}
			require.Less(t, kills, 100)
			require.Contains(t, err.Error(), "killed", said)
			kills++
		}
		f.site.fail(nil)
		require.Positive(t, kills)
		state := f.whole()
		require.EqualValues(t, 4, state.Head.Size)
		t.Logf("%d kills", kills)
		require.Len(t, f.tags("cpu"), 3+3)
	}
}

// Killed while the log is written: the store is what the kill meets.
func TestKilledSequencer(t *testing.T) {
	f := newField(t)
	for round := range rounds(t) {
		f.place = fmt.Sprintf("%s/sequencer-%d", f.site.host(), round)
		kills := 0
		for wait := 20 * time.Millisecond; ; wait += time.Duration(rand.IntN(60)) * time.Millisecond {
			cmd, said := f.start("36.4.0 cpu", "36.4.3 cpu")
			timer := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			f.whole()
			if err == nil {
				break
			}
			require.Contains(t, err.Error(), "killed", said)
			kills++
		}
		require.EqualValues(t, 3, f.whole().Head.Size)
		t.Logf("%d kills", kills)
	}
}

// A registry that answers 429 or 500, or breaks off, delays publishing and leaves
// nothing half done.
func TestRegistryFails(t *testing.T) {
	f := newField(t)
	flaky := func(chance int, how func(w http.ResponseWriter, r *http.Request)) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if rand.IntN(100) >= chance || r.URL.Path == "/v2/" {
				return false
			}
			how(w, r)
			return true
		}
	}
	for _, c := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request) bool
		never bool
	}{
		{name: "429 now and then", fault: flaky(25, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		})},
		{name: "500 now and then", fault: flaky(10, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })},
		{name: "cut off now and then", fault: flaky(10, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
		{name: "answers cut short now and then", fault: flaky(4, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10000")
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = w.Write([]byte(`{"schemaVersion"`))
		})},
		{name: "500 for every manifest", never: true, fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}},
		{name: "503 for every tag", never: true, fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "sha256:") {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := *f.lab
			l.TB, l.place = t, f.site.host()+"/"+strings.ReplaceAll(c.name, " ", "-")
			l.signer = f.signer
			g := &field{lab: &l, errand: f.errand}
			g.now = time.Now().UTC()
			p := g.plan("36.4.0 cpu", "36.4.3 cpu")
			f.site.fail(c.fault)
			var err error
			for try := 0; try < 20; try++ {
				if _, err = g.publish(p); err == nil || c.never {
					break
				}
				f.site.fail(nil)
				g.whole()
				f.site.fail(c.fault)
			}
			f.site.fail(nil)
			if c.never {
				require.Error(t, err)
				require.Empty(t, g.tags("cpu"), "no tag on what is not whole")
				g.whole()
				_, err = g.publish(p)
			}
			require.NoError(t, err)
			require.EqualValues(t, 3, g.whole().Head.Size)
			require.Len(t, g.tags("cpu"), 2+2)
		})
	}
}

package lock_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/lock"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// lab is a catalog whose names lead to this machine: a registry, a git
// repository, a web server.
type lab struct {
	t     *testing.T
	files fstest.MapFS
	store *store.Store
	repo  string // folder of the git repository
	web   *httptest.Server
	body  string // of the download
}

const matrixYAML = `platforms:
  - l4t: 36.4.0
    os: {id: debian, version: "12"}
    python: ["3.11"]
    cuda: [{version: "12.6"}]
    base: "@IMAGE@"
    hosts: ">=36.4 <37"
`

const toolYAML = `name: tool
group: g
summary: A tool
versions: [{version: "1.0"}]
build:
  steps:
    - uses: git/checkout
      with: {repository: "file://@REPO@", ref: main}
    - uses: source/download
      with: {url: "@WEB@/tool.tgz"}
install:
  steps: [{run: "true"}]
`

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, body: "an archive"}
	var err error
	l.store, err = store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.store.Close()) })
	l.image(1)
	l.repo = t.TempDir()
	l.git("init", "-q", "-b", "main")
	l.git("commit", "-q", "--allow-empty", "-m", "one")
	l.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tool.tgz" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, l.body)
	}))
	t.Cleanup(l.web.Close)
	l.files = fstest.MapFS{}
	for _, step := range []string{"git/checkout", "source/download", "python/collect-wheels", "python/install-wheel", "python/install-wheels", "apt/install"} {
		b, err := os.ReadFile("../../pipelines/steps/" + step + ".yaml")
		require.NoError(t, err)
		l.write("pipelines/steps/"+step+".yaml", string(b))
	}
	l.write("matrix.yaml", matrixYAML)
	l.write("packages/g/tool/package.yaml", toolYAML)
	return l
}

// image puts an image under the tag that the matrix names; another n, other bytes.
func (l *lab) image(n int64) string {
	img, err := random.Image(64*n, 1)
	require.NoError(l.t, err)
	rec, err := l.store.PutImage(context.Background(), store.Base, strings.Repeat(fmt.Sprint(n), 64), img, nil)
	require.NoError(l.t, err)
	require.NoError(l.t, l.store.Tag(context.Background(), "base", rec.Digest))
	return rec.Digest
}

func (l *lab) git(args ...string) string {
	l.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", l.repo, "-c", "user.name=t", "-c", "user.email=t@localhost"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(l.t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func (l *lab) write(name, content string) {
	r := strings.NewReplacer("@IMAGE@", l.store.Repository()+":base", "@REPO@", l.repo)
	if l.web != nil {
		content = strings.ReplaceAll(content, "@WEB@", l.web.URL)
	}
	l.files[name] = &fstest.MapFile{Data: []byte(r.Replace(content))}
}

// load reads the catalog and plans every package.
func (l *lab) load() (*spec.Catalog, []plan.Loose) {
	l.t.Helper()
	cat, list := spec.Load(l.files, spec.Options{})
	require.NoError(l.t, list.Err())
	var reqs []plan.Request
	p, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4"})
	require.NoError(l.t, err)
	names := make([]string, 0, len(cat.Packages))
	for name := range cat.Packages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		reqs = append(reqs, plan.Request{Targets: []spec.Target{{Name: name}}, Platform: p})
	}
	planned, err := plan.New(cat, l.files, reqs)
	require.NoError(l.t, err)
	return cat, planned.Loose
}

// update runs Update and writes the lock.
func (l *lab) update(o lock.Options) []lock.Outcome {
	l.t.Helper()
	cat, loose := l.load()
	if o.Today == "" {
		o.Today = "2026-11-25"
	}
	if o.Sources.Digest == nil {
		o.Sources = lock.Reach()
	}
	locked, outcomes, err := lock.Update(context.Background(), cat, loose, o)
	require.NoError(l.t, err)
	var old []byte
	if f := l.files[lock.File]; f != nil {
		old = f.Data
	}
	b, err := lock.Format(old, locked)
	require.NoError(l.t, err)
	l.files[lock.File] = &fstest.MapFile{Data: b}
	again, err := lock.Format(b, locked)
	require.NoError(l.t, err)
	require.Equal(l.t, string(b), string(again), "written twice, it is the same")
	return outcomes
}

func status(outcomes []lock.Outcome) map[lock.Kind]lock.Status {
	out := map[lock.Kind]lock.Status{}
	for _, o := range outcomes {
		out[o.Kind] = o.Status
	}
	return out
}

func (l *lab) lock() string { return string(l.files[lock.File].Data) }

func TestUpdate(t *testing.T) {
	l := newLab(t)
	cat, loose := l.load()
	require.Len(t, loose, 3)
	var codes []string
	for _, d := range lock.Drift(cat, loose, true) {
		codes = append(codes, d.Code+" "+d.File)
	}
	require.Equal(t, []string{
		"unlocked matrix.yaml", "unlocked matrix.yaml", "unlocked packages/g/tool/package.yaml", "unlocked packages/g/tool/package.yaml",
	}, codes)

	out := l.update(lock.Options{})
	require.Equal(t, map[lock.Kind]lock.Status{lock.Apt: lock.Added, lock.Bases: lock.Added, lock.Refs: lock.Added, lock.Downloads: lock.Added}, status(out))
	sum := sha256.Sum256([]byte("an archive"))
	head := l.git("rev-parse", "HEAD")
	require.Contains(t, l.lock(), "sha256: "+hex.EncodeToString(sum[:])+"\n    size: 10\n    because: packages/g/tool/package.yaml:10\n")
	require.Contains(t, l.lock(), "    ref: main\n    commit: "+head+"\n    from: refs/heads/main\n    because: packages/g/tool/package.yaml:8\n")
	require.Contains(t, l.lock(), "because: matrix.yaml:6")
	cat, loose = l.load()
	require.Empty(t, lock.Drift(cat, loose, true))

	// A second run changes nothing, whatever is there now.
	first := l.lock()
	l.git("commit", "-q", "--allow-empty", "-m", "two")
	l.body = "another archive"
	l.image(2)
	out = l.update(lock.Options{Today: "2026-12-01"})
	require.Equal(t, map[lock.Kind]lock.Status{lock.Apt: lock.Kept, lock.Bases: lock.Kept, lock.Refs: lock.Kept, lock.Downloads: lock.Kept}, status(out))
	require.Equal(t, first, l.lock())

	// A kind is updated by itself.
	out = l.update(lock.Options{Update: []lock.Kind{lock.Refs}})
	require.Equal(t, lock.Changed, status(out)[lock.Refs])
	require.Contains(t, l.lock(), l.git("rev-parse", "HEAD"))
	require.NotContains(t, l.lock(), head)
	out = l.update(lock.Options{Update: []lock.Kind{lock.Bases, lock.Downloads, lock.Apt}, Today: "2026-12-01"})
	require.Equal(t, map[lock.Kind]lock.Status{lock.Apt: lock.Changed, lock.Bases: lock.Changed, lock.Downloads: lock.Changed, lock.Refs: lock.Kept}, status(out))
	require.Contains(t, l.lock(), `epoch: "2026-12-01"`)
}

func TestWhatCannotBeReachedKeepsItsEntry(t *testing.T) {
	l := newLab(t)
	l.update(lock.Options{})
	first := l.lock()
	l.web.Close()
	require.NoError(t, os.RemoveAll(l.repo))
	out := l.update(lock.Options{Update: []lock.Kind{lock.Refs, lock.Downloads}})
	require.Equal(t, lock.Stale, status(out)[lock.Refs])
	require.Equal(t, lock.Stale, status(out)[lock.Downloads])
	for _, o := range out {
		if o.Status == lock.Stale {
			require.NotEmpty(t, o.Reason)
			require.NotEmpty(t, o.Value)
		}
	}
	require.Equal(t, first, l.lock())
}

func TestCommentsStay(t *testing.T) {
	l := newLab(t)
	l.update(lock.Options{})
	l.files[lock.File].Data = []byte(strings.ReplaceAll(l.lock(), "refs:\n", "# what git has\nrefs:\n  # the tool's own\n"))
	l.git("commit", "-q", "--allow-empty", "-m", "two")
	l.update(lock.Options{Update: []lock.Kind{lock.Refs}})
	require.Contains(t, l.lock(), "# what git has\nrefs:\n  # the tool's own\n  - repository: file://")
	require.True(t, strings.HasPrefix(l.lock(), "# What the catalog names loosely, pinned."), l.lock())
}

func TestUnusedEntries(t *testing.T) {
	l := newLab(t)
	l.update(lock.Options{})
	l.write("packages/g/tool/package.yaml", strings.ReplaceAll(toolYAML, "ref: main", "ref: refs/heads/main"))
	cat, loose := l.load()
	var found []string
	for _, d := range lock.Drift(cat, loose, true) {
		found = append(found, d.Code)
	}
	require.Equal(t, []string{"unused-lock", "unlocked"}, found)
	out := l.update(lock.Options{})
	require.True(t, slices.ContainsFunc(out, func(o lock.Outcome) bool { return o.Status == lock.Unused && o.Kind == lock.Refs }))
	require.Contains(t, l.lock(), "    ref: main\n")
	l.update(lock.Options{Prune: true})
	require.NotContains(t, l.lock(), "    ref: main\n")
	require.Contains(t, l.lock(), "    ref: refs/heads/main\n")
}

// A tag is locked as the commit that it names, not as the tag object.
func TestTags(t *testing.T) {
	l := newLab(t)
	l.git("tag", "-a", "-m", "first", "v1")
	l.write("packages/g/tool/package.yaml", strings.ReplaceAll(toolYAML, "ref: main", "ref: v1"))
	l.update(lock.Options{})
	require.Contains(t, l.lock(), "commit: "+l.git("rev-parse", "HEAD")+"\n    from: refs/tags/v1\n")
	out := func(ref string) lock.Outcome {
		l.write("packages/g/tool/package.yaml", strings.ReplaceAll(toolYAML, "ref: main", "ref: "+ref))
		for _, o := range l.update(lock.Options{}) {
			if o.Kind == lock.Refs && strings.HasSuffix(o.What, " "+ref) {
				return o
			}
		}
		return lock.Outcome{}
	}
	require.Contains(t, out("v2").Reason, "has no tag or branch v2")
	require.Empty(t, out(l.git("rev-parse", "HEAD")).What, "a commit is not loose")
}

// The lock decides what is built: a plan has the commit and the hash, and other
// keys with another lock.
func TestLockIsInTheKey(t *testing.T) {
	l := newLab(t)
	key := func() (string, string) {
		cat, _ := l.load()
		p, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4"})
		require.NoError(t, err)
		planned, err := plan.New(cat, l.files, []plan.Request{{Targets: []spec.Target{{Name: "tool"}}, Platform: p}})
		require.NoError(t, err)
		for _, n := range planned.Nodes {
			if n.Kind == plan.Artifact {
				return n.Key, n.Instructions[0].Text
			}
		}
		return "", ""
	}
	unlocked, text := key()
	require.Contains(t, text, "export COMMIT=''")
	l.update(lock.Options{Update: []lock.Kind{lock.Refs}})
	locked, text := key()
	require.Contains(t, text, "export COMMIT="+l.git("rev-parse", "HEAD"))
	require.NotEqual(t, unlocked, locked)
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	l := &spec.Lock{Apt: []spec.LockedApt{{OS: "debian 12", Epoch: "2026-11-25", Because: "matrix.yaml:3"}}}
	changed, err := lock.Write(root, l)
	require.NoError(t, err)
	require.True(t, changed)
	changed, err = lock.Write(root, l)
	require.NoError(t, err)
	require.False(t, changed)
	b, err := os.ReadFile(filepath.Join(dir, lock.File))
	require.NoError(t, err)
	require.Equal(t, "# What the catalog names loosely, pinned. `jetcrate lock` writes this file.\napt:\n  - os: debian 12\n    epoch: \"2026-11-25\"\n    because: matrix.yaml:3\n", string(b))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

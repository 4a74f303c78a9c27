package testbed_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// bench is what a test needs to look into what was made: the plan of targets,
// run to its end, the store and an engine.
type bench struct {
	*testing.T
	files  fs.FS
	plan   *plan.Plan
	result *execute.Result
	store  *store.Store
	engine engine.Engine
}

func made(t *testing.T, files fs.FS, overlays []string, targets ...string) *bench {
	t.Helper()
	env := real(t)
	ctx := context.Background()
	cat, list := spec.Load(files, spec.Options{Matrix: overlays})
	require.NoError(t, list.Err())
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	var reqs []plan.Request
	for _, words := range targets {
		r := plan.Request{Platform: pl}
		for _, w := range strings.Fields(words) {
			x, err := spec.ParseTarget(w)
			require.NoError(t, err)
			r.Targets = append(r.Targets, x)
		}
		reqs = append(reqs, r)
	}
	b := &bench{T: t, files: files}
	b.plan, err = plan.New(cat, files, reqs)
	require.NoError(t, err)
	data := filepath.Join(env["XDG_DATA_HOME"], "jetcrate")
	b.store, err = store.Open(ctx, store.Options{Dir: filepath.Join(data, "store")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.store.Close()) })
	b.engine, err = buildkit.Connect(ctx, buildkit.Options{Address: "private", StateDir: filepath.Join(data, "buildkitd")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.engine.Close()) })
	scratch := filepath.Join(data, "scratch")
	require.NoError(t, os.MkdirAll(scratch, 0o755))
	b.result, err = execute.Run(ctx, execute.Options{
		Plan: b.plan, Cells: b.plan.Possible(), Catalog: cat, Files: files, Store: b.store, Scratch: scratch,
		Engine: func(context.Context) (engine.Engine, error) { return shared{b.engine}, nil },
	})
	require.NoError(t, err)
	return b
}

// shared is an engine that a run does not close.
type shared struct{ engine.Engine }

func (shared) Close() error { return nil }

// node finds a node by kind and package.
func (b *bench) node(kind plan.Kind, pkg string) *plan.Node {
	b.Helper()
	for _, n := range b.plan.Nodes {
		if n.Kind == kind && n.Package == pkg {
			return n
		}
	}
	b.Fatalf("no %s of %s", kind, pkg)
	return nil
}

// artifact writes a package's artifact to a folder.
func (b *bench) artifact(pkg string) string {
	b.Helper()
	ctx := context.Background()
	rec, ok, err := b.store.Lookup(ctx, store.Artifact, b.node(plan.Artifact, pkg).Key)
	require.NoError(b, err)
	require.True(b, ok)
	dir := b.TempDir()
	require.NoError(b, b.store.GetFiles(ctx, rec, dir))
	return dir
}

// run runs a shell script in the image of a cell.
func (b *bench) run(cell int, script string, mounts ...engine.Mount) (string, int) {
	b.Helper()
	digest := b.result.Cells[cell].Digest
	dir, err := b.store.Layout(context.Background(), digest)
	require.NoError(b, err)
	var out bytes.Buffer
	exit, err := b.engine.Run(context.Background(), engine.Run{
		Name: b.Name(), Image: engine.Image{Layout: dir, Digest: digest}, Platform: "linux/arm64",
		Args: []string{"/bin/sh", "-euc", script}, Mounts: mounts, Stdout: &out, Stderr: &out,
	})
	require.NoError(b, err)
	return out.String(), exit.Code
}

var testbedMatrix = []string{"matrix.yaml", "testbed/matrix.yaml"}

func TestWheelsHoldARM64AndInstallInAFreshContainer(t *testing.T) {
	b := made(t, os.DirFS(".."), testbedMatrix, "markupsafe", "cffi", "python")
	for _, pkg := range []string{"markupsafe", "cffi"} {
		dir := b.artifact(pkg)
		wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
		require.NoError(t, err)
		require.Len(t, wheels, 1)
		require.Contains(t, wheels[0], "aarch64")
		modules := 0
		z, err := zip.OpenReader(wheels[0])
		require.NoError(t, err)
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, ".so") {
				continue
			}
			modules++
			r, err := f.Open()
			require.NoError(t, err)
			code, err := io.ReadAll(r)
			require.NoError(t, err)
			e, err := elf.NewFile(bytes.NewReader(code))
			require.NoError(t, err)
			require.Equal(t, elf.EM_AARCH64, e.Machine)
		}
		require.NoError(t, z.Close())
		require.Positive(t, modules, "an extension module")

		// In the image of python alone, which has no compiler either.
		out, code := b.run(2, "python3 -m pip install --break-system-packages --no-deps --no-index /wheels/*.whl && python3 -c 'import "+pkg+"'",
			engine.Mount{Source: dir, Target: "/wheels"})
		require.Zero(t, code, out)
	}
	out, code := b.run(0, "! command -v cc gcc g++ make && python3 -m pip check && python3 -m pip freeze")
	require.Zero(t, code, out)
	require.Contains(t, out, "MarkupSafe==2.1.2")
}

func TestShippedFilesKeepNoTraceOfWhereTheyWereMade(t *testing.T) {
	b := made(t, os.DirFS(".."), testbedMatrix, "python-native")
	ctx := context.Background()
	for _, k := range b.plan.Node(b.plan.Cells[0].Image).Linked {
		n := b.plan.Node(k)
		l, _, err := b.store.Layer(ctx, k)
		require.NoError(t, err)
		r, err := l.Uncompressed()
		require.NoError(t, err)
		files := 0
		for tr := tar.NewReader(r); ; files++ {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			content, err := io.ReadAll(tr)
			require.NoError(t, err)
			for _, trace := range []string{"/destdir", "/artifact/", "/tmp/cmake-"} {
				require.NotContains(t, h.Name+h.Linkname, trace, n.Title())
				require.False(t, bytes.Contains(content, []byte(trace)), "%s of %s holds %s", h.Name, n.Title(), trace)
			}
		}
		require.NoError(t, r.Close())
		require.Positive(t, files)
	}
}

// small is a catalog whose packages need no compiler.
func small() fs.FS { return os.DirFS("testdata/small") }

func TestAssembledImageIsTheEnginesOwn(t *testing.T) {
	b := made(t, small(), nil, "kit")
	ctx := context.Background()
	n := b.plan.Node(b.plan.Cells[0].Image)
	labels, err := execute.LabelsOf(n).Map()
	require.NoError(t, err)
	full, err := recipe.Full(b.plan, n, labels)
	require.NoError(t, err)
	base := b.plan.Node(n.Chain[0])
	rec, _, err := b.store.Lookup(ctx, store.Base, base.Key)
	require.NoError(t, err)
	dir, err := b.store.Layout(ctx, rec.Digest)
	require.NoError(t, err)
	contextDir := t.TempDir()
	for _, c := range full.Context {
		require.NoError(t, os.CopyFS(filepath.Join(contextDir, c.Dir), sub(t, b.files, "packages/g/"+c.Package)))
	}
	out := t.TempDir()
	res, err := b.engine.Build(ctx, engine.Build{
		Name: "all of kit", Dockerfile: []byte(full.Dockerfile), Context: contextDir, Target: full.Target, Platform: "linux/arm64",
		Images: map[string]engine.Image{recipe.BaseName(base): {Layout: dir, Digest: rec.Digest}},
		Output: engine.Output{Layout: out},
	})
	require.NoError(t, err)
	engines, err := b.store.Import(ctx, out, res.Digest)
	require.NoError(t, err)
	assembled, err := b.store.ImageAt(ctx, b.result.Cells[0].Digest)
	require.NoError(t, err)

	require.Equal(t, listing(t, engines), listing(t, assembled))
	a, err := assembled.ConfigFile()
	require.NoError(t, err)
	e, err := engines.ConfigFile()
	require.NoError(t, err)
	sort.Strings(a.Config.Env)
	sort.Strings(e.Config.Env)
	require.Equal(t, e.Config.Env, a.Config.Env)
	require.Equal(t, e.Config.Labels, a.Config.Labels)
	require.Equal(t, e.Config.Cmd, a.Config.Cmd)
	require.Equal(t, e.Config.Entrypoint, a.Config.Entrypoint)
	require.Equal(t, e.Config.User, a.Config.User)
	require.Equal(t, e.Architecture, a.Architecture)
}

func sub(t *testing.T, files fs.FS, dir string) fs.FS {
	t.Helper()
	s, err := fs.Sub(files, dir)
	require.NoError(t, err)
	return s
}

// listing is what an image's file system holds.
func listing(t *testing.T, img v1.Image) image.FileList {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	list, err := image.ListTar(r)
	require.NoError(t, err)
	return list
}

func TestTheStoreMayBeAnyRegistry(t *testing.T) {
	env := real(t)
	jetcrate, err := exec.LookPath("jetcrate")
	require.NoError(t, err)
	registry := serveRegistry(t)
	// The base is in the embedded store; a registry of its own starts with it.
	b := made(t, small(), nil, "low")
	base := b.node(plan.Base, "")
	img, _, err := b.store.Image(context.Background(), store.Base, base.Key)
	require.NoError(t, err)
	remote, err := store.Open(context.Background(), store.Options{Location: registry + "/lab/jetcrate", Cache: t.TempDir()})
	require.NoError(t, err)
	_, err = remote.PutImage(context.Background(), store.Base, base.Key, img, nil)
	require.NoError(t, err)
	require.NoError(t, remote.Close())

	run := func() string {
		cmd := exec.Command(jetcrate, "build", "kit", "--l4t", "36.4.0", "--catalog", "testdata/small", "--store", registry+"/lab/jetcrate", "-o", "jsonl")
		cmd.Env = os.Environ()
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		require.NoError(t, cmd.Run(), "%s%s", &out, &errs)
		return out.String()
	}
	require.Contains(t, run(), `"status":"built"`)
	require.NotContains(t, run(), `"event":"started"`)
}

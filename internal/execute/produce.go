package execute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Refused is an image or a layer that jetcrate does not record because of what
// it holds: the package's to mend.
type Refused struct{ Err error }

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// userFault reports whether what the user wrote made a node fail, and not what
// surrounds the run.
func userFault(err error) bool {
	var step *engine.StepError
	var refused *Refused
	var conflict *image.Conflict
	_, mistake := diag.From(err)
	if diskFull(err) {
		return false
	}
	return mistake || errors.As(err, &step) || errors.As(err, &refused) || errors.As(err, &conflict) || errors.Is(err, errTestFailed)
}

// diskFull reports whether a full disk made a node fail: this machine's, or the
// engine's, which shows in what the step wrote.
func diskFull(err error) bool {
	var step *engine.StepError
	if errors.As(err, &step) {
		return strings.Contains(strings.ToLower(step.Log+step.Fault), "no space left on device")
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "no space left on device")
}

// produce makes one node and records it. dir is an empty folder of its own.
func (r *run) produce(ctx context.Context, s *state, dir string, log *nodeLog) error {
	switch s.node.Kind {
	case plan.Base:
		return r.base(ctx, s, dir, log)
	case plan.Source, plan.Artifact:
		return r.files(ctx, s, dir, log)
	case plan.Linked:
		return r.linked(ctx, s, dir, log)
	case plan.Stacked:
		return r.stacked(ctx, s, dir, log)
	case plan.Image:
		return r.image(ctx, s)
	case plan.Test:
		return r.test(ctx, s, dir, log)
	}
	return fmt.Errorf("no way to make a %s", s.node.Kind)
}

// recordOf gives the record of a node that is there by now. A node that was not
// looked at is in the store, or whatever is made of it would not be.
func (r *run) recordOf(ctx context.Context, k string) (store.Record, error) {
	if s := r.states[k]; s != nil && s.record.Digest != "" {
		return s.record, nil
	}
	n := r.Plan.Node(k)
	rec, ok, err := r.Store.Lookup(ctx, kindOf(n), k)
	if err == nil && !ok {
		err = fmt.Errorf("the store has lost its record %s-%s", kindOf(n), short(k))
	}
	return rec, err
}

// build runs the recipe of a node on the engine.
func (r *run) build(ctx context.Context, s *state, dir, below string, out engine.Output, log *nodeLog) (engine.Result, error) {
	n := s.node
	rec, err := recipe.Render(r.Plan, n)
	if err != nil {
		return engine.Result{}, err
	}
	context_ := filepath.Join(dir, "context")
	for _, c := range rec.Context {
		if err := r.content(ctx, c, filepath.Join(context_, filepath.FromSlash(c.Dir))); err != nil {
			return engine.Result{}, fmt.Errorf("preparing the build context: %w", err)
		}
	}
	if err := os.MkdirAll(context_, 0o755); err != nil {
		return engine.Result{}, fmt.Errorf("preparing the build context: %w", err)
	}
	if n.Dockerfile != "" {
		b, err := os.ReadFile(filepath.Join(context_, filepath.FromSlash(n.Dockerfile)))
		if err != nil {
			return engine.Result{}, fmt.Errorf("reading the package's Dockerfile: %w", err)
		}
		rec.Dockerfile = string(b)
	}
	on, err := r.recordOf(ctx, below)
	if err != nil {
		return engine.Result{}, err
	}
	layout, err := r.Store.Layout(ctx, on.Digest)
	if err != nil {
		return engine.Result{}, err
	}
	if out.Layout != "" {
		out.Have = []string{layout}
	}
	secrets := map[string][]byte{"jobs": []byte(strconv.Itoa(r.jobs(n)))}
	for _, name := range rec.Secrets {
		secrets[name] = r.Secrets[name]
	}
	eng, end, err := r.lease(ctx, s)
	if err != nil {
		return engine.Result{}, err
	}
	res, err := eng.Build(ctx, engine.Build{
		Name: n.Title(), Dockerfile: []byte(rec.Dockerfile), Context: context_, Target: rec.Target,
		Platform: "linux/" + n.Arch, Args: rec.Args, Secrets: secrets, Output: out, Events: log.event,
		Images: map[string]engine.Image{recipe.Below: {Layout: layout, Digest: on.Digest}},
	})
	end(err)
	return res, err
}

// content writes one part of a build context.
func (r *run) content(ctx context.Context, c recipe.Content, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if c.Key != "" {
		rec, err := r.recordOf(ctx, c.Key)
		if err != nil {
			return err
		}
		return r.Store.GetFiles(ctx, rec, dir)
	}
	return r.packageFiles(c.Package, c.Files, dir)
}

// packageFiles copies files of a package; they must be what the plan read.
func (r *run) packageFiles(pkg string, files []plan.File, dir string) error {
	folder := r.Catalog.Packages[pkg].Folder()
	for _, f := range files {
		b, err := fs.ReadFile(r.Files, path.Join(folder, f.Path))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.SHA256 {
			return &Refused{fmt.Errorf("%s of %s changed while the run went on: start it again", f.Path, pkg)}
		}
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if f.Exec {
			mode = 0o755
		}
		if err := os.WriteFile(name, b, mode); err != nil {
			return err
		}
		if err := os.Chmod(name, mode); err != nil { // whatever the umask is
			return err
		}
	}
	return nil
}

// jobs is how many compile jobs the machine bears at once.
func (r *run) jobs(n *plan.Node) int {
	jobs := max(1, r.CPUs)
	if n.Resources != nil && r.Memory > 0 {
		if per := bytesOf(n.Resources.MemoryPerJob); per > 0 {
			jobs = max(1, min(jobs, int(r.Memory/per)))
		}
	}
	return jobs
}

// bytesOf reads 4GiB; 0 is none. The schema lets nothing else through.
func bytesOf(s string) int64 {
	for unit, n := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30} {
		if v, ok := strings.CutSuffix(s, unit); ok {
			f, _ := strconv.ParseFloat(v, 64)
			return int64(f * float64(n))
		}
	}
	return 0
}

// files makes a source or an artifact: a folder of files.
func (r *run) files(ctx context.Context, s *state, dir string, log *nodeLog) error {
	out := filepath.Join(dir, "out")
	if _, err := r.build(ctx, s, dir, s.node.Ground, engine.Output{Dir: out}, log); err != nil {
		return err
	}
	var count int
	var size int64
	err := filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		if !d.Type().IsRegular() {
			return &Refused{fmt.Errorf("/out holds %s, which is no plain file", strings.TrimPrefix(p, out))}
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		if s.node.Kind == plan.Source {
			return checkSum(p, s.node.Archive.SHA256)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if count == 0 {
		return &Refused{errors.New("the build left nothing in /out")}
	}
	rec, err := r.Store.PutFiles(ctx, kindOf(s.node), s.node.Key, out, r.inputs(s.node))
	return s.built(rec, size, err)
}

// checkSum compares a file with its SHA-256, whatever the engine said of it.
func checkSum(name, want string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &Refused{fmt.Errorf("%s has the SHA-256 %s, the spec says %s", filepath.Base(name), got, want)}
	}
	return nil
}

// built notes what was recorded; size is what it added, compressed.
func (s *state) built(rec store.Record, size int64, err error) error {
	if err != nil {
		return fmt.Errorf("recording it: %w", err)
	}
	s.record = rec
	s.result.Status, s.result.Digest, s.result.Size = Built, rec.Digest, size
	return nil
}

// linked makes a linked layer: a folder laid on the closure, as one tar.
func (r *run) linked(ctx context.Context, s *state, dir string, log *nodeLog) error {
	root := filepath.Join(dir, "root")
	if _, err := r.build(ctx, s, dir, s.node.Ground, engine.Output{Dir: root}, log); err != nil {
		return err
	}
	below, err := r.owned(ctx, r.Plan.Node(s.node.Ground))
	if err != nil {
		return err
	}
	var lists []image.FileList
	for _, o := range below {
		lists = append(lists, o.Files)
	}
	layer, files, err := image.LayerFromDir(root, image.LayerOptions{Scratch: dir, Below: image.Merge(lists...)})
	if err != nil {
		return &Refused{err}
	}
	if len(files) == 0 {
		return &Refused{errors.New("its install left nothing below $DESTDIR")}
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	ground := r.Plan.Node(s.node.Ground)
	if err := r.installs(ctx, s.node, ground.Chain, ground.Linked, []v1.Layer{layer}); err != nil {
		return err
	}
	rec, err := r.Store.PutLayer(ctx, s.node.Key, layer, files, r.inputs(s.node))
	return s.built(rec, size, err)
}

// stacked makes a layer on its parent: the chain up to it, as an image.
func (r *run) stacked(ctx context.Context, s *state, dir string, log *nodeLog) error {
	out := filepath.Join(dir, "image")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	res, err := r.build(ctx, s, dir, s.node.Parent, engine.Output{Layout: out, Tar: r.look(ctx)}, log)
	if err != nil {
		return err
	}
	img, err := r.Store.Import(ctx, out, res.Digest)
	if err != nil {
		return fmt.Errorf("taking over the engine's image: %w", err)
	}
	parent, err := r.recordOf(ctx, s.node.Parent)
	if err != nil {
		return err
	}
	below, err := r.Store.Manifest(ctx, parent)
	if err != nil {
		return err
	}
	got, err := img.Manifest()
	if err != nil {
		return err
	}
	if !startsWith(got, below) {
		return errors.New("the engine's image does not stand on the layers that it was given")
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	if err := r.installs(ctx, s.node, r.chainBelow(s.node), nil, layers[len(below.Layers):]); err != nil {
		return err
	}
	rec, err := r.Store.PutImage(ctx, store.Layer, s.node.Key, img, r.inputs(s.node))
	return s.built(rec, sizeOf(got.Layers[len(below.Layers):]), err)
}

// look records what a new layer brings while it leaves the engine. Where that fails,
// the layer is read once more, which says why.
func (r *run) look(ctx context.Context) func(diffID string, tar io.Reader) {
	return func(diffID string, tar io.Reader) {
		if id, err := v1.NewHash(diffID); err == nil {
			_, _, _ = r.Store.Look(ctx, id, tar)
		}
	}
}

func sizeOf(layers []v1.Descriptor) int64 {
	var n int64
	for _, l := range layers {
		n += l.Size
	}
	return n
}

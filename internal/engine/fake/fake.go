// Package fake is an engine for unit tests: it needs no daemon, runs nothing
// and always gives the same bytes for the same request.
//
// An image build appends one layer to the image that the target stage's chain
// starts from (or to an empty one): a single file, /fake/<id>, that lists the
// instructions of the chain, where id is their SHA-256. Instructions of other
// stages, contexts, arguments and secrets leave no trace in it. ENV, LABEL,
// WORKDIR, USER, CMD and ENTRYPOINT reach the image's config as they do in a
// real engine, without expansion. A folder build writes that same file, or
// what Files says. Failures, delays and the ends of commands are programmed by
// the fields of Engine.
package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Engine is the fake. Its fields are set before the first call; the functions
// are called from several goroutines.
type Engine struct {
	// Fail says how a build or a command of that name ends; nil is success.
	Fail func(name string) error
	// Delay is how long each call takes, or until its context ends.
	Delay time.Duration
	// Exit says how a command ends; what it returns as out and err is written
	// to the command's streams. Without it each command ends with code 0.
	Exit func(r engine.Run) (exit engine.Exit, out, err string)
	// Files says what a folder build leaves, path to content; a nil map leaves
	// the file of the instructions.
	Files func(b engine.Build) map[string]string
	// Layer says what the layer of an image build holds beside the file of the
	// instructions, path to content.
	Layer func(b engine.Build) map[string]string
}

var _ engine.Engine = (*Engine)(nil)

func (e *Engine) Info() engine.Info {
	return engine.Info{Kind: "fake", Version: "1", Address: "fake:", Emulated: runtime.GOARCH != "arm64"}
}

func (e *Engine) Close() error { return nil }

func (e *Engine) Build(ctx context.Context, b engine.Build) (engine.Result, error) {
	c, err := chainOf(b)
	if err != nil {
		return engine.Result{}, err
	}
	emit := func(kind engine.EventKind, data, failure string) {
		if b.Events != nil {
			b.Events(engine.Event{Step: c.id, Name: b.Name, Time: time.Now(), Kind: kind, Stream: 1, Data: []byte(data), Error: failure})
		}
	}
	emit(engine.Started, "", "")
	if err := e.pass(ctx, b.Name); err != nil {
		emit(engine.Done, "", err.Error())
		return engine.Result{}, err
	}
	var res engine.Result
	if b.Output.Dir != "" {
		err = e.writeFolder(b, c)
	} else {
		res, err = e.writeImage(b, c)
	}
	if err != nil {
		emit(engine.Done, "", err.Error())
		return engine.Result{}, fmt.Errorf("building %s: %w", b.Name, err)
	}
	emit(engine.Log, strings.Join(c.lines, "\n")+"\n", "")
	emit(engine.Done, "", "")
	return res, nil
}

func (e *Engine) Run(ctx context.Context, r engine.Run) (engine.Exit, error) {
	if _, err := engine.OpenImage(r.Image); err != nil {
		return engine.Exit{}, fmt.Errorf("running %s: %w", r.Name, err)
	}
	if err := e.pass(ctx, r.Name); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return engine.Exit{Code: 137, TimedOut: true}, nil
		}
		return engine.Exit{}, err
	}
	if e.Exit == nil {
		return engine.Exit{}, nil
	}
	exit, out, errs := e.Exit(r)
	for _, s := range []struct {
		w    io.Writer
		text string
	}{{r.Stdout, out}, {r.Stderr, errs}} {
		if s.w != nil {
			if _, err := io.WriteString(s.w, s.text); err != nil {
				return engine.Exit{}, fmt.Errorf("running %s: %w", r.Name, err)
			}
		}
	}
	return exit, nil
}

// pass waits for the delay and says whether the call of that name fails.
func (e *Engine) pass(ctx context.Context, name string) error {
	if e.Delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(e.Delay):
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e.Fail != nil {
		return e.Fail(name)
	}
	return nil
}

func (e *Engine) writeFolder(b engine.Build, c chain) error {
	var files map[string]string
	if e.Files != nil {
		files = e.Files(b)
	}
	if files == nil {
		files = map[string]string{c.file(): c.text()}
	}
	for name, text := range files {
		path := filepath.Join(b.Output.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) writeImage(b engine.Build, c chain) (engine.Result, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if c.base != nil {
		img, err := engine.OpenImage(*c.base)
		if err != nil {
			return engine.Result{}, err
		}
		base = img
	}
	var more map[string]string
	if e.Layer != nil {
		more = e.Layer(b)
	}
	layer, err := c.layer(more)
	if err != nil {
		return engine.Result{}, err
	}
	img, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer,
		History: v1.History{CreatedBy: b.Name},
	})
	if err != nil {
		return engine.Result{}, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return engine.Result{}, err
	}
	cfg = cfg.DeepCopy()
	if p, err := v1.ParsePlatform(b.Platform); err == nil && b.Platform != "" {
		cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	}
	c.configure(&cfg.Config)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return engine.Result{}, err
	}
	if err := engine.InitLayout(b.Output.Layout); err != nil {
		return engine.Result{}, err
	}
	if err := writeBlobs(img, b.Output); err != nil {
		return engine.Result{}, err
	}
	d, err := img.Digest()
	return engine.Result{Digest: d.String()}, err
}

// writeBlobs copies what none of the folders that the caller has holds.
func writeBlobs(img v1.Image, out engine.Output) error {
	l := layout.Path(out.Layout)
	put := func(h v1.Hash, open func() (io.ReadCloser, error)) error {
		for _, dir := range append(slices.Clone(out.Have), out.Layout) {
			if _, err := os.Stat(filepath.Join(dir, "blobs", h.Algorithm, h.Hex)); err == nil {
				return nil
			}
		}
		rc, err := open()
		if err != nil {
			return err
		}
		return l.WriteBlob(h, rc)
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		h, err := layer.Digest()
		if err != nil {
			return err
		}
		if err := put(h, layer.Compressed); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		digest func() (v1.Hash, error)
		bytes  func() ([]byte, error)
	}{{img.ConfigName, img.RawConfigFile}, {img.Digest, img.RawManifest}} {
		h, err := part.digest()
		if err != nil {
			return err
		}
		if err := put(h, func() (io.ReadCloser, error) {
			raw, err := part.bytes()
			return io.NopCloser(bytes.NewReader(raw)), err
		}); err != nil {
			return err
		}
	}
	return nil
}

// layer is the file of the chain's instructions.
func (c chain) layer(more map[string]string) (v1.Layer, error) {
	files := maps.Clone(more)
	if files == nil {
		files = map[string]string{}
	}
	files[c.file()] = c.text()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	headers := []*tar.Header{{Typeflag: tar.TypeDir, Name: "fake/", Mode: 0o755, Format: tar.FormatPAX}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		headers = append(headers, &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name])), Format: tar.FormatPAX})
	}
	for _, h := range headers {
		h.ModTime = time.Unix(0, 0)
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, files[h.Name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

func (c chain) text() string { return strings.Join(c.lines, "\n") + "\n" }
func (c chain) file() string { return "fake/" + c.id[:12] }

func identity(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

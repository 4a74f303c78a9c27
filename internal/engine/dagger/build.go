package dagger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
)

func (d *engineOf) Build(ctx context.Context, b engine.Build) (engine.Result, error) {
	if ctx.Err() != nil {
		return engine.Result{}, wrap(ctx, "building", b.Name, nil)
	}
	if (b.Output.Layout == "") == (b.Output.Dir == "") {
		return engine.Result{}, wrap(ctx, "building", b.Name, errors.New("a build has one output: a layout or a folder"))
	}
	r, err := d.recipe(b)
	if err != nil {
		return engine.Result{}, wrap(ctx, "building", b.Name, err)
	}
	event := func(kind engine.EventKind, failure string) {
		if b.Events != nil {
			b.Events(engine.Event{Step: "dagger", Name: "Dockerfile on Dagger", Time: time.Now(), Kind: kind, Error: failure})
		}
	}
	event(engine.Started, "")
	res, err := d.build(ctx, b, r)
	if err == nil {
		event(engine.Done, "")
		return res, nil
	}
	event(engine.Done, err.Error())
	if step := d.stepError(err); step != nil && ctx.Err() == nil {
		return engine.Result{}, step
	}
	return engine.Result{}, wrap(ctx, "building", b.Name, err)
}

func (d *engineOf) build(ctx context.Context, b engine.Build, r recipe) (engine.Result, error) {
	if b.Output.Dir != "" {
		return engine.Result{}, d.session.folder(ctx, r, b.Output.Dir)
	}
	archive, err := os.CreateTemp(d.scratch, "image-*.tar")
	if err != nil {
		return engine.Result{}, err
	}
	defer os.Remove(archive.Name())
	if err := archive.Close(); err != nil {
		return engine.Result{}, err
	}
	if err := d.session.image(ctx, r, archive.Name()); err != nil {
		return engine.Result{}, err
	}
	made := archive.Name() + ".d"
	defer os.RemoveAll(made)
	if err := unpack(archive.Name(), made); err != nil {
		return engine.Result{}, fmt.Errorf("unpacking the engine's image: %w", err)
	}
	digest, err := compose(b, made)
	if err != nil {
		return engine.Result{}, fmt.Errorf("taking over the engine's image: %w", err)
	}
	return engine.Result{Digest: digest}, nil
}

// recipe makes a build stand alone.
func (d *engineOf) recipe(b engine.Build) (recipe, error) {
	r := recipe{Context: b.Context, Target: b.Target, Platform: b.Platform, Secrets: b.Secrets, Args: maps.Clone(b.Args), Events: b.Events}
	if r.Args == nil {
		r.Args = map[string]string{}
	}
	var stages []byte
	for i, name := range slices.Sorted(maps.Keys(b.Images)) {
		img := b.Images[name]
		file, err := d.pack("root", img, writeRoot)
		if err != nil {
			return recipe{}, err
		}
		if r.Files == nil {
			r.Files = map[string]string{}
		}
		in := fmt.Sprintf(".jetcrate-%s.tar", filepath.Base(name))
		r.Files[in] = file
		text, err := stage(i, name, in, img, r.Args)
		if err != nil {
			return recipe{}, fmt.Errorf("making image %s a stage: %w", name, err)
		}
		stages = append(stages, text...)
	}
	var err error
	r.Dockerfile, err = insert(b.Dockerfile, stages, len(b.Images))
	return r, err
}

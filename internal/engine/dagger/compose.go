package dagger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// compose lays what a recipe added on the image that it stands on, writes the
// result to the layout of the output and gives the manifest's digest. made is
// the layout that holds the image of the recipe that stands alone.
func compose(b engine.Build, made string) (string, error) {
	img, err := onlyImage(made)
	if err != nil {
		return "", err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	cfg = cfg.DeepCopy()
	name, stands := cfg.Config.Labels[belowLabel]
	delete(cfg.Config.Labels, belowLabel)
	below := v1.Image(empty.Image)
	var ground engine.Image
	if stands {
		ground = b.Images[name]
		if below, err = engine.OpenImage(ground); err != nil {
			return "", err
		}
		skip, err := stageLayers(below)
		if err != nil {
			return "", err
		}
		if len(layers) < skip {
			return "", fmt.Errorf("it has %d layers, fewer than the stage that it stands on", len(layers))
		}
		layers = layers[skip:]
		if err := inherit(cfg, below); err != nil {
			return "", err
		}
	} else {
		below = mutate.ConfigMediaType(mutate.MediaType(below, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	out, err := stack(below, layers, cfg, b.Name)
	if err != nil {
		return "", err
	}
	return save(b.Output, out, ground.Layout, made)
}

// stageLayers counts the layers of the stage that an image became: its files,
// and the working directory, which WORKDIR makes if it must.
func stageLayers(img v1.Image) (int, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return 0, err
	}
	if cfg.Config.WorkingDir != "" {
		return 2, nil
	}
	return 1, nil
}

// inherit takes from the image below what its stage did not carry.
func inherit(cfg *v1.ConfigFile, below v1.Image) error {
	from, err := below.ConfigFile()
	if err != nil {
		return err
	}
	c, f := &cfg.Config, from.Config
	if len(f.Labels) > 0 {
		labels := maps.Clone(f.Labels)
		maps.Copy(labels, c.Labels)
		c.Labels = labels
	}
	if c.Cmd == nil && c.Entrypoint == nil { // a new entrypoint resets the command
		c.Cmd = f.Cmd
	}
	if c.Entrypoint == nil {
		c.Entrypoint = f.Entrypoint
	}
	for p := range f.ExposedPorts {
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		c.ExposedPorts[p] = struct{}{}
	}
	for v := range f.Volumes {
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[v] = struct{}{}
	}
	if c.StopSignal == "" {
		c.StopSignal = f.StopSignal
	}
	if c.Healthcheck == nil {
		c.Healthcheck = f.Healthcheck
	}
	if len(f.Env) == 0 { // the PATH that an image from scratch gets
		c.Env = f.Env
	}
	return nil
}

// stack is an image of layers on another, with the config of cfg.
func stack(below v1.Image, layers []v1.Layer, cfg *v1.ConfigFile, by string) (v1.Image, error) {
	add := make([]mutate.Addendum, 0, len(layers))
	for _, l := range layers {
		add = append(add, mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{Created: cfg.Created, CreatedBy: by}})
	}
	img, err := mutate.Append(below, add...)
	if err != nil {
		return nil, err
	}
	have, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	final := cfg.DeepCopy()
	final.RootFS, final.History = have.RootFS, have.History
	return mutate.ConfigFile(img, final)
}

// save writes an image to the layout of an output, but for layers that the
// caller has.
func save(out engine.Output, img v1.Image, from ...string) (string, error) {
	if err := engine.InitLayout(out.Layout); err != nil {
		return "", err
	}
	m, err := img.Manifest()
	if err != nil {
		return "", err
	}
	for _, l := range m.Layers {
		if err := takeBlob(out, l.Digest, from); err != nil {
			return "", err
		}
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return "", err
	}
	if err := writeFile(blobFile(out.Layout, m.Config.Digest), bytes.NewReader(raw)); err != nil {
		return "", err
	}
	h, err := img.Digest()
	if err != nil {
		return "", err
	}
	if raw, err = img.RawManifest(); err != nil {
		return "", err
	}
	return h.String(), writeFile(blobFile(out.Layout, h), bytes.NewReader(raw))
}

func takeBlob(out engine.Output, h v1.Hash, from []string) error {
	for _, dir := range append([]string{out.Layout}, out.Have...) {
		if _, err := os.Stat(blobFile(dir, h)); err == nil {
			return nil
		}
	}
	for _, dir := range from {
		f, err := os.Open(blobFile(dir, h))
		if errors.Is(err, os.ErrNotExist) || dir == "" {
			continue
		}
		if err != nil {
			return err
		}
		return errors.Join(writeFile(blobFile(out.Layout, h), f), f.Close())
	}
	return fmt.Errorf("blob %s is missing", h)
}

package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Unfit says why images cannot be put together.
type Unfit struct{ Why string }

func (u *Unfit) Error() string { return u.Why }

// Compose puts an image together from the layers of several: all of the first,
// and of each other one what is not there yet. They must be of one platform and
// hold the same version of each package that two of them have. A layer that
// changes what lies below it (a stacked one, that only the other image has) meets
// its own files there and is refused as a conflict.
//
// The layers are read: give images whose layers are on this machine.
func Compose(images ...v1.Image) (v1.Image, error) {
	if len(images) < 2 {
		return nil, &Unfit{"there is nothing to put together"}
	}
	first, err := opened(images[0])
	if err != nil {
		return nil, err
	}
	a := Assembly{Below: images[0]}
	if a.BelowFiles, err = first.files(first.layers); err != nil {
		return nil, err
	}
	labels := first.labels
	keys := []string{labels.Key}
	have := map[string]bool{}
	for _, l := range first.layers {
		have[l.diffID] = true
	}
	for _, img := range images[1:] {
		next, err := opened(img)
		if err != nil {
			return nil, err
		}
		if err := agree(&labels, next.labels); err != nil {
			return nil, err
		}
		keys = append(keys, next.labels.Key)
		var extra []part
		for _, l := range next.layers {
			if !have[l.diffID] {
				have[l.diffID] = true
				extra = append(extra, l)
			}
		}
		files, err := next.files(extra)
		if err != nil {
			return nil, err
		}
		for i, l := range extra {
			a.Linked = append(a.Linked, Linked{Owner: l.owner, Layer: l.layer, Files: files[i].Files})
		}
		a.Env = append(a.Env, next.env()...)
	}
	sum := sha256.Sum256([]byte("composition\n" + strings.Join(keys, "\n")))
	labels.Key, labels.Version = hex.EncodeToString(sum[:]), ""
	if a.Labels, err = labels.Map(); err != nil {
		return nil, err
	}
	return a.Image()
}

// agree adds the packages of another image to the labels.
func agree(to *Labels, l Labels) error {
	if l.Platform != to.Platform {
		return &Unfit{fmt.Sprintf("%s is for %+v and %s for %+v", to.Title, to.Platform, l.Title, l.Platform)}
	}
	for _, p := range l.Packages {
		i := slices.IndexFunc(to.Packages, func(q Package) bool { return q.Name == p.Name })
		switch {
		case i < 0:
			to.Packages = append(to.Packages, p)
		case to.Packages[i].Version != p.Version:
			return &Unfit{fmt.Sprintf("%s has %s %s and %s has %s", to.Title, p.Name, to.Packages[i].Version, l.Title, p.Version)}
		}
	}
	to.Title += " + " + l.Title
	return nil
}

// part is a layer with who brought it.
type part struct {
	owner, diffID string
	layer         v1.Layer
}

type partsOf struct {
	config *v1.ConfigFile
	labels Labels
	layers []part
}

func opened(img v1.Image) (*partsOf, error) {
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading an image's config: %w", err)
	}
	p := &partsOf{config: cf}
	if p.labels, err = ParseLabels(cf.Config.Labels); err != nil || p.labels.Key == "" {
		return nil, &Unfit{"one of the images does not say what it holds"}
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers of %s: %w", p.labels.Title, err)
	}
	if len(cf.History) != len(layers) || len(cf.RootFS.DiffIDs) != len(layers) {
		return nil, &Unfit{p.labels.Title + " does not say whose its layers are"}
	}
	for i, l := range layers {
		owner, ok := strings.CutPrefix(cf.History[i].CreatedBy, "jetcrate ")
		if !ok {
			return nil, &Unfit{fmt.Sprintf("%s has a layer that is not jetcrate's: %q", p.labels.Title, cf.History[i].CreatedBy)}
		}
		p.layers = append(p.layers, part{owner, cf.RootFS.DiffIDs[i].String(), l})
	}
	return p, nil
}

func (p *partsOf) files(parts []part) ([]Owned, error) {
	out := make([]Owned, len(parts))
	for i, l := range parts {
		list, err := ListLayer(l.layer)
		if err != nil {
			return nil, fmt.Errorf("reading the layer of %s in %s: %w", l.owner, p.labels.Title, err)
		}
		out[i] = Owned{Owner: l.owner, Files: list}
	}
	return out, nil
}

// env are the image's variables to lay over another's. A list of places is
// joined, as when the packages are built together.
func (p *partsOf) env() []Var {
	var out []Var
	for _, kv := range p.config.Config.Env {
		name, value, _ := strings.Cut(kv, "=")
		out = append(out, Var{Owner: p.labels.Title, Name: name, Value: value, Prepend: name == "PATH" || strings.HasSuffix(name, "PATH")})
	}
	return out
}

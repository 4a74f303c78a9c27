package attest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/jetcrate/jetcrate/internal/store"
)

// Installed is a Debian package or a Python distribution in an image.
type Installed struct {
	Type    string // deb or pypi
	Name    string
	Version string
	Arch    string // deb: its architecture
	Source  string // deb: the source package, where it has another name
	Licence string // pypi: as its metadata says; free text
	Layer   int    // the layer that brought it
}

// installed lists what package managers say is installed in an image, with the
// layers that brought it. The store has recorded it by layer.
func installed(ctx context.Context, s *store.Store, img v1.Image) ([]Installed, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers: %w", err)
	}
	sets := make([]store.Installed, len(layers))
	for i, l := range layers {
		if sets[i], err = s.Installed(ctx, l); err != nil {
			return nil, err
		}
	}
	return owned(sets), nil
}

// owned folds the sets of layers, bottom up. A layer's list of dpkg is that of
// all below too: who brought a package is the first of the layers, up to the
// last, that have it in this version without a break.
func owned(sets []store.Installed) []Installed {
	var out []Installed
	debs := map[store.Deb]int{}
	python := map[store.Distribution]int{}
	for i, set := range sets {
		if set.Dpkg != nil {
			here := map[store.Deb]int{}
			for _, d := range set.Dpkg {
				here[d] = i
				if from, there := debs[d]; there {
					here[d] = from
				}
			}
			debs = here
		}
		for _, d := range set.Python {
			python[d] = i
		}
	}
	for d, i := range debs {
		out = append(out, Installed{Type: "deb", Name: d.Name, Version: d.Version, Arch: d.Arch, Source: d.Source, Layer: i})
	}
	for _, d := range store.Fold(sets...).Python {
		out = append(out, Installed{Type: "pypi", Name: d.Name, Version: d.Version, Licence: d.License, Layer: python[d]})
	}
	slices.SortFunc(out, func(a, b Installed) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Version, b.Version), strings.Compare(a.Arch, b.Arch), a.Layer-b.Layer)
	})
	// One distribution may lie in two places: an SBOM says that it is there.
	return slices.CompactFunc(out, func(a, b Installed) bool {
		return a.Type == b.Type && a.Name == b.Name && a.Version == b.Version && a.Arch == b.Arch
	})
}

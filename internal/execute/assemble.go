package execute

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// image puts an image together; no engine takes part.
func (r *run) image(ctx context.Context, s *state) error {
	n := s.node
	top, err := r.recordOf(ctx, n.Chain[len(n.Chain)-1])
	if err != nil {
		return err
	}
	below, err := r.Store.ImageAt(ctx, top.Digest)
	if err != nil {
		return err
	}
	a := image.Assembly{Below: below, Platform: v1.Platform{OS: "linux", Architecture: n.Arch}}
	if a.BelowFiles, err = r.chainFiles(ctx, n); err != nil {
		return err
	}
	if a.Linked, err = r.linkedLayers(ctx, n); err != nil {
		return err
	}
	for _, v := range n.Env {
		a.Env = append(a.Env, image.Var{Owner: v.Owner, Name: v.Name, Value: v.Value, Prepend: v.Prepend})
	}
	if n.Labels != nil {
		if a.Labels, err = LabelsOf(n).Map(); err != nil {
			return err
		}
	}
	img, err := a.Image()
	if err != nil {
		return err
	}
	rec, err := r.Store.PutImage(ctx, store.Image, n.Key, img, nil)
	if err != nil {
		return fmt.Errorf("recording it: %w", err)
	}
	s.record = rec
	s.result.Status, s.result.Digest = Assembled, rec.Digest
	return nil
}

// LabelsOf gives what the image of a cell says of itself.
func LabelsOf(n *plan.Node) image.Labels {
	t := n.Labels.Platform
	l := image.Labels{Title: n.Labels.Tag, Key: n.Key, Platform: image.Platform{
		L4T: t.L4T, Flavour: t.Flavour, OS: t.OS.ID + " " + t.OS.Version, Arch: t.Arch, Python: t.Python,
		CUDA: t.CUDA, CuDNN: t.CuDNN, TensorRT: t.TensorRT, Testbed: t.Testbed,
	}}
	for _, p := range n.Labels.Packages {
		l.Packages = append(l.Packages, image.Package{Name: p.Name, Version: p.Version})
		if len(n.Labels.Asked) == 1 && p.Name == n.Labels.Asked[0] {
			l.Version = p.Version
		}
	}
	return l
}

// chainFiles lists what every layer of an image's chain holds, with its owner.
func (r *run) chainFiles(ctx context.Context, n *plan.Node) ([]image.Owned, error) {
	var out []image.Owned
	for i, k := range n.Chain {
		rec, err := r.recordOf(ctx, k)
		if err != nil {
			return nil, err
		}
		img, err := r.Store.ImageAt(ctx, rec.Digest)
		if err != nil {
			return nil, err
		}
		layers, err := img.Layers()
		if err != nil {
			return nil, err
		}
		if len(layers) < len(out) {
			return nil, errors.New("the chain's records do not stand on each other")
		}
		owner := "the base"
		if i > 0 {
			owner = r.Plan.Node(k).Package
		}
		for _, l := range layers[len(out):] {
			files, err := r.Store.FileList(ctx, l)
			if err != nil {
				return nil, err
			}
			out = append(out, image.Owned{Owner: owner, Files: files})
		}
	}
	return out, nil
}

// owned lists what every layer of an image holds, linked ones too.
func (r *run) owned(ctx context.Context, n *plan.Node) ([]image.Owned, error) {
	out, err := r.chainFiles(ctx, n)
	if err != nil {
		return nil, err
	}
	linked, err := r.linkedLayers(ctx, n)
	for _, l := range linked {
		out = append(out, image.Owned{Owner: l.Owner, Files: l.Files})
	}
	return out, err
}

// linkedLayers reads the linked layers of an image, bottom up.
func (r *run) linkedLayers(ctx context.Context, n *plan.Node) ([]image.Linked, error) {
	var out []image.Linked
	for _, k := range n.Linked {
		rec, err := r.recordOf(ctx, k)
		if err != nil {
			return nil, err
		}
		l, err := r.Store.LayerAt(ctx, rec)
		if err != nil {
			return nil, err
		}
		files, err := r.Store.FileList(ctx, l)
		if err != nil {
			return nil, err
		}
		out = append(out, image.Linked{Owner: r.Plan.Node(k).Package, Layer: l, Files: files})
	}
	return out, nil
}

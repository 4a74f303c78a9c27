package attest

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// Base is the owner of the layers below all packages.
const Base = "the base"

// Layer is one layer of an image.
type Layer struct {
	Owner  string `json:"owner"`          // a package, or Base
	Kind   string `json:"kind,omitempty"` // base, stacked or linked; "" is unknown
	Key    string `json:"key,omitempty"`  // "" is unknown
	Digest string `json:"digest"`
	DiffID string `json:"diffID"`
	Size   int64  `json:"size"` // compressed
}

// Layers lists the layers of an image, bottom up. The history of an image that
// jetcrate made names their owners.
func Layers(img v1.Image) ([]Layer, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	if len(m.Layers) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("the image has %d layers but its config names %d", len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	var owners []string
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			owner, ours := strings.CutPrefix(h.CreatedBy, "jetcrate ")
			if !ours {
				owner = ""
			}
			owners = append(owners, owner)
		}
	}
	out := make([]Layer, len(m.Layers))
	for i, l := range m.Layers {
		out[i] = Layer{Digest: l.Digest.String(), DiffID: cfg.RootFS.DiffIDs[i].String(), Size: l.Size}
		if len(owners) == len(out) {
			out[i].Owner = owners[i]
		}
	}
	return out, nil
}

// Keyed adds what the plan knows of the layers of a cell's image.
func Keyed(layers []Layer, p *plan.Plan, image *plan.Node) {
	nodes := map[string]*plan.Node{}
	for i, k := range image.Chain {
		if i == 0 {
			nodes[Base] = p.Node(k)
			continue
		}
		nodes[p.Node(k).Package] = p.Node(k)
	}
	for _, k := range image.Linked {
		nodes[p.Node(k).Package] = p.Node(k)
	}
	for i := range layers {
		if n := nodes[layers[i].Owner]; n != nil {
			layers[i].Key, layers[i].Kind = n.Key, string(n.Kind)
		}
	}
}

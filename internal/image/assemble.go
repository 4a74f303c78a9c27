package image

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Owned is a file list with the name of who brought it: the base, or a package.
type Owned struct {
	Owner string
	Files FileList
}

// Linked is a linked layer.
type Linked struct {
	Owner string
	Layer v1.Layer
	Files FileList
}

// Assembly is what an image is put together from.
type Assembly struct {
	Below      v1.Image // base and chain; nil is an empty image
	BelowFiles []Owned  // one for each layer of Below, bottom up
	Linked     []Linked // laid on top, in this order
	Env        []Var    // over the variables of Below; those of the chain may be repeated
	Labels     map[string]string
	Platform   v1.Platform // that of Below when empty
}

// Conflict is something that two owners say differently.
type Conflict struct {
	Path   string    // of the file, or "variable NAME"
	Owners [2]string // the lower first; the same twice when one layer is at fault alone
	Why    string
}

func (c *Conflict) Error() string {
	who := c.Owners[0] + " and " + c.Owners[1]
	if c.Owners[0] == c.Owners[1] {
		who = c.Owners[0]
	}
	return fmt.Sprintf("%s (%s): %s", c.Path, who, c.Why)
}

// Conflicts are all that an assembly was refused for; errors.As finds the first
// *Conflict in it.
type Conflicts []*Conflict

func (cs Conflicts) Error() string {
	const shown = 20
	var b strings.Builder
	b.WriteString("the layers do not fit together: ")
	for i, c := range cs {
		if i == shown {
			fmt.Fprintf(&b, "\nand %d more", len(cs)-shown)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(c.Error())
	}
	return b.String()
}

// Unwrap lets errors.As and errors.Is see each conflict.
func (cs Conflicts) Unwrap() []error {
	errs := make([]error, len(cs))
	for i, c := range cs {
		errs[i] = c
	}
	return errs
}

// belowOwner stands for the base and the chain where the config cannot tell
// which of them set something.
const belowOwner = "the image below"

// Check returns Conflicts if the parts do not fit together.
func (a Assembly) Check() error {
	_, err := a.check(nil)
	return err
}

// check returns the variables of the image, over those of below.
func (a Assembly) check(below []string) ([]string, error) {
	t := tree{}
	for _, o := range a.BelowFiles {
		t.overlay(o.Owner, o.Files)
	}
	var all Conflicts
	for _, l := range a.Linked {
		all = append(all, t.link(l.Owner, l.Files)...)
	}
	all = append(all, t.distributions()...)
	env, conflicts := mergeEnv(below, a.Env)
	all = append(all, conflicts...)
	if len(all) > 0 {
		return nil, all
	}
	return env, nil
}

// Image puts the image together. It reads no layer's content: layers of Below
// may lie in a registry. The error is Conflicts if the parts do not fit.
func (a Assembly) Image() (v1.Image, error) {
	below := a.Below
	if below == nil {
		below = ociEmpty()
	}
	cf, err := below.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the config of the image below: %w", err)
	}
	env, err := a.check(cf.Config.Env)
	if err != nil {
		return nil, err
	}
	adds, err := a.addenda(below, cf)
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(ociEmpty(), adds...)
	if err != nil {
		return nil, fmt.Errorf("assembling the layers: %w", err)
	}
	config := cf.Config
	config.Env = env
	config.Labels = maps.Clone(config.Labels)
	if config.Labels == nil && len(a.Labels) > 0 {
		config.Labels = map[string]string{}
	}
	maps.Copy(config.Labels, a.Labels)
	p := a.Platform
	if p.OS == "" {
		p = v1.Platform{OS: cf.OS, Architecture: cf.Architecture, Variant: cf.Variant}
	}
	return finish(img, p, config)
}

// addenda are all layers, each with its line of history. An engine's own
// history is not kept: it tells times and instructions, not owners.
func (a Assembly) addenda(below v1.Image, cf *v1.ConfigFile) ([]mutate.Addendum, error) {
	layers, err := below.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers of the image below: %w", err)
	}
	if len(layers) != len(cf.RootFS.DiffIDs) {
		return nil, fmt.Errorf("the image below has %d layers but its config names %d", len(layers), len(cf.RootFS.DiffIDs))
	}
	var adds []mutate.Addendum
	for i, l := range layers {
		owner := belowOwner
		if len(a.BelowFiles) == len(layers) {
			owner = a.BelowFiles[i].Owner
		}
		l, err := ociLayer(l)
		if err != nil {
			return nil, fmt.Errorf("layer %d of the image below: %w", i, err)
		}
		adds = append(adds, mutate.Addendum{Layer: l, History: history(owner)})
	}
	for _, l := range a.Linked {
		layer, err := ociLayer(l.Layer)
		if err != nil {
			return nil, fmt.Errorf("the layer of %s: %w", l.Owner, err)
		}
		adds = append(adds, mutate.Addendum{Layer: layer, History: history(l.Owner)})
	}
	return adds, nil
}

// ociLayer gives a layer its OCI media type: the bytes are the same.
func ociLayer(l v1.Layer) (v1.Layer, error) {
	mt, err := l.MediaType()
	if err != nil {
		return nil, err
	}
	switch mt {
	case types.OCILayer, types.OCIUncompressedLayer:
		return l, nil
	case types.DockerLayer:
		return retyped{l, types.OCILayer}, nil
	case types.DockerUncompressedLayer:
		return retyped{l, types.OCIUncompressedLayer}, nil
	case types.OCILayerZStd:
		return nil, errors.New("it is compressed with zstd, which Docker 20.10 does not read")
	default:
		return nil, fmt.Errorf("its media type %s is none that can be in an image", mt)
	}
}

type retyped struct {
	v1.Layer
	mediaType types.MediaType
}

func (r retyped) MediaType() (types.MediaType, error) { return r.mediaType, nil }

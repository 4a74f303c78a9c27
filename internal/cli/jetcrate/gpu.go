package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/device"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// gpuFlags are those of tests on a device.
type gpuFlags struct {
	on                 bool
	program, mode, cdi string
	wait               bool
}

func (g *gpuFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&g.on, "gpu", false, "run only the tests that need a GPU, on this machine's")
	f.StringVar(&g.program, "gpu-program", "auto", "what runs their containers: "+strings.Join(device.Programs(), ", "))
	f.StringVar(&g.mode, "gpu-mode", "auto", "how the GPU is handed over: "+strings.Join(host.AccessModes(), ", "))
	f.StringVar(&g.cdi, "gpu-device", "", "the CDI device (default "+host.CDIDevice+")")
	f.BoolVar(&g.wait, "wait-for-lock", false, "wait for another job that has the GPU")
	for name, values := range map[string][]string{"gpu-program": device.Programs(), "gpu-mode": host.AccessModes()} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

func (g *gpuFlags) check() error {
	for name, c := range map[string]struct {
		value   string
		allowed []string
	}{"--gpu-mode": {g.mode, host.AccessModes()}, "--gpu-program": {g.program, device.Programs()}} {
		if g.on && !slices.Contains(c.allowed, c.value) {
			return usage{fmt.Errorf("%s %q; allowed: %s", name, c.value, strings.Join(c.allowed, ", "))}
		}
	}
	return nil
}

// open takes the GPU. Without one it is nil, and why is said.
func (g *gpuFlags) open(ctx context.Context, p *plan.Plan, st *store.Store, connect func(context.Context) (engine.Engine, error), say func(string)) (*device.Device, error) {
	if !g.on {
		return nil, nil
	}
	var flavour string
	for _, c := range p.Possible() {
		flavour = c.Platform.Flavour
	}
	root, end, err := host.Root("/")
	if err != nil {
		return nil, err
	}
	defer func() { _ = end() }() // it was only read
	d, err := device.Open(ctx, device.Options{
		Root: root, Program: g.program, Mode: g.mode, Flavour: flavour, CDI: g.cdi, Wait: g.wait,
		Pull: st.Reference, Layout: st.Layout, Engine: connect, Say: say,
	})
	var absent *device.Absent
	if errors.As(err, &absent) {
		say(absent.Error())
		return nil, nil
	}
	return d, err
}

// namedImage is an image that was named instead of a target.
type namedImage struct {
	ref    string
	img    v1.Image
	labels image.Labels
}

// isReference tells an image from a target: no package's name has a / or an @.
func isReference(arg string) bool { return strings.ContainsAny(arg, "/@") }

func (a *app) openImage(ctx context.Context, ref string) (*namedImage, error) {
	img, err := image.Open(ctx, ref, image.OpenOptions{Insecure: a.insecure})
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", ref, err)
	}
	l, err := image.ParseLabels(cfg.Config.Labels)
	if err != nil || l.Key == "" {
		return nil, usage{fmt.Errorf("%s is no image of jetcrate: it has no label %s", ref, image.LabelKey)}
	}
	return &namedImage{ref: ref, img: img, labels: l}, nil
}

// target finds the target whose image this catalog makes with the same key: the
// tests of another would not be this image's.
func (n *namedImage) target(a *app, s *selection) ([]string, error) {
	cat, fsys, err := a.load()
	if err != nil {
		return nil, err
	}
	p := n.labels.Platform
	s.l4t, s.flavour, s.cuda, s.python = p.L4T, p.Flavour, p.CUDA, p.Python
	var targets []string
	var reqs []plan.Request
	for _, pkg := range n.labels.Packages {
		if cat.Packages[pkg.Name] == nil {
			continue
		}
		for _, t := range []string{pkg.Name, pkg.Name + ":" + pkg.Version} {
			r, err := s.requests(cat, []string{t})
			if err != nil {
				return nil, err
			}
			targets, reqs = append(targets, t), append(reqs, r...)
		}
	}
	if len(reqs) > 0 {
		made, err := plan.New(cat, fsys, reqs)
		if err != nil {
			return nil, err
		}
		for i, c := range made.Cells {
			if c.Impossible == nil && c.Image == n.labels.Key {
				return []string{targets[i]}, nil
			}
		}
	}
	return nil, usage{fmt.Errorf("no package of this catalog alone makes the image %s (%s on L4T %s, key %.12s): take the catalog that it was made from, or name the target", n.ref, n.labels.Title, p.L4T, n.labels.Key)}
}

// keep puts the image into the store, where tests find it.
func (n *namedImage) keep(ctx context.Context, st *store.Store) error {
	if _, there, err := st.Lookup(ctx, store.Image, n.labels.Key); err != nil || there {
		return err
	}
	_, err := st.PutImage(ctx, store.Image, n.labels.Key, n.img, nil)
	return err
}

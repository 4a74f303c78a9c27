package execute

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	debian "pault.ag/go/debian/version"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/version"
)

// ownedSet is what a layer brings, and the package that the layer is of.
type ownedSet struct {
	owner string
	set   store.Installed
}

// installs records what new layers of a node bring, and refuses those that
// change what lies below: what was built and tested there would not be what
// ships. ground are the keys of the chain below and of what is linked to it.
func (r *run) installs(ctx context.Context, n *plan.Node, chain, linked []string, fresh []v1.Layer) error {
	below, err := r.installedBelow(ctx, chain, linked)
	if err != nil {
		return err
	}
	sets := make([]store.Installed, 0, len(below)+len(fresh))
	for _, b := range below {
		sets = append(sets, b.set)
	}
	before := store.Fold(sets...)
	for _, l := range fresh {
		set, err := r.Store.Installed(ctx, l)
		if err != nil {
			return err
		}
		sets = append(sets, set)
	}
	var all []error
	for _, c := range changes(before, store.Fold(sets...)) {
		all = append(all, errors.New(c.says(ownerOf(below, c), n.Package)))
	}
	if len(all) > 0 {
		return &Refused{errors.Join(all...)}
	}
	r.brought.Store(n.Key, sets[len(below):])
	return nil
}

// chainBelow are the keys from the base up to what a stacked layer stands on.
func (r *run) chainBelow(n *plan.Node) []string {
	var keys []string
	for k := n.Parent; k != ""; {
		keys = append([]string{k}, keys...)
		p := r.Plan.Node(k)
		k = ""
		if p.Making != nil {
			k = p.Parent
		}
	}
	return keys
}

// installedBelow gives what each layer of a chain, and each that is linked to
// it, brings. What a key brings is read once in a run: of a chain, every layer
// asks again for all below it.
func (r *run) installedBelow(ctx context.Context, chain, linked []string) ([]ownedSet, error) {
	var out []ownedSet
	for i, k := range chain {
		sets, err := r.bring(ctx, k, func(rec store.Record) ([]v1.Layer, error) {
			img, err := r.Store.ImageAt(ctx, rec.Digest)
			if err != nil {
				return nil, err
			}
			layers, err := img.Layers()
			if err == nil && len(layers) < len(out) {
				err = errors.New("the chain's records do not stand on each other")
			}
			if err != nil {
				return nil, err
			}
			return layers[len(out):], nil
		})
		if err != nil {
			return nil, err
		}
		owner := "the base"
		if i > 0 {
			owner = r.Plan.Node(k).Package
		}
		for _, set := range sets {
			out = append(out, ownedSet{owner, set})
		}
	}
	for _, k := range linked {
		sets, err := r.bring(ctx, k, func(rec store.Record) ([]v1.Layer, error) {
			l, err := r.Store.LayerAt(ctx, rec)
			return []v1.Layer{l}, err
		})
		if err != nil {
			return nil, err
		}
		for _, set := range sets {
			out = append(out, ownedSet{r.Plan.Node(k).Package, set})
		}
	}
	return out, nil
}

// bring gives what the layers of a key bring.
func (r *run) bring(ctx context.Context, key string, layers func(store.Record) ([]v1.Layer, error)) ([]store.Installed, error) {
	if sets, ok := r.brought.Load(key); ok {
		return sets.([]store.Installed), nil
	}
	rec, err := r.recordOf(ctx, key)
	if err != nil {
		return nil, err
	}
	of, err := layers(rec)
	if err != nil {
		return nil, err
	}
	sets := make([]store.Installed, len(of))
	for i, l := range of {
		if sets[i], err = r.Store.Installed(ctx, l); err != nil {
			return nil, err
		}
	}
	r.brought.Store(key, sets)
	return sets, nil
}

// change is something below that a layer does not leave as it is.
type change struct {
	what        string // "the Debian package" or "the Python distribution"
	name        string // of a Debian package with its architecture
	below, over string // versions; over is empty where it is gone
}

func (c change) says(below, over string) string {
	did := "takes it away"
	if c.over != "" {
		did = "brings " + c.over
	}
	said := fmt.Sprintf("%s %s is %s below, from %s, and %s %s", c.what, c.name, c.below, below, over, did)
	if c.what == python {
		return said + ": a layer must not change what lies below; let one package bring it, and others depend on that"
	}
	name, _, _ := strings.Cut(c.name, ":")
	return said + ": a layer must not change what lies below; keep it with apt-get install " + name + "=" + c.below +
		", or build what lies below anew (jetcrate lock --update apt)"
}

const (
	debianPackage = "the Debian package"
	python        = "the Python distribution"
)

// changes compares what there was with what there is, by name.
func changes(below, over store.Installed) []change {
	var out []change
	have := map[string]string{}
	for _, d := range over.Dpkg {
		have[d.Name+":"+d.Arch] = d.Version
	}
	for _, d := range below.Dpkg {
		now, there := have[d.Name+":"+d.Arch]
		if !there {
			// a package may become, or stop being, one for all architectures
			for _, arch := range [...]string{"all", d.Arch} {
				if v, ok := have[d.Name+":"+arch]; ok {
					now, there = v, true
				}
			}
		}
		if now != d.Version && (!there || !updates(d.Version, now)) {
			out = append(out, change{debianPackage, d.Name + ":" + d.Arch, d.Version, now})
		}
	}
	versions := map[string][]string{}
	for _, d := range over.Python {
		name := image.NormalName(d.Name)
		versions[name] = append(versions[name], d.Version)
	}
	told := map[string]bool{}
	for _, d := range below.Python {
		name := image.NormalName(d.Name)
		now := versions[name]
		kept := false
		other := ""
		for _, v := range now {
			if sameVersion(v, d.Version) {
				kept = true
			} else if !holds(below, name, v) {
				other = v
			}
		}
		if (!kept || other != "") && !told[name] && !updatedWith(below, over, d) {
			told[name] = true
			out = append(out, change{python, d.Name, d.Version, other})
		}
	}
	return out
}

// updatedWith reports whether a distribution is dpkg's, so that its change shows,
// or may pass, as that of a Debian package.
func updatedWith(below, over store.Installed, d store.Distribution) bool {
	if !strings.Contains(d.Path, "/dist-packages/") || !strings.HasPrefix(d.Path, "usr/lib/") {
		return false
	}
	before := map[string]string{}
	for _, p := range below.Dpkg {
		before[p.Name] = p.Version
	}
	for _, p := range over.Dpkg {
		if v, ok := before[p.Name]; ok && v != p.Version && strings.HasPrefix(p.Name, "python3-") && updates(v, p.Version) &&
			strings.HasSuffix(p.Name, "-"+image.NormalName(d.Name)) {
			return true
		}
	}
	return false
}

// holds reports whether a set has this version of a distribution: what lies
// below twice is not the layer's affair.
func holds(set store.Installed, name, v string) bool {
	for _, d := range set.Python {
		if image.NormalName(d.Name) == name && sameVersion(d.Version, v) {
			return true
		}
	}
	return false
}

func sameVersion(a, b string) bool {
	va, errA := version.ParsePEP440(a)
	vb, errB := version.ParsePEP440(b)
	return a == b || errA == nil && errB == nil && va.Compare(vb) == 0
}

// updates reports whether a distribution's own update leads from one version of
// a Debian package to another: only the revision, or the last component of the
// upstream version, is higher.
func updates(from, to string) bool {
	a, errA := debian.Parse(from)
	b, errB := debian.Parse(to)
	if errA != nil || errB != nil || a.Epoch != b.Epoch || debian.Compare(a, b) >= 0 {
		return false
	}
	return series(a.Version) == series(b.Version)
}

// series is an upstream version without its last component: 3.0 of 3.0.15. One
// that has a single component is its own series.
func series(upstream string) string {
	if i := strings.IndexAny(upstream, "+~"); i >= 0 { // 12.4+deb12u5
		upstream = upstream[:i]
	}
	if i := strings.LastIndex(upstream, "."); i >= 0 {
		return upstream[:i]
	}
	return upstream
}

// ownerOf names the package whose layer brought what is changed.
func ownerOf(below []ownedSet, c change) string {
	owner := "the base"
	at := ""
	sets := make([]store.Installed, 0, len(below))
	for _, b := range below {
		sets = append(sets, b.set)
		if now := versionIn(store.Fold(sets...), c); now != at {
			owner, at = b.owner, now
		}
	}
	return owner
}

func versionIn(set store.Installed, c change) string {
	if c.what == python {
		for _, d := range set.Python {
			if image.NormalName(d.Name) == image.NormalName(c.name) {
				return d.Version
			}
		}
		return ""
	}
	for _, d := range set.Dpkg {
		if d.Name+":"+d.Arch == c.name {
			return d.Version
		}
	}
	return ""
}

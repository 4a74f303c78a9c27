package wheel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Options of Collect.
type Options struct {
	// Untested takes wheels whose tests nobody ran; those that failed never.
	Untested bool
	// Testbed takes the wheels of stand-ins for platforms, and no others.
	Testbed bool
	// Known are trees whose wheels need not be looked into again.
	Known []*Tree
}

// Collected are the wheels of a plan that the store has.
type Collected struct {
	Lines  []Line // that have any, sorted
	Wheels map[Line][]Wheel
	Left   []Left
}

// Collect folds a plan and a store: the wheels in the artifacts of packages whose
// own tests passed on the image of their closure, those of the newest release of
// a line first.
func Collect(ctx context.Context, p *plan.Plan, st *store.Store, o Options) (*Collected, error) {
	records, err := st.Known(ctx)
	if err != nil {
		return nil, err
	}
	f := &folding{ctx: ctx, plan: p, store: st, options: o, records: records,
		verdicts: map[string]verdict{}, configs: map[string]*v1.ConfigFile{}, read: map[string]read{}}
	for _, t := range o.Known {
		for _, w := range t.Wheels {
			w.Yanked, w.Reason = false, ""
			f.read[w.SHA256+" "+w.Name] = read{wheel: w}
		}
	}
	c := &Collected{Wheels: map[Line][]Wheel{}}
	type artifact struct {
		line Line
		key  string
	}
	done, why := map[artifact]bool{}, map[artifact]Left{}
	var order []artifact
	for _, s := range f.sites() {
		a := artifact{s.line, s.artifact}
		if done[a] {
			continue // tested on a newer release of the line
		}
		reason, err := f.site(c, s)
		if err != nil {
			return nil, err
		}
		if done[a] = reason == ""; !done[a] && why[a] == (Left{}) {
			order, why[a] = append(order, a), Left{s.line, s.pkg + " " + s.ver, reason}
		}
	}
	for _, a := range order {
		if !done[a] {
			c.Left = append(c.Left, why[a])
		}
	}
	for l := range c.Wheels {
		c.Lines = append(c.Lines, l)
	}
	slices.SortFunc(c.Lines, func(a, b Line) int { return strings.Compare(a.String(), b.String()) })
	return c, nil
}

// Record adds what was collected to the trees of the store. Of a line whose tree
// is of the other kind, real or testbed, nothing is taken.
func (c *Collected) Record(ctx context.Context, st *store.Store, replace, testbed bool) ([]*Tree, []Left, error) {
	var trees []*Tree
	left := slices.Clone(c.Left)
	for _, l := range c.Lines {
		var over []Left
		t, err := Update(ctx, st, l, func(t *Tree) error {
			if len(t.Wheels) > 0 && t.Testbed != testbed {
				return fmt.Errorf("the wheels of %s in this store are %s, the new ones %s: they must not be mixed; use another store", l, kindOf(t.Testbed), kindOf(testbed))
			}
			t.Testbed = testbed
			over = t.add(c.Wheels[l], replace)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		trees, left = append(trees, t), append(left, over...)
	}
	return trees, left, nil
}

func kindOf(testbed bool) string {
	if testbed {
		return "of a testbed"
	}
	return "of real platforms"
}

// site is a package on a platform.
type site struct {
	line     Line
	l4t      string
	release  version.Release
	pkg, ver string
	artifact string
	testbed  bool
	gates    []string
}

type folding struct {
	ctx      context.Context
	plan     *plan.Plan
	store    *store.Store
	options  Options
	records  map[string]store.Record
	verdicts map[string]verdict // by test
	configs  map[string]*v1.ConfigFile
	read     map[string]read // by hash and name
}

// sites lists the packages that leave an artifact on the platforms of each line,
// the newest release first.
func (f *folding) sites() []site {
	var all []site
	for _, c := range f.plan.Possible() {
		img := f.plan.Node(c.Image)
		if img == nil || f.options.Testbed && !c.Platform.Testbed {
			continue
		}
		rel, _ := version.ParseRelease(c.Platform.L4T) // as the matrix has it
		for _, k := range slices.Concat(img.Chain, img.Linked) {
			n := f.plan.Node(k)
			if n.Making == nil || n.Artifact == "" {
				continue
			}
			s := site{line: LineOf(c.Platform), l4t: c.Platform.L4T, release: rel, pkg: n.Package, ver: n.Version, artifact: n.Artifact, testbed: c.Platform.Testbed}
			for _, g := range c.Gates {
				if t := f.plan.Node(g); t != nil && t.Package == n.Package {
					s.gates = append(s.gates, g)
				}
			}
			slices.Sort(s.gates)
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b site) int {
		return cmp.Or(strings.Compare(a.line.String(), b.line.String()), strings.Compare(a.pkg, b.pkg), b.release.Compare(a.release),
			strings.Compare(a.artifact, b.artifact), strings.Compare(strings.Join(a.gates, " "), strings.Join(b.gates, " ")))
	})
	return all
}

// site adds the wheels of a package on a platform; reason says why it has none to
// give, and is "" where there is nothing to say either.
func (f *folding) site(c *Collected, s site) (reason string, err error) {
	rec, ok := f.records[string(store.Artifact)+"-"+s.artifact]
	if !ok {
		return "", nil
	}
	files, err := f.store.ListFiles(f.ctx, rec)
	if err != nil {
		return "", err
	}
	files = slices.DeleteFunc(files, func(x store.File) bool { return !strings.HasSuffix(x.Path, ".whl") })
	if len(files) == 0 {
		return "", nil
	}
	if s.testbed && !f.options.Testbed {
		return "made on a stand-in for L4T " + s.l4t + ", which is for checks alone (--testbed takes those)", nil
	}
	reason, failed, err := f.gate(s)
	if err != nil || reason != "" && (failed || !f.options.Untested) {
		return reason, err
	}
	for _, x := range files {
		r, err := f.wheel(x)
		if err != nil {
			return "", err
		}
		w := r.wheel
		w.Package, w.Artifact, w.L4T, w.Untested = s.pkg, s.artifact, s.l4t, reason != ""
		refused := r.refused
		if refused == "" {
			if w.Labelled, err = belongs(s.line, w, r.machines); err != nil {
				refused = err.Error()
			}
		}
		if refused != "" {
			c.Left = append(c.Left, Left{s.line, path.Base(x.Path), refused})
			continue
		}
		c.Wheels[s.line] = append(c.Wheels[s.line], w)
	}
	return "", nil
}

// belongs reports why a wheel does not belong into a line, and whether its version
// names the line's CUDA.
func belongs(l Line, w Wheel, machines []string) (labelled bool, err error) {
	n, err := ParseName(w.Name)
	if err != nil {
		return false, err
	}
	if labelled, err = l.accepts(n.Version.Local()); err != nil {
		return false, err
	}
	return labelled, l.fits(Code{Machines: machines, GPU: w.GPU, CUDA: w.CUDA})
}

// read is what a wheel is, wherever it is used.
type read struct {
	wheel    Wheel
	machines []string // of one that no tree had
	refused  string
}

// wheel reads a wheel once.
func (f *folding) wheel(x store.File) (read, error) {
	name, sha := path.Base(x.Path), strings.TrimPrefix(x.Digest, "sha256:")
	if r, ok := f.read[sha+" "+name]; ok {
		return r, nil
	}
	n, err := ParseName(name)
	if err != nil {
		return read{wheel: Wheel{File: File{Name: name}}, refused: err.Error()}, nil
	}
	file := File{Name: name, Project: n.Project, Version: n.Version.String(), SHA256: sha, Size: x.Size}
	type inside struct {
		m Metadata
		c Code
	}
	var bad error // of the wheel itself
	in, err := withBlob(f.ctx, f.store, file, func(r *os.File, size int64) (in inside, _ error) {
		if in.m, bad = ReadMetadata(r, size); bad == nil {
			bad = in.m.agrees(n)
		}
		if bad == nil {
			in.c, bad = Inspect(r, size)
		}
		return in, nil
	})
	if err != nil {
		return read{}, err
	}
	r := read{machines: in.c.Machines}
	if bad != nil {
		r.refused = bad.Error()
	}
	file.RequiresPython, file.Metadata = in.m.RequiresPython, hashOf(in.m.Raw)
	r.wheel = Wheel{File: file, GPU: in.c.GPU, CUDA: in.c.CUDA}
	for _, need := range in.m.Requires {
		if !strings.Contains(need.Marker, "extra") {
			r.wheel.Requires = append(r.wheel.Requires, need.Project)
		}
	}
	slices.Sort(r.wheel.Requires)
	r.wheel.Requires = slices.Compact(r.wheel.Requires)
	f.read[sha+" "+name] = r
	return r, nil
}

// verdict is what is recorded of a test.
type verdict struct {
	status execute.Status // "" where there is nothing
	name   string
}

// gate reports why a package is not tested, and whether a test failed.
func (f *folding) gate(s site) (reason string, failed bool, err error) {
	passed := 0
	for _, k := range s.gates {
		v, err := f.verdict(k)
		if err != nil {
			return "", false, err
		}
		switch v.status {
		case execute.Passed:
			passed++
		case execute.Skipped:
		case execute.Failed:
			return fmt.Sprintf("its test %s failed", v.name), true, nil
		default:
			if reason == "" {
				reason = fmt.Sprintf("nobody ran its test %s", v.name)
			}
		}
	}
	switch {
	case reason != "":
	case len(s.gates) == 0:
		reason = "it has no tests"
	case passed == 0:
		reason = "all its tests were skipped"
	}
	return reason, false, nil
}

func (f *folding) verdict(k string) (verdict, error) {
	if v, ok := f.verdicts[k]; ok {
		return v, nil
	}
	n := f.plan.Node(k)
	v := verdict{name: n.Test.Name}
	cfg, err := f.config(n.Ground)
	if err != nil {
		return v, err
	}
	if cfg != nil {
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		if err != nil {
			return v, err
		}
		if _, ok := f.records[string(store.Test)+"-"+key]; ok {
			e, err := execute.ReadEvidence(f.ctx, f.store, key)
			if err != nil {
				return v, err
			}
			v.status = e.Status
		}
	}
	f.verdicts[k] = v
	return v, nil
}

// config reads the config of an image; nil where the store has no such image.
func (f *folding) config(key string) (*v1.ConfigFile, error) {
	if cfg, ok := f.configs[key]; ok {
		return cfg, nil
	}
	if _, ok := f.records[string(store.Image)+"-"+key]; !ok {
		f.configs[key] = nil
		return nil, nil
	}
	img, _, err := f.store.Image(f.ctx, store.Image, key)
	if errors.Is(err, store.ErrNotFound) {
		f.configs[key] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the config of image %s: %w", key, err)
	}
	f.configs[key] = cfg
	return cfg, nil
}

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Request asks for one cell.
type Request struct {
	Targets  []spec.Target
	Platform solve.Platform
	Pins     map[string]string
	Name     string // of the image; "" is made of the targets
}

// New plans the requests. A cell that is impossible is part of the plan, with
// its explanation; mistakes in the catalog are diagnostics. files holds the
// packages' folders, from the catalog's root.
func New(cat *spec.Catalog, files fs.FS, requests []Request) (*Plan, error) {
	b := &builder{cat: cat, fsys: files, nodes: map[string]*Node{}, rank: order(cat), files: map[string]packageFiles{}}
	p := &Plan{Format: Format}
	for _, r := range requests {
		c, err := b.cell(r)
		if err != nil {
			return nil, err
		}
		p.Cells = append(p.Cells, c)
	}
	if err := b.list.Err(); err != nil {
		return nil, err
	}
	p.Nodes = sorted(b.order, b.nodes)
	p.byKey = b.nodes
	return p, nil
}

type builder struct {
	cat   *spec.Catalog
	fsys  fs.FS
	list  diag.List
	rank  map[string]int
	nodes map[string]*Node
	order []*Node // as they were made
	files map[string]packageFiles
}

type packageFiles struct{ visible, tests []File }

// add keeps each key once; what a second maker wants tested below is added.
func (b *builder) add(n *Node) *Node {
	if have := b.nodes[n.Key]; have != nil {
		have.Gates = union(have.Gates, n.Gates)
		return have
	}
	b.nodes[n.Key] = n
	b.order = append(b.order, n)
	return n
}

func (b *builder) cell(r Request) (*Cell, error) {
	t := tuple(r.Platform)
	c := &Cell{Platform: t, Hosts: r.Platform.Hosts, Name: r.Name}
	var words []string
	for _, x := range r.Targets {
		words = append(words, x.String())
	}
	c.Target = strings.Join(words, " ")
	c.ID = cellID(t, c.Target)
	res, err := solve.Solve(b.cat, solve.Query{Targets: r.Targets, Platform: r.Platform, Pins: r.Pins})
	if imp, ok := err.(*solve.Impossible); ok {
		c.Impossible = imp
		if c.Name == "" {
			c.Name = strings.Join(words, "-")
		}
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	w := &walker{
		builder: b, res: res, arch: t.Arch, made: map[string]*made{}, gated: map[string][]string{},
		artifacts: map[string]*Node{}, links: map[string]*Node{},
	}
	c.Asked = res.Targets
	if c.Name == "" {
		c.Name = imageName(res)
	}
	names := w.ranked(res.Closure(res.Targets...))
	for _, n := range names {
		c.Packages = append(c.Packages, ref(res.Packages[n]))
	}
	if len(res.Targets) == 1 {
		c.Aliases = res.Packages[res.Targets[0]].Package.Aliases
	}
	c.Tag = tag(c, res)
	labels := &Labels{Tag: c.Tag, Packages: c.Packages, Platform: t, Asked: c.Asked}
	img := w.image(names, nil, labels, c.Name)
	c.Image = img.Key
	for _, n := range names {
		c.Gates = union(c.Gates, w.gates(n))
		c.Tests = union(c.Tests, w.tests(n, img))
	}
	return c, nil
}

// walker makes the nodes of one resolution.
type walker struct {
	*builder
	res   *solve.Resolution
	arch  string
	made  map[string]*made    // by package
	gated map[string][]string // tests of a package on its own closure

	artifacts, links map[string]*Node // by package: they stand on its closure, wherever it is used
}

// made is what a package contributes, apart from what it stands on.
type made struct {
	stacked, linked bool // neither: no layer
	install         []resolved
	env             []Var
}

// ranked sorts names by the global order.
func (w *walker) ranked(names []string) []string {
	out := append([]string(nil), names...)
	sort.Slice(out, func(i, j int) bool { return w.rank[out[i]] < w.rank[out[j]] })
	return out
}

// what evaluates the install phase of a package.
func (w *walker) what(name string) *made {
	if m := w.made[name]; m != nil {
		return m
	}
	p := w.res.Packages[name]
	m := &made{}
	w.made[name] = m
	x := &expander{cat: w.cat, values: solve.Values(w.res.Platform, p), list: &w.list}
	for _, k := range sortedKeys(p.Package.Env) {
		v := Var{Owner: name, Name: k, Prepend: isPathList(k), Value: x.text(p.Package.Env[k], x.scope(nil, nil), p.Package.Doc.Pos("env", k))}
		x.imageVariable(v, p.Package.Doc.Pos("env", k))
		m.env = append(m.env, v)
	}
	switch {
	case p.Package.Dockerfile != "":
		m.stacked = true
	case p.Package.Install != nil:
		m.install = x.steps(p.Package.Install.Steps, p.Package.Doc, []any{"install", "steps"}, resolved{linked: true, env: m.env}, nil, true, 0)
		m.linked = len(m.install) > 0
		for _, r := range m.install {
			m.linked = m.linked && r.linked
		}
		m.stacked = len(m.install) > 0 && !m.linked
	}
	return m
}

// base is the node of the platform's base image.
func (w *walker) base() *Node {
	pl := w.res.Platform
	img := &BaseImage{Image: pl.Base.Image, Mmdebstrap: pl.Base.Mmdebstrap}
	k := baseKey{Arch: w.arch}
	if m := img.Mmdebstrap; m != nil {
		k.Suite, k.Variant, k.Include = m.Suite, m.Variant, m.Include
	} else {
		for _, l := range w.cat.Lock.Bases {
			if l.Image == img.Image {
				img.Digest = l.Digest
			}
		}
		k.Image, k.Digest = img.Image, img.Digest
	}
	return w.add(&Node{Key: key(Base, k), Kind: Base, Arch: w.arch, Base: img})
}

// image is base + chain + linked layers of the packages in names, with the
// build-only packages in extra on top. Without labels it is the ground that
// builds, linked layers and gates stand on.
func (w *walker) image(names, extra []string, labels *Labels, title string) *Node {
	n := &Node{Kind: Image, Arch: w.arch, Labels: labels, Package: title}
	parent := w.base()
	n.Chain = []string{parent.Key}
	order := append(w.ranked(names), w.ranked(extra)...)
	var gates []string // of the stacked packages so far
	for i, name := range order {
		m := w.what(name)
		if !m.stacked { // a stacked layer brings its own, by its recipe
			n.Env = append(n.Env, m.env...)
			continue
		}
		parent = w.stacked(name, parent, gates)
		n.Chain = append(n.Chain, parent.Key)
		if i < len(names) {
			gates = union(gates, w.gates(name))
		}
	}
	for _, name := range order {
		if w.what(name).linked {
			n.Linked = append(n.Linked, w.linked(name).Key)
		}
	}
	n.Needs = append([]string{parent.Key}, n.Linked...)
	if labels != nil { // what is made on a ground has the gates; a ground may be where they run
		n.Gates = w.gatesOf(names)
	}
	n.Key = key(Image, imageKey{Arch: w.arch, Layers: n.layers(), Env: n.Env, Labels: labels})
	return w.add(n)
}

// layers lists what an image is made of, bottom up.
func (n *Node) layers() []string { return append(append([]string(nil), n.Chain...), n.Linked...) }

// ground is the image of the closure of a package without itself, with what
// only its build needs on top.
func (w *walker) ground(name string, build bool) *Node {
	p := w.res.Packages[name]
	below := w.res.Closure(p.Depends...)
	var extra []string
	if build {
		have := map[string]bool{name: true}
		for _, n := range below {
			have[n] = true
		}
		for _, n := range w.res.Closure(p.Build...) {
			if !have[n] {
				extra = append(extra, n)
			}
		}
	}
	title := name + "'s closure"
	if build {
		title = name + "'s build"
	}
	return w.image(below, extra, nil, title)
}

// artifact is the node of a package's build phase, or nil.
func (w *walker) artifact(name string) *Node {
	p := w.res.Packages[name]
	if p.Package.Build == nil {
		return nil
	}
	if n, ok := w.artifacts[name]; ok {
		return n
	}
	x := &expander{cat: w.cat, values: solve.Values(w.res.Platform, p), list: &w.list}
	steps := x.steps(p.Package.Build.Steps, p.Package.Doc, []any{"build", "steps"}, resolved{env: w.what(name).env}, nil, true, 0)
	if len(steps) == 0 {
		return nil
	}
	g := w.ground(name, true)
	n := w.node(Artifact, name, p.Package.Doc.Pos("build"))
	n.Ground, n.Resources = g.Key, p.Package.Build.Resources
	n.Needs, n.Gates = []string{g.Key}, w.gatesOf(p.Depends)
	w.render(n, steps, building, p.Package.Doc.Pos("build", "steps"))
	n.Key = key(Artifact, artifactKey{n.Arch, n.texts(), n.archives(), n.Files, g.layers(), g.Env})
	w.artifacts[name] = w.add(n)
	return w.artifacts[name]
}

// linked is the node of a package's linked layer.
func (w *walker) linked(name string) *Node {
	if n, ok := w.links[name]; ok {
		return n
	}
	p := w.res.Packages[name]
	g := w.ground(name, false)
	n := w.node(Linked, name, p.Package.Doc.Pos("install"))
	n.Ground, n.Needs, n.Gates = g.Key, []string{g.Key}, w.gatesOf(p.Depends)
	if a := w.artifact(name); a != nil {
		n.Artifact = a.Key
		n.Needs = append(n.Needs, a.Key)
	}
	w.render(n, w.what(name).install, linking, p.Package.Doc.Pos("install", "steps"))
	n.Key = key(Linked, linkedKey{n.Arch, n.texts(), n.Files, n.Artifact, g.layers(), g.Env, n.archives()})
	w.links[name] = w.add(n)
	return w.links[name]
}

// stacked is the node of a package's layer on a parent.
func (w *walker) stacked(name string, parent *Node, gates []string) *Node {
	p := w.res.Packages[name]
	m := w.what(name)
	n := w.node(Stacked, name, p.Package.Doc.Pos("install"))
	n.Parent, n.Needs, n.Gates = parent.Key, []string{parent.Key}, gates
	n.Env = m.env
	if a := w.artifact(name); a != nil {
		n.Artifact = a.Key
		n.Needs = append(n.Needs, a.Key)
	}
	n.Dockerfile = p.Package.Dockerfile
	w.render(n, m.install, stacking, p.Package.Doc.Pos("install", "steps"))
	n.Key = key(Stacked, stackedKey{n.Arch, parent.Key, n.texts(), n.Dockerfile, n.Files, n.Artifact, n.Env, n.archives()})
	return w.add(n)
}

func (w *walker) node(kind Kind, name string, pos diag.Position) *Node {
	p := w.res.Packages[name]
	return &Node{Kind: kind, Package: name, Version: p.Version.Version, Arch: w.arch, Files: w.filesOf(p.Package).visible}
}

// render fills the instructions of a node, and adds the sources they mount.
func (w *walker) render(n *Node, steps []resolved, ph phase, pos diag.Position) {
	epoch := w.epoch()
	for _, r := range steps {
		ins, err := instruction(r, ph, n, epoch)
		if err != nil {
			w.list.Errorf("bad-step", pos, "%v", err)
			continue
		}
		n.Instructions = append(n.Instructions, ins)
		if r.timeout > 0 {
			n.TimeoutMinutes += r.timeout
		}
		if r.archive != nil {
			base := w.base()
			src := w.add(&Node{
				Key: ins.Sources[0], Kind: Source, Package: n.Package, Version: n.Version,
				Arch: w.arch, Archive: r.archive, Ground: base.Key, Needs: []string{base.Key},
			})
			n.Needs = union(n.Needs, []string{src.Key})
		}
	}
}

func (w *walker) epoch() string {
	os := w.res.Platform.OS.ID + " " + w.res.Platform.OS.Version
	for _, l := range w.cat.Lock.Apt {
		if l.OS == os {
			return l.Epoch
		}
	}
	return ""
}

func (n *Node) texts() []string {
	out := make([]string, 0, len(n.Instructions))
	for _, i := range n.Instructions {
		out = append(out, i.Text)
	}
	return out
}

func (n *Node) archives() []string {
	var out []string
	for _, i := range n.Instructions {
		out = append(out, i.Sources...)
	}
	return out
}

// gatesOf is the gates of the closures of names.
func (w *walker) gatesOf(names []string) []string {
	var out []string
	for _, n := range w.ranked(w.res.Closure(names...)) {
		out = union(out, w.gates(n))
	}
	return out
}

// gates is the tests of a package on the image of its own closure.
func (w *walker) gates(name string) []string {
	if g, ok := w.gated[name]; ok {
		return g
	}
	w.gated[name] = nil
	if len(w.res.Packages[name].Package.Tests) > 0 {
		w.gated[name] = w.tests(name, w.image(w.res.Closure(name), nil, nil, name))
	}
	return w.gated[name]
}

// tests is the nodes of a package's tests on an image.
func (w *walker) tests(name string, img *Node) []string {
	p := w.res.Packages[name]
	x := &expander{cat: w.cat, values: solve.Values(w.res.Platform, p), list: &w.list}
	var keys []string
	for i, t := range p.Package.Tests {
		at := func(path ...any) diag.Position { return p.Package.Doc.Pos(append([]any{"tests", i}, path...)...) }
		scope := x.scope(nil, nil)
		if t.If != "" {
			holds, err := expr.Holds(t.If, scope)
			if err != nil {
				w.list.Errorf("bad-expression", at("if"), "%v", err)
			}
			if !holds {
				continue
			}
		}
		run := &TestRun{Name: t.Name, Image: img.Key, GPU: t.GPU, Files: w.filesOf(p.Package).tests}
		for _, v := range x.env(nil, t.Env, scope, at) {
			run.Env = append(run.Env, v.Name+"="+v.Value)
		}
		script := x.script(t.Run, scope, at("run"))
		if t.Shell == "bash" {
			run.Args = []string{"/bin/bash", "-euo", "pipefail", "-c", script}
		} else {
			run.Args = []string{"/bin/sh", "-euc", script}
		}
		run.Content = content(name, run)
		minutes := t.TimeoutMinutes
		if minutes == 0 {
			minutes = 10
		}
		keys = append(keys, w.add(&Node{
			Key: key(Test, testKey{run.Content, img.Key}), Kind: Test, Package: name, Version: p.Version.Version,
			Arch: w.arch, Needs: []string{img.Key}, Test: run, TimeoutMinutes: minutes,
		}).Key)
	}
	return keys
}

// content hashes a test without the image it runs on.
func content(pkg string, t *TestRun) string {
	b, err := json.Marshal(struct {
		Package, Name string
		Args, Env     []string
		GPU           bool
		Files         []File
	}{pkg, t.Name, t.Args, t.Env, t.GPU, t.Files})
	if err != nil {
		panic(fmt.Sprintf("plan: hashing a test: %v", err)) // only plain data gets here
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

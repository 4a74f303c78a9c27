package plan

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"sync"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// rendering is what a version of a package with its options contributes: its
// phases as instructions and its tests, apart from what they stand on.
type rendering struct {
	stacked, linked bool // neither: no layer
	builds          bool
	env             []Var
	build, install  phaseText
	tests           []preparedTest
	ref             PackageRef
	files           packageFiles
	loose           []Loose
	brought         []lockedLine // Python distributions that it is known to bring without the lock
	allBrings       []lockedLine // and with it

	// The JSON of parts of keys.
	filesJSON, envJSON, refJSON []byte
	envVars                     []byte // envJSON without its brackets
}

type phaseText struct {
	instructions []Instruction
	archives     []*spec.Archive // by instruction; nil: none
	timeout      float64
	texts        []byte // JSON of the texts, a part of keys
	sources      []byte // JSON of the keys of the sources, the same
}

// preparedTest is a test but for its image.
type preparedTest struct {
	run     TestRun
	minutes float64
}

// renderer renders packages, each once for all platforms that give its
// expressions the same values. It serves several goroutines at a time.
type renderer struct {
	cat       *spec.Catalog
	fsys      fs.FS
	templates templates
	nothing   *Making // of all tests
	locks     *lockIndex

	mu       sync.Mutex
	list     diag.List
	packages map[string]*shared
	made     map[string]*pending
}

// shared is what all renderings of a package have in common.
type shared struct {
	once  sync.Once
	reads []string
	files packageFiles
}

type pending struct {
	once sync.Once
	r    *rendering
}

type packageFiles struct{ visible, tests []File }

func newRenderer(cat *spec.Catalog, fsys fs.FS) *renderer {
	return &renderer{cat: cat, fsys: fsys, nothing: &Making{}, locks: newLockIndex(cat.Lock), packages: map[string]*shared{}, made: map[string]*pending{}}
}

// of is what all renderings of a package share; its files are hashed once.
func (r *renderer) of(p *spec.Package) *shared {
	r.mu.Lock()
	s := r.packages[p.Name]
	if s == nil {
		s = &shared{}
		r.packages[p.Name] = s
	}
	r.mu.Unlock()
	s.once.Do(func() {
		s.reads = r.templates.reads(r.cat, p)
		listed, mistakes := spec.Files(r.fsys, p)
		r.report(mistakes)
		for _, x := range listed {
			file := File{Path: x.Path, SHA256: x.SHA256, Exec: x.Exec}
			if x.Test {
				s.files.tests = append(s.files.tests, file)
			} else {
				s.files.visible = append(s.files.visible, file)
			}
		}
	})
	return s
}

func (r *renderer) report(list diag.List) {
	if len(list) > 0 {
		r.mu.Lock()
		r.list = append(r.list, list...)
		r.mu.Unlock()
	}
}

// where is what every rendering takes from a platform.
type where struct {
	solve.Platform
	values      map[string]any // the platform context
	arch, epoch string
}

// render gives the rendering of a closure's package on a platform.
func (r *renderer) render(c *solve.Closure, at where) *rendering {
	s := r.of(c.Package)
	key := c.Package.Name + "\n" + c.Version.Version + "\n" + at.arch + "\n" + at.epoch + "\n" + consumed(s.reads, at.values)
	if len(c.Options) > 0 {
		key += fmt.Sprintf("%q", fmt.Sprint(c.Options)) // fmt sorts maps
	}
	lines := r.locks.lines(at.place(), c.Package.Name+" "+c.Version.Version)
	buildLines := r.locks.lines(at.place(), c.Package.Name+" "+c.Version.Version+buildOnly)
	for _, l := range append(lines[:len(lines):len(lines)], buildLines...) {
		key += "\n" + l.line
	}
	r.mu.Lock()
	p := r.made[key]
	if p == nil {
		p = &pending{}
		r.made[key] = p
	}
	r.mu.Unlock()
	p.once.Do(func() { p.r = r.make(c, at, s.files, lines, buildLines) })
	return p.r
}

func (r *renderer) make(c *solve.Closure, at where, files packageFiles, lines, buildLines []lockedLine) *rendering {
	p := c.Package
	var list diag.List
	x := &expander{cat: r.cat, templates: &r.templates, values: solve.Values(at.Platform, p, c.Version, c.Options), list: &list, locks: r.locks, lines: lines, buildLines: buildLines}
	out := &rendering{ref: ref(c), files: files}
	for _, name := range sortedKeys(p.Env) {
		pos := p.Doc.Pos("env", name)
		v := Var{Owner: p.Name, Name: name, Prepend: isPathList(name), Value: x.text(p.Env[name], x.scope(nil, nil), pos)}
		x.imageVariable(v, pos)
		out.env = append(out.env, v)
	}
	around := surroundings{pkg: p.Name, arch: at.arch, epoch: at.epoch, files: len(files.visible) > 0}
	if p.Build != nil {
		steps := x.steps(p.Build.Steps, p.Doc, []any{"build", "steps"}, resolved{env: out.env}, nil, true, 0)
		out.builds = len(steps) > 0
		out.build = x.phase(steps, building, around, p.Doc.Pos("build", "steps"))
	}
	around.artifact = out.builds
	switch {
	case p.Dockerfile != "":
		out.stacked = true
		out.install = x.phase(nil, stacking, around, diag.Position{})
	case p.Install != nil:
		x.brings(p.Install.Brings, nil, p.Doc.Pos("install", "brings"))
		steps := x.steps(p.Install.Steps, p.Doc, []any{"install", "steps"}, resolved{linked: true, env: out.env}, nil, true, 0)
		out.linked = len(steps) > 0
		for _, s := range steps {
			out.linked = out.linked && s.linked
		}
		out.stacked = len(steps) > 0 && !out.linked
		ph := stacking
		if out.linked {
			ph = linking
		}
		out.install = x.phase(steps, ph, around, p.Doc.Pos("install", "steps"))
	}
	for i, t := range p.Tests {
		if prepared, runs := x.test(p, i, t, files.tests); runs {
			out.tests = append(out.tests, prepared)
		}
	}
	out.filesJSON, out.envJSON, out.refJSON = plainJSON(files.visible), plainJSON(out.env), plainJSON(out.ref)
	if len(out.env) > 0 {
		out.envVars = out.envJSON[1 : len(out.envJSON)-1]
	}
	out.loose, out.brought = x.loose, x.brought()
	out.allBrings = append(out.brought[:len(out.brought):len(out.brought)], lines...)
	r.report(list)
	return out
}

// phase renders the steps of a phase.
func (x *expander) phase(steps []resolved, ph phase, around surroundings, pos diag.Position) phaseText {
	var out phaseText
	texts := []string{}
	var sources []string
	for _, s := range steps {
		ins, err := instruction(s, ph, around)
		if err != nil {
			x.list.Errorf("bad-step", pos, "%v", err)
			continue
		}
		out.instructions = append(out.instructions, ins)
		out.archives = append(out.archives, s.archive)
		out.timeout += s.timeout
		texts, sources = append(texts, ins.Text), append(sources, ins.Sources...)
	}
	out.texts, out.sources = plainJSON(texts), plainJSON(sources)
	return out
}

// test evaluates a test; false means that its condition leaves it out.
func (x *expander) test(p *spec.Package, i int, t spec.Test, files []File) (preparedTest, bool) {
	at := func(path ...any) diag.Position { return p.Doc.Pos(append([]any{"tests", i}, path...)...) }
	scope := x.scope(nil, nil)
	if t.If != "" {
		holds, err := x.templates.holds(t.If, scope)
		if err != nil {
			x.list.Errorf("bad-expression", at("if"), "%v", err)
		}
		if !holds {
			return preparedTest{}, false
		}
	}
	run := TestRun{Name: t.Name, GPU: t.GPU, Files: files}
	for _, v := range x.env(nil, t.Env, scope, at) {
		run.Env = append(run.Env, v.Name+"="+v.Value)
	}
	shell, script := t.Shell, ""
	if t.Uses == "" {
		script = x.script(t.Run, scope, at("run"))
	}
	for _, s := range x.steps(usedBy(t), inTest{p.Doc, i}, nil, resolved{}, nil, true, 0) {
		shell, script = s.shell, s.script
		for _, v := range s.env {
			run.Env = append(run.Env, v.Name+"="+v.Value)
		}
	}
	if shell == "bash" {
		run.Args = []string{"/bin/bash", "-euo", "pipefail", "-c", script}
	} else {
		run.Args = []string{"/bin/sh", "-euc", script}
	}
	run.Content = content(p.Name, &run)
	minutes := t.TimeoutMinutes
	if minutes == 0 {
		minutes = 10
	}
	return preparedTest{run, minutes}, true
}

// usedBy is the step that a test uses, if it does.
func usedBy(t spec.Test) []spec.Step {
	if t.Uses == "" {
		return nil
	}
	return []spec.Step{{Uses: t.Uses, With: t.With}}
}

// inTest is where the only step of a test stands.
type inTest struct {
	doc spec.Positioner
	i   int
}

func (t inTest) Pos(path ...any) diag.Position {
	return t.doc.Pos(append([]any{"tests", t.i}, path[1:]...)...)
}

// content hashes a test without the image it runs on.
func content(pkg string, t *TestRun) string {
	return sum(plainJSON(struct {
		Package, Name string
		Args, Env     []string
		GPU           bool
		Files         []File
	}{pkg, t.Name, t.Args, t.Env, t.GPU, t.Files}))
}

// plainJSON encodes what has no value that JSON lacks.
func plainJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("plan: encoding %T: %v", v, err)) // only plain data gets here
	}
	return b
}

package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/version"
)

// Options say what Load reads beside packages/ and pipelines/steps/.
type Options struct {
	// Matrix names matrix files relative to the catalog's root; none means
	// matrix.yaml. Each file after the first is an overlay: its platforms replace
	// those of the same L4T release and flavour whole or are added, and its
	// strategy, where it has one, replaces the strategy.
	Matrix []string
}

// Load reads and checks a catalog. The list is sorted and holds every mistake
// of every file; the catalog holds what could be read, defaults filled in, and
// may be used for building only if the list has no errors.
func Load(fsys fs.FS, opts Options) (*Catalog, diag.List) {
	s, err := compile()
	if err != nil {
		var list diag.List
		list.Errorf("internal", diag.Position{}, "%v", err)
		return &Catalog{Matrix: &Matrix{}, Lock: &Lock{}}, list
	}
	return load(fsys, opts, s)
}

func load(fsys fs.FS, opts Options, s schemas) (*Catalog, diag.List) {
	l := &loader{
		fsys:    fsys,
		schemas: s,
		cat:     &Catalog{Packages: map[string]*Package{}, Aliases: map[string]string{}, Steps: map[string]*StepDef{}, Matrix: &Matrix{}, Lock: &Lock{}},
		known:   names{packages: map[string]bool{}, steps: map[string]bool{}},
	}
	l.loadPackages()
	l.loadSteps("pipelines/steps")
	l.loadMatrix(opts.Matrix)
	l.loadLock()
	c := &checker{fsys: fsys, cat: l.cat, known: l.known, list: &l.list}
	c.check()
	return l.cat, l.list.Distinct()
}

// names are what the catalog has a file for, readable or not: a mistake in one
// file must not show as unknown names in all the others.
type names struct {
	packages map[string]bool
	steps    map[string]bool
	matrix   bool // every matrix file was read without mistakes
	// platforms are the records of all matrix files, those that an overlay
	// replaced too: a strategy may name what only they offer.
	platforms []Platform
}

type loader struct {
	fsys    fs.FS
	schemas schemas
	cat     *Catalog
	known   names
	list    diag.List
}

// schemas are the compiled schemas of Kinds.
type schemas struct{ packages, matrix, steps, lock *schema }

// compile compiles them at once: it is most of what a small command does.
func compile() (s schemas, err error) {
	var all errgroup.Group
	for kind, to := range map[string]**schema{"package": &s.packages, "matrix": &s.matrix, "steps": &s.steps, "lock": &s.lock} {
		all.Go(func() (err error) {
			*to, err = newSchema(kind)
			return err
		})
	}
	err = all.Wait()
	return s, err
}

func (l *loader) loadPackages() {
	if !lookup(l.fsys, "packages", true, &l.list) {
		return
	}
	for _, group := range l.folders("packages") {
		for _, name := range l.folders(path.Join("packages", group)) {
			l.loadPackage(path.Join("packages", group, name, "package.yaml"), name)
		}
	}
}

var folderName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)

// folders lists the folders of a folder; plain files beside them (a README) are
// passed over.
func (l *loader) folders(dir string) []string {
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		l.list.Errorf("unreadable-file", diag.Position{File: dir}, "%s cannot be read: %v", dir, err)
		return nil
	}
	var found []string
	for _, e := range entries {
		switch {
		case !checkFileName(path.Join(dir, e.Name()), e.Name(), &l.list):
		case e.IsDir() && dir == "packages" && !folderName.MatchString(e.Name()): // that of a package is its name, which has a rule
			l.list.Errorf("bad-name", diag.Position{File: path.Join(dir, e.Name())}, "%q is not a name for a folder here: it must be %s", e.Name(), patternWords("^[a-z0-9][a-z0-9_.-]*$"))
		case e.IsDir():
			found = append(found, e.Name())
		case !e.Type().IsRegular():
			reportIrregular(path.Join(dir, e.Name()), e.Type(), &l.list)
		}
	}
	return found
}

func (l *loader) loadPackage(file, folder string) {
	l.known.packages[folder] = true
	data, ok := read(l.fsys, file, true, &l.list)
	if !ok {
		return
	}
	doc := parseYAML(file, data, &l.list)
	if doc.Root == nil {
		return
	}
	p := &Package{Doc: doc}
	l.schemas.packages.decode(doc, p, &l.list)
	if p.Name == "" {
		p.Name = folder
	}
	p.fill()
	l.known.packages[p.Name] = true
	if other := l.cat.Packages[p.Name]; other != nil {
		l.list.Errorf("duplicate-package", doc.Pos("name"), "there are two packages %q; the other is %s", p.Name, other.Doc.Name)
		return
	}
	l.cat.Packages[p.Name] = p
}

// loadSteps reads the step definitions of a folder and the folders in it.
func (l *loader) loadSteps(dir string) {
	if !lookup(l.fsys, dir, false, &l.list) {
		return
	}
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		l.list.Errorf("unreadable-file", diag.Position{File: dir}, "%s cannot be read: %v", dir, err)
		return
	}
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		switch {
		case !checkFileName(file, e.Name(), &l.list):
		case e.IsDir():
			l.loadSteps(file)
		case path.Ext(file) != ".yaml" && e.Type().IsRegular():
		default:
			l.loadStep(file)
		}
	}
}

func (l *loader) loadStep(file string) {
	expected := stepName(file)
	l.known.steps[expected] = true
	data, ok := read(l.fsys, file, true, &l.list)
	if !ok {
		return
	}
	doc := parseYAML(file, data, &l.list)
	if doc.Root == nil {
		return
	}
	s := &StepDef{Doc: doc}
	l.schemas.steps.decode(doc, s, &l.list)
	if s.Name != "" && s.Name != expected {
		d := l.list.Errorf("name-mismatch", doc.Pos("name"), "the step is called %q, but its file says %q", s.Name, expected)
		d.Allowed = []string{expected}
	}
	s.Name = expected // what uses: finds, and unique
	l.cat.Steps[s.Name] = s
}

func stepName(file string) string {
	return strings.TrimSuffix(strings.TrimPrefix(file, "pipelines/steps/"), ".yaml")
}

func (l *loader) loadMatrix(files []string) {
	if len(files) == 0 {
		files = []string{"matrix.yaml"}
	}
	before := len(l.list)
	for _, file := range files {
		file = path.Clean(strings.ReplaceAll(file, "\\", "/"))
		data, ok := read(l.fsys, file, true, &l.list)
		if !ok {
			continue
		}
		doc := parseYAML(file, data, &l.list)
		if doc.Root == nil {
			continue
		}
		var m Matrix
		l.schemas.matrix.decode(doc, &m, &l.list)
		l.merge(doc, m)
	}
	l.known.matrix = len(l.list) == before
}

// merge lays a matrix file over those before it.
func (l *loader) merge(doc *Document, m Matrix) {
	base := len(l.cat.Matrix.Platforms)
	fresh := map[string]diag.Position{}
	for i := range m.Platforms {
		p := m.Platforms[i]
		p.Pos = within{doc, []any{"platforms", i}}
		p.fill()
		if p.L4T == "" {
			continue // reported by the schema
		}
		l.known.platforms = append(l.known.platforms, p)
		id := p.identity()
		if first, dup := fresh[id]; dup {
			l.list.Errorf("duplicate-platform", p.Pos.Pos("l4t"), "there are two platforms %s %s; the other stands on line %d", p.L4T, p.Flavour, first.Line)
			continue
		}
		fresh[id] = p.Pos.Pos("l4t")
		replaced := false
		for j := range l.cat.Matrix.Platforms[:base] {
			if l.cat.Matrix.Platforms[j].identity() == id {
				l.cat.Matrix.Platforms[j] = p
				replaced = true
			}
		}
		if !replaced {
			l.cat.Matrix.Platforms = append(l.cat.Matrix.Platforms, p)
		}
	}
	if len(m.Modules) > 0 {
		l.cat.Matrix.Modules = m.Modules
	}
	l.cat.Matrix.Publish.merge(m.Publish)
	if _, node := childOf(doc.Root, "strategy"); node != nil {
		m.Strategy.Pos = within{doc, []any{"strategy"}}
		l.cat.Matrix.Strategy = m.Strategy
	}
}

// identity is what makes two records the same platform: 36.4 is 36.4.0.
func (p *Platform) identity() string {
	l4t := p.L4T
	if r, err := version.ParseL4T(l4t); err == nil {
		l4t = version.Exactly(r).String()
	}
	return l4t + " " + p.Flavour
}

func (l *loader) loadLock() {
	data, ok := read(l.fsys, "jetcrate.lock", false, &l.list)
	if !ok {
		return
	}
	doc := parseYAML("jetcrate.lock", data, &l.list)
	l.cat.Lock.Doc = doc
	if doc.Root != nil {
		l.schemas.lock.decode(doc, l.cat.Lock, &l.list)
	}
}

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("it ended early: %w", err)
	}
	return data, err
}

// The defaults that the schemas name. The shell of a step is left open: a
// reusable step takes it from the step that uses it.

func (p *Package) fill() {
	for name, o := range p.Options {
		if o.Type == "" {
			o.Type = "boolean"
		}
		if o.Default == nil && o.Type == "boolean" {
			o.Default = false
		}
		p.Options[name] = o
	}
	for i := range p.Tests {
		t := &p.Tests[i]
		if t.Shell == "" {
			t.Shell = "sh"
		}
		if t.TimeoutMinutes == 0 {
			t.TimeoutMinutes = 10
		}
	}
}

func (p *Platform) fill() {
	if p.Arch == "" {
		p.Arch = "arm64"
	}
	if p.Flavour == "" {
		p.Flavour = "tegra"
	}
	if m := p.Base.Mmdebstrap; m != nil && m.Variant == "" {
		m.Variant = "apt"
	}
}

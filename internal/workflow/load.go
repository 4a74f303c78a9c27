package workflow

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Folder is where pipelines lie in a catalog.
const Folder = "pipelines"

// Load reads and checks every pipeline of a catalog, sorted by name. The list is
// sorted; pipelines may be run only if it holds no errors. actions are those that
// `uses:` may name.
func Load(fsys fs.FS, actions Actions) ([]*Workflow, diag.List, error) {
	format, err := Format()
	if err != nil {
		return nil, nil, err
	}
	return loadWith(format, fsys, actions)
}

func loadWith(format *spec.Format, fsys fs.FS, actions Actions) ([]*Workflow, diag.List, error) {
	entries, err := fs.ReadDir(fsys, Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var all []*Workflow
	var list diag.List
	for _, e := range entries {
		if !e.IsDir() && path.Ext(e.Name()) == ".yml" {
			d := list.Errorf("file-name", diag.Position{File: path.Join(Folder, e.Name())}, "a pipeline's file ends in .yaml")
			d.Hint = "rename it to " + strings.TrimSuffix(e.Name(), ".yml") + ".yaml"
		}
		if e.IsDir() || path.Ext(e.Name()) != ".yaml" {
			continue
		}
		w := &Workflow{ID: strings.TrimSuffix(e.Name(), ".yaml")}
		before := len(list)
		w.Doc = format.Read(fsys, path.Join(Folder, e.Name()), w, &list)
		if w.Doc.Root == nil {
			continue
		}
		w.fill()
		if !list[before:].HasErrors() { // what a schema refuses would be reported again
			(&checker{w: w, actions: actions, list: &list}).check()
		}
		all = append(all, w)
	}
	return all, list.Distinct(), nil
}

// Find returns the pipeline of a name.
func Find(all []*Workflow, name string) *Workflow {
	for _, w := range all {
		if w.ID == name {
			return w
		}
	}
	return nil
}

// fill adds what the tree of the file has and its values do not: the order of
// jobs and of a matrix.
func (w *Workflow) fill() {
	jobs := child(w.Doc.Root, "jobs")
	w.Order = keys(jobs)
	w.Order = slices.DeleteFunc(w.Order, func(id string) bool { return w.Jobs[id] == nil })
	for id, job := range w.Jobs {
		if job == nil {
			delete(w.Jobs, id)
			continue
		}
		job.ID = id
		job.Steps = slices.DeleteFunc(job.Steps, func(s *Step) bool { return s == nil })
		if job.Strategy == nil {
			continue
		}
		at := child(jobs, id)
		if at = child(child(at, "strategy"), "matrix"); at != nil {
			job.Strategy.Matrix = readMatrix(at)
		}
	}
}

// Needed returns a job and everything that it needs, in the order of the file.
func (w *Workflow) Needed(ids ...string) []string {
	want := map[string]bool{}
	var add func(id string)
	add = func(id string) {
		if job := w.Jobs[id]; job != nil && !want[id] {
			want[id] = true
			for _, n := range job.Needs {
				add(n)
			}
		}
	}
	for _, id := range ids {
		add(id)
	}
	return slices.DeleteFunc(slices.Clone(w.Order), func(id string) bool { return !want[id] })
}

// Waves returns the jobs in groups: each needs only jobs of groups before it.
func (w *Workflow) Waves() [][]string {
	var waves [][]string
	done := map[string]bool{}
	for len(done) < len(w.Order) {
		var wave []string
		for _, id := range w.Order {
			ready := !done[id]
			for _, n := range w.Jobs[id].Needs {
				ready = ready && done[n]
			}
			if ready {
				wave = append(wave, id)
			}
		}
		if len(wave) == 0 {
			return waves // a cycle, which check reports
		}
		for _, id := range wave {
			done[id] = true
		}
		waves = append(waves, wave)
	}
	return waves
}

// at is a place in the pipeline's file.
func (w *Workflow) at(path ...any) diag.Position { return w.Doc.Pos(path...) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// EventNames are the events that start the pipeline.
func (w *Workflow) EventNames() []string { return sorted(w.On) }

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	runsDir    = "runs"      // what the last runs needed, a file for each
	leasesDir  = "leases"    // a locked file for each process that writes
	surveyLock = "runs/lock" // shared by who decides what to reuse; gc takes it alone
	surveyWait = time.Minute
	lockPause  = 20 * time.Millisecond
)

// RunInfo is what is kept of a run of the embedded store.
type RunInfo struct {
	ID      int       `json:"id"` // counts up
	What    string    `json:"what"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // zero: it goes on, or was killed
	Good    bool      `json:"good"`
	Records []string  `json:"records"` // tags of all that it needs, made or not
	Lease   string    `json:"lease"`   // of its process
	Live    bool      `json:"-"`       // its process has the store open
}

// Run is a run that is under way. gc leaves all that it named, and whatever was
// written or asked for since it began.
type Run struct {
	store  *Store
	info   RunInfo
	survey *flock.Flock
	journal
}

// BeginRun notes a run and the tags of the records that it may need, before it
// looks which of them are there. Until Surveyed is called no gc begins. With
// another registry than the embedded one there is only the run's journal.
func (s *Store) BeginRun(ctx context.Context, what string, started time.Time, records []string) (*Run, error) {
	r := &Run{store: s}
	if s.embedded == nil {
		return r, r.openJournal()
	}
	fail := func(err error) (*Run, error) {
		if r.survey != nil {
			_ = r.survey.Close()
		}
		return nil, fmt.Errorf("noting the run in the store: %w", err)
	}
	var err error
	if err = os.MkdirAll(s.embedded.file(runsDir), 0o755); err != nil {
		return fail(err)
	}
	if r.survey, err = s.embedded.surveying(ctx, false); err != nil {
		return fail(err)
	}
	if err := s.writing(ctx); err != nil {
		return fail(err)
	}
	r.info = RunInfo{What: what, Started: started.UTC().Round(time.Second), Records: slices.Clone(records), Lease: s.leaseName}
	entries, err := os.ReadDir(s.embedded.file(runsDir))
	if err != nil {
		return fail(err)
	}
	r.info.ID = 1
	for _, e := range entries {
		if id, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".jsonl"), ".json")); err == nil {
			r.info.ID = max(r.info.ID, id+1)
		}
	}
	for { // another run may take the number at the same time
		f, err := os.OpenFile(r.file(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			r.info.ID++
			continue
		}
		if err != nil {
			return fail(err)
		}
		if err := errors.Join(f.Close(), r.write(), r.openJournal()); err != nil {
			return fail(err)
		}
		return r, nil
	}
}

// Surveyed says that the run has looked what there is, and lets gc go on. found
// are tags of records that it reuses and did not know of before.
func (r *Run) Surveyed(found []string) error {
	if r.survey == nil {
		return nil
	}
	r.info.Records = append(r.info.Records, found...)
	err := r.write()
	return errors.Join(err, r.survey.Close())
}

// End notes how a run ended, and tags of records that only it knew.
func (r *Run) End(ended time.Time, good bool, made []string) error {
	if err := r.closeJournal(); r.survey == nil || err != nil {
		return err
	}
	r.info.Records = append(r.info.Records, made...)
	r.info.Ended, r.info.Good = ended.UTC().Round(time.Second), good
	return errors.Join(r.write(), r.replace(), r.survey.Close())
}

// replace removes the note of the run before, where this one needed the same: a
// build that is started over and over does not drive the others out.
func (r *Run) replace() error {
	e := r.store.embedded
	before := RunInfo{}
	file := filepath.Join(e.file(runsDir), runFile(r.info.ID-1))
	raw, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(raw, &before) != nil || !slices.Equal(before.Records, r.info.Records) {
		return nil // it is gone, or another
	}
	live, err := e.leases()
	if err != nil {
		return err
	}
	pins, err := e.pins()
	if err != nil {
		return err
	}
	if _, ok := live[before.Lease]; ok || slices.Contains(pins, RunName(r.info.ID-1)) {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (r *Run) file() string {
	return filepath.Join(r.store.embedded.file(runsDir), runFile(r.info.ID))
}

func runFile(id int) string { return fmt.Sprintf("%06d.json", id) }

// RunName is how people name a run.
func RunName(id int) string { return fmt.Sprintf("run-%d", id) }

func runID(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "run-")
	id, err := strconv.Atoi(digits)
	return id, ok && err == nil && RunName(id) == name
}

func (r *Run) write() error {
	slices.Sort(r.info.Records)
	r.info.Records = slices.Compact(r.info.Records)
	raw, err := json.Marshal(r.info)
	if err == nil {
		err = writeAtomic(r.file(), raw, 0o644)
	}
	if err != nil {
		return fmt.Errorf("noting the run in the store: %w", err)
	}
	return nil
}

// surveying takes the lock between surveys and gc.
func (e *embedded) surveying(ctx context.Context, alone bool) (*flock.Flock, error) {
	l := flock.New(e.file(surveyLock))
	ctx, cancel := context.WithTimeout(ctx, surveyWait)
	defer cancel()
	take := l.TryRLockContext
	if alone {
		take = l.TryLockContext
	}
	if ok, err := take(ctx, lockPause); err != nil || !ok {
		return nil, fmt.Errorf("waiting for another jetcrate to let go of %s: %w", l.Path(), errors.Join(err, l.Close()))
	}
	return l, nil
}

func (e *embedded) file(name string) string { return filepath.Join(e.dir, name) }

// runs lists the runs, the oldest first. One that was killed as it began is none.
func (e *embedded) runs() ([]RunInfo, error) {
	live, err := e.leases()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(e.file(runsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []RunInfo
	for _, entry := range entries {
		id, err := strconv.Atoi(strings.TrimSuffix(entry.Name(), ".json"))
		if err != nil {
			continue
		}
		r := RunInfo{ID: id}
		raw, err := os.ReadFile(filepath.Join(e.file(runsDir), entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // gc took it
		}
		if err != nil {
			return nil, err
		}
		if json.Unmarshal(raw, &r) != nil {
			r = RunInfo{What: "unreadable"}
		}
		r.ID = id
		_, r.Live = live[r.Lease]
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b RunInfo) int { return a.ID - b.ID })
	return out, nil
}

// writing notes, once, that this process writes to the embedded store: what it is
// told to be there, and what it puts there, outlasts it.
func (s *Store) writing(ctx context.Context) error {
	if s.embedded == nil {
		return nil
	}
	s.leaseMu.Lock()
	defer s.leaseMu.Unlock()
	if s.lease != nil {
		return nil
	}
	l, err := s.embedded.newLease(ctx)
	if err != nil {
		return fmt.Errorf("noting that the store is in use: %w", err)
	}
	s.lease, s.leaseName = l, filepath.Base(l.Path())
	return nil
}

func (e *embedded) newLease(ctx context.Context) (*flock.Flock, error) {
	for _, dir := range []string{leasesDir, runsDir} {
		if err := os.MkdirAll(e.file(dir), 0o755); err != nil {
			return nil, err
		}
	}
	survey, err := e.surveying(ctx, false) // so that no gc takes the file for that of a dead process
	if err != nil {
		return nil, err
	}
	defer survey.Close()
	f, err := os.CreateTemp(e.file(leasesDir), "*.lock")
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	l := flock.New(f.Name())
	// Who lists the leases may look at it just now.
	if ok, err := l.TryLockContext(ctx, lockPause); err != nil || !ok {
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return l, nil
}

// endLease ends it; its file is the next gc's to remove if this cannot.
func (s *Store) endLease() error {
	s.leaseMu.Lock()
	defer s.leaseMu.Unlock()
	if s.lease == nil {
		return nil
	}
	err := os.Remove(s.lease.Path())
	return errors.Join(err, s.lease.Close())
}

// leases gives when each process that is alive began to write.
func (e *embedded) leases() (map[string]time.Time, error) {
	entries, err := os.ReadDir(e.file(leasesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	live := map[string]time.Time{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // it ended
		}
		l := flock.New(filepath.Join(e.file(leasesDir), entry.Name()), flock.SetFlag(os.O_RDONLY))
		ours, err := l.TryRLock()
		_ = l.Close()
		if err == nil && !ours {
			live[entry.Name()] = info.ModTime()
		}
	}
	return live, nil
}

package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// keptJournals is how many journals there are; a run that begins removes older ones.
const keptJournals = 100

// journal is what a run tells of itself while it goes on, a JSON object a line:
// runs/NNNNNN.jsonl in the folder of Local. Lines are written one by one, so that
// a process that is killed loses at most the one that it is at.
type journal struct {
	mu   sync.Mutex
	file *os.File // nil: none is kept
}

// Local is the folder for what this machine remembers of the store: that of the
// embedded registry, or one beside the blobs of this registry. "" is none.
func (s *Store) Local() string {
	if s.embedded != nil {
		return s.embedded.dir
	}
	if s.cache == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.repo.Name()))
	return filepath.Join(s.cache, "stores", hex.EncodeToString(sum[:6]))
}

// JournalInfo names a journal.
type JournalInfo struct {
	ID   int // of the run
	File string
}

// Journals lists the journals, the oldest first.
func (s *Store) Journals() ([]JournalInfo, error) {
	if s.Local() == "" {
		return nil, nil
	}
	dir := filepath.Join(s.Local(), runsDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the runs: %w", err)
	}
	var out []JournalInfo
	for _, e := range entries {
		if digits, ok := strings.CutSuffix(e.Name(), ".jsonl"); ok {
			if id, err := strconv.Atoi(digits); err == nil {
				out = append(out, JournalInfo{ID: id, File: filepath.Join(dir, e.Name())})
			}
		}
	}
	slices.SortFunc(out, func(a, b JournalInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// openJournal begins the journal of a run. Without the embedded store nothing else
// gives a run its number.
func (r *Run) openJournal() error {
	s := r.store
	if s.Local() == "" {
		return nil
	}
	have, err := s.Journals()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Local(), runsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("noting the run: %w", err)
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND | os.O_TRUNC
	if s.embedded == nil {
		flags |= os.O_EXCL
		r.info.ID = 1
		if len(have) > 0 {
			r.info.ID = have[len(have)-1].ID + 1
		}
	}
	for {
		r.journal.file, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("%06d.jsonl", r.info.ID)), flags, 0o644)
		if errors.Is(err, fs.ErrExist) { // another run took the number at the same time
			r.info.ID++
			continue
		}
		if err != nil {
			return fmt.Errorf("noting the run: %w", err)
		}
		break
	}
	for _, old := range have[:max(0, len(have)-keptJournals)] {
		if err := os.Remove(old.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an old run: %w", err)
		}
	}
	return nil
}

// ID is the run's number; 0 where nothing is noted of it.
func (r *Run) ID() int { return r.info.ID }

// Note adds a line to the run's journal. It is safe for concurrent use.
func (r *Run) Note(v any) error {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	if r.journal.file == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err == nil {
		var n int
		if n, err = r.journal.file.Write(append(b, '\n')); err == nil && n <= len(b) {
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		return fmt.Errorf("noting the run: %w", err)
	}
	return nil
}

func (r *Run) closeJournal() error {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	if r.journal.file == nil {
		return nil
	}
	f := r.journal.file
	r.journal.file = nil
	return f.Close()
}

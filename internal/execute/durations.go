package execute

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

const durationsFile = "durations.json"

// LocalDurations are those that runs of this machine with this store recorded.
func LocalDurations(st *store.Store) (*plan.Durations, error) {
	if st.Local() == "" {
		return &plan.Durations{}, nil
	}
	b, err := os.ReadFile(filepath.Join(st.Local(), durationsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &plan.Durations{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading durations: %w", err)
	}
	return plan.ReadDurations(b)
}

// took records how long the nodes took that were made.
func (r *run) took() {
	if err := r.noteDurations(); err != nil {
		r.emit(Event{Kind: Message, Text: err.Error()})
	}
}

func (r *run) noteDurations() error {
	dir := r.Store.Local()
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("recording durations: %w", err)
	}
	l := flock.New(filepath.Join(dir, durationsFile+".lock"))
	if err := l.Lock(); err != nil {
		return fmt.Errorf("recording durations: %w", err)
	}
	defer l.Close()
	d, err := LocalDurations(r.Store)
	if err != nil { // what cannot be read is begun anew
		d = &plan.Durations{}
	}
	lines, any := r.Plan.Lines(), false
	for _, s := range r.order {
		switch s.result.Status {
		case Built, Assembled, Passed:
			d.Note(plan.DurationName(s.node, lines[s.node.Key]), s.result.Took)
			any = true
		}
	}
	if !any {
		return nil
	}
	b, err := d.Write()
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, durationsFile), b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("recording durations: %w", err)
	}
	return nil
}

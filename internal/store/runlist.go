package store

import "fmt"

// LastRuns lists the runs that the embedded store still tells of, the oldest
// first. A registry has none.
func (s *Store) LastRuns() ([]RunInfo, error) {
	if s.embedded == nil {
		return nil, nil
	}
	runs, err := s.embedded.runs()
	if err != nil {
		return nil, fmt.Errorf("reading the runs of the store: %w", err)
	}
	return runs, nil
}

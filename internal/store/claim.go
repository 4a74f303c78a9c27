package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Claim takes the making of a record for this process, against all processes of
// this machine that use the same store. ok is false while another has it. The
// kernel gives up what a killed process claimed. Who gets a claim has to look the
// record up again: another may just have made it.
func (s *Store) Claim(kind Kind, key string) (release func(), ok bool, err error) {
	tag, err := s.tag(kind, key)
	if err != nil {
		return nil, false, err
	}
	dir := s.claims()
	if dir == "" {
		return func() {}, true, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, fmt.Errorf("claiming %s: %w", tag.TagStr(), err)
	}
	file := filepath.Join(dir, tag.TagStr())
	for {
		l := flock.New(file)
		if ok, err = l.TryLock(); err != nil || !ok {
			_ = l.Close()
			if err != nil {
				err = fmt.Errorf("claiming %s: %w", tag.TagStr(), err)
			}
			return nil, false, err
		}
		ours, err := l.Stat()
		there, statErr := os.Stat(file)
		if err == nil && statErr == nil && os.SameFile(ours, there) {
			return func() {
				_ = os.Remove(file) // while it is locked, so that nobody's is removed
				_ = l.Close()
			}, true, nil
		}
		_ = l.Close() // whoever had it removed it meanwhile
	}
}

// claims is the folder of the locks: of the embedded registry, or beside the
// blobs of this registry.
func (s *Store) claims() string {
	if s.embedded != nil {
		return filepath.Join(s.embedded.dir, "claims")
	}
	if s.cache == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.repo.Name()))
	return filepath.Join(s.cache, "claims", hex.EncodeToString(sum[:6]))
}

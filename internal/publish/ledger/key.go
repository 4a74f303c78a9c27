package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/jetcrate/jetcrate/internal/table"
)

// A key file has two lines: the private key, which is never printed, and the
// public one. Nobody but its owner may read it.

// NewKey makes a key of a log and gives it as the content of a key file.
func NewKey(origin string, until time.Time) (Signer, []byte, error) {
	name, err := table.KeyName(origin, until)
	if err != nil {
		return Signer{}, nil, err
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return Signer{}, nil, fmt.Errorf("making a key: %w", err)
	}
	file := []byte(private + "\n" + public + "\n")
	s, err := ParseSigner(file)
	return s, file, err
}

// ParseSigner reads the content of a key file. No error shows any of it.
func ParseSigner(file []byte) (Signer, error) {
	bad := errors.New("reading a private key: it is not what jetcrate keys new wrote")
	lines := strings.Fields(string(file))
	if len(lines) != 2 {
		return Signer{}, bad
	}
	s, err := note.NewSigner(lines[0])
	if err != nil {
		return Signer{}, bad
	}
	key, err := table.ParseKey(lines[1])
	if err != nil || key.Name() != s.Name() || key.KeyHash() != s.KeyHash() {
		return Signer{}, bad
	}
	probe, err := note.Sign(&note.Note{Text: "jetcrate probe\n"}, s)
	if err != nil {
		return Signer{}, bad
	}
	if _, err := note.Open(probe, note.VerifierList(key.Verifier)); err != nil {
		return Signer{}, bad
	}
	return Signer{Signer: s, Key: key}, nil
}

// OpenKey is what others may read in a key file.
type OpenKey struct {
	Path string
	Mode fs.FileMode
}

func (e *OpenKey) Error() string {
	return fmt.Sprintf("the private key %s can be read by others (mode %04o): chmod 600 it", e.Path, e.Mode)
}

// ReadSigner reads a key file.
func ReadSigner(path string) (Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Signer{}, fmt.Errorf("reading the private key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Signer{}, &OpenKey{path, mode}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Signer{}, fmt.Errorf("reading the private key: %w", err)
	}
	s, err := ParseSigner(b)
	if err != nil {
		return Signer{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// WriteKey writes a key file, and never over one that is there.
func WriteKey(path string, file []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the private key: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path)
			err = fmt.Errorf("writing the private key: %w", err)
		}
	}()
	_, err = f.Write(file)
	return errors.Join(err, f.Sync(), f.Close())
}

// Rotate makes another key sign: the one that did vouches for it.
func Rotate(old, next Signer) Change {
	return func(s *State, now time.Time) ([]Item, Signer, error) {
		if next.Key.Origin != old.Key.Origin {
			return nil, old, Mistake(fmt.Sprintf("the new key is one of the log %q, the old one of %q", next.Key.Origin, old.Key.Origin))
		}
		e, err := table.KeyStatement(old, next.Key, now)
		return []Item{{Entry: e}}, next, err
	}
}

// Revoke takes a key back that signed before.
func Revoke(signer Signer, id, reason string) Change {
	return func(s *State, now time.Time) ([]Item, Signer, error) {
		known := false
		for _, k := range s.Keys.All() {
			known = known || k.ID() == id
		}
		if !known {
			return nil, signer, Mistake(fmt.Sprintf("no key %s ever signed it; jetcrate keys show --to lists those that did", id))
		}
		e, err := table.RevokeStatement(signer, signer.Key.Origin, id, reason, now)
		return []Item{{Entry: e}}, signer, err
	}
}

package store

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

// Whoever can connect to this machine's loopback address can read the embedded
// registry, and the steps of a build can: they may use the machine's network. To
// write takes the token of its folder, which only its owner can read, so that no
// step puts a record into the store that another build would take for its own.
const (
	tokenFile   = "token"
	tokenHeader = "Jetcrate-Token"
)

// folderToken reads the token of a folder, and makes it where there is none.
func folderToken(dir string) (string, error) {
	file := filepath.Join(dir, tokenFile)
	for range 2 {
		raw, err := os.ReadFile(file)
		if err == nil && len(raw) > 0 {
			return string(raw), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("reading the token of the store: %w", err)
		}
		if err == nil { // cut off by a power failure
			_ = os.Remove(file)
		}
		if err := newToken(dir, file); err != nil {
			return "", fmt.Errorf("making the token of the store: %w", err)
		}
	}
	return "", fmt.Errorf("%s cannot be kept", file)
}

// newToken makes the token, unless another process is first.
func newToken(dir, file string) error {
	f, err := os.CreateTemp(dir, tokenFile+".*") // with the mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(rand.Text())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// reads reports whether a request changes nothing.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// mayWrite reports whether a request carries the token.
func mayWrite(r *http.Request, token string) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(token)) == 1
}

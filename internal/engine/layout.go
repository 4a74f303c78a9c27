package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// InitLayout makes a folder an OCI layout unless it is one: Output.Layout need
// not exist. An index that is there keeps what it names.
func InitLayout(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return fmt.Errorf("preparing OCI layout %s: %w", dir, err)
	}
	for name, text := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
	} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		// Linking a finished file neither shows half of one nor replaces another's.
		tmp, err := os.CreateTemp(dir, "."+name+"-*")
		if err != nil {
			return fmt.Errorf("preparing OCI layout %s: %w", dir, err)
		}
		_, err = tmp.WriteString(text)
		if e := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); e != nil {
			err = e
		} else if err = os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		os.Remove(tmp.Name())
		if err != nil {
			return fmt.Errorf("preparing OCI layout %s: %w", dir, err)
		}
	}
	return nil
}

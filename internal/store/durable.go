package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// goodIndex is a second name of the last index that is known to be on the disk.
const goodIndex = "index.good.json"

// folder is the embedded registry's files. The registry itself renames finished
// files into place and never asks the disk to keep them, so that the kernel may
// have a name without its content when the power fails. What a manifest names
// is therefore synced before the manifest is taken, and the manifest and the
// index before the client is told.
type folder struct {
	dir string // of the store

	mu       sync.Mutex
	unsynced map[string]bool  // blobs by hex digest that this process wrote
	read     v1.IndexManifest // as it was in the file readOf
	readOf   os.FileInfo
}

func (f *folder) layout() string         { return filepath.Join(f.dir, registryDir, repository) }
func (f *folder) blobs() string          { return filepath.Join(f.layout(), "blobs", "sha256") }
func (f *folder) blob(hex string) string { return filepath.Join(f.blobs(), hex) }
func (f *folder) indexFile() string      { return filepath.Join(f.layout(), "index.json") }

// wrote notes a blob that the disk may not have yet.
func (f *folder) wrote(hex string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unsynced == nil {
		f.unsynced = map[string]bool{}
	}
	f.unsynced[hex] = true
}

// syncBlobs makes those of the blobs permanent that this process wrote.
func (f *folder) syncBlobs(hexes []string) error {
	for _, h := range hexes {
		f.mu.Lock()
		todo := f.unsynced[h]
		f.mu.Unlock()
		if !todo {
			continue
		}
		if err := syncFile(f.blob(h)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		f.mu.Lock()
		delete(f.unsynced, h)
		f.mu.Unlock()
	}
	return nil
}

// syncAll makes all blobs permanent that this process wrote.
func (f *folder) syncAll() error {
	f.mu.Lock()
	var todo []string
	for h := range f.unsynced {
		todo = append(todo, h)
	}
	f.mu.Unlock()
	if len(todo) == 0 {
		return nil
	}
	return errors.Join(f.syncBlobs(todo), syncFile(f.blobs()))
}

// settle makes a manifest and the index that names it permanent. subject is the
// manifest that it refers to, whose list of referrers it changed.
func (f *folder) settle(hex, subject string) error {
	written := []string{f.blob(hex)}
	if subject != "" {
		idx, err := f.index()
		if err != nil {
			return err
		}
		for _, d := range idx.Manifests {
			if d.Annotations[annotationSubject] == subject {
				written = append(written, f.blob(d.Digest.Hex))
			}
		}
	}
	for _, name := range append(written, f.blobs(), f.indexFile(), f.layout()) {
		if err := syncFile(name); err != nil {
			return err
		}
	}
	return f.keepIndex()
}

// keepIndex gives the index, which is on the disk, its second name.
func (f *folder) keepIndex() error {
	tmp := filepath.Join(f.dir, goodIndex+".new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(f.indexFile(), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(f.dir, goodIndex)); err != nil {
		return err
	}
	return syncFile(f.dir)
}

// recover mends what the death of the last server left. The kernel keeps what a
// killed process wrote, unless the machine stopped as well: then every blob that
// was written while that server ran is checked, and what is damaged goes. None
// of it was reported as done.
func (f *folder) recover(last served, since time.Time) error {
	left, err := filepath.Glob(filepath.Join(f.layout(), "index.json.*"))
	if err != nil {
		return err
	}
	for _, name := range append(left, filepath.Join(f.layout(), "_uploads")) {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("removing what was left unfinished: %w", err)
		}
	}
	idx, err := f.restoreIndex()
	if err != nil || last.Clean || last.ID == "" {
		return err
	}
	if boot := bootID(); boot != "" && boot == last.Boot {
		syscall.Sync()
		return nil
	}
	damaged := map[string]bool{}
	entries, err := os.ReadDir(f.blobs())
	if err != nil {
		return err
	}
	suspect := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.ModTime().Before(since.Add(-time.Minute)) {
			continue
		}
		suspect[e.Name()] = true
		if got, err := hashFile(f.blob(e.Name())); err != nil || got != e.Name() {
			damaged[e.Name()] = true
			if err := os.Remove(f.blob(e.Name())); err != nil {
				return fmt.Errorf("removing a blob that the power failure damaged: %w", err)
			}
		}
	}
	var whole []v1.Descriptor
	for _, d := range idx.Manifests {
		if f.whole(d, suspect, damaged) {
			whole = append(whole, d)
		}
	}
	if len(whole) == len(idx.Manifests) {
		return nil
	}
	idx.Manifests = whole
	return f.writeIndex(idx)
}

// whole reports whether a manifest and what it names are there; only what was
// written lately is looked into.
func (f *folder) whole(d v1.Descriptor, suspect, damaged map[string]bool) bool {
	if info, err := os.Stat(f.blob(d.Digest.Hex)); err != nil || info.Size() != d.Size {
		return false
	}
	if !suspect[d.Digest.Hex] {
		return true
	}
	m, err := f.manifest(d.Digest.Hex)
	if err != nil {
		return false
	}
	for _, h := range m.names() {
		if damaged[h] {
			return false
		}
		if _, err := os.Stat(f.blob(h)); err != nil {
			return false
		}
	}
	return true
}

// restoreIndex reads the index; where it is damaged, the last good one returns.
func (f *folder) restoreIndex() (v1.IndexManifest, error) {
	idx, err := f.index()
	if err == nil {
		return idx, nil
	}
	good := filepath.Join(f.dir, goodIndex)
	raw, readErr := os.ReadFile(good)
	if readErr == nil {
		idx, readErr = parseIndex(raw)
	}
	if readErr != nil {
		return idx, fmt.Errorf("%w; there is no good copy in %s: move the folder %s away to start anew", err, good, f.dir)
	}
	return idx, f.writeIndex(idx)
}

// index reads the index; there is none before the first record.
func (f *folder) index() (v1.IndexManifest, error) {
	var idx v1.IndexManifest
	file, err := os.Open(f.indexFile())
	if errors.Is(err, os.ErrNotExist) {
		return idx, nil
	}
	if err != nil {
		return idx, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return idx, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// It is always replaced by another file: one that was read needs no reading.
	if f.readOf == nil || !os.SameFile(f.readOf, info) || !f.readOf.ModTime().Equal(info.ModTime()) || f.readOf.Size() != info.Size() {
		raw, err := io.ReadAll(file)
		if err == nil {
			idx, err = parseIndex(raw)
		}
		if err != nil {
			return idx, fmt.Errorf("the store's index %s is damaged: %w", f.indexFile(), err)
		}
		f.read, f.readOf = idx, info
	}
	idx = f.read
	idx.Manifests = slices.Clone(f.read.Manifests)
	return idx, nil
}

// parseIndex reads an index. v1.Hash decodes itself with a decoder of its own,
// which takes most of the time of a large index: the digests are read as text.
func parseIndex(raw []byte) (v1.IndexManifest, error) {
	var read struct {
		v1.IndexManifest
		Manifests []struct {
			v1.Descriptor
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return v1.IndexManifest{}, err
	}
	idx := read.IndexManifest
	idx.Manifests = make([]v1.Descriptor, len(read.Manifests))
	for i, m := range read.Manifests {
		digest, err := v1.NewHash(m.Digest)
		if err != nil {
			return v1.IndexManifest{}, err
		}
		idx.Manifests[i] = m.Descriptor
		idx.Manifests[i].Digest = digest
	}
	return idx, nil
}

// writeIndex replaces the index, permanently. The registry must be made anew.
func (f *folder) writeIndex(idx v1.IndexManifest) error {
	if idx.Manifests == nil {
		idx.Manifests = []v1.Descriptor{}
	}
	raw, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	if err := writeAtomic(f.indexFile(), raw, 0o644); err != nil {
		return err
	}
	return f.keepIndex()
}

// manifest is what a manifest names: an image's, an artifact's or an index's.
type manifest struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *v1.Descriptor    `json:"config"`
	Layers       []v1.Descriptor   `json:"layers"`
	Manifests    []v1.Descriptor   `json:"manifests"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

func (f *folder) manifest(hex string) (manifest, error) {
	raw, err := os.ReadFile(f.blob(hex))
	if err != nil {
		return manifest{}, err
	}
	return readManifest(raw)
}

func readManifest(raw []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("reading a manifest: %w", err)
	}
	return m, nil
}

// names are the blobs and manifests, by hex digest, without which it is not whole.
func (m manifest) names() []string {
	var out []string
	for _, d := range m.parts() {
		out = append(out, d.Digest.Hex)
	}
	return out
}

func (m manifest) parts() []v1.Descriptor {
	var out []v1.Descriptor
	if m.Config != nil && m.Config.Digest.Hex != "" {
		out = append(out, *m.Config)
	}
	return append(append(out, m.Layers...), m.Manifests...)
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// bootID names the time since the machine started; "" where that is unknown
// (https://docs.kernel.org/admin-guide/sysctl/kernel.html#random).
func bootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// syncFile asks the disk to keep a file's content, or a folder's names.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeAtomic replaces a file: readers see the old content or the new, and so
// does who comes after a power failure.
func writeAtomic(file string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFile(filepath.Dir(file))
}

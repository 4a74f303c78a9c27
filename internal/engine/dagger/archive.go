package dagger

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// writeArchive writes an image as an OCI archive, which Dagger imports.
func writeArchive(img engine.Image, w io.Writer) error {
	image, err := engine.OpenImage(img)
	if err != nil {
		return err
	}
	m, err := image.Manifest()
	if err != nil {
		return err
	}
	raw, err := image.RawManifest()
	if err != nil {
		return err
	}
	h, err := image.Digest()
	if err != nil {
		return err
	}
	self := v1.Descriptor{MediaType: m.MediaType, Digest: h, Size: int64(len(raw))}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []v1.Descriptor{self}})
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		text []byte
	}{{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index}} {
		if err := out.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			return err
		}
		if _, err := out.Write(f.text); err != nil {
			return err
		}
	}
	written := map[v1.Hash]bool{}
	for _, d := range append([]v1.Descriptor{self, m.Config}, m.Layers...) {
		if written[d.Digest] {
			continue
		}
		written[d.Digest] = true
		if err := writeBlob(out, img.Layout, d); err != nil {
			return err
		}
	}
	return out.Close()
}

func writeBlob(out *tar.Writer, dir string, d v1.Descriptor) error {
	f, err := os.Open(blobFile(dir, d.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := out.WriteHeader(&tar.Header{Name: "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex, Mode: 0o644, Size: d.Size}); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

func blobFile(dir string, h v1.Hash) string {
	return filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
}

var blobName = regexp.MustCompile(`^blobs/sha256/[0-9a-f]{64}$`)

// unpack makes a layout folder of an OCI archive.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := clean(h.Name)
		if h.Typeflag != tar.TypeReg || name != "index.json" && !blobName.MatchString(name) {
			continue
		}
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), t); err != nil {
			return err
		}
	}
}

// writeFile makes a file that is there as a whole or not at all.
func writeFile(name string, r io.Reader) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(tmp, r)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// onlyImage is the image of an archive, which holds one.
func onlyImage(dir string) (v1.Image, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	for range 3 { // an index may name an index
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		var found []v1.Descriptor
		for _, d := range index.Manifests {
			if d.Platform == nil || d.Platform.OS != "unknown" { // an attestation
				found = append(found, d)
			}
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("it holds %d images, not one", len(found))
		}
		if raw, err = layout.Path(dir).Bytes(found[0].Digest); err != nil {
			return nil, err
		}
		if found[0].MediaType.IsImage() {
			return engine.OpenImage(engine.Image{Layout: dir, Digest: found[0].Digest.String()})
		}
	}
	return nil, errors.New("it holds no image")
}

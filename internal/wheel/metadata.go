package wheel

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"path"
	"strings"
	"unicode/utf8"

	"deps.dev/util/pypi"

	"github.com/jetcrate/jetcrate/internal/version"
)

// metadataLimit is larger than any METADATA: those with a whole manual are some
// hundred kilobytes.
const metadataLimit = 4 << 20

// Metadata is a wheel's METADATA (core metadata).
type Metadata struct {
	Name, Version  string
	RequiresPython string
	Requires       []Requirement
	Header         mail.Header // all fields
	Description    string
	Raw            []byte
}

// Requirement is a line of Requires-Dist.
type Requirement struct {
	Project string // normal form
	Extras  string
	Range   string // PEP 440 specifier, or ""
	Marker  string // PEP 508 environment marker, or ""
}

// ReadMetadata reads the METADATA of a wheel.
func ReadMetadata(r io.ReaderAt, size int64) (Metadata, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Metadata{}, fmt.Errorf("reading the wheel: %w", err)
	}
	var found *zip.File
	for _, f := range z.File {
		dir, file := path.Split(f.Name)
		if file != "METADATA" || !strings.HasSuffix(dir, ".dist-info/") || strings.Count(dir, "/") != 1 {
			continue
		}
		if found != nil {
			return Metadata{}, fmt.Errorf("the wheel has two METADATA: %s and %s", found.Name, f.Name)
		}
		found = f
	}
	if found == nil {
		return Metadata{}, errors.New("the wheel has no METADATA")
	}
	rc, err := found.Open()
	if err != nil {
		return Metadata{}, fmt.Errorf("reading %s: %w", found.Name, err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, metadataLimit+1))
	if err != nil {
		return Metadata{}, fmt.Errorf("reading %s: %w", found.Name, err)
	}
	m, err := ParseMetadata(raw)
	if err != nil {
		return Metadata{}, fmt.Errorf("reading %s: %w", found.Name, err)
	}
	return m, nil
}

// ParseMetadata reads the text of a METADATA file.
func ParseMetadata(raw []byte) (Metadata, error) {
	if len(raw) > metadataLimit {
		return Metadata{}, fmt.Errorf("METADATA is larger than %d MiB", metadataLimit>>20)
	}
	if !utf8.Valid(raw) {
		return Metadata{}, errors.New("METADATA is not UTF-8")
	}
	// Without an end of the header there is no message.
	msg, err := mail.ReadMessage(io.MultiReader(bytes.NewReader(raw), strings.NewReader("\n\n")))
	if err != nil {
		return Metadata{}, fmt.Errorf("METADATA: %w", err)
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return Metadata{}, fmt.Errorf("METADATA: %w", err)
	}
	m := Metadata{
		Name: msg.Header.Get("Name"), Version: msg.Header.Get("Version"),
		RequiresPython: msg.Header.Get("Requires-Python"),
		Header:         msg.Header, Description: strings.TrimRight(string(body), "\n"), Raw: raw,
	}
	if m.Name == "" || m.Version == "" {
		return Metadata{}, errors.New("METADATA has no Name or no Version")
	}
	for _, line := range msg.Header["Requires-Dist"] {
		d, err := pypi.ParseDependency(line)
		if err != nil {
			return Metadata{}, fmt.Errorf("METADATA: Requires-Dist %q: %w", line, err)
		}
		m.Requires = append(m.Requires, Requirement{Project: d.Name, Extras: d.Extras, Range: d.Constraint, Marker: d.Environment})
	}
	return m, nil
}

// agrees reports what the METADATA says otherwise than the file's name.
func (m Metadata) agrees(n Name) error {
	if Normal(m.Name) != n.Project {
		return fmt.Errorf("%s is of %s by its METADATA", n.File, m.Name)
	}
	v, err := version.ParsePEP440(m.Version)
	if err != nil {
		return fmt.Errorf("%s: the Version of its METADATA: %w", n.File, err)
	}
	if v.Compare(n.Version) != 0 {
		return fmt.Errorf("%s has the version %s by its METADATA", n.File, m.Version)
	}
	return nil
}

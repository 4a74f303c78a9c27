// Package wheel reads and writes indexes of Python wheels.
//
// Each platform line with a CUDA has a tree of its own (jp6/cu126), so that a
// wheel for another line or CUDA is not there to be taken. A tree is the fold of
// the artifacts in the store whose package passed its tests; it is recorded in
// the store with all its files, only grows, and a file name that is in it keeps
// its bytes: what must no longer be used is yanked, with a reason. From that
// record alone it is written as static files (PEP 503 pages, PEP 691 JSON, PEP
// 658/714 metadata) or served.
//
// A wheel that holds code for CUDA says which in its local version label (+cu126,
// +jp6.cu126); one whose label names another CUDA, line or a CPU is refused, one
// without a label is reported, and is not uploaded to an index without trees.
package wheel

import (
	"fmt"
	"strings"

	"deps.dev/util/pypi"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Name is what a wheel's file name says.
type Name struct {
	File    string // numpy-2.0.0-cp310-cp310-linux_aarch64.whl
	Project string // normal form: PEP 503
	Version version.PEP440
	Build   string   // 1abc, or ""
	Tags    []string // cp310-cp310-linux_aarch64; a compressed set has many
}

// ParseName reads a wheel's file name (PEP 427). A name that could lead out of a
// folder or off a line is none.
func ParseName(file string) (Name, error) {
	fail := func(err error) (Name, error) { return Name{}, fmt.Errorf("%q is no wheel's file name: %w", file, err) }
	if len(file) > 255 || strings.ContainsFunc(file, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/\"'<>&%?#:*|`, r)
	}) {
		return fail(fmt.Errorf("it has characters that no wheel's has"))
	}
	info, err := pypi.ParseWheelName(file)
	if err != nil {
		return fail(err)
	}
	n := Name{File: file, Project: Normal(info.Name)}
	if n.Project == "" || strings.HasPrefix(n.Project, "-") || strings.HasPrefix(n.Project, ".") {
		return fail(fmt.Errorf("it has no name of a distribution"))
	}
	// Local parts are escaped: torch-2.8.0+cu126 may be torch-2.8.0_cu126.
	text := info.Version
	if v, err := version.ParsePEP440(text); err == nil {
		n.Version = v
	} else if n.Version, err = version.ParsePEP440(strings.Replace(text, "_", "+", 1)); err != nil {
		return fail(err)
	}
	if parts := strings.Split(strings.TrimSuffix(file, ".whl"), "-"); len(parts) == 6 {
		n.Build = parts[2]
	}
	for _, t := range info.Platforms {
		n.Tags = append(n.Tags, t.Python+"-"+t.ABI+"-"+t.Platform)
	}
	return n, nil
}

// Normal is the normal form of a distribution's name (PEP 503).
func Normal(name string) string { return pypi.CanonPackageName(name) }

// Pure reports whether a wheel runs on every machine.
func (n Name) Pure() bool {
	for _, t := range n.Tags {
		if !strings.HasSuffix(t, "-any") {
			return false
		}
	}
	return true
}

// Python is the first Python tag, such as cp310: what uploads call pyversion.
func (n Name) Python() string {
	tag, _, _ := strings.Cut(n.Tags[0], "-")
	return tag
}

// File is a wheel of an index.
type File struct {
	Name           string `json:"name"`    // of the file
	Project        string `json:"project"` // normal form
	Version        string `json:"version"`
	SHA256         string `json:"sha256,omitempty"` // hex; another index may not tell it
	Size           int64  `json:"size,omitempty"`
	RequiresPython string `json:"requires-python,omitempty"`
	Metadata       string `json:"metadata,omitempty"` // SHA-256 of its METADATA, where that can be had alone
	Yanked         bool   `json:"yanked,omitempty"`
	Reason         string `json:"reason,omitempty"` // why it is yanked

	URL  string `json:"-"` // where another index has it
	bare bool   // its METADATA can be had alone, but with no hash
}

// Installs reports whether the wheel is for a Python of this version
// (python-requires alone; tags are the caller's to compare).
func (f File) Installs(python string) bool {
	if f.RequiresPython == "" {
		return true
	}
	s, err := version.ParseSpecifier(f.RequiresPython)
	return err != nil || s.Contains(python) // pip takes what it cannot read
}

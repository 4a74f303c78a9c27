package image

import (
	"encoding/json"
	"fmt"
)

// The labels of an image. They hold only what its key determines, so that a
// commit which changes nothing else changes no digest.
const (
	LabelKey      = "io.jetcrate.key"      // the image's key, 64 hex digits
	LabelPackages = "io.jetcrate.packages" // JSON: [{"name":"pytorch","version":"2.8.0"}, ...], bottom up
	LabelPlatform = "io.jetcrate.platform" // JSON: see Platform
	LabelTitle    = "org.opencontainers.image.title"
	LabelVersion  = "org.opencontainers.image.version"
)

// AnnotationParent on the manifest of a stacked layer's image is the digest of
// its parent's manifest, which has one too: together they name the whole chain.
const AnnotationParent = "io.jetcrate.parent"

// Labels is what an image says about itself.
type Labels struct {
	Title    string // the target, such as pytorch
	Version  string // of the target's first package; may be empty
	Key      string
	Packages []Package
	Platform Platform
}

// Package is a package in an image.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Platform is what an image was built for. Empty fields mean: none.
type Platform struct {
	L4T      string `json:"l4t"`     // 36.4.0
	Flavour  string `json:"flavour"` // tegra or sbsa
	OS       string `json:"os"`      // id and version: ubuntu 22.04
	Arch     string `json:"arch"`    // arm64
	Python   string `json:"python,omitempty"`
	CUDA     string `json:"cuda,omitempty"`
	CuDNN    string `json:"cudnn,omitempty"`
	TensorRT string `json:"tensorrt,omitempty"`
	Testbed  bool   `json:"testbed,omitempty"` // a stand-in that no release may hold
}

// Map gives the labels as an image's config holds them.
func (l Labels) Map() (map[string]string, error) {
	packages := l.Packages
	if packages == nil {
		packages = []Package{}
	}
	pk, err := json.Marshal(packages)
	if err != nil {
		return nil, fmt.Errorf("writing label %s: %w", LabelPackages, err)
	}
	pl, err := json.Marshal(l.Platform)
	if err != nil {
		return nil, fmt.Errorf("writing label %s: %w", LabelPlatform, err)
	}
	m := map[string]string{LabelKey: l.Key, LabelPackages: string(pk), LabelPlatform: string(pl)}
	if l.Title != "" {
		m[LabelTitle] = l.Title
	}
	if l.Version != "" {
		m[LabelVersion] = l.Version
	}
	return m, nil
}

// ParseLabels reads the labels of an image that jetcrate made.
func ParseLabels(m map[string]string) (Labels, error) {
	l := Labels{Title: m[LabelTitle], Version: m[LabelVersion], Key: m[LabelKey]}
	if err := parseLabel(m, LabelPackages, &l.Packages); err != nil {
		return Labels{}, err
	}
	if err := parseLabel(m, LabelPlatform, &l.Platform); err != nil {
		return Labels{}, err
	}
	return l, nil
}

func parseLabel(m map[string]string, label string, into any) error {
	v, ok := m[label]
	if !ok {
		return fmt.Errorf("the image has no label %s: jetcrate did not make it", label)
	}
	if err := json.Unmarshal([]byte(v), into); err != nil {
		return fmt.Errorf("reading label %s: %w", label, err)
	}
	return nil
}

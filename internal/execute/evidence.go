package execute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/jetcrate/jetcrate/internal/store"
)

// Evidence is what a test gave on an image, as it is recorded.
type Evidence struct {
	Schema      int         `json:"schema"` // 1
	Key         string      `json:"key"`    // see EvidenceKey
	Package     string      `json:"package"`
	Version     string      `json:"version"`
	Test        string      `json:"test"`
	GPU         bool        `json:"gpu,omitempty"`
	Status      Status      `json:"status"` // passed, failed, skipped, simulated
	Reason      string      `json:"reason,omitempty"`
	ExitCode    int         `json:"exitCode"`
	Seconds     float64     `json:"seconds"`
	Image       string      `json:"image"` // digest of the manifest it ran on
	Output      string      `json:"output,omitempty"`
	Environment Environment `json:"environment"`
}

// Environment is where a test ran.
type Environment struct {
	Engine  string       `json:"engine,omitempty"`  // kind and version
	Arch    string       `json:"arch"`              // of the container
	Machine string       `json:"machine,omitempty"` // "emulated" (QEMU), "native", or "device": with its GPU
	Device  *DeviceFacts `json:"device,omitempty"`  // where Machine is "device"
}

// String says it for people: "arm64, emulated".
func (e Environment) String() string {
	if e.Machine == "" {
		return e.Arch
	}
	return e.Arch + ", " + e.Machine
}

// EvidenceKey hashes a test with the content and the run-time config of an
// image: neither its labels nor the registry it lies in matter.
func EvidenceKey(content string, cfg *v1.ConfigFile) (string, error) {
	b, err := json.Marshal(struct {
		Content    string
		DiffIDs    []v1.Hash
		Env        []string
		Entrypoint []string
		User, Dir  string
		Arch       string
	}{content, cfg.RootFS.DiffIDs, cfg.Config.Env, cfg.Config.Entrypoint, cfg.Config.User, cfg.Config.WorkingDir, cfg.Architecture})
	if err != nil {
		return "", fmt.Errorf("hashing a test: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// ReadEvidence gives what is recorded under a key.
func ReadEvidence(ctx context.Context, s *store.Store, key string) (Evidence, error) {
	var e Evidence
	b, _, err := s.Evidence(ctx, key)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("reading the evidence test-%s: %w", key, err)
	}
	return e, nil
}

// record writes evidence and attaches it to the image.
func (r *run) record(ctx context.Context, e Evidence, rec store.Record) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	r.tests.add(e.Key)
	if _, err := r.Store.PutEvidence(ctx, rec.Descriptor(), e.Key, b); err != nil {
		return fmt.Errorf("recording evidence: %w", err)
	}
	return nil
}

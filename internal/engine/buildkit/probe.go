package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// probe uses all that recipes rely on and runs nothing. The first stage is not
// built, only read. (A daemon's version says little: a distribution's has its
// own, and Docker's leaves parts out.)
const probe = `FROM scratch AS unused
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 https://example.invalid/file /
FROM given AS result
COPY --link <<END /probe
probe
END
`

// lacks says in which words a daemon that is too old, or lacks a part, refuses
// the probe, and what that means.
var lacks = []struct{ says, means string }{
	{"unknown flag: checksum", "its Dockerfile frontend knows no ADD --checksum (Dockerfile 1.6, BuildKit 0.12)"},
	{"unknown flag: link", "its Dockerfile frontend knows no COPY --link (Dockerfile 1.4, BuildKit 0.10)"},
	{"dockerfile parse error", "its Dockerfile frontend knows no heredocs (Dockerfile 1.4, BuildKit 0.10)"},
	{"exporter \"oci\" could not be found", "it cannot export OCI images; in Docker 25 or newer, turn the containerd image store on"},
	{"tar=false", "it cannot export to an OCI layout (BuildKit 0.11)"},
	{"oci-layout", "it reads no OCI layouts of the client (BuildKit 0.11)"},
	{"unsupported context source", "it reads no OCI layouts of the client (BuildKit 0.11)"},
	{"Unimplemented", "it lacks a part of BuildKit's API"},
}

// errHung is a daemon that answers and does nothing.
var errHung = errors.New("it did not end a trivial build")

// examine finds out whether the daemon can do what recipes need.
func (d *daemon) examine(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*answerWait, errHung)
	defer cancel()
	dir, err := os.MkdirTemp("", "jetcrate-probe-")
	if err != nil {
		return fmt.Errorf("preparing a trivial build: %w", err)
	}
	defer os.RemoveAll(dir)
	in := filepath.Join(dir, "in")
	if err := engine.InitLayout(in); err != nil {
		return err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	cfg, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("preparing a trivial build: %w", err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "arm64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return fmt.Errorf("preparing a trivial build: %w", err)
	}
	if err := layout.Path(in).WriteImage(img); err != nil {
		return fmt.Errorf("preparing a trivial build: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("preparing a trivial build: %w", err)
	}
	_, err = d.Build(ctx, engine.Build{
		Dockerfile: []byte(probe),
		Platform:   "linux/arm64",
		Images:     map[string]engine.Image{"given": {Layout: in, Digest: digest.String()}},
		Output:     engine.Output{Layout: filepath.Join(dir, "out")},
	})
	d.forget()
	if err == nil {
		return nil
	}
	for _, l := range lacks {
		if strings.Contains(err.Error(), l.says) {
			return errors.New(l.means)
		}
	}
	return fmt.Errorf("trying a trivial build: %w", err)
}

// forget drops the stores of folders that are gone.
func (d *daemon) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.stores)
}

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jetcrate/jetcrate/ci/internal/dagger"
)

// Publish copies images of --store that passed their tests to a place for
// releases, and signs the log of it; it gives what it did.
// +cache="never"
func (m *Jetcrate) Publish(ctx context.Context, args struct {
	// Place for releases: host/path
	To string
	// Private key that signs the log; without one the entries wait for a signature
	// +optional
	Key *dagger.Secret
	// Targets; every cell of the matrix where it is left out
	// +optional
	Package []string
	// L4T release or line
	// +optional
	L4t string
	// End of the tags of images that were made again; auto: each the next number that is free
	// +optional
	Revision string
	// Only say what would change
	// +optional
	DryRun bool
}) (string, error) {
	if err := secretVariable(ctx, "JETCRATE_KEY", args.Key); err != nil {
		return "", err
	}
	what := []string{"--all"}
	if len(args.Package) > 0 {
		what = selection{targets: args.Package, l4t: args.L4t}.args()
	}
	return m.out(ctx, append([]string{"publish", "--to", args.To, "--revision=" + args.Revision, fmt.Sprintf("--dry-run=%t", args.DryRun)}, what...)...)
}

// WheelIndex gives the static files of the index of wheels that --store holds.
func (m *Jetcrate) WheelIndex(ctx context.Context) (*dagger.Directory, error) {
	if _, _, err := m.run(ctx, "wheels", "index", "wheels"); err != nil {
		return nil, err
	}
	return dag.CurrentModule().Workdir("wheels"), nil
}

// Site gives the web pages of the compatibility table of what --store holds.
func (m *Jetcrate) Site(ctx context.Context) (*dagger.Directory, error) {
	if _, _, err := m.run(ctx, "table", "--out", "table"); err != nil {
		return nil, err
	}
	if _, _, err := m.run(ctx, "site", "site", "--table", "table/table.json"); err != nil {
		return nil, err
	}
	return dag.CurrentModule().Workdir("site"), nil
}

// Verify checks an image that was published: its blobs, its place in the signed
// log, and its tests.
// +cache="never"
func (m *Jetcrate) Verify(
	ctx context.Context,
	// Image, as it was published
	image string,
	// Public keys that are trusted, one a line
	trust string,
) (string, error) {
	return m.out(ctx, "verify", "--trust", trust, "--", image)
}

// Pipeline runs a pipeline of the catalog: pipelines/NAME.yaml.
// +cache="never"
func (m *Jetcrate) Pipeline(
	ctx context.Context,
	// Name of the pipeline, such as nightly
	name string,
	// Only these jobs, and what they need
	// +optional
	job []string,
	// Event that starts it
	// +optional
	event string,
) (string, error) {
	args := append([]string{"pipeline", "run", "--engine", "dagger"}, each("--job", job)...)
	_, report, err := m.run(ctx, append(append(args, flag("--event", event)...), "--", name)...)
	return report, err
}

// secretVariable gives a secret to the command by its environment.
func secretVariable(ctx context.Context, name string, secret *dagger.Secret) error {
	if secret == nil {
		return nil
	}
	text, err := secret.Plaintext(ctx)
	if err != nil {
		return fmt.Errorf("reading the secret: %w", err)
	}
	return os.Setenv(name, text)
}

// The whole of jetcrate from `dagger call`: builds, tests, wheels and the table,
// for every L4T release and CUDA of a catalog.
//
// Each function is a command of jetcrate, run on the Dagger engine; --help of a
// function says what it takes. The catalog is this repository, or the one that
// --catalog names; --store is a registry that keeps what was made from one call
// to the next.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/ci/internal/dagger"
	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
)

// Jetcrate is the module: a catalog, and the flags of all commands.
type Jetcrate struct {
	// +private
	Catalog *dagger.Directory
	// +private
	Flags []string
}

func New(
	// Folder with matrix.yaml, packages/ and pipelines/
	// +defaultPath="/"
	// +ignore=["**", "!matrix.yaml", "!jetcrate.lock", "!packages/**", "!pipelines/**", "!testbed/matrix.yaml"]
	catalog *dagger.Directory,
	// Matrix files in the catalog; the second and later ones are overlays
	// +optional
	matrix []string,
	// Registry that keeps what was made: host/repository
	// +optional
	store string,
	// Speak plain HTTP with the store
	// +optional
	insecure bool,
) *Jetcrate {
	flags := append(each("--matrix", matrix), flag("--store", store)...)
	return &Jetcrate{Catalog: catalog, Flags: append(flags, fmt.Sprintf("--store-insecure=%t", insecure))}
}

// Build builds and tests the image of one target or of several in one image.
func (m *Jetcrate) Build(ctx context.Context, args struct {
	// Targets: name[:version][+option...], such as pytorch or pytorch,ros2:humble
	Package []string
	// L4T release (36.4.0) or a line of them (r36.4: its newest)
	L4t string
	// Version that the platform offers; its first where it is left out
	// +optional
	Cuda, Python string
	// Options of the first target, such as slam or blas=openblas
	// +optional
	Options []string
	// Name of the image
	// +optional
	Name string
}) (*dagger.Container, error) {
	file, err := m.tarball(ctx, selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options}, args.Name)
	if err != nil {
		return nil, err
	}
	return dag.Container().Import(file), nil
}

// ImageTarball builds a target and gives its image as a file for docker load.
func (m *Jetcrate) ImageTarball(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
	// +optional
	Name string
}) (*dagger.File, error) {
	return m.tarball(ctx, selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options}, args.Name)
}

// Test runs the tests of a target and gives the report; it fails when one fails.
func (m *Jetcrate) Test(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
}) (string, error) {
	s := selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options}
	_, report, err := m.run(ctx, append([]string{"test", "--engine", "dagger"}, s.args()...)...)
	return report, err
}

// Wheels builds a target and gives the artifacts of its packages: a folder each.
func (m *Jetcrate) Wheels(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
}) (*dagger.Directory, error) {
	s := selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options}
	if _, _, err := m.run(ctx, append([]string{"build", "--engine", "dagger", "--artifacts", "artifacts"}, s.args()...)...); err != nil {
		return nil, err
	}
	return dag.CurrentModule().Workdir("artifacts"), nil
}

// Push builds a target and pushes its image; it gives the reference by digest.
// +cache="never"
func (m *Jetcrate) Push(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
	// Where to: registry/repository:tag
	Registry string
	// User of the registry
	// +default="jetcrate"
	Username string
	// Password or token of the registry
	Token *dagger.Secret
}) (string, error) {
	token, err := args.Token.Plaintext(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	if err := errors.Join(os.Setenv("JETCRATE_PUSH_USER", args.Username), os.Setenv("JETCRATE_PUSH_TOKEN", token)); err != nil {
		return "", err
	}
	s := selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options}
	out, err := m.out(ctx, append([]string{"build", "--engine", "dagger", "--push", args.Registry}, s.args()...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1], err
}

// Plan gives what a target is made of, with keys, as JSON.
func (m *Jetcrate) Plan(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
}) (string, error) {
	return m.print(ctx, "plan", "json", selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options})
}

// Explain says which versions a target resolves to and why, or why it is impossible.
func (m *Jetcrate) Explain(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
}) (string, error) {
	return m.print(ctx, "explain", "text", selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options})
}

// Dockerfile gives the Dockerfile that a target renders to.
func (m *Jetcrate) Dockerfile(ctx context.Context, args struct {
	// Targets
	Package []string
	// L4T release or line
	L4t string
	// +optional
	Cuda, Python string
	// +optional
	Options []string
}) (*dagger.File, error) {
	out, err := m.print(ctx, "dockerfile", "text", selection{args.Package, args.L4t, args.Cuda, args.Python, args.Options})
	return dag.Directory().WithNewFile("Dockerfile", out).File("Dockerfile"), err
}

// Lint checks every spec of the catalog; it fails with all mistakes.
func (m *Jetcrate) Lint(ctx context.Context) (string, error) {
	return m.out(ctx, "lint")
}

// Matrix gives the cells of the matrix, for strategy.matrix of a GitHub workflow.
func (m *Jetcrate) Matrix(
	ctx context.Context,
	// Only cells with these values: AXIS=VALUE, such as l4t=36.4.0
	// +optional
	filter []string,
) (string, error) {
	return m.out(ctx, append([]string{"matrix", "-o", "github"}, each("--filter", filter)...)...)
}

// BuildAll builds and tests every cell of the matrix and gives the report.
func (m *Jetcrate) BuildAll(
	ctx context.Context,
	// Only cells with these values: AXIS=VALUE, such as l4t=36.4.0
	// +optional
	filter []string,
) (string, error) {
	_, report, err := m.run(ctx, append([]string{"build", "--all", "--engine", "dagger"}, each("--filter", filter)...)...)
	return report, err
}

// Table gives the compatibility table of what --store holds.
func (m *Jetcrate) Table(ctx context.Context) (*dagger.File, error) {
	if _, _, err := m.run(ctx, "table", "--out", "table"); err != nil {
		return nil, err
	}
	return dag.CurrentModule().WorkdirFile("table/table.json"), nil
}

// selection is what most functions take.
type selection struct {
	targets           []string
	l4t, cuda, python string
	options           []string
}

func (s selection) args() []string {
	targets := append([]string(nil), s.targets...)
	if len(targets) > 0 {
		targets[0] = strings.Join(append(targets[:1:1], s.options...), "+")
	}
	args := append(flag("--l4t", s.l4t), flag("--cuda", s.cuda)...)
	return append(append(append(args, flag("--python", s.python)...), "--"), targets...)
}

func flag(name, value string) []string {
	if value == "" {
		return nil
	}
	return []string{name, value}
}

func each(name string, values []string) (out []string) {
	for _, v := range values {
		out = append(out, flag(name, v)...)
	}
	return out
}

func (m *Jetcrate) tarball(ctx context.Context, s selection, name string) (*dagger.File, error) {
	args := append([]string{"build", "--engine", "dagger", "--tarball", "image.tar"}, flag("--name", name)...)
	if _, _, err := m.run(ctx, append(args, s.args()...)...); err != nil {
		return nil, err
	}
	return dag.CurrentModule().WorkdirFile("image.tar"), nil
}

func (m *Jetcrate) print(ctx context.Context, command, form string, s selection) (string, error) {
	return m.out(ctx, append([]string{command, "-o", form}, s.args()...)...)
}

func (m *Jetcrate) out(ctx context.Context, args ...string) (string, error) {
	stdout, _, err := m.run(ctx, args...)
	return stdout, err
}

// run runs a command of jetcrate on the catalog. What it says of a mistake or a
// failure is the error.
func (m *Jetcrate) run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	work, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	catalog := filepath.Join(work, "catalog")
	if _, err := m.Catalog.Export(ctx, catalog, dagger.DirectoryExportOpts{Wipe: true}); err != nil {
		return "", "", fmt.Errorf("reading the catalog: %w", err)
	}
	if err := os.Setenv("HOME", filepath.Join(work, "home")); err != nil {
		return "", "", err
	}
	var out, errs bytes.Buffer
	if code := jetcrate.Main(slices.Concat([]string{"--catalog", catalog}, m.Flags, args), nil, &out, &errs); code != 0 {
		return out.String(), errs.String(), errors.New(strings.TrimSpace(errs.String()))
	}
	return out.String(), errs.String(), nil
}

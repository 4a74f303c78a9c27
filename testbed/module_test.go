package testbed_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// completed copies ci/ and adds what `dagger develop` would generate: stand-ins
// from testdata/dagger, whose types are the public SDK's.
func completed(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	for to, from := range map[string]string{
		"go.mod": "ci/go.mod", "go.sum": "ci/go.sum", "main.go": "ci/main.go", "release.go": "ci/release.go",
		"dagger.gen.go":          "testbed/testdata/dagger/main.go",
		"internal/dagger/sdk.go": "testbed/testdata/dagger/sdk.go",
	} {
		b, err := os.ReadFile(filepath.Join(root, from))
		require.NoError(t, err)
		b = bytes.ReplaceAll(b, []byte("=> ../"), []byte("=> "+root))
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), b, 0o644))
	}
	return dir
}

// TestDaggerModuleCompiles builds and vets ci/ against the public SDK, so that a
// function that was renamed in internal/ or in the SDK breaks the build here.
func TestDaggerModuleCompiles(t *testing.T) {
	dir := completed(t)
	for _, args := range [][]string{{"vet", "-mod=readonly", "./..."}, {"build", "-mod=readonly", "-o", os.DevNull, "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), out)
	}
}

// TestDaggerModuleFunctions holds the module's functions and what they take.
func TestDaggerModuleFunctions(t *testing.T) {
	sources, err := filepath.Glob("../ci/*.go")
	require.NoError(t, err)
	var decls []ast.Decl
	for _, name := range sources {
		src, err := os.ReadFile(name)
		require.NoError(t, err)
		if bytes.HasPrefix(src, []byte("// Code generated")) {
			continue
		}
		require.Less(t, bytes.Count(src, []byte("\n")), 300, "ci/ is a thin shim")
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		require.NoError(t, err)
		decls = append(decls, file.Decls...)
	}
	var got []string
	for _, d := range decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() {
			continue
		}
		var args []string
		for _, p := range f.Type.Params.List {
			fields := []*ast.Field{p}
			if s, ok := p.Type.(*ast.StructType); ok {
				fields = s.Fields.List
			}
			for _, field := range fields {
				for _, name := range field.Names {
					if name.Name != "ctx" {
						args = append(args, strings.ToLower(name.Name))
					}
				}
			}
		}
		got = append(got, f.Name.Name+"("+strings.Join(args, " ")+")")
		require.NotEmpty(t, f.Doc.Text()+map[bool]string{true: "constructor"}[f.Name.Name == "New"], f.Name.Name)
	}
	sort.Strings(got)
	const selection = "package l4t cuda python options"
	require.Equal(t, []string{
		"Build(" + selection + " name)",
		"BuildAll(filter)",
		"Dockerfile(" + selection + ")",
		"Explain(" + selection + ")",
		"ImageTarball(" + selection + " name)",
		"Lint()",
		"Matrix(filter)",
		"New(catalog matrix store insecure)",
		"Pipeline(name job event)",
		"Plan(" + selection + ")",
		"Publish(to key package l4t revision dryrun)",
		"Push(" + selection + " registry username token)",
		"Site()",
		"Table()",
		"Test(" + selection + ")",
		"Verify(image trust)",
		"WheelIndex()",
		"Wheels(" + selection + ")",
	}, got)
}

// TestDaggerJSON: the module's file names a source that exists, the version of
// the SDK in ci/go.mod, and the code that ci/ imports.
func TestDaggerJSON(t *testing.T) {
	b, err := os.ReadFile("../dagger.json")
	require.NoError(t, err)
	var module struct {
		Name, EngineVersion, Source string
		SDK                         struct{ Source string }
		Include                     []string
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&module))
	require.Equal(t, "jetcrate", module.Name)
	require.Equal(t, "go", module.SDK.Source)
	require.DirExists(t, filepath.Join("..", module.Source))
	mod, err := os.ReadFile("../ci/go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), "dagger.io/dagger "+module.EngineVersion+"\n")
	require.Contains(t, string(mod), "replace github.com/jetcrate/jetcrate => ../")
	require.Contains(t, string(mod), "\ngo 1.25.5\n")
	for _, want := range []string{"go.mod", "go.sum", "internal/**/*.go"} {
		require.Contains(t, module.Include, want)
	}
}

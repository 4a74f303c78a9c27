package spec

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// editorSchema is compiled by the validator that has nothing of ours.
func editorSchema(t *testing.T, kind string, cat *Catalog) *jsonschema.Schema {
	t.Helper()
	data, err := SchemaWith(kind, cat)
	require.NoError(t, err)
	again, err := SchemaWith(kind, cat)
	require.NoError(t, err)
	require.Equal(t, string(data), string(again), "the same bytes each time")
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("https://jetcrate.invalid/editor.json", bytes.NewReader(data)))
	s, err := c.Compile("https://jetcrate.invalid/editor.json")
	require.NoError(t, err)
	return s
}

// asEditor reads YAML as an editor does, which types scalars on its own.
func asEditor(t *testing.T, text string) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v))
	data, err := json.Marshal(v)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

func TestTheEditorsSchemaTakesTheWholeCatalog(t *testing.T) {
	root := os.DirFS("../..")
	cat, list := Load(root, Options{})
	require.NoError(t, list.Err())
	check := func(kind string, docs map[string]*Document) {
		s := editorSchema(t, kind, cat)
		for name, doc := range docs {
			text, err := fs.ReadFile(root, doc.Name)
			require.NoError(t, err)
			require.NoError(t, s.Validate(asEditor(t, string(text))), name)
		}
	}
	packages, steps := map[string]*Document{}, map[string]*Document{}
	for name, p := range cat.Packages {
		packages[name] = p.Doc
	}
	for name, d := range cat.Steps {
		steps[name] = d.Doc
	}
	var mistakes diag.List
	matrix, err := fs.ReadFile(root, "matrix.yaml")
	require.NoError(t, err)
	check("package", packages)
	check("steps", steps)
	check("matrix", map[string]*Document{"matrix.yaml": parseYAML("matrix.yaml", matrix, &mistakes)})
}

func TestTheEditorsSchemaRefusesWhatThereIsNot(t *testing.T) {
	cat, list := Load(os.DirFS("../.."), Options{})
	require.NoError(t, list.Err())
	schemas := map[string]*jsonschema.Schema{"package": editorSchema(t, "package", cat), "steps": editorSchema(t, "steps", cat)}
	const head = "name: x\ngroup: g\nsummary: s\nversions: [{version: 1}]\n"
	for name, c := range map[string]struct {
		kind, text string
		bad        bool
	}{
		"a package":                      {"package", head + "depends: [numpy]", false},
		"with a version":                 {"package", head + "depends: ['numpy:2.2.6']", false},
		"with a range":                   {"package", head + "depends: ['numpy>=1.26,<3']", false},
		"with an option":                 {"package", head + "depends: ['numpy+doc']", false},
		"with a condition":               {"package", head + "depends: [{package: numpy, if: 'true'}]", false},
		"an alias":                       {"package", head + "depends: [torch]", false},
		"an alias of a version":          {"package", head + "depends: ['ros:humble']", false},
		"a package that there is not":    {"package", head + "depends: [numpyy]", true},
		"with a condition, too":          {"package", head + "depends: [{package: numpyy, if: 'true'}]", true},
		"the beginning of a name":        {"package", head + "depends: [nump]", true},
		"of a version":                   {"package", "name: x\ngroup: g\nsummary: s\nversions: [{version: 1, depends: [numpyy]}]", true},
		"in conflicts":                   {"package", head + "conflicts: [numpyy]", true},
		"a step":                         {"package", head + "install: {steps: [{uses: apt/install, with: {packages: make}}]}", false},
		"a step that there is not":       {"package", head + "install: {steps: [{uses: apt/instal, with: {packages: make}}]}", true},
		"an input that there is not":     {"package", head + "install: {steps: [{uses: apt/install, with: {package: make}}]}", true},
		"without an input that it needs": {"package", head + "install: {steps: [{uses: apt/install}]}", true},
		"a script":                       {"package", head + "install: {steps: [{run: 'true'}]}", false},
		"a range of releases":            {"package", head + "requires: {l4t: '>=36.4 <37'}", false},
		"a condition that there is not":  {"package", head + "requires: {l5t: '36.4'}", true},
		"a step that uses another":       {"steps", "name: g/x\nsummary: s\nsteps: [{uses: apt/install, with: {packages: make}}]", false},
		"one that there is not":          {"steps", "name: g/x\nsummary: s\nsteps: [{uses: apt/nothing}]", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := schemas[c.kind].Validate(asEditor(t, c.text))
			if c.bad {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
			}
		})
	}
	matrix, err := os.ReadFile("../../matrix.yaml")
	require.NoError(t, err)
	s := editorSchema(t, "matrix", cat)
	plain, _, _ := strings.Cut(string(matrix), "\nstrategy:")
	require.NoError(t, s.Validate(asEditor(t, plain+"\nstrategy: {matrix: {l4t: [36.4], package: ['numpy pytorch:2.8+x', torch], include: [{l4t: 36.4.0, package: numpy}]}}\n")))
	require.Error(t, s.Validate(asEditor(t, plain+"\nstrategy: {matrix: {package: ['numpy pytorhc']}}\n")))
	require.Error(t, s.Validate(asEditor(t, plain+"\nstrategy: {matrix: {include: [{package: pytorhc}]}}\n")))
}

// What an editor completes.
func TestTheEditorsSchemaOffersTheCatalog(t *testing.T) {
	cat, list := Load(os.DirFS("../.."), Options{})
	require.NoError(t, list.Err())
	data, err := SchemaWith("package", cat)
	require.NoError(t, err)
	for _, s := range []string{`"numpy"`, `"torch"`, `"numpy:`, `"apt/install"`, `"packages"`, `"36.4.0"`, `"36.4"`, `"sm_87"`, `"ubuntu 22.04"`, `"ml"`} {
		require.Contains(t, string(data), s)
	}
}

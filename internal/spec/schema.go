package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
)

// Kinds are the files of a catalog that have a schema, in the order in which
// `jetcrate schema` lists them.
func Kinds() []string { return []string{"package", "matrix", "steps", "lock"} }

// Schema returns the JSON schema (2020-12) of one kind of file: package,
// matrix, steps or lock. The bytes are the same on every call.
func Schema(kind string) ([]byte, error) {
	var root any
	var title string
	switch kind {
	case "package":
		root, title = Package{}, "packages/<group>/<name>/package.yaml: a package of a jetcrate catalog"
	case "matrix":
		root, title = Matrix{}, "matrix.yaml: the platforms of a jetcrate catalog, and the cells worth building"
	case "steps":
		root, title = StepDef{}, "pipelines/steps/<group>/<name>.yaml: a reusable step of a jetcrate catalog"
	case "lock":
		root, title = Lock{}, "jetcrate.lock: what a jetcrate catalog names loosely, pinned"
	default:
		return nil, fmt.Errorf("no schema is called %q", kind)
	}
	return reflectSchema(kind, title, root)
}

// reflectSchema makes the schema of the files that decode into root's type.
func reflectSchema(kind, title string, root any) ([]byte, error) {
	r := jsonschema.Reflector{Anonymous: true, ExpandedStruct: true}
	s := r.Reflect(root)
	s.ID = jsonschema.ID(kind + ".schema.json")
	s.Title = title
	if s.Definitions != nil {
		for _, d := range s.Definitions {
			widen(d)
		}
	}
	widen(s)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("encoding the schema %s: %w", kind, err)
	}
	// Parts of the schema marshal themselves and escape <, > and & for HTML.
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
	return []byte(plain.Replace(b.String())), nil
}

// widen lets text be written without quotes where YAML would see a number or a
// boolean: `version: 2.10` is the text 2.10. Load keeps such scalars as text;
// an editor, which sees them typed, must not complain either.
func widen(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.Type == "string" {
		s.Type = ""
		if s.Extras == nil {
			s.Extras = map[string]any{}
		}
		s.Extras["type"] = []string{"string", "number", "boolean"}
	}
	widen(s.Items)
	widen(s.AdditionalProperties)
	for _, a := range s.AnyOf {
		widen(a)
	}
	if s.Properties != nil {
		for p := range s.Properties.ValuesFromOldest() {
			widen(p)
		}
	}
}

// JSONSchemaExtend allows a single condition in place of a list.
func (Requires) JSONSchemaExtend(s *jsonschema.Schema) {
	list := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{list.Items, &list}}
}

// JSONSchemaExtend allows a target in place of the map.
func (Dependency) JSONSchemaExtend(s *jsonschema.Schema) {
	object := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, &object}}
}

// JSONSchemaExtend allows a reference in place of the map.
func (Base) JSONSchemaExtend(s *jsonschema.Schema) {
	object := *s
	*s = jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, &object}}
}

// JSONSchemaExtend says what the values of with are.
func (Step) JSONSchemaExtend(s *jsonschema.Schema) {
	with, _ := s.Properties.Get("with")
	with.AdditionalProperties = inputValue()
	env, _ := s.Properties.Get("env")
	env.PropertyNames = variableName()
}

// JSONSchemaExtend says what a default is.
func (Input) JSONSchemaExtend(s *jsonschema.Schema) {
	d, _ := s.Properties.Get("default")
	d.AnyOf = inputValue().AnyOf
}

// JSONSchemaExtend says what a default is.
func (Option) JSONSchemaExtend(s *jsonschema.Schema) {
	d, _ := s.Properties.Get("default")
	d.AnyOf = []*jsonschema.Schema{{Type: "boolean"}, {Type: "string"}}
}

// JSONSchemaExtend restricts the names that are keys.
func (Package) JSONSchemaExtend(s *jsonschema.Schema) {
	env, _ := s.Properties.Get("env")
	env.PropertyNames = variableName()
	options, _ := s.Properties.Get("options")
	options.PropertyNames = optionName()
}

// JSONSchemaExtend restricts the names that are keys.
func (Version) JSONSchemaExtend(s *jsonschema.Schema) {
	values, _ := s.Properties.Get("values")
	values.PropertyNames = inputName()
}

// JSONSchemaExtend restricts the names that are keys.
func (StepDef) JSONSchemaExtend(s *jsonschema.Schema) {
	inputs, _ := s.Properties.Get("inputs")
	inputs.PropertyNames = inputName()
}

// JSONSchemaExtend restricts the names that are keys.
func (Test) JSONSchemaExtend(s *jsonschema.Schema) {
	env, _ := s.Properties.Get("env")
	env.PropertyNames = variableName()
}

// inputValue is a scalar or a list of scalars. A boolean stays one, so that
// `if: inputs.submodules` means what it says; a number stays as written.
func inputValue() *jsonschema.Schema {
	scalar := func() []*jsonschema.Schema {
		return []*jsonschema.Schema{{Type: "boolean"}, {Type: "string"}}
	}
	list := &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}}
	return &jsonschema.Schema{AnyOf: append(scalar(), list)}
}

func variableName() *jsonschema.Schema {
	return &jsonschema.Schema{Pattern: "^[A-Za-z_][A-Za-z0-9_]*$"}
}

func inputName() *jsonschema.Schema {
	return &jsonschema.Schema{Pattern: "^[A-Za-z_][A-Za-z0-9_-]*$"}
}

func optionName() *jsonschema.Schema {
	return &jsonschema.Schema{Pattern: "^[a-z][a-z0-9_-]*$"}
}

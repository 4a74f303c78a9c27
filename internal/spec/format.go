package spec

import (
	"io/fs"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// Format is a kind of YAML file that another room defines. It is read as the
// files of a catalog are: bounded, with positions, under a schema made from a
// Go type, every text as it was written.
type Format struct {
	data   []byte
	schema *schema
}

// NewFormat makes the format of the files that decode into root's type. Its
// schema is <kind>.schema.json.
func NewFormat(kind, title string, root any) (*Format, error) {
	data, err := reflectSchema(kind, title, root)
	if err != nil {
		return nil, err
	}
	s, err := compileSchema(kind, data)
	if err != nil {
		return nil, err
	}
	return &Format{data: data, schema: s}, nil
}

// Schema is the JSON schema, the same bytes each time.
func (f *Format) Schema() []byte { return f.data }

// Read reads a file into v, a pointer to root's type. What is wrong is added to
// the list and left out of v. The document has a root only if it was readable.
func (f *Format) Read(fsys fs.FS, file string, v any, list *diag.List) *Document {
	data, ok := read(fsys, file, true, list)
	if !ok {
		return &Document{Name: file}
	}
	doc := parseYAML(file, data, list)
	if doc.Root != nil {
		f.schema.decode(doc, v, list)
	}
	return doc
}

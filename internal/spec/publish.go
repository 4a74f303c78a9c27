package spec

import "strings"

// Publish says what may be published where.
type Publish struct {
	Repositories []Repository `yaml:"repositories" json:"repositories" jsonschema:"minItems=1"`
}

// Repository is a place for releases, with what an image must have shown to get
// there. Whatever it says, something was tested and nothing failed.
type Repository struct {
	Repository string `yaml:"repository" json:"repository" jsonschema:"pattern=^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$,description=host/path; the image NAME goes to host/path/NAME"`
	Log        string `yaml:"log" json:"log,omitempty" jsonschema:"pattern=^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$,description=host/repository that keeps the log of what was published (default: the store)"`
	// Tests are those that must have passed, besides those of GPU.
	Tests []string `yaml:"tests" json:"tests,omitempty" jsonschema:"description=Tests that must have passed: NAME or PACKAGE/NAME (default: all that need no GPU)"`
	GPU   string   `yaml:"gpu" json:"gpu,omitempty" jsonschema:"enum=required,enum=optional,default=required,description=Whether tests that need a GPU must have passed on one"`
	// Testbed lets images of stand-in platforms in, which no release may hold.
	Testbed bool `yaml:"testbed" json:"testbed,omitempty" jsonschema:"description=A place for checks: it takes images of platforms marked testbed"`
}

// Repository finds the rules for a place. A place that the matrix does not name
// has the strictest.
func (m *Matrix) Repository(place string) Repository {
	place = strings.TrimSuffix(place, "/")
	for _, r := range m.Publish.Repositories {
		if strings.TrimSuffix(r.Repository, "/") == place {
			return r
		}
	}
	return Repository{Repository: place}
}

// GPURequired reports whether tests that need a GPU must have passed on one.
func (r Repository) GPURequired() bool { return r.GPU != "optional" }

// merge lays the places of an overlay over those that are there.
func (p *Publish) merge(over Publish) {
	for _, r := range over.Repositories {
		replaced := false
		for i := range p.Repositories {
			if p.Repositories[i].Repository == r.Repository {
				p.Repositories[i], replaced = r, true
			}
		}
		if !replaced {
			p.Repositories = append(p.Repositories, r)
		}
	}
}

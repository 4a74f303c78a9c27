// Package plan turns resolutions into a DAG of bases, sources, artifacts,
// layers, images and tests over all cells of a matrix, each key once.
//
// A key is the SHA-256 of what determines a node: the instructions as they are
// rendered, the package's files that they see, the keys of what lies below and
// the OCI platform. Tests, timeouts, resources, `hosts` and comments are in no
// key. An artifact and a linked layer stand on the closure of their own package
// alone; a stacked layer stands on its parent in the chain, and chains follow
// one order per platform, so that targets share prefixes. Gates are the tests of what
// lies below: a node is worth making only when they pass.
//
// The plan is a pure function of the catalog, its files and the cells.
package plan

import (
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// Format is part of every key. It moves when the same spec means other bytes.
const Format = 1

// Kind says what a node makes.
type Kind string

const (
	Base     Kind = "base"     // the image below everything
	Source   Kind = "source"   // a source archive, by its SHA-256
	Artifact Kind = "artifact" // what a build leaves in /out
	Stacked  Kind = "stacked"  // a layer on its parent
	Linked   Kind = "linked"   // a layer that is the same on any parent
	Image    Kind = "image"    // base + chain + linked layers + config
	Test     Kind = "test"     // a command in a container of an image
)

// Plan is the DAG. Nodes come after what they need.
type Plan struct {
	Format int     `json:"format"`
	Cells  []*Cell `json:"cells"`
	Nodes  []*Node `json:"nodes"`

	// Loose is what the plan needs that the catalog names loosely, locked or not.
	Loose []Loose `json:"-"`

	byKey map[string]*Node
}

// Node returns the node of a key, or nil.
func (p *Plan) Node(key string) *Node { return p.byKey[key] }

// Cell is one target on one platform, and what came of it.
type Cell struct {
	ID         string            `json:"id"`     // 36.4.0/tegra/cu12.6/py3.10/pytorch
	Target     string            `json:"target"` // as asked for
	Name       string            `json:"name"`   // of its image
	Tag        string            `json:"tag"`    // readable, for people
	Platform   Tuple             `json:"platform"`
	Hosts      string            `json:"hosts"` // range of host releases
	Asked      []string          `json:"asked"` // names of the packages asked for
	Packages   []PackageRef      `json:"packages,omitempty"`
	Aliases    []string          `json:"aliases,omitempty"`
	Image      string            `json:"image,omitempty"` // key
	Tests      []string          `json:"tests,omitempty"` // keys: on the cell's image
	Gates      []string          `json:"gates,omitempty"` // keys: each package on its own closure
	Impossible *solve.Impossible `json:"impossible,omitempty"`
}

// PackageRef names a package of an image.
type PackageRef struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Options map[string]string `json:"options,omitempty"` // those that differ from the default
}

// Tuple identifies a platform with its stack and Python.
type Tuple struct {
	L4T      string   `json:"l4t"`
	Flavour  string   `json:"flavour"`
	JetPack  string   `json:"jetpack,omitempty"`
	OS       spec.OS  `json:"os"`
	Arch     string   `json:"arch"`
	Python   string   `json:"python"`
	CUDA     string   `json:"cuda,omitempty"`
	CuDNN    string   `json:"cudnn,omitempty"`
	TensorRT string   `json:"tensorrt,omitempty"`
	GPU      []string `json:"gpu,omitempty"`
	Testbed  bool     `json:"testbed,omitempty"`
}

// Node is one thing to make or to check.
type Node struct {
	Key     string   `json:"key"` // 64 hex digits
	Kind    Kind     `json:"kind"`
	Package string   `json:"package,omitempty"`
	Version string   `json:"version,omitempty"`
	Needs   []string `json:"needs,omitempty"` // keys of what it is made of, in order
	Gates   []string `json:"gates,omitempty"` // keys of tests that must pass before

	Arch   string   `json:"arch"`
	Ground string   `json:"ground,omitempty"` // Source, Artifact, Linked, Test: key of the image it is made or runs on
	Test   *TestRun `json:"test,omitempty"`   // Test; many share one
	*Making

	// No part of a key.
	TimeoutMinutes float64 `json:"timeout-minutes,omitempty"`

	placed bool // while sorting
}

// Making is what it takes to make a node. Most nodes of a plan are tests, which
// share one that is empty.
type Making struct {
	Base         *BaseImage    `json:"base,omitempty"`         // Base
	Archive      *spec.Archive `json:"archive,omitempty"`      // Source
	Parent       string        `json:"parent,omitempty"`       // Stacked: key of the base or layer below
	Artifact     string        `json:"artifact,omitempty"`     // Stacked, Linked: key of the package's own artifact
	Instructions []Instruction `json:"instructions,omitempty"` // Artifact, Stacked, Linked
	Dockerfile   string        `json:"dockerfile,omitempty"`   // Stacked: file of the package that replaces instructions
	Files        []File        `json:"files,omitempty"`        // of the package, that the node can see
	Env          []Var         `json:"env,omitempty"`          // Stacked: its own; Image: what assembly sets
	Chain        []string      `json:"chain,omitempty"`        // Image: base and stacked layers, bottom up
	Linked       []string      `json:"linked,omitempty"`       // Image: linked layers, bottom up
	Labels       *Labels       `json:"labels,omitempty"`       // Image of a cell

	Resources *spec.Resources `json:"resources,omitempty"` // no part of a key
}

// Title names the node for people.
func (n *Node) Title() string {
	switch n.Kind {
	case Base:
		return "base " + n.Base.String()
	case Source:
		return "source " + n.Archive.Name()
	case Test:
		return n.Package + " " + n.Version + " test " + n.Test.Name
	case Image:
		if n.Labels != nil {
			return "image " + n.Labels.Tag
		}
		return "image of " + n.Package
	default:
		return n.Package + " " + n.Version + " " + map[Kind]string{Artifact: "build", Stacked: "layer", Linked: "linked layer"}[n.Kind]
	}
}

// BaseImage is a base: a reference, pinned or not, or a recipe.
type BaseImage struct {
	Image      string           `json:"image,omitempty"`
	Digest     string           `json:"digest,omitempty"` // from jetcrate.lock; "" is unlocked
	Mmdebstrap *spec.Mmdebstrap `json:"mmdebstrap,omitempty"`
}

func (b *BaseImage) String() string {
	switch {
	case b.Mmdebstrap != nil:
		return b.Mmdebstrap.Suite + " by mmdebstrap"
	default:
		return b.Image
	}
}

// Labels are what an image of a cell says of itself.
type Labels struct {
	Tag      string       `json:"tag"`
	Packages []PackageRef `json:"packages"`
	Platform Tuple        `json:"platform"`
	Asked    []string     `json:"asked"`
}

// Var is a variable that stays in an image. Prepend says that it is a list of
// paths that goes in front of what is there.
type Var struct {
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Prepend bool   `json:"prepend,omitempty"`
}

// Instruction is one step as one Dockerfile RUN instruction.
type Instruction struct {
	Text    string   `json:"text"`
	Step    string   `json:"step,omitempty"`    // for people: the step that it comes from; no part of a key
	Sources []string `json:"sources,omitempty"` // keys of the sources that it mounts
	Secrets []string `json:"secrets,omitempty"` // names only
}

// File is a file of a package.
type File struct {
	Path   string `json:"path"` // below the package's folder
	SHA256 string `json:"sha256"`
	Exec   bool   `json:"exec,omitempty"`
}

// TestRun is a test as it runs, on whichever image.
type TestRun struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"`
	Env     []string `json:"env,omitempty"`
	GPU     bool     `json:"gpu,omitempty"`
	Files   []File   `json:"files,omitempty"` // below the package's tests folder
	Content string   `json:"content"`         // hash of everything of the test but the image
}

// Package table is the compatibility table: which image holds which packages,
// for which platform it was made, on which hosts it runs, and what its tests
// said. It is a JSON file (schema/table.schema.json) that `jet` answers from.
//
// A row is a cell of the matrix. It is built (it has an image and evidence),
// not built, or impossible; the last two carry the reason. Rows are in one
// order, so that the same rows are the same bytes.
//
// Read is strict, because a device acts on what it says: another schema
// version, an unknown field, a broken digest, reference, release or range, or
// two current rows for one cell are refused. What a table does not say is
// unknown.
package table

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Schema is the version of the format that this package reads and writes.
const Schema = 1

// Table is the whole file.
type Table struct {
	Schema     int    `json:"schema" jsonschema:"enum=1,description=Version of this format"`
	Repository string `json:"repository,omitempty" jsonschema:"description=Where the images lie: host/repo"`
	Rows       []Row  `json:"rows"`
	// Log is the transparency log that the rows with an image were folded from;
	// a table of what one store holds has none, and nobody signed it.
	Log *Log `json:"log,omitempty" jsonschema:"description=Signed log of what was published; absent from a table of one store"`
}

// Row is one cell of the matrix.
type Row struct {
	Target string `json:"target" jsonschema:"minLength=1,description=What was asked for: name[:version][+option...] joined by spaces"`
	// Roots are the names of the packages that Target names; the other Packages
	// are there because these depend on them.
	Roots    []string  `json:"roots" jsonschema:"minItems=1,description=Names of the packages that the target names"`
	Packages []Package `json:"packages,omitempty" jsonschema:"description=Everything that the image holds; empty where the cell has no resolution"`
	Platform Platform  `json:"platform"`
	Hosts    string    `json:"hosts" jsonschema:"minLength=1,description=Range of host releases on which the image runs: >=36.4 <37"`
	Status   Status    `json:"status" jsonschema:"enum=current,enum=superseded,enum=withdrawn"`
	State    State     `json:"state" jsonschema:"enum=built,enum=not built,enum=impossible"`
	Reason   string    `json:"reason,omitempty" jsonschema:"description=Why there is no image"`
	Image    *Image    `json:"image,omitempty"`
	Evidence Evidence  `json:"evidence"`

	Published  *Published  `json:"published,omitempty" jsonschema:"description=Where in the log the image was published"`
	Withdrawal *Withdrawal `json:"withdrawal,omitempty" jsonschema:"description=Why the image must not be used any more"`
}

// Package is one package of an image, in the version that it holds.
type Package struct {
	Name    string `json:"name" jsonschema:"minLength=1"`
	Version string `json:"version" jsonschema:"minLength=1"`
	// Aliases are other names, as the spec gives them: of the package (torch),
	// or of a version of it (ros:humble).
	Aliases []string          `json:"aliases,omitempty"`
	Options map[string]string `json:"options,omitempty" jsonschema:"description=Options that differ from their defaults"`
	Models  int64             `json:"models,omitempty" jsonschema:"minimum=0,description=Bytes that its models take on the device"`
}

// Platform is what the image was made for.
type Platform struct {
	L4T     string   `json:"l4t" jsonschema:"description=Release: 36.4.0"`
	Flavour string   `json:"flavour" jsonschema:"enum=tegra,enum=sbsa"`
	JetPack string   `json:"jetpack,omitempty"`
	OS      OS       `json:"os"`
	Arch    string   `json:"arch" jsonschema:"enum=arm64,enum=amd64"`
	Python  string   `json:"python,omitempty"`
	CUDA    *CUDA    `json:"cuda,omitempty"`
	GPU     []string `json:"gpu,omitempty" jsonschema:"description=SM architectures: sm_87"`
	Testbed bool     `json:"testbed,omitempty" jsonschema:"description=A stand-in for checks; never a real release"`
}

// OS is /etc/os-release's ID and VERSION_ID.
type OS struct {
	ID      string `json:"id" jsonschema:"minLength=1"`
	Version string `json:"version" jsonschema:"minLength=1"`
}

// CUDA is the stack of the image: CUDA, cuDNN and TensorRT belong together.
type CUDA struct {
	Version  string `json:"version" jsonschema:"minLength=1"`
	CuDNN    string `json:"cudnn,omitempty"`
	TensorRT string `json:"tensorrt,omitempty"`
}

// Image is where an image lies.
type Image struct {
	Reference string `json:"reference" jsonschema:"description=host/repo:tag"`
	Digest    string `json:"digest" jsonschema:"pattern=^sha256:[0-9a-f]{64}$"`
	Key       string `json:"key" jsonschema:"minLength=1"`
	Size      int64  `json:"size" jsonschema:"minimum=0,description=Bytes to pull (compressed)"`
}

// Pinned is the reference by digest: host/repo@sha256:...
func (i Image) Pinned() string {
	repo := i.Reference
	if slash, colon := strings.LastIndexByte(repo, '/'), strings.LastIndexByte(repo, ':'); colon > slash {
		repo = repo[:colon]
	}
	return repo + "@" + i.Digest
}

// Evidence is what the tests of the image said.
type Evidence struct {
	Passed    int          `json:"passed" jsonschema:"minimum=0"`
	Failed    int          `json:"failed" jsonschema:"minimum=0"`
	Skipped   int          `json:"skipped" jsonschema:"minimum=0"`
	Simulated int          `json:"simulated" jsonschema:"minimum=0"`
	Tests     []TestResult `json:"tests,omitempty"`
}

// TestResult is one test of one package.
type TestResult struct {
	Package     string `json:"package" jsonschema:"minLength=1"`
	Name        string `json:"name" jsonschema:"minLength=1"`
	Status      Result `json:"status" jsonschema:"enum=passed,enum=failed,enum=skipped,enum=simulated"`
	Reason      string `json:"reason,omitempty" jsonschema:"description=Why it was skipped or failed"`
	Environment string `json:"environment,omitempty" jsonschema:"description=Where it ran: qemu, native, device"`
}

// LackedGPU reports a test that asks for a GPU and had none, or a pretended one.
func (t TestResult) LackedGPU() bool {
	return t.Status == Simulated || t.Status == Skipped && strings.HasPrefix(t.Reason, "no GPU")
}

// Status says whether a row still counts.
type Status string

const (
	Current    Status = "current"
	Superseded Status = "superseded"
	Withdrawn  Status = "withdrawn"
)

// State says what became of the cell.
type State string

const (
	Built      State = "built"
	NotBuilt   State = "not built"
	Impossible State = "impossible"
)

// Result is how a test ended.
type Result string

const (
	Passed    Result = "passed"
	Failed    Result = "failed"
	Skipped   Result = "skipped"
	Simulated Result = "simulated"
)

// Count sets the four counters from Tests.
func (e *Evidence) Count() {
	e.Passed, e.Failed, e.Skipped, e.Simulated = e.counts()
}

func (e Evidence) counts() (passed, failed, skipped, simulated int) {
	for _, t := range e.Tests {
		switch t.Status {
		case Passed:
			passed++
		case Failed:
			failed++
		case Skipped:
			skipped++
		case Simulated:
			simulated++
		}
	}
	return passed, failed, skipped, simulated
}

// Tested reports whether something was tested and nothing failed. A simulated
// or a skipped test is no test.
func (e Evidence) Tested() bool { return e.Passed > 0 && e.Failed == 0 }

// Package returns the package of that name.
func (r *Row) Package(name string) (Package, bool) {
	for _, p := range r.Packages {
		if p.Name == name {
			return p, true
		}
	}
	return Package{}, false
}

// Cell names the cell for people: "pytorch on r36.4.0, CUDA 12.6, Python 3.10".
func (r *Row) Cell() string {
	return r.Target + " on " + r.Platform.String()
}

// String names the platform for people: "r36.4.0, CUDA 12.6, Python 3.10".
func (p Platform) String() string {
	s := "r" + p.L4T
	if p.Flavour == "sbsa" {
		s += " sbsa"
	}
	if p.CUDA != nil {
		s += ", CUDA " + p.CUDA.Version
	}
	if p.Python != "" {
		s += ", Python " + p.Python
	}
	return s
}

// Sort puts rows into the table's one order: target, newest release first,
// flavour, CUDA, Python, status, key. Packages and tests of a row keep theirs.
func (t *Table) Sort() {
	slices.SortStableFunc(t.Rows, compareRows)
}

func compareRows(a, b Row) int {
	key := ""
	otherKey := ""
	if a.Image != nil {
		key = a.Image.Key
	}
	if b.Image != nil {
		otherKey = b.Image.Key
	}
	return cmp.Or(
		strings.Compare(a.Target, b.Target),
		-compareReleases(a.Platform.L4T, b.Platform.L4T),
		strings.Compare(a.Platform.Flavour, b.Platform.Flavour),
		strings.Compare(a.cuda(), b.cuda()),
		strings.Compare(a.Platform.Python, b.Platform.Python),
		strings.Compare(string(a.Status), string(b.Status)),
		strings.Compare(key, otherKey),
	)
}

func (r *Row) cuda() string {
	if r.Platform.CUDA == nil {
		return ""
	}
	return r.Platform.CUDA.Version
}

func compareReleases(a, b string) int {
	ra, errA := version.ParseL4T(a)
	rb, errB := version.ParseL4T(b)
	if errA != nil || errB != nil {
		return strings.Compare(a, b)
	}
	return ra.Compare(rb)
}

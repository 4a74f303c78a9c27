package spec

// Package is packages/<group>/<name>/package.yaml: what a package is, which
// versions of it exist, and how it is built, installed and tested.
type Package struct {
	Name      string            `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9][a-z0-9_.-]*$,maxLength=64,description=Name of the package; also the name of its folder"`
	Aliases   []string          `yaml:"aliases" json:"aliases,omitempty" jsonschema:"description=Other names: of the package (torch) or of a version of it (ros:humble)"`
	Group     string            `yaml:"group" json:"group" jsonschema:"description=Folder below packages/ that holds it"`
	Summary   string            `yaml:"summary" json:"summary" jsonschema:"minLength=1,maxLength=200,description=What it is; one line"`
	Homepage  string            `yaml:"homepage" json:"homepage,omitempty" jsonschema:"pattern=^https?://"`
	License   string            `yaml:"license" json:"license,omitempty" jsonschema:"description=SPDX licence expression"`
	Depends   []Dependency      `yaml:"depends" json:"depends,omitempty" jsonschema:"description=Packages that the image must hold below this one"`
	Conflicts []Dependency      `yaml:"conflicts" json:"conflicts,omitempty" jsonschema:"description=Packages that an image must not hold beside this one"`
	Requires  Requires          `yaml:"requires" json:"requires,omitempty" jsonschema:"description=Platforms on which the package is possible"`
	Options   map[string]Option `yaml:"options" json:"options,omitempty" jsonschema:"description=What a target may choose with name+option or name+option=value"`
	Versions  []Version         `yaml:"versions" json:"versions" jsonschema:"minItems=1,description=The versions that exist; newest first"`
	Env       map[string]string `yaml:"env" json:"env,omitempty" jsonschema:"description=Variables that stay in the image; PATH-like ones are prepended"`
	Build     *Build            `yaml:"build" json:"build,omitempty" jsonschema:"description=A throw-away stage; what it leaves in /out is the artifact"`
	Install   *Install          `yaml:"install" json:"install,omitempty" jsonschema:"description=What the package adds to the image"`
	// Dockerfile replaces install.steps: a file of the package that starts with
	// ARG BASE_IMAGE and FROM ${BASE_IMAGE}.
	Dockerfile string   `yaml:"dockerfile" json:"dockerfile,omitempty" jsonschema:"description=A Dockerfile of the package in place of install.steps"`
	Tests      []Test   `yaml:"tests" json:"tests,omitempty" jsonschema:"description=Checks that run in a container of the finished image"`
	Storage    *Storage `yaml:"storage" json:"storage,omitempty" jsonschema:"description=Disk that the package needs on a device"`
	// Accelerators are those that the package can use; no part of a key.
	Accelerators []string `yaml:"accelerators" json:"accelerators,omitempty" jsonschema:"enum=gpu,enum=dla,enum=pva,enum=ofa,enum=vic,enum=nvenc,enum=nvdec,description=Accelerators of a module that it can use"`
	Docs         string   `yaml:"docs" json:"docs,omitempty" jsonschema:"pattern=^https?://,description=Where its documentation is"`

	Doc *Document `yaml:"-" json:"-"` // where it was read from
}

// Dependency is one entry of depends: "numpy", "numpy>=1.26,<2",
// "pytorch:2.8+distributed", or a map with a condition.
type Dependency struct {
	Target string `yaml:"package" json:"package" jsonschema:"description=name[:version or PEP 440 range][+option...]"`
	If     string `yaml:"if" json:"if,omitempty" jsonschema:"description=Expression; the dependency holds where it is true"`
}

// Requires is a list of conditions of which one must hold (OR). In YAML a
// single map stands for a list of one. An empty list always holds.
type Requires []Condition

// Condition is a conjunction (AND) of ranges over properties of a platform and
// its CUDA stack, such as {l4t: ">=36.4 <37", cuda: ">=12.6"}. Empty fields hold.
type Condition struct {
	L4T      string `yaml:"l4t" json:"l4t,omitempty" jsonschema:"example=>=36.4 <37"`
	JetPack  string `yaml:"jetpack" json:"jetpack,omitempty"`
	CUDA     string `yaml:"cuda" json:"cuda,omitempty"`
	CuDNN    string `yaml:"cudnn" json:"cudnn,omitempty"`
	TensorRT string `yaml:"tensorrt" json:"tensorrt,omitempty"`
	Python   string `yaml:"python" json:"python,omitempty"`
	OS       string `yaml:"os" json:"os,omitempty" jsonschema:"description=An OS and a range of its versions: ubuntu >=22.04"`
	Flavour  string `yaml:"flavour" json:"flavour,omitempty" jsonschema:"enum=tegra,enum=sbsa"`
	GPU      string `yaml:"gpu" json:"gpu,omitempty" jsonschema:"description=An SM architecture that the platform must have: sm_87, or a range: >=8.7"`
	Arch     string `yaml:"arch" json:"arch,omitempty" jsonschema:"enum=arm64,enum=amd64"`
}

// Option is something that a target may choose.
type Option struct {
	Description string   `yaml:"description" json:"description"`
	Type        string   `yaml:"type" json:"type,omitempty" jsonschema:"enum=boolean,enum=string,default=boolean"`
	Default     any      `yaml:"default" json:"default,omitempty" jsonschema:"description=true or false; for a string one of its choices"`
	Choices     []string `yaml:"choices" json:"choices,omitempty"`
}

// Version is one version of a package. Versions that are not PEP 440 rank by
// their order in the file, newest first.
type Version struct {
	Version   string       `yaml:"version" json:"version" jsonschema:"minLength=1,maxLength=64,pattern=^[A-Za-z0-9][A-Za-z0-9.+_-]*$"`
	Source    string       `yaml:"source" json:"source,omitempty" jsonschema:"description=Where the facts of this version come from"`
	Requires  Requires     `yaml:"requires" json:"requires,omitempty"`
	Default   Requires     `yaml:"default" json:"default,omitempty" jsonschema:"description=Where this version is preferred; {} means everywhere"`
	Depends   []Dependency `yaml:"depends" json:"depends,omitempty"`
	Conflicts []Dependency `yaml:"conflicts" json:"conflicts,omitempty"`
	Archive   *Archive     `yaml:"archive" json:"archive,omitempty"`
	// Values are free strings that steps read as ${{ package.values.NAME }}.
	Values map[string]string `yaml:"values" json:"values,omitempty"`
}

// Archive is a source archive: its bytes are named by their SHA-256, and the
// places are tried in order.
type Archive struct {
	SHA256 string   `yaml:"sha256" json:"sha256" jsonschema:"pattern=^[0-9a-f]{64}$"`
	URLs   []string `yaml:"urls" json:"urls,omitempty" jsonschema:"description=Places that serve exactly these bytes"`
	// Debian is a path below the root of any Debian mirror, such as
	// pool/main/m/markupsafe/markupsafe_2.1.2.orig.tar.gz; it is read from the
	// mirror that the image's apt is configured for.
	Debian string `yaml:"debian" json:"debian,omitempty" jsonschema:"pattern=^pool/[A-Za-z0-9/._+~%-]+$"`
}

// Build is the phase that makes the artifact, in a throw-away stage.
type Build struct {
	Depends   []Dependency `yaml:"depends" json:"depends,omitempty" jsonschema:"description=Packages that only the build needs"`
	Resources *Resources   `yaml:"resources" json:"resources,omitempty"`
	Steps     []Step       `yaml:"steps" json:"steps" jsonschema:"minItems=1"`
}

// Resources bound a build; they are no part of a key.
type Resources struct {
	MemoryPerJob string `yaml:"memory-per-job" json:"memory-per-job,omitempty" jsonschema:"pattern=^[0-9]+(MiB|GiB)$,description=Memory of one compile job"`
}

// Install is the phase that makes the layer.
type Install struct {
	// Brings is for the lock: what depends on these is not resolved again.
	Brings []string `yaml:"brings" json:"brings,omitempty" jsonschema:"description=Python distributions that are there afterwards and that no step names: torch==2.8.0, or pycparser in whichever version"`
	Steps  []Step   `yaml:"steps" json:"steps" jsonschema:"minItems=1"`
}

// Step is a GitHub Actions step. Exactly one of uses and run is given.
type Step struct {
	Name    string            `yaml:"name" json:"name,omitempty"`
	ID      string            `yaml:"id" json:"id,omitempty"`
	If      string            `yaml:"if" json:"if,omitempty" jsonschema:"description=Expression that is evaluated while planning; the step is left out where it is false"`
	Uses    string            `yaml:"uses" json:"uses,omitempty" jsonschema:"description=A step of pipelines/steps such as apt/install"`
	With    map[string]any    `yaml:"with" json:"with,omitempty" jsonschema:"description=Inputs of the step that uses names"`
	Run     string            `yaml:"run" json:"run,omitempty" jsonschema:"description=A shell script. Values with characters that a shell would interpret must come through env"`
	Env     map[string]string `yaml:"env" json:"env,omitempty"`
	Secrets []string          `yaml:"secrets" json:"secrets,omitempty" jsonschema:"description=Secrets mounted at /run/secrets/NAME while the step runs"`
	Shell   string            `yaml:"shell" json:"shell,omitempty" jsonschema:"enum=sh,enum=bash,default=sh"`
	// WorkingDirectory is absolute; it is made if it does not exist.
	WorkingDirectory string   `yaml:"working-directory" json:"working-directory,omitempty" jsonschema:"pattern=^/"`
	TimeoutMinutes   float64  `yaml:"timeout-minutes" json:"timeout-minutes,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1440"`
	Cache            []string `yaml:"cache" json:"cache,omitempty" jsonschema:"enum=apt,enum=pip,enum=ccache,description=Caches of the engine that the step may use"`
	// Fetch is an expression that gives an archive; its verified bytes are
	// mounted read-only as the only file of /source while the step runs.
	Fetch string `yaml:"fetch" json:"fetch,omitempty" jsonschema:"description=Expression that gives an archive; its verified bytes are mounted as the only file of /source"`
}

// StepDef is pipelines/steps/<group>/<name>.yaml, a reusable step.
type StepDef struct {
	Name    string           `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9-]+/[a-z0-9-]+$"`
	Summary string           `yaml:"summary" json:"summary" jsonschema:"minLength=1"`
	Linked  bool             `yaml:"linked" json:"linked,omitempty" jsonschema:"description=The step only adds files of its own; it writes below $DESTDIR only"`
	Apt     bool             `yaml:"apt" json:"apt,omitempty" jsonschema:"description=The step installs with apt; the lock's apt epoch is part of its key"`
	Inputs  map[string]Input `yaml:"inputs" json:"inputs,omitempty"`
	// Brings are Python distributions that the step installs beside those of
	// its input's lock.
	Brings []string `yaml:"brings" json:"brings,omitempty" jsonschema:"description=Python distributions that the step installs: name==version, or a name"`
	Steps  []Step   `yaml:"steps" json:"steps" jsonschema:"minItems=1"`

	Doc *Document `yaml:"-" json:"-"`
}

// Input is something that a reusable step takes with `with:`.
type Input struct {
	Description string `yaml:"description" json:"description"`
	Required    bool   `yaml:"required" json:"required,omitempty"`
	Default     any    `yaml:"default" json:"default,omitempty"`
	// Lock fills the input in from jetcrate.lock.
	Lock *InputLock `yaml:"lock" json:"lock,omitempty" jsonschema:"description=What fills it in from jetcrate.lock where nothing is given"`
}

// Test is a check that runs in a container of the finished image.
type Test struct {
	Name string `yaml:"name" json:"name" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9_.-]*$"`
	Run  string `yaml:"run" json:"run,omitempty" jsonschema:"minLength=1"`
	// Uses is instead of Run: a step of one command, such as gpu/smoke.
	Uses string         `yaml:"uses" json:"uses,omitempty" jsonschema:"description=A step of pipelines/steps such as gpu/smoke"`
	With map[string]any `yaml:"with" json:"with,omitempty" jsonschema:"description=Inputs of the step that is used"`
	If   string         `yaml:"if" json:"if,omitempty"`
	GPU  bool           `yaml:"gpu" json:"gpu,omitempty" jsonschema:"description=Runs only where there is a GPU; elsewhere the evidence says skipped: no GPU"`
	// Env is set for the test alone.
	Env            map[string]string `yaml:"env" json:"env,omitempty"`
	Shell          string            `yaml:"shell" json:"shell,omitempty" jsonschema:"enum=sh,enum=bash,default=sh"`
	TimeoutMinutes float64           `yaml:"timeout-minutes" json:"timeout-minutes,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1440,default=10"`
}

// Storage is disk that a package needs on a device, such as 9GiB.
type Storage struct {
	Image  string `yaml:"image" json:"image,omitempty" jsonschema:"pattern=^[0-9]+(\\.[0-9]+)?(MiB|GiB)$"`
	Models string `yaml:"models" json:"models,omitempty" jsonschema:"pattern=^[0-9]+(\\.[0-9]+)?(MiB|GiB)$"`
}

// Matrix is matrix.yaml: the platforms, and the cells worth building.
type Matrix struct {
	Platforms []Platform `yaml:"platforms" json:"platforms" jsonschema:"minItems=1"`
	Modules   []Module   `yaml:"modules" json:"modules,omitempty" jsonschema:"description=Modules and developer kits with their accelerators"`
	Strategy  Strategy   `yaml:"strategy" json:"strategy,omitempty" jsonschema:"description=The cells worth building"`
	Publish   Publish    `yaml:"publish" json:"publish,omitempty" jsonschema:"description=What may be published where"`
}

// Module is one kind of device. What is neither in Has nor in Lacks is unknown.
type Module struct {
	Name   string   `yaml:"name" json:"name" jsonschema:"minLength=1"`
	Source string   `yaml:"source" json:"source" jsonschema:"minLength=1,description=Where the facts of this record come from"`
	GPU    string   `yaml:"gpu" json:"gpu" jsonschema:"description=SM architecture: sm_87"`
	Has    []string `yaml:"has" json:"has,omitempty" jsonschema:"enum=gpu,enum=dla,enum=pva,enum=ofa,enum=vic,enum=nvenc,enum=nvdec"`
	Lacks  []string `yaml:"lacks" json:"lacks,omitempty" jsonschema:"enum=gpu,enum=dla,enum=pva,enum=ofa,enum=vic,enum=nvenc,enum=nvdec"`
}

// Platform is one L4T release with one flavour.
type Platform struct {
	L4T     string   `yaml:"l4t" json:"l4t" jsonschema:"pattern=^[0-9]+\\.[0-9]+(\\.[0-9]+)?$,example=36.4.0"`
	Source  string   `yaml:"source" json:"source,omitempty" jsonschema:"description=Where the facts of this record come from"`
	JetPack string   `yaml:"jetpack" json:"jetpack,omitempty"`
	OS      OS       `yaml:"os" json:"os"`
	Arch    string   `yaml:"arch" json:"arch,omitempty" jsonschema:"enum=arm64,enum=amd64,default=arm64"`
	Flavour string   `yaml:"flavour" json:"flavour,omitempty" jsonschema:"enum=tegra,enum=sbsa,default=tegra"`
	GPU     []string `yaml:"gpu" json:"gpu,omitempty" jsonschema:"description=SM architectures: sm_87"`
	Python  []string `yaml:"python" json:"python" jsonschema:"minItems=1,description=The first is the default"`
	CUDA    []Stack  `yaml:"cuda" json:"cuda,omitempty" jsonschema:"description=CUDA stacks; the first is the default"`
	Base    Base     `yaml:"base" json:"base"`
	Hosts   string   `yaml:"hosts" json:"hosts" jsonschema:"description=Range of host releases on which images of this platform run: >=36.4 <37"`
	Testbed bool     `yaml:"testbed" json:"testbed,omitempty" jsonschema:"description=A stand-in for checks; never reaches a release repository or the real table"`

	Pos Positioner `yaml:"-" json:"-"` // positions of this record, whichever file it came from
}

// OS is /etc/os-release's ID and VERSION_ID.
type OS struct {
	ID      string `yaml:"id" json:"id" jsonschema:"pattern=^[a-z0-9._-]+$"`
	Version string `yaml:"version" json:"version" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9.+_-]*$"`
}

// Stack is one CUDA with its cuDNN and TensorRT: one record, never three lists.
type Stack struct {
	Source   string `yaml:"source" json:"source,omitempty" jsonschema:"description=Where the stack comes from; none means the source of the platform"`
	Version  string `yaml:"version" json:"version"`
	CuDNN    string `yaml:"cudnn" json:"cudnn,omitempty"`
	TensorRT string `yaml:"tensorrt" json:"tensorrt,omitempty"`
}

// Base is the image below everything: a reference (a scalar in YAML), or a
// recipe that makes one.
type Base struct {
	Image      string      `yaml:"image" json:"image,omitempty"`
	Mmdebstrap *Mmdebstrap `yaml:"mmdebstrap" json:"mmdebstrap,omitempty" jsonschema:"description=A Debian base made on this machine from its own mirror"`
}

// Mmdebstrap is a base image made from Debian's packages by mmdebstrap(1).
type Mmdebstrap struct {
	Suite   string   `yaml:"suite" json:"suite" jsonschema:"pattern=^[a-z]+$"`
	Variant string   `yaml:"variant" json:"variant,omitempty" jsonschema:"enum=apt,enum=essential,enum=minbase,default=apt"`
	Include []string `yaml:"include" json:"include,omitempty"`
}

// Strategy holds the matrix, with the semantics of GitHub Actions.
type Strategy struct {
	Matrix Axes `yaml:"matrix" json:"matrix,omitempty" jsonschema:"description=Axes as GitHub Actions knows them"`

	Pos Positioner `yaml:"-" json:"-"` // positions of the strategy, whichever file it came from; nil without one
}

// Axes are the axes of the matrix. The value "default" of cuda and python
// means the platform's first; an entry of l4t may name a line (36.4).
type Axes struct {
	L4T     []string            `yaml:"l4t" json:"l4t,omitempty"`
	Flavour []string            `yaml:"flavour" json:"flavour,omitempty"`
	Package []string            `yaml:"package" json:"package,omitempty" jsonschema:"description=Targets: name[:version][+option...]; several joined by a space make one image"`
	CUDA    []string            `yaml:"cuda" json:"cuda,omitempty"`
	Python  []string            `yaml:"python" json:"python,omitempty"`
	Include []map[string]string `yaml:"include" json:"include,omitempty"`
	Exclude []map[string]string `yaml:"exclude" json:"exclude,omitempty"`
}

// Catalog is everything that was loaded, checked and typed.
type Catalog struct {
	Packages map[string]*Package
	Aliases  map[string]string // alias -> target, such as torch -> pytorch, ros:humble -> ros2:humble
	Steps    map[string]*StepDef
	Matrix   *Matrix
	Lock     *Lock
}

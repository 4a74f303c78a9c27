package testbed_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"mvdan.cc/sh/v3/syntax"

	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table/page"
)

var update = flag.Bool("update", false, "write docs/catalog.md's table anew")

// catalog loads the catalog of this repository.
func catalog(t *testing.T) *spec.Catalog {
	t.Helper()
	cat, list := spec.Load(os.DirFS(".."), spec.Options{})
	require.NoError(t, list.Err())
	return cat
}

// TestMustResolve holds the combinations that have to be possible: a catalog
// that refuses too much is as wrong as one that allows too much.
func TestMustResolve(t *testing.T) {
	cat := catalog(t)
	solver := solve.New(cat)
	text, err := os.ReadFile("testdata/must-resolve.txt")
	require.NoError(t, err)
	for i, line := range strings.Split(string(text), "\n") {
		line, source, _ := strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		t.Run(strings.Join(words, " "), func(t *testing.T) {
			require.NotEmpty(t, strings.TrimSpace(source), "line %d has no source", i+1)
			choice := solve.Choice{}
			var targets []spec.Target
			for _, w := range words {
				switch cuda, isCUDA := strings.CutPrefix(w, "cuda="); {
				case isCUDA:
					choice.CUDA = cuda
				case w == "sbsa":
					choice.Flavour = w
				case regexp.MustCompile(`^[0-9]+\.[0-9.]+$`).MatchString(w):
					choice.L4T = w
				default:
					target, err := spec.ParseTarget(w)
					require.NoError(t, err)
					targets = append(targets, target)
				}
			}
			pl, err := solve.Find(cat.Matrix, choice)
			require.NoError(t, err)
			_, err = solver.Solve(solve.Query{Targets: targets, Platform: pl})
			require.NoError(t, err)
		})
	}
}

// TestEveryPackageIsPossibleSomewhere solves each package on every platform
// with every stack: what is impossible says why, and nothing is impossible on
// all of them.
func TestEveryPackageIsPossibleSomewhere(t *testing.T) {
	cat := catalog(t)
	solver := solve.New(cat)
	for _, name := range cat.Names() {
		if cat.Packages[name] == nil {
			continue // an alias
		}
		possible := false
		for i := range cat.Matrix.Platforms {
			p := &cat.Matrix.Platforms[i]
			for _, stack := range p.CUDA {
				pl := solve.Platform{Platform: p, Stack: stack, Python: p.Python[0]}
				_, err := solver.At(pl).Solve([]spec.Target{{Name: name}}, nil)
				if err == nil {
					possible = true
					continue
				}
				imp, ok := err.(*solve.Impossible)
				require.True(t, ok, "%s on %s with CUDA %s: %v", name, pl, stack.Version, err)
				require.NotEmpty(t, imp.Reasons, "%s on %s with CUDA %s", name, pl, stack.Version)
			}
		}
		require.True(t, possible, "%s is possible nowhere", name)
	}
}

// TestPackagesSayWhatTheyAre: what a reader of the catalog is told of each.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	cat := catalog(t)
	for _, name := range cat.Names() {
		p := cat.Packages[name]
		if p == nil {
			continue // an alias
		}
		for i := range p.Versions {
			require.NotEmpty(t, p.Versions[i].Source, "%s %s has no source", name, p.Versions[i].Version)
		}
		anywhere, gpu := 0, 0
		for _, test := range p.Tests {
			if test.GPU {
				gpu++
			} else if test.If == "" {
				anywhere++
			}
		}
		if p.Group != "meta" {
			require.NotEmpty(t, p.Homepage, "%s has no homepage", name)
			require.NotEmpty(t, p.License, "%s has no licence", name)
			require.NotZero(t, anywhere, "%s has no test that runs without a GPU", name)
		}
		if slices.Contains(p.Accelerators, "gpu") {
			require.NotZero(t, gpu, "%s uses the GPU and has no GPU test", name)
		}
		require.NotEmpty(t, p.Tests, "%s has no test", name)
	}
	for i := range cat.Matrix.Platforms {
		require.NotEmpty(t, cat.Matrix.Platforms[i].Source, "r%s has no source", cat.Matrix.Platforms[i].L4T)
	}
}

// mission lists what the catalog has to hold, by the names that people type.
func mission() []string {
	return strings.Fields(`build-essential cmake ninja python rust go nodejs llvm protobuf
		l4t-base l4t-cuda l4t-tensorrt cuda cudnn tensorrt nccl numpy onnx pytorch torchvision torchaudio triton
		l4t-pytorch tensorflow onnxruntime transformers huggingface-hub bitsandbytes flash-attention jupyterlab scipy
		pandas scikit-learn l4t-ml jetpack-core opencv vpi gstreamer ffmpeg deepstream ros ros2 ros2_nanollm nano_llm
		mlc llava llama-cpp ollama vllm whisper faster-whisper ctranslate2 parler-tts piper yolov8 movenet
		stable-diffusion comfyui jetson-utils jetson-inference`)
}

// TestAvailability holds the table of docs/catalog.md: each package of the
// mission on every platform, and below it why not.
func TestAvailability(t *testing.T) {
	cat := catalog(t)
	solver := solve.New(cat)
	type column struct {
		on    []*spec.Platform
		cells []string // by package
	}
	var columns []*column
	for i := range cat.Matrix.Platforms {
		c := &column{on: []*spec.Platform{&cat.Matrix.Platforms[i]}}
		for _, name := range mission() {
			c.cells = append(c.cells, available(t, solver, c.on[0], name))
		}
		same := slices.IndexFunc(columns, func(x *column) bool { return slices.Equal(x.cells, c.cells) })
		if same < 0 {
			columns = append(columns, c)
		} else {
			columns[same].on = append(columns[same].on, c.on[0])
		}
	}
	var b, why strings.Builder
	b.WriteString("| package |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", solve.Label(cat.Matrix, c.on))
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for i, name := range mission() {
		_, p, err := solve.Lookup(cat, spec.Target{Name: name})
		require.NoError(t, err, "the mission names %s", name)
		fmt.Fprintf(&b, "| [%s](packages/%s.md) |", p.Name, p.Name)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.cells[i])
		}
		b.WriteString("\n")
		rows, err := page.Grid(cat, p)
		require.NoError(t, err)
		for _, r := range rows {
			if r.Reason != "" {
				fmt.Fprintf(&why, "- %s, not on %s: %s\n", p.Name, r.On, strings.ReplaceAll(r.Reason, "<", "&lt;"))
			}
		}
	}
	b.WriteString("\nWhy not, with the first of the platforms named and its first stack:\n\n" + why.String())
	const file, mark = "../docs/catalog.md", "<!-- table -->\n"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	above, have, found := strings.Cut(string(text), mark)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(above+mark+b.String()), 0o644))
		return
	}
	require.Equal(t, b.String(), have, "docs/catalog.md is not what the catalog says: go test ./testbed -run Availability -update")
}

// available is the version that a target without one gets on a platform, with
// the first stack that has one; "no" where none has.
func available(t *testing.T, solver *solve.Solver, on *spec.Platform, name string) string {
	t.Helper()
	for i, stack := range on.CUDA {
		r, err := solver.At(solve.Platform{Platform: on, Stack: stack, Python: on.Python[0]}).Solve([]spec.Target{{Name: name}}, nil)
		var impossible *solve.Impossible
		if errors.As(err, &impossible) {
			continue
		}
		require.NoError(t, err, name)
		if i == 0 {
			return r.Targets[0].Version.Version
		}
		return r.Targets[0].Version.Version + " (CUDA " + stack.Version + ")"
	}
	return "no"
}

// TestEveryRecipeIsClean plans each package on every platform with every stack
// and renders what that is made of: BuildKit's frontend takes the Dockerfiles
// without a warning, and the scripts in them are shell.
func TestEveryRecipeIsClean(t *testing.T) {
	cat := catalog(t)
	seen := map[string]bool{} // keys of nodes
	for i := range cat.Matrix.Platforms {
		platform := &cat.Matrix.Platforms[i]
		l4t := platform.L4T
		var requests []plan.Request
		for _, stack := range platform.CUDA {
			pl := solve.Platform{Platform: platform, Stack: stack, Python: platform.Python[0]}
			for _, name := range cat.Names() {
				if cat.Packages[name] != nil {
					requests = append(requests, plan.Request{Targets: []spec.Target{{Name: name}}, Platform: pl})
				}
			}
		}
		p, err := plan.New(cat, os.DirFS(".."), requests)
		require.NoError(t, err)
		for _, n := range p.Nodes {
			if seen[n.Key] || !slices.Contains([]plan.Kind{plan.Artifact, plan.Stacked, plan.Linked}, n.Kind) {
				continue
			}
			seen[n.Key] = true
			r, err := recipe.Render(p, n)
			require.NoError(t, err)
			if n.Dockerfile == "" { // its own begins with an ARG that has no default, which the linter does not like
				lint(t, l4t+" "+n.Title(), r.Dockerfile)
			}
			for _, in := range n.Instructions {
				scripts(t, l4t+" "+n.Title(), in.Text)
			}
		}
		for _, n := range p.Nodes {
			if n.Kind == plan.Test && !seen[n.Key] && len(n.Test.Args) > 2 {
				seen[n.Key] = true
				shell(t, l4t+" "+n.Title(), n.Test.Args[0], n.Test.Args[len(n.Test.Args)-1])
			}
		}
	}
}

// inTest are the packages that other tests build: those of the main job.
func inTest() []string {
	return strings.Fields(`build-essential cffi cmake libffi-dev libxxhash markupsafe ninja pybind11 pycparser python
		python-dev python-native robot-kit v4l-utils`)
}

// fromDebian are the other packages that need Debian's packages alone, the
// quickest first.
func fromDebian() []string {
	return strings.Fields("git protobuf l4t-base go rust ffmpeg nodejs gstreamer llvm")
}

// TestDebianPackages builds and tests what the other tests do not, of the
// packages that need Debian's packages alone.
func TestDebianPackages(t *testing.T) {
	if os.Getenv("JETCRATE_ALL") == "" {
		t.Skip("it installs large packages under emulation; make test-all (JETCRATE_ALL=1) has it")
	}
	for k, v := range real(t) {
		t.Setenv(k, v)
	}
	for _, name := range fromDebian() {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			begin := time.Now()
			code := jetcrate.Main([]string{
				"build", name, "--l4t", "36.4.0", "--catalog", "..", "--matrix", "matrix.yaml", "--matrix", "testbed/matrix.yaml",
			}, strings.NewReader(""), &out, &errs)
			require.Zero(t, code, "%s%s", &out, &errs)
			t.Logf("%s: %s", name, time.Since(begin).Round(time.Second))
		})
	}
}

// TestDebianPackagesAreAll: no package that Debian's mirror alone can make is
// left out of what is built, and docs/catalog.md says so.
func TestDebianPackagesAreAll(t *testing.T) {
	cat, list := spec.Load(os.DirFS(".."), spec.Options{Matrix: []string{"matrix.yaml", "testbed/matrix.yaml"}})
	require.NoError(t, list.Err())
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	// Debian's packages come with apt, its sources from the mirror that apt has,
	// without an address in the recipe; wheels of an index come with pip.
	elsewhere := regexp.MustCompile(`[a-z]+://|pip3? (download|wheel|install) `)
	var found []string
	for _, name := range cat.Names() {
		if cat.Packages[name] == nil {
			continue // an alias
		}
		p, err := plan.New(cat, os.DirFS(".."), []plan.Request{{Targets: []spec.Target{{Name: name}}, Platform: pl}})
		require.NoError(t, err)
		alone := p.Cells[0].Impossible == nil
		for _, n := range p.Nodes {
			if !slices.Contains([]plan.Kind{plan.Artifact, plan.Stacked, plan.Linked}, n.Kind) {
				continue
			}
			r, err := recipe.Render(p, n)
			require.NoError(t, err)
			for _, line := range strings.Split(r.Dockerfile, "\n") {
				if elsewhere.MatchString(line) && !strings.Contains(line, "--no-index") {
					alone = false
				}
			}
		}
		if alone {
			found = append(found, name)
		}
	}
	built := append(inTest(), fromDebian()...)
	slices.Sort(built)
	require.Equal(t, built, found)
	page, err := os.ReadFile("../docs/catalog.md")
	require.NoError(t, err)
	words := strings.FieldsFunc(string(page), func(r rune) bool { return strings.ContainsRune(" \n,.;:", r) })
	for _, name := range built {
		require.Contains(t, words, name, "docs/catalog.md says which packages are built")
	}
}

// TestEveryTargetIsOneDockerfile: what `jetcrate dockerfile` prints of each
// package, on the newest platform of each major release, is clean as well.
func TestEveryTargetIsOneDockerfile(t *testing.T) {
	cat := catalog(t)
	majors := map[string]bool{}
	for i := range cat.Matrix.Platforms {
		platform := &cat.Matrix.Platforms[i]
		major, _, _ := strings.Cut(platform.L4T, ".")
		if majors[major+platform.Flavour] {
			continue
		}
		majors[major+platform.Flavour] = true
		pl := solve.Platform{Platform: platform, Stack: platform.CUDA[0], Python: platform.Python[0]}
		var requests []plan.Request
		for _, name := range cat.Names() {
			if cat.Packages[name] != nil {
				requests = append(requests, plan.Request{Targets: []spec.Target{{Name: name}}, Platform: pl})
			}
		}
		p, err := plan.New(cat, os.DirFS(".."), requests)
		require.NoError(t, err)
		for _, c := range p.Cells {
			if c.Impossible != nil {
				continue
			}
			r, err := recipe.Full(p, p.Node(c.Image), nil)
			if err != nil {
				require.ErrorContains(t, err, "has no single Dockerfile", c.ID)
				continue
			}
			lint(t, c.ID, r.Dockerfile)
		}
	}
}

// lint gives a Dockerfile to BuildKit's frontend.
func lint(t *testing.T, title, text string) {
	t.Helper()
	_, err := dockerfile2llb.Dockerfile2LLB(context.Background(), []byte(text), dockerfile2llb.ConvertOpt{
		MetaResolver:   offline{},
		TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: "arm64"},
		AllStages:      true,
		Warn: func(rule, _, _, message string, _ []parser.Range) {
			t.Errorf("%s: %s: %s\n%s", title, rule, message, text)
		},
	})
	require.NoError(t, err, "%s\n%s", title, text)
}

// offline answers what images look like without asking a registry.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, digest.FromString(ref), []byte(`{"architecture":"arm64","os":"linux"}`), nil
}

// scripts parses the scripts of a RUN instruction: each is a here-document.
func scripts(t *testing.T, title, instruction string) {
	t.Helper()
	found := regexp.MustCompile(`(?s)<<'?([A-Z_]+)'?\n(.*)\n([A-Z_]+)\n?$`).FindStringSubmatch(instruction)
	require.NotEmpty(t, found, "%s has no script\n%s", title, instruction)
	name := "sh"
	if strings.HasPrefix(found[2], "#!") && strings.Contains(strings.SplitN(found[2], "\n", 2)[0], "bash") {
		name = "bash"
	}
	shell(t, title, name, found[2])
}

func shell(t *testing.T, title, name, script string) {
	t.Helper()
	variant := syntax.LangPOSIX
	if strings.Contains(name, "bash") {
		variant = syntax.LangBash
	}
	_, err := syntax.NewParser(syntax.Variant(variant)).Parse(strings.NewReader(script), title)
	require.NoError(t, err, fmt.Sprintf("%s\n%s", title, script))
}

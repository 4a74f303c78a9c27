package testbed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
)

// tower writes a catalog whose target t20 is a chain of n stacked layers on the
// testbed's base, each a command that writes a file, after some work; nonce makes
// them new.
func tower(t testing.TB, n int, nonce, work string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	matrix, err := os.ReadFile("testdata/small/matrix.yaml")
	require.NoError(t, err)
	write("matrix.yaml", string(matrix))
	for i := 1; i <= n; i++ {
		depends := ""
		if i > 1 {
			depends = fmt.Sprintf("depends: [t%d]\n", i-1)
		}
		write(fmt.Sprintf("packages/tower/t%d/package.yaml", i), fmt.Sprintf(`name: t%[1]d
group: tower
summary: floor %[1]d
%[2]sversions: [{version: "1"}]
install:
  steps: [{run: '%[4]s > /floor-%[1]d; echo %[3]s >> /floor-%[1]d'}]
tests: [{name: there, run: test -s /floor-%[1]d}]
`, i, depends, nonce, work))
	}
	return dir
}

const (
	noWork   = "seq 1 20000"           // some milliseconds under emulation
	realWork = "seq 1 60000000 | tail" // about half a minute: a small compile
)

// yard is what the benchmarks of the whole main job share: a warm store, a
// buildkitd that stays, and buildctl as the peer.
type yard struct {
	*testing.B
	env      []string
	address  string
	buildctl string
}

func newYard(b *testing.B) *yard {
	b.Helper()
	vars := real(b)
	y := &yard{B: b, env: os.Environ(), buildctl: filepath.Join(b.TempDir(), "buildctl")}
	for k, v := range vars {
		y.env = append(y.env, k+"="+v)
	}
	y.env = append(y.env, "NO_COLOR=1")
	y.command("go", "build", "-o", y.buildctl, "github.com/moby/buildkit/cmd/buildctl")
	binary, err := exec.LookPath("buildkitd")
	require.NoError(b, err)
	e, err := buildkit.Connect(context.Background(), buildkit.Options{
		Address: "private", StateDir: filepath.Join(b.TempDir(), "buildkitd"), Binary: []string{binary},
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Close()) })
	y.address = e.Info().Address
	return y
}

// command runs a program and gives its standard output.
func (y *yard) command(name string, args ...string) string {
	y.Helper()
	out, _ := spend(y.B, y.env, name, args...)
	return out
}

// spend runs a program and gives its standard output and its peak of memory, in
// MiB.
func spend(b *testing.B, env []string, name string, args ...string) (string, float64) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(b, cmd.Run(), "%s %s\n%s%s", name, strings.Join(args, " "), &out, &errs)
	return out.String(), float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
}

// BenchmarkCommand is whole processes on the catalog of this repository: from
// the start to the exit, with the peak of their memory.
func BenchmarkCommand(b *testing.B) {
	env := append(os.Environ(), "NO_COLOR=1", "XDG_DATA_HOME="+b.TempDir())
	for _, words := range []string{
		"jetcrate version",
		"jetcrate lint -C ..",
		"jetcrate matrix -C ..",
		"jetcrate plan robot-kit --l4t r36.4 -C ..",
		"jetcrate explain robot-kit --l4t r36.4 -C ..",
		"jetcrate list -C ..",
		"jetcrate plan --all -C ..",
	} {
		args := strings.Fields(words)
		name := strings.Join(args[:2], "-")
		if slices.Contains(args, "--all") {
			name += "-all"
		}
		b.Run(name, func(b *testing.B) {
			var peak float64
			for b.Loop() {
				_, mib := spend(b, env, args[0], args[1:]...)
				peak = max(peak, mib)
			}
			b.ReportMetric(peak, "peak-MiB")
		})
	}
}

func (y *yard) jetcrate(catalog string, args ...string) string {
	return y.command("jetcrate", append([]string{"--catalog", catalog}, args...)...)
}

// peer is the build of the same Dockerfile by buildctl, with a push. It gives
// what buildctl says, as JSON lines.
func (y *yard) peer(dockerfile, to string) string {
	return y.command("sh", "-c", `exec "$@" 2>&1`, "sh", y.buildctl, "--addr", y.address, "build", "--progress", "rawjson",
		"--frontend", "dockerfile.v0", "--opt", "platform=linux/arm64", "--local", "context="+dockerfile, "--local", "dockerfile="+dockerfile,
		"--output", "type=image,push=true,registry.insecure=true,name="+to)
}

// dockerfile renders a target on the base that lies in a registry.
func (y *yard) dockerfile(catalog, target, base string) string {
	text := y.jetcrate(catalog, "dockerfile", target, "--l4t", "36.4.0")
	from, rest, ok := strings.Cut(text, "\n")
	for ok && !strings.HasPrefix(from, "FROM ") {
		from, rest, ok = strings.Cut(rest, "\n")
	}
	require.True(y, ok, text)
	words := strings.Fields(from)
	words[1] = base
	dir := y.TempDir()
	require.NoError(y, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(strings.Join(words, " ")+"\n"+rest), 0o644))
	return dir
}

// pushedBase pushes the testbed's base to a registry.
func (y *yard) pushedBase(registry string) string {
	catalog := tower(y, 1, fmt.Sprint("base", time.Now().UnixNano()), noWork) // new, so that the engine has the base
	to := registry + "/base:1"
	y.jetcrate(catalog, "build", "t1", "--l4t", "36.4.0", "--engine", y.address, "--no-tests", "--push", to)
	return to
}

// BenchmarkNothingToDo is a build of which all is there, of a target of 20
// layers, beside BuildKit's own of the same Dockerfile.
func BenchmarkNothingToDo(b *testing.B) {
	y := newYard(b)
	registry := serveRegistry(b)
	catalog := tower(b, 20, "noop", noWork)
	dockerfile := y.dockerfile(catalog, "t20", y.pushedBase(registry))
	y.jetcrate(catalog, "build", "t20", "--l4t", "36.4.0", "--engine", y.address)
	y.peer(dockerfile, registry+"/peer:noop")
	b.Run("jetcrate", func(b *testing.B) {
		for b.Loop() {
			y.jetcrate(catalog, "build", "t20", "--l4t", "36.4.0", "--engine", y.address)
		}
	})
	b.Run("buildctl", func(b *testing.B) {
		for b.Loop() {
			y.peer(dockerfile, registry+"/peer:noop")
		}
	})
}

// BenchmarkFirstBuild is a build of which nothing is there but the base, beside
// buildctl's of the same Dockerfile. It runs no tests, as buildctl has none.
func BenchmarkFirstBuild(b *testing.B) {
	y := newYard(b)
	registry := serveRegistry(b)
	base := y.pushedBase(registry)
	for _, c := range []struct {
		floors int
		work   string
		name   string
	}{{1, noWork, "layers=1"}, {20, noWork, "layers=20"}, {3, realWork, "layers=3-with-work"}} {
		fresh := func() string { return tower(b, c.floors, fmt.Sprint("first", time.Now().UnixNano()), c.work) }
		target := fmt.Sprintf("t%d", c.floors)
		b.Run(c.name+"/jetcrate", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				catalog := fresh()
				b.StartTimer()
				y.jetcrate(catalog, "build", target, "--l4t", "36.4.0", "--engine", y.address, "--no-tests")
			}
		})
		b.Run(c.name+"/buildctl", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				dockerfile := y.dockerfile(fresh(), target, base)
				b.StartTimer()
				y.peer(dockerfile, registry+"/peer:first")
			}
		})
	}
}

// BenchmarkFirstBuildOfCatalog is a first build of a package of the catalog:
// Python, a compiler, and what is compiled with it, in minutes. The engine has
// apt's downloads by then. What RUN takes is the same work in both, and varies
// more than all else: the rest is given by itself.
func BenchmarkFirstBuildOfCatalog(b *testing.B) {
	y := newYard(b)
	registry := serveRegistry(b)
	base := y.pushedBase(registry)
	fresh := func() string {
		dir := b.TempDir()
		for _, name := range []string{"packages", "pipelines"} {
			require.NoError(b, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("..", name))))
		}
		matrix, err := os.ReadFile("matrix.yaml")
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(filepath.Join(dir, "matrix.yaml"), matrix, 0o644))
		step := filepath.Join(dir, "pipelines/steps/apt/install.yaml")
		raw, err := os.ReadFile(step)
		require.NoError(b, err)
		text := strings.Replace(string(raw), "set -f\n", fmt.Sprintf("set -f; : %d\n", time.Now().UnixNano()), 1)
		require.NotEqual(b, string(raw), text)
		require.NoError(b, os.WriteFile(step, []byte(text), 0o644))
		return dir
	}
	jetcrate := func(catalog string) string {
		return y.jetcrate(catalog, "build", "markupsafe", "--l4t", "36.4.0", "--engine", y.address, "--no-tests", "-o", "jsonl")
	}
	jetcrate(fresh())
	b.Run("jetcrate", func(b *testing.B) {
		var working time.Duration
		for b.Loop() {
			b.StopTimer()
			catalog := fresh()
			b.StartTimer()
			working += union(stepsOfJetcrate(b, jetcrate(catalog)))
		}
		reportRest(b, working)
	})
	b.Run("buildctl", func(b *testing.B) {
		var working time.Duration
		for b.Loop() {
			b.StopTimer()
			dockerfile := y.dockerfile(fresh(), "markupsafe", base)
			b.StartTimer()
			working += union(stepsOfBuildctl(b, y.peer(dockerfile, registry+"/peer:catalog")))
		}
		reportRest(b, working)
	})
}

// reportRest reports what a build takes in which no step is at work.
func reportRest(b *testing.B, working time.Duration) {
	require.Positive(b, working)
	b.ReportMetric((b.Elapsed()-working).Seconds()/float64(b.N), "s-beside-RUN/op")
}

// span is when a step was at work.
type span struct{ begin, end time.Time }

// union is how long at least one was.
func union(spans []span) (sum time.Duration) {
	slices.SortFunc(spans, func(a, b span) int { return a.begin.Compare(b.begin) })
	var until time.Time
	for _, s := range spans {
		if s.begin.Before(until) {
			s.begin = until
		}
		if s.end.After(s.begin) {
			sum += s.end.Sub(s.begin)
			until = s.end
		}
	}
	return sum
}

func isRun(step string) bool { return strings.Contains(step, "] RUN ") }

// stepsOfJetcrate reads the events of a build.
func stepsOfJetcrate(b *testing.B, jsonl string) (spans []span) {
	begun := map[string]time.Time{}
	for line := range strings.Lines(jsonl) {
		var e struct {
			Time time.Time
			Node string
			Step struct{ Name, State string }
		}
		require.NoError(b, json.Unmarshal([]byte(line), &e), line)
		switch key := e.Node + e.Step.Name; {
		case !isRun(e.Step.Name):
		case e.Step.State == "started":
			begun[key] = e.Time
		case e.Step.State == "done":
			require.Contains(b, begun, key)
			spans = append(spans, span{begun[key], e.Time})
		}
	}
	return spans
}

// stepsOfBuildctl reads its rawjson.
func stepsOfBuildctl(b *testing.B, rawjson string) (spans []span) {
	for line := range strings.Lines(rawjson) {
		if !strings.HasPrefix(line, "{") { // a warning
			continue
		}
		var s client.SolveStatus
		require.NoError(b, json.Unmarshal([]byte(line), &s), line)
		for _, v := range s.Vertexes {
			if isRun(v.Name) && v.Started != nil && v.Completed != nil {
				spans = append(spans, span{*v.Started, *v.Completed})
			}
		}
	}
	return spans
}

package testbed_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
)

// gpuLab is a catalog with tests that need a GPU, on the warm store.
type gpuLab struct {
	*testing.T
	catalog string
	env     []string
}

func newGPULab(t *testing.T) *gpuLab {
	l := &gpuLab{T: t, catalog: t.TempDir()}
	for k, v := range real(t) {
		l.env = append(l.env, k+"="+v)
	}
	matrix, err := os.ReadFile("testdata/small/matrix.yaml")
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(l.catalog, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(l.catalog, name), []byte(text), 0o644))
	}
	write("matrix.yaml", string(matrix))
	step, err := os.ReadFile("../pipelines/steps/gpu/smoke.yaml")
	require.NoError(t, err)
	write("pipelines/steps/gpu/smoke.yaml", string(step))
	nonce := fmt.Sprint(time.Now().UnixNano())
	spec := func(name, tests string) {
		write("packages/lab/"+name+"/package.yaml", fmt.Sprintf(`name: %s
group: lab
summary: tests that need a GPU
versions: [{version: "1"}]
install: {steps: [{run: 'echo %s > /%s'}]}
tests:
%s`, name, nonce, name, tests))
	}
	spec("sees", `  - {name: here, run: test -s /sees}
  - {name: device, gpu: true, run: 'set; test "$HARMLESS" = yes; test -c /dev/jetcrate-harmless'}
`)
	spec("runs", `  - {name: variable, gpu: true, run: 'test "$NVIDIA_VISIBLE_DEVICES" = all'}
`)
	spec("bad", `  - {name: crash, gpu: true, run: 'echo on the way; sh -c "kill -SEGV \$\$"; exit $?'}
  - {name: hang, gpu: true, timeout-minutes: 0.1, run: 'echo hanging; sleep 600'}
  - {name: smoke, gpu: true, uses: gpu/smoke}
`)
	return l
}

// jetcrate runs jetcrate and gives its standard error and exit code.
func (l *gpuLab) jetcrate(more []string, args ...string) (string, int) {
	l.Helper()
	cmd := exec.Command("jetcrate", append(args, "--l4t", "36.4.0", "-C", l.catalog, "--progress", "plain")...)
	cmd.Env = append(append(os.Environ(), "NO_COLOR=1"), append(l.env, more...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		require.IsType(l, &exec.ExitError{}, err)
	}
	l.Logf("jetcrate %s\n%s", strings.Join(args, " "), out)
	return string(out), cmd.ProcessState.ExitCode()
}

// A CDI device of the test's own, a node and a variable, goes through a real
// BuildKit. It has no driver, so that what passes on it is simulated.
func TestGPUByCDI(t *testing.T) {
	l := newGPULab(t)
	cdi := []string{"--gpu", "--gpu-program", "buildkit", "--gpu-device", "jetcrate.test/gpu=harmless"}
	test := func(target string) (string, int) { return l.jetcrate(nil, append([]string{"test", target}, cdi...)...) }

	out, code := test("sees")
	require.Zero(t, code)
	require.Contains(t, out, "no GPU: there is no CDI device jetcrate.test/gpu=harmless")
	require.Regexp(t, `skipped +sees 1 test device.*no GPU`, out)

	spec := map[string]any{
		"cdiVersion": "0.6.0", "kind": "jetcrate.test/gpu",
		"devices": []any{map[string]any{"name": "harmless", "containerEdits": map[string]any{
			"env":         []string{"HARMLESS=yes"},
			"deviceNodes": []any{map[string]any{"path": "/dev/jetcrate-harmless", "hostPath": "/dev/null"}},
		}}},
	}
	raw, err := json.Marshal(spec)
	require.NoError(t, err)
	file := "/var/run/cdi/jetcrate-test.json"
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, raw, 0o644))
	t.Cleanup(func() { require.NoError(t, os.Remove(file)) })

	out, code = test("sees")
	require.Zero(t, code)
	require.Regexp(t, `simulated +sees 1 test device.*nothing shows that the device has a driver`, out)
	out, code = test("sees")
	require.Zero(t, code)
	require.Regexp(t, `simulated +sees 1 test device`, out, "what is recorded counts")
	require.NotContains(t, out, "test here", "only tests that need a GPU are run")

	out, code = test("bad")
	require.Equal(t, 3, code)
	require.Regexp(t, `failed +bad 1 test crash.*exit code 139`, out)
	require.Contains(t, out, "on the way")
	require.Regexp(t, `failed +bad 1 test hang.*longer than its timeout of 6s`, out)
	require.Regexp(t, `failed +bad 1 test smoke`, out)
	require.Regexp(t, `needs python3 in the image|driver's library is not in the container`, out)

	out, code = l.jetcrate(nil, "build", "bad")
	require.Zero(t, code, "without a GPU nothing is tried")
	require.Regexp(t, `skipped +bad 1 test crash.*on a device without a driver it failed: exit code 139`, out)

	lock := flock.New("/run/lock/jetcrate-gpu.lock")
	require.NoError(t, lock.Lock())
	out, code = test("sees")
	require.Equal(t, 2, code)
	require.Contains(t, out, "another job has the GPU")
	timer := time.AfterFunc(2*time.Second, func() { _ = lock.Unlock() })
	defer timer.Stop()
	out, code = l.jetcrate(nil, append(append([]string{"test", "sees"}, cdi...), "--wait-for-lock")...)
	require.Zero(t, code)
	require.Contains(t, out, "waiting for the GPU")
}

// Docker's runtime nvidia is a wrapper around runc that leaves a mark. The image
// is named as build printed it, and pulled by digest from the store, which nobody
// serves but the test.
func TestGPUByDocker(t *testing.T) {
	l := newGPULab(t)
	d := startDocker(t)
	out, code := l.jetcrate(nil, "build", "runs")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	reference := lines[len(lines)-1]

	docker := []string{"DOCKER_HOST=unix://" + filepath.Join(d.dir, "s")}
	gpu := []string{"--gpu", "--gpu-program", "docker"}
	out, code = l.jetcrate(docker, append([]string{"test", "runs"}, gpu...)...)
	require.Zero(t, code)
	require.Regexp(t, `simulated +runs 1 test variable`, out)
	require.FileExists(t, d.mark, "the runtime nvidia ran it")

	for _, args := range [][]string{
		append([]string{"test", reference, "-C", l.catalog, "-o", "jsonl"}, gpu...),
		{"inspect", reference, "-o", "json"},
	} {
		cmd := exec.Command("jetcrate", args...)
		cmd.Env = append(append(os.Environ(), l.env...), docker...)
		raw, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", raw)
		require.Contains(t, string(raw), `"simulated"`)
	}

	out, code = l.jetcrate(docker, append([]string{"test", "bad", "--test", "hang"}, gpu...)...)
	require.Equal(t, 3, code)
	require.Regexp(t, `failed +bad 1 test hang.*longer than its timeout of 6s`, out)
	left, _, _ := d.run(nil, "docker", "ps", "-q")
	require.Empty(t, left, "nothing runs on")

	out, code = l.jetcrate(docker, "test", "sees", "--gpu", "--gpu-program", "docker", "--gpu-mode", "cdi")
	require.Zero(t, code)
	require.Contains(t, out, "no GPU: there is no CDI device nvidia.com/gpu=all")
}

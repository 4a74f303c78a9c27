package testbed_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCtrlCStopsCleanly interrupts a build in the middle of a step: exit code
// 130, nothing left running, and what was finished before is reused.
func TestCtrlCStopsCleanly(t *testing.T) {
	env := real(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/small")))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "packages/g/slow"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "packages/g/slow/package.yaml"), []byte(fmt.Sprintf(`name: slow
group: g
summary: sleeps
depends: [low]
versions: [{version: "1"}]
install: {steps: [{run: "echo %d; echo now sleeping; sleep 300"}]}
`, time.Now().UnixNano())), 0o644))
	jetcrate, err := exec.LookPath("jetcrate")
	require.NoError(t, err)
	cmd := exec.Command(jetcrate, "build", "slow", "--l4t", "36.4.0", "-C", dir, "--verbose")
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var out strings.Builder
	for sc := bufio.NewScanner(errs); sc.Scan(); {
		out.WriteString(sc.Text() + "\n")
		if strings.HasSuffix(sc.Text(), "| now sleeping") {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	err = cmd.Wait()
	require.Error(t, err)
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), out.String())
	require.Contains(t, out.String(), "interrupted")
	sleeping, _ := exec.Command("pgrep", "-f", "sleep 300$").Output()
	require.Empty(t, string(sleeping), "the step is gone")
}

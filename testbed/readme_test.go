package testbed_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFirstPackageOfTheREADME follows README.md to the letter in a copy of the
// catalog: the spec is its one yaml block, the commands its one sh block.
func TestFirstPackageOfTheREADME(t *testing.T) {
	env := real(t)
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	block := func(language string) []byte {
		found := regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```\n").FindAllSubmatch(readme, -1)
		require.Len(t, found, 1, language)
		return found[0][1]
	}
	dir := t.TempDir()
	for _, part := range []string{"packages", "pipelines", "testbed"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", part))))
	}
	for _, file := range []string{"matrix.yaml", "jetcrate.lock"} {
		b, err := os.ReadFile(filepath.Join("..", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "packages/tools/hello"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "packages/tools/hello/package.yaml"), block("yaml"), 0o644))

	cmd := exec.Command("sh", "-eux")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(block("sh"))
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(passed|reused) +hello 2 test greets`, string(out))
	require.Contains(t, string(out), "jetcrate:hello-2-r36.4.0")
	require.Contains(t, string(out), "export PACKAGES=hello")
}

package testbed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFirstPackageOfTheREADME follows README.md to the letter in a copy of the
// catalog: its first sh block writes a starter, which builds as it is; the spec
// that the starter becomes is its one yaml block, and what is done with that its
// second sh block.
func TestFirstPackageOfTheREADME(t *testing.T) {
	env := real(t)
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	blocks := func(language string, n int) []string {
		var out []string
		for _, found := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```\n").FindAllSubmatch(readme, -1) {
			out = append(out, string(found[1]))
		}
		require.Len(t, out, n, language)
		return out
	}
	scripts := blocks("sh", 2)
	dir := t.TempDir()
	for _, part := range []string{"packages", "pipelines", "testbed"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", part))))
	}
	for _, file := range []string{"matrix.yaml", "jetcrate.lock"} {
		b, err := os.ReadFile(filepath.Join("..", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	run := func(script string) string {
		cmd := exec.Command("sh", "-eux")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(script)
		cmd.Env = os.Environ()
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}

	run(scripts[0])
	file := filepath.Join(dir, "packages/tools/hello/package.yaml")
	require.FileExists(t, file)
	out := run(scripts[1])
	require.Regexp(t, `(passed|reused) +hello 1 test there`, out)

	require.NoError(t, os.WriteFile(file, []byte(blocks("yaml", 1)[0]), 0o644))
	out = run(scripts[1])
	require.Regexp(t, `(passed|reused) +hello 2 test greets`, out)
	require.Contains(t, out, "jetcrate:hello-2-r36.4.0")
	require.Contains(t, out, "export PACKAGES=hello")
}

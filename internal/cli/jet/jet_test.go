package jet

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("no such luck") }

func TestPanicIsReported(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &app{stdin: panics{}, stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	code := a.run(context.Background(), []string{"autotag", "pytorch", "--table", "-"})
	require.Equal(t, exitEnvironment, code)
	require.Equal(t, "jet: internal error: no such luck (this is a mistake in jet, please report it)\n", stderr.String())
	require.Empty(t, stdout.String())
}

func TestTerminal(t *testing.T) {
	c := container{image: "i", gpuMode: "none", terminal: true}
	argv, err := c.argv(fstest.MapFS{})
	require.NoError(t, err)
	require.Equal(t, []string{"docker", "run", "--rm", "-it", "--network", "host", "--shm-size=8g", "i"}, argv)
}

func TestGPUAuto(t *testing.T) {
	for flavour, want := range map[string]string{"tegra": "--runtime nvidia", "sbsa": "--gpus all"} {
		gpu, err := container{gpuMode: "auto", flavour: flavour}.gpu()
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(gpu[:2], " "))
	}
}

func TestCommandLineRefusesNUL(t *testing.T) {
	_, err := commandLine([]string{"docker", "a\x00b"})
	require.ErrorContains(t, err, "argument 1 holds a NUL")
}

func TestCommandLineInShell(t *testing.T) {
	for _, s := range []string{"", "a\r\nb", "\xff\xfe'", "it's", "$(exit 1)", "\\"} {
		line, err := commandLine([]string{"printf", "%s", s})
		require.NoError(t, err)
		out, err := exec.Command("sh", "-c", line).Output()
		require.NoError(t, err)
		require.Equal(t, s, string(out))
	}
}

// A shell reads back what was written, and nothing in it runs.
func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"", "plain", "a b", "it's", `"$HOME"`, "$(reboot)", "`reboot`", "a\nb", "--env=A=b c", "--env=X=", "X=1", "~", "*", "\\", "!x", "#no", "a;b", "\x1b[31m", "ünïcode", "{a,b}", "-", "--=", "--a=--b="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := commandLine([]string{"docker", s, "end"})
		if strings.ContainsRune(s, 0) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		// This parser drops carriage returns and refuses invalid UTF-8, unlike a
		// shell: TestCommandLineInShell.
		if strings.Contains(s, "\r") || !utf8.ValidString(s) {
			return
		}
		file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line+"\n"), "")
		require.NoError(t, err)
		require.Len(t, file.Stmts, 1)
		call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
		require.True(t, ok)
		require.Empty(t, call.Assigns)
		fields, err := expand.Fields(&expand.Config{}, call.Args...)
		require.NoError(t, err)
		require.Equal(t, []string{"docker", s, "end"}, fields)
	})
}

package jet

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/host"
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

func bare(c container) container {
	c.fsys, c.getenv, c.off = fstest.MapFS{}, func(string) string { return "" }, map[string]*bool{}
	for _, p := range parts() {
		c.off[p.name] = new(bool)
	}
	if c.program == "" {
		c.program = "docker"
	}
	return c
}

func TestTerminal(t *testing.T) {
	for name, c := range map[string]struct {
		container
		want string
	}{
		"a terminal":        {container{image: "i", gpuMode: "none", terminal: true}, "docker run --rm -it --network host --shm-size=8g i"},
		"a pipe":            {container{image: "i", gpuMode: "none", piped: true}, "docker run --rm -i --network host --shm-size=8g i"},
		"neither":           {container{image: "i", gpuMode: "none"}, "docker run --rm --network host --shm-size=8g i"},
		"the user said how": {container{image: "i", gpuMode: "none", terminal: true, extra: []string{"-d"}}, "docker run --rm --network host --shm-size=8g -d i"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bare(c.container)
			require.Equal(t, c.want, strings.Join(b.argv(), " "))
		})
	}
}

func TestGPUAuto(t *testing.T) {
	cdi := []string{host.CDIDevice}
	for name, c := range map[string]struct {
		container
		want string
	}{
		"tegra":                          {container{flavour: "tegra"}, "--runtime nvidia"},
		"sbsa":                           {container{flavour: "sbsa"}, "--gpus all"},
		"podman":                         {container{flavour: "tegra", program: "podman"}, "--device nvidia.com/gpu=all"},
		"nerdctl":                        {container{flavour: "tegra", program: "nerdctl"}, "--gpus all"},
		"tegra with the runtime and CDI": {container{flavour: "tegra", cdi: cdi, runtimes: []string{"nvidia", "runc"}, runtimesKnown: true}, "--runtime nvidia"},
		"tegra with CDI alone":           {container{flavour: "tegra", cdi: cdi, runtimes: []string{"runc"}, runtimesKnown: true}, "--device nvidia.com/gpu=all"},
		"runtimes unknown":               {container{flavour: "tegra", cdi: cdi}, "--runtime nvidia"},
		"the user said --gpus":           {container{flavour: "tegra", extra: []string{"--gpus", "1"}}, ""},
		"the user said --device":         {container{flavour: "tegra", extra: []string{"--device=nvidia.com/gpu=0"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.gpuMode = "auto"
			b := bare(c.container)
			gpu := b.gpu()
			require.Equal(t, c.want, strings.Join(gpu[:min(2, len(gpu))], " "))
		})
	}
}

// A service of systemd has no HOME: what is the user's is not looked for in the
// folder that it happens to run in.
func TestHome(t *testing.T) {
	for _, said := range []string{"", "relative"} {
		a := &app{getenv: func(string) string { return said }}
		require.True(t, filepath.IsAbs(a.dataDir()), a.dataDir())
	}
}

func TestFold(t *testing.T) {
	require.Equal(t, "one two\n                    three", fold("one two three", 8))
	require.Equal(t, "äöü ß\n                    longer-than-that", fold("äöü ß longer-than-that", 5))
	require.Equal(t, "not a terminal", fold("not a terminal", -20))
}

// What jet does not know is docker's, with its value.
func TestSplit(t *testing.T) {
	a := &app{getenv: func(string) string { return "" }}
	cmd, _, err := a.root().Find([]string{"run"})
	require.NoError(t, err)
	for words, want := range map[string][2]string{
		"pytorch":                          {"pytorch", ""},
		"pytorch -- ls --name x":           {"pytorch -- ls --name x", ""},
		"--name x pytorch":                 {"pytorch", "--name x"},
		"--name=x pytorch":                 {"pytorch", "--name=x"},
		"-it pytorch":                      {"pytorch", "-it"},
		"-e A=b -p80:80 -p 81:81 pytorch":  {"pytorch", "-e A=b -p80:80 -p 81:81"},
		"-ite A=b pytorch":                 {"pytorch", "-ite A=b"},
		"--init --privileged pytorch":      {"pytorch", "--init --privileged"},
		"--table t --dry-run -v a:b x":     {"--table t --dry-run x", "-v a:b"},
		"--gpu-mode=cdi --no-display x -P": {"--gpu-mode=cdi --no-display x", "-P"},
		"x -v":                             {"x", "-v"},
		"x --nodisplay -- ls":              {"x -- ls", "--nodisplay"},
		"--help":                           {"--help", ""},
		"-":                                {"-", ""},
	} {
		t.Run(words, func(t *testing.T) {
			own, docker := split(cmd.Flags(), strings.Fields(words))
			require.Equal(t, want, [2]string{strings.Join(own, " "), strings.Join(docker, " ")})
		})
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
		fields := words(t, line+"\n")
		require.Equal(t, []string{"docker", s, "end"}, fields)
	})
}

// Whatever stands in arguments, variables and flags: the line that a dry run
// prints is read back by a shell as the words that docker would get.
func FuzzDryRun(f *testing.F) {
	for _, s := range []string{"", "a b", "it's", "$(reboot)", "`x`", "a\nb", "--rm", "-", "--", "a=b", "{a,b}", "#", "\x1b[31m", "ünï"} {
		f.Add(s, s)
	}
	dir := f.TempDir()
	release := "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
	require.NoError(f, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	require.NoError(f, os.WriteFile(filepath.Join(dir, "etc", "nv_tegra_release"), []byte(release), 0o644))
	f.Fuzz(func(t *testing.T, value, arg string) {
		if value == "--" { // ends jet's words
			return
		}
		if strings.ContainsAny(value+arg, "\x00\r") || !utf8.ValidString(value) || !utf8.ValidString(arg) {
			return
		}
		var stdout, stderr bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(name string) string {
			return map[string]string{"JETCRATE_TABLE": "testdata/table.json", "HOME": dir, "HF_TOKEN": "secret"}[name]
		}}
		code := a.run(context.Background(), []string{"run", "pytorch", "--root", dir, "--dry-run", "--engine", "docker", "--env", value, "--", "cmd", arg})
		require.Zero(t, code, stderr.String())
		require.NotContains(t, stdout.String(), "secret")
		fields := words(t, stdout.String())
		require.Equal(t, []string{"--env=HF_TOKEN", "--env", value, "registry.example/jetcrate:pytorch-2.8.0-r36.4.0", "cmd", arg}, fields[len(fields)-6:])
		require.Equal(t, []string{"docker", "run", "--rm"}, fields[:3])
	})
}

// words reads a line as a shell does: one simple command, without assignments.
func words(t *testing.T, line string) []string {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	require.NoError(t, err)
	require.Len(t, file.Stmts, 1)
	call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	require.True(t, ok)
	require.Empty(t, call.Assigns)
	fields, err := expand.Fields(&expand.Config{}, call.Args...)
	require.NoError(t, err)
	return fields
}

// Space is looked at before a download, not found missing after it.
func TestPreflight(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		free int64
		args []string
		code int
		says string
	}{
		"too little":    {free: 999, code: exitNo, says: "the image does not fit: pulling it takes at least 1000B, and /var/lib/docker has 999B free"},
		"not looked at": {free: 999, args: []string{"--no-checks"}},
		"tight":         {free: 2000, says: "unpacked it is larger"},
		"enough":        {free: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			a := &app{stdout: &stdout, stderr: &stderr, free: func(string) (int64, bool) { return c.free, true }, getenv: func(name string) string {
				return map[string]string{"JETCRATE_TABLE": "testdata/table.json", "HOME": dir}[name]
			}}
			code := a.run(context.Background(), append([]string{"run", "pytorch", "--dry-run", "--root", dir, "--host-l4t", "36.4.3"}, c.args...))
			require.Equal(t, c.code, code)
			require.Contains(t, stderr.String(), c.says)
			require.Equal(t, code == 0, stdout.Len() > 0)
		})
	}
}

// Models are fetched when they are used: too little room or memory for them is a
// warning.
func TestModels(t *testing.T) {
	dir := t.TempDir()
	tab := largeTable(40)
	for i := range tab.Rows {
		tab.Rows[i].Packages[0].Models = 3 << 30
		tab.Rows[i].Image.Size = 1
	}
	f, err := os.Create(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	require.NoError(t, tab.Write(f))
	require.NoError(t, f.Close())
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "proc"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "proc/meminfo"), []byte("MemTotal: 2097152 kB\n"), 0o644))
	for _, free := range []int64{1 << 30, 5 << 30} {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, free: func(string) (int64, bool) { return free, true }, getenv: func(name string) string {
			return map[string]string{"JETCRATE_TABLE": filepath.Join(dir, "table.json"), "HOME": dir}[name]
		}}
		require.Zero(t, a.run(t.Context(), []string{"run", "pytorch", "--dry-run", "--root", dir, "--host-l4t", "36.4.9"}))
		require.Contains(t, stderr.String(), "take up to 3GiB, and this device has 2GiB of memory")
		require.Equal(t, free < 3<<30, strings.Contains(stderr.String(), "has 1GiB free"), stderr.String())
	}
}

// docs/jet.md names every switch, and none that is not there.
func TestDocumentedSwitches(t *testing.T) {
	page, err := os.ReadFile("../../../docs/jet.md")
	require.NoError(t, err)
	a := &app{getenv: func(string) string { return "" }}
	flags := map[string]bool{}
	for _, cmd := range a.root().Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags["--"+f.Name] = true })
	}
	for _, flag := range regexp.MustCompile("`(--[a-z0-9-]+)").FindAllStringSubmatch(string(page), -1) {
		// What docker, jetcrate and others call so.
		others := []string{"--runtime", "--gpus", "--rm", "--pull", "--csi2webcam"}
		require.True(t, flags[flag[1]] || slices.Contains(others, flag[1]), flag[1])
	}
	for _, p := range parts() {
		require.Contains(t, string(page), "`--no-"+p.name, p.name)
	}
}

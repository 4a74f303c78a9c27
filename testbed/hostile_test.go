package testbed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
	"github.com/jetcrate/jetcrate/internal/diag"
)

// What reading any catalog may cost. The bounds of internal/spec give them.
const (
	mostMemory   = 1 << 30          // bytes allocated in all: the peak lies far below
	mostCPU      = 20 * time.Second // of the process: another load changes nothing
	mostOutput   = 512 << 10        // bytes
	mostMistakes = 101              // that are told of one file
)

// hostile is a catalog from a stranger: testdata/small with something in it.
type hostile struct {
	name  string
	files map[string]string // laid over testdata/small
	make  func(t *testing.T, dir string)
	want  string // code and place of a diagnostic: "yaml-alias packages/g/bad/package.yaml:5"
}

const bad = "packages/g/bad/package.yaml"

// pkg is a package called bad, with more keys.
func pkg(more string) map[string]string {
	return map[string]string{bad: "name: bad\ngroup: g\nsummary: a package from a stranger\nversions: [{version: \"1\"}]\n" + more}
}

func symlink(target, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
}

func versions(n int, entry func(int) string) map[string]string {
	var b strings.Builder
	for i := range n {
		b.WriteString("- " + entry(i) + "\n")
	}
	return map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions:\n" + b.String()}
}

func bomb() string {
	s := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		s += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	return s
}

// stepBomb is steps that use the next ten times, eight levels deep.
func stepBomb() map[string]string {
	files := pkg("install: {steps: [{uses: x/s0}]}\n")
	for i := range 8 {
		files[fmt.Sprintf("pipelines/steps/x/s%d.yaml", i)] = fmt.Sprintf("name: x/s%d\nsummary: s\nsteps:\n%s", i,
			strings.Repeat(fmt.Sprintf("  - uses: x/s%d\n", i+1), 10))
	}
	files["pipelines/steps/x/s8.yaml"] = "name: x/s8\nsummary: s\nsteps: [{run: 'true'}]\n"
	return files
}

func hostiles() []hostile {
	install := func(step string) map[string]string { return pkg("install: {steps: [" + step + "]}\n") }
	long := strings.Repeat("x", 10<<20)
	return []hostile{
		// Out of the catalog.
		{name: "spec is a symlink", make: symlink("/etc/passwd", bad), want: "symlink " + bad},
		{name: "package is a symlink", make: symlink("/etc", "packages/g/bad"), want: "symlink packages/g/bad"},
		{name: "group is a symlink", make: symlink("/", "packages/bad"), want: "symlink packages/bad"},
		{name: "steps are a symlink", make: symlink("/etc", "pipelines/steps/bad"), want: "symlink pipelines/steps/bad"},
		{name: "symlink to itself", make: symlink("loop", "packages/g/low/loop"), want: "symlink packages/g/low/loop"},
		{name: "file is a symlink", make: symlink("/etc/shadow", "packages/g/low/data/x"), want: "symlink packages/g/low/data/x"},
		{name: "folder is a symlink", make: symlink("../../..", "packages/g/low/up"), want: "symlink packages/g/low/up"},
		{name: "test is a symlink", make: symlink("/etc/shadow", "packages/g/low/tests/x"), want: "symlink packages/g/low/tests/x"},
		{name: "lock is a symlink", make: symlink("/etc/passwd", "jetcrate.lock"), want: "symlink jetcrate.lock"},
		{name: "pipe", make: func(t *testing.T, dir string) {
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "packages/g/low/pipe"), 0o644))
		}, want: "special-file packages/g/low/pipe"},
		{name: "spec is a pipe", make: func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "packages/g/bad"), 0o755))
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, bad), 0o644))
		}, want: "special-file " + bad},
		{name: "spec is a folder", make: func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, bad), 0o755))
		}, want: "unreadable-file " + bad},
		{name: "dockerfile above", files: pkg("dockerfile: ../low/low.sh\n"), want: "bad-dockerfile " + bad + ":5:13"},
		{name: "dockerfile absolute", files: pkg("dockerfile: /etc/passwd\n"), want: "bad-dockerfile " + bad + ":5:13"},
		{name: "dockerfile is a symlink", files: pkg("dockerfile: Dockerfile\n"), make: symlink("/etc/passwd", "packages/g/bad/Dockerfile"),
			want: "symlink packages/g/bad/Dockerfile"},
		{name: "dockerfile that no engine sees", files: pkg("dockerfile: docs/Dockerfile\n"), want: "bad-dockerfile " + bad + ":5:13"},
		{name: "dockerfile with a frontend of its own", files: func() map[string]string {
			f := pkg("dockerfile: Dockerfile\n")
			f["packages/g/bad/Dockerfile"] = "#!/bin/sh\n# syntax=example.org/evil\nARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"
			return f
		}(), want: "bad-dockerfile packages/g/bad/Dockerfile:2"},

		{name: "dockerfile that wants privileges", files: func() map[string]string {
			f := pkg("dockerfile: Dockerfile\n")
			f["packages/g/bad/Dockerfile"] = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN --security=insecure id\n"
			return f
		}(), want: "bad-dockerfile packages/g/bad/Dockerfile:3"},

		// YAML.
		{name: "alias bomb", files: map[string]string{bad: bomb()}, want: "yaml-alias " + bad + ":1:5"},
		{name: "merge key", files: pkg("env: {<<: {A: x}}\n"), want: "bad-name " + bad + ":5:7"},
		{name: "deep flow nesting", files: pkg("env: " + strings.Repeat("[", 500000) + "\n"), want: "yaml-syntax " + bad},
		{name: "deep nesting", files: pkg("env: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n"), want: "yaml-nesting " + bad + ":5:"},
		{name: "deep block nesting", files: pkg("env:\n" + strings.Repeat("- ", 5000) + "x\n"), want: "yaml-nesting " + bad + ":6:"},
		{name: "deep keys", files: pkg(strings.Repeat("? ", 5000) + "x\n"), want: "yaml-key " + bad + ":5:"},
		{name: "many values", files: pkg("aliases: [" + strings.Repeat("a,", 400000) + "]\n"), want: "value-count " + bad + ":5:"},
		{name: "many empty lists", files: pkg("aliases: [" + strings.Repeat("[],", 300000) + "]\n"), want: "value-count " + bad + ":5:"},
		{name: "many mistakes", files: pkg("depends: [" + strings.Repeat("nobody,", 9000) + "]\n"), want: "more-mistakes " + bad + ":5:"},
		{name: "many unknown keys", files: pkg(func() (s string) {
			for i := range 9000 {
				s += fmt.Sprintf("summar%d: x\n", i)
			}
			return s
		}()), want: "more-mistakes " + bad + ":"},
		{name: "large scalar", files: pkg("license: " + long + "\n"), want: "file-size " + bad},
		{name: "large script", files: install("{run: \"" + strings.Repeat("true; ", 100000) + "\"}"), want: "value-size " + bad + ":5:25"},
		{name: "large matrix", files: map[string]string{"matrix.yaml": "platforms: [" + long + "]\n"}, want: "file-size matrix.yaml"},
		{name: "two documents", files: pkg("---\nname: other\n"), want: "yaml-documents " + bad + ":5:1"},
		{name: "tags", files: pkg("env: {A: !!binary aGk=}\n"), want: "yaml-tag " + bad + ":5:10"},
		{name: "100,000 versions", files: versions(100000, func(int) string { return "{}" }), want: "value-count " + bad},
		{name: "100,000 versions with numbers", files: versions(100000, func(i int) string { return fmt.Sprintf("{version: \"%d.0\"}", i) }), want: "file-size " + bad},
		{name: "6,000 versions", files: versions(6000, func(i int) string { return fmt.Sprintf("{version: %d}", i) }), want: "version-count " + bad + ":505:"},
		{name: "6,000 versions of words", files: versions(6000, func(i int) string { return fmt.Sprintf("{version: x%d}", i) }), want: "version-count " + bad + ":505:"},
		{name: "dependencies times versions", files: func() map[string]string {
			f := versions(500, func(i int) string { return fmt.Sprintf("{version: \"1.%d\"}", i) })
			f["packages/g/worse/package.yaml"] = "name: worse\ngroup: g\nsummary: s\nversions: [{version: 1}]\ndepends: [" + func() (s string) {
				for i := range 9000 {
					s += fmt.Sprintf("'bad>=2.%d',", i)
				}
				return s
			}() + "]\n"
			return f
		}(), want: "unknown-version packages/g/worse/package.yaml:5:"},

		// Characters.
		{name: "NUL", files: map[string]string{bad: "name: b\x00d\n"}, want: "control-character " + bad + ":1:8"},
		{name: "escape sequence", files: map[string]string{bad: "name: bad \x1b]0;owned\a\n"}, want: "control-character " + bad + ":1:11"},
		{name: "C1 control", files: map[string]string{bad: "name: bad \u009b31m\n"}, want: "control-character " + bad + ":1:11"},
		{name: "not UTF-8", files: map[string]string{bad: "name: \xff\xfe\n"}, want: "control-character " + bad + ":1:7"},
		{name: "UTF-16", files: map[string]string{bad: "\xff\xfen\x00a\x00"}, want: "control-character " + bad + ":1:1"},
		{name: "text that runs backwards", files: pkg("# \u202etxet siht\n"), want: "hidden-character " + bad + ":5:3"},
		{name: "letter without width", files: install("{run: \"rm -rf /opt\u200b/x\"}"), want: "hidden-character " + bad + ":5:37"},
		{name: "no-break space", files: install("{run: \"rm -rf\u00a0/opt\"}"), want: "hidden-character " + bad + ":5:32"},
		{name: "invisible tag letters", files: pkg("license: MIT\U000e0041\n"), want: "hidden-character " + bad + ":5:13"},
		{name: "escaped control", files: pkg(`license: "a\x1b[2J"` + "\n"), want: "control-character " + bad + ":5:10"},
		{name: "escaped bidi", files: pkg(`license: "a\u202eb"` + "\n"), want: "hidden-character " + bad + ":5:10"},
		{name: "look-alike in a command", files: install("{run: \"\u0441url https://example.org\"}"), want: "look-alike " + bad + ":5:25"},
		{name: "look-alike name", files: map[string]string{"packages/g/l\u043ew/package.yaml": "name: l\u043ew\ngroup: g\nsummary: s\nversions: [{version: 1}]\n"},
			want: "bad-value packages/g/l\u043ew/package.yaml:1:7"},
		{name: "look-alike group", files: map[string]string{"packages/\u0261/bad/package.yaml": "name: bad\ngroup: \u0261\nsummary: s\nversions: [{version: 1}]\n"},
			want: "bad-name packages/\u0261"},
		{name: "look-alike dependency", files: pkg("depends: [l\u043ew]\n"), want: "bad-dependency " + bad + ":5:11"},
		{name: "look-alike host", files: map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions:\n  - version: 1\n    archive: {sha256: " + strings.Repeat("a", 64) + ", urls: [\"https://g\u0456thub.com/a.tar.gz\"]}\n"},
			want: "bad-archive " + bad + ":6:"},
		{name: "host behind a user", files: map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions:\n  - version: 1\n    archive: {sha256: " + strings.Repeat("a", 64) + ", urls: [\"https://github.com@example.org/a.tar.gz\"]}\n"},
			want: "bad-archive " + bad + ":6:"},
		{name: "file name with a newline", make: func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "packages/g/low/a\nRUN evil"), nil, 0o644))
		}, want: "file-name packages/g/low/a"},
		{name: "file name that is not UTF-8", make: func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "packages/g/low/\xff\x1b[2J"), nil, 0o644))
		}, want: "file-name packages/g/low/"},
		{name: "folder name with a control character", make: func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "packages/g/\x1b[2Jx"), 0o755))
		}, want: "file-name packages/g/"},

		// Names and values that an engine or a shell would take for something else.
		{name: "name is a flag", files: map[string]string{"packages/g/--help/package.yaml": "name: --help\ngroup: g\nsummary: s\nversions: [{version: 1}]\n"},
			want: "bad-value packages/g/--help/package.yaml:1:7"},
		{name: "version is a flag", files: map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions: [{version: --help}]\n"}, want: "bad-value " + bad + ":4:22"},
		{name: "dependency is a flag", files: pkg("depends: [--help]\n"), want: "bad-dependency " + bad + ":5:11"},
		{name: "test is a flag", files: pkg("tests: [{name: --help, run: 'true'}]\n"), want: "bad-value " + bad + ":5:16"},
		{name: "alias is a flag", files: pkg("aliases: [--help]\n"), want: "bad-alias " + bad + ":5:11"},
		{name: "variable with an instruction", files: pkg("env: {A: \"x\\nRUN touch /owned\"}\n"), want: "bad-variable " + bad + ":5:10"},
		{name: "variable whose name is an instruction", files: pkg("env: {\"A=x\\nRUN touch /owned\\nENV B\": x}\n"), want: "bad-name " + bad + ":5:7"},
		{name: "variable made by an expression", files: pkg("env: {A: \"${{ fromJSON('\\\"x\\\\nRUN touch /owned\\\"') }}\"}\n"), want: "bad-variable " + bad + ":5:10"},
		{name: "control character made by an expression", files: install("{run: 'true', env: {A: \"${{ fromJSON('\\\"\\\\u001b]0;x\\\"') }}\"}}"), want: "unsafe-value " + bad + ":5:42"},
		{name: "expression in a script", files: install("{run: \"echo ${{ fromJSON('\\\"$(touch /owned)\\\"') }}\"}"), want: "unsafe-value " + bad + ":5:25"},
		{name: "expression that is a flag", files: install("{run: \"ls ${{ env.A }}\", env: {A: --help}}"), want: "unsafe-value " + bad + ":5:25"},
		{name: "secret with a mount option", files: install("{run: 'true', secrets: [\"a,target=/etc/passwd\"]}"), want: "bad-name " + bad + ":5:43"},
		{name: "cache of another name", files: install("{run: 'true', cache: [\"pip,source=/\"]}"), want: "bad-value " + bad + ":5:41"},
		{name: "base is a flag", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: \">=36\", base: --platform=x}]\n"}, want: "bad-base matrix.yaml:1:"},
		{name: "base with an instruction", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: \">=36\", base: \"a\\nRUN x\"}]\n"}, want: "bad-base matrix.yaml:1:"},
		{name: "OS with an instruction", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: \"12\\nRUN x\"}, python: [3.11], hosts: \">=36\", base: a}]\n"}, want: "bad-value matrix.yaml:1:"},
		{name: "suite is a flag", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: \">=36\", base: {mmdebstrap: {suite: --setup-hook=x}}}]\n"}, want: "bad-value matrix.yaml:1:"},
		{name: "package of a base is a flag", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: \">=36\", base: {mmdebstrap: {suite: bookworm, include: [--x]}}}]\n"}, want: "bad-base matrix.yaml:1:"},
		{name: "archive whose name ends the script", files: map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions:\n  - version: 1\n    archive: {sha256: " + strings.Repeat("a", 64) + ", urls: [\"https://example.org/a%0aJETCRATE%0aRUN%20touch%20owned\"]}\n"},
			want: "bad-archive " + bad + ":6:"},
		{name: "archive with a path", files: map[string]string{bad: "name: bad\ngroup: g\nsummary: s\nversions:\n  - version: 1\n    archive: {sha256: " + strings.Repeat("a", 64) + ", debian: pool/../../x}\n"}, want: "bad-archive " + bad + ":6:"},

		// Growth.
		{name: "steps that multiply", files: stepBomb(), want: "step-count " + bad + ":5:"},
		{name: "expression that doubles", files: install("{run: 'true', env: {A: \"" + strings.Repeat("x", 1000) + "\", B: \"" + strings.Repeat("${{ join(fromJSON('[1,2,3]'), '"+strings.Repeat("y", 500)+"') }}", 100) + "\", C: \"" + strings.Repeat("${{ env.B }}", 1000) + "\"}}"),
			want: ""},
		{name: "long line", files: install("{run: 'true', env: {A: \"" + strings.Repeat("x", 62000) + "\"}}"), want: "bad-step " + bad},
		{name: "parentheses", files: install("{run: \"" + strings.Repeat("( ", 30000) + "\"}"), want: "shell-syntax " + bad + ":5:"},
		{name: "substitutions", files: install("{run: \"" + strings.Repeat("$( ", 20000) + "\"}"), want: "shell-syntax " + bad + ":5:"},
		{name: "expressions", files: install("{run: \"" + strings.Repeat("${{x}} ", 9000) + "\"}"), want: "bad-expression " + bad + ":5:"},
		{name: "expressions in a block", files: pkg("install:\n  steps:\n    - run: |\n" + strings.Repeat("        ${{x}}\n", 4000)), want: "bad-expression " + bad + ":8:"},
		{name: "brackets in an expression", files: install("{run: 'true', if: \"" + strings.Repeat("(", 60000) + "\"}"), want: "expression-syntax " + bad + ":5:"},
		{name: "a range of many clauses", files: pkg("requires: {l4t: \"" + strings.Repeat("1||", 20000) + "1\"}\n"), want: "bad-range " + bad + ":5:"},
		{name: "a matrix of a million cells", files: map[string]string{"matrix.yaml": "platforms: [{l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: \">=36\", base: a}]\nstrategy:\n  matrix:\n    l4t: [" +
			strings.Repeat("36.4.0,", 1000) + "]\n    package: [" + strings.Repeat("low,", 1000) + "]\n"}, want: "bad-matrix matrix.yaml:3:"},
		{name: "large file", make: func(t *testing.T, dir string) { // sparse: it takes no disk
			f, err := os.Create(filepath.Join(dir, "packages/g/low/huge"))
			require.NoError(t, err)
			require.NoError(t, f.Truncate(1<<40))
			require.NoError(t, f.Close())
		}, want: "file-size packages/g/low/huge"},
		{name: "large files", make: func(t *testing.T, dir string) {
			for i := range 5 {
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("packages/g/low/large%d", i)))
				require.NoError(t, err)
				require.NoError(t, f.Truncate(60<<20))
				require.NoError(t, f.Close())
			}
		}, want: "file-size packages/g/low/package.yaml"},
		{name: "many files", make: func(t *testing.T, dir string) {
			for i := range 10001 {
				require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("packages/g/low/%d", i)), nil, 0o644))
			}
		}, want: "file-count packages/g/low/package.yaml"},
		{name: "large Dockerfile", files: func() map[string]string {
			f := pkg("dockerfile: Dockerfile\n")
			f["packages/g/bad/Dockerfile"] = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN true" + strings.Repeat(" \\\n x", 300000) + "\n"
			return f
		}(), want: "file-size packages/g/bad/Dockerfile"},
	}
}

func TestHostileCatalogs(t *testing.T) {
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, small()))
			for name, text := range h.files {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			if h.make != nil {
				h.make(t, dir)
			}
			code, out, errs := bounded(t, "lint", "-C", dir, "-o", "json")
			list := diagnostics(t, out)
			if !list.HasErrors() { // some show only once the package is planned
				code, out, errs = bounded(t, "plan", "bad", "--l4t", "36.4.0", "-C", dir, "-o", "json")
				list = diagnostics(t, out)
			}
			require.Equal(t, 1, code, "%s%s", out, errs)
			require.Empty(t, errs)
			perFile, found := map[string]int{}, false
			for _, d := range list {
				perFile[d.File]++
				require.LessOrEqual(t, perFile[d.File], mostMistakes)
				require.NotEmpty(t, d.File, "a place: %v", d)
				require.NotEqual(t, "internal", d.Code)
				found = found || strings.HasPrefix(d.Code+" "+d.Position.String(), h.want)
			}
			require.True(t, found, "%s is not among\n%.3000s", h.want, out)

			_, out, errs = bounded(t, "plan", "bad", "--l4t", "36.4.0", "-C", dir)
			require.Empty(t, out)
			for _, text := range []string{string(errs)} {
				require.False(t, strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), "%q", text)
			}
		})
	}
}

func diagnostics(t *testing.T, out []byte) diag.List {
	t.Helper()
	var list diag.List
	_ = json.Unmarshal(out, &list) // a plan is no list
	return list
}

// bounded runs jetcrate in this process and holds what it costs against the
// bounds.
func bounded(t *testing.T, args ...string) (code int, out, errs []byte) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(t)
	code = jetcrate.Main(args, strings.NewReader(""), &stdout, &stderr)
	cpu = cpuTime(t) - cpu
	runtime.ReadMemStats(&after)
	t.Logf("%s: %d MiB, %s, %d bytes", args[0], (after.TotalAlloc-before.TotalAlloc)>>20, cpu.Round(time.Millisecond), stdout.Len()+stderr.Len())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(mostMemory))
	require.Less(t, cpu, mostCPU)
	require.Less(t, stdout.Len()+stderr.Len(), mostOutput)
	return code, stdout.Bytes(), stderr.Bytes()
}

func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

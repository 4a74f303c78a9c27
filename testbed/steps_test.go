package testbed_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// workbench runs the scripts of reusable steps on this machine, in a Python of its
// own and with an index that is a folder of wheels: what they do is the same in
// a container, where the demo and the scripts of this folder run others of them.
type workbench struct {
	*testing.T
	dir, python string
}

func newWorkbench(t *testing.T) *workbench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	b := &workbench{T: t, dir: dir, python: filepath.Join(dir, "venv")}
	if out, err := exec.Command("python3", "-m", "venv", "--without-pip", "--system-site-packages", b.python).CombinedOutput(); err != nil {
		t.Skipf("no python3 with venv and pip here: %v: %s", err, out)
	}
	for _, folder := range []string{"index", "out", "artifact"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o755))
	}
	return b
}

// wheel puts a distribution with one module into a folder.
func (b *workbench) wheel(folder, name, version string, requires ...string) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.dir, folder, name+"-"+version+"-py3-none-any.whl"))
	require.NoError(b, err)
	z := zip.NewWriter(f)
	info := name + "-" + version + ".dist-info/"
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	record := ""
	for _, file := range [][2]string{
		{name + ".py", "def main():\n    print('" + name + "')\n"},
		{info + "METADATA", metadata},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: testbed\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\n" + name + " = " + name + ":main\n"},
	} {
		w, err := z.Create(file[0])
		require.NoError(b, err)
		_, err = w.Write([]byte(file[1]))
		require.NoError(b, err)
		record += file[0] + ",,\n"
	}
	w, err := z.Create(info + "RECORD")
	require.NoError(b, err)
	_, err = w.Write([]byte(record + info + "RECORD,,\n"))
	require.NoError(b, err)
	require.NoError(b, z.Close())
	require.NoError(b, f.Close())
}

// step runs the script of a reusable step; the places of a container become
// folders of the bench.
func (b *workbench) step(name string, env ...string) (string, error) {
	b.Helper()
	steps := catalog(b.T).Steps[name].Steps
	require.Len(b, steps, 1)
	script := strings.NewReplacer("/artifact", b.dir+"/artifact", "/tmp/", b.dir+"/").Replace(steps[0].Run)
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "PATH="+b.python+"/bin:"+os.Getenv("PATH"), "PIP_NO_INDEX=1", "PIP_FIND_LINKS="+b.dir+"/index",
		"PIP_DISABLE_PIP_VERSION_CHECK=1", "PYTHONHASHSEED=0", "OUT="+b.dir+"/out", "DISTRIBUTIONS=", "DEPS=true", "CONSTRAINTS=", "INDEX=", "LOCKED=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *workbench) pip(args ...string) {
	b.Helper()
	cmd := exec.Command(b.python+"/bin/python3", append([]string{"-m", "pip", "-q", "--disable-pip-version-check"}, args...)...)
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", out)
}

func (b *workbench) collected() []string {
	b.Helper()
	var names []string
	entries, err := os.ReadDir(filepath.Join(b.dir, "out"))
	require.NoError(b, err)
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), "-py3-none-any.whl"))
	}
	return names
}

func TestCollectWheels(t *testing.T) {
	for _, c := range []struct {
		name   string
		env    []string
		locked []string
		built  bool // a step before left a wheel in /out
		want   []string
		fails  string
	}{
		{name: "what lies below is not brought again", env: []string{"DISTRIBUTIONS=user==1.0"}, want: []string{"leaf-1.0", "user-1.0"}},
		{name: "a constraint of the step", env: []string{"DISTRIBUTIONS=leaf", "CONSTRAINTS=leaf<1"}, want: []string{"leaf-0.9"}},
		{name: "the distribution alone", env: []string{"DISTRIBUTIONS=user==1.0", "DEPS=false"}, want: []string{"user-1.0"}},
		{name: "what a wheel built here needs", built: true, want: []string{"built-3.0", "leaf-1.0"}},
		{name: "locked", env: []string{"DISTRIBUTIONS=user"}, locked: []string{"user-1.0", "leaf-0.9", "ground-1.0"}, want: []string{"leaf-0.9", "user-1.0"}},
		{name: "locked with another hash", env: []string{"DISTRIBUTIONS=leaf", "LOCKED=leaf==0.9 --hash=sha256:" + strings.Repeat("0", 64)}, fails: "HASHES"},
		{name: "locked against what lies below", env: []string{"DISTRIBUTIONS=leaf"}, locked: []string{"ground-2.0"}, fails: "ground==1.0 lies below, and the lock says that the package brings ground==2.0"},
		{name: "another version of what lies below", env: []string{"DISTRIBUTIONS=greedy"}, fails: "ground"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newWorkbench(t)
			b.wheel("index", "ground", "1.0")
			b.wheel("index", "ground", "2.0")
			b.wheel("index", "leaf", "0.9")
			b.wheel("index", "leaf", "1.0")
			b.wheel("index", "user", "1.0", "ground", "leaf")
			b.wheel("index", "greedy", "1.0", "ground>=2")
			if c.built {
				b.wheel("out", "built", "3.0", "ground", "leaf")
			}
			b.pip("install", "--no-index", "--find-links", b.dir+"/index", "ground==1.0")
			var lines []string
			for _, wheel := range c.locked {
				data, err := os.ReadFile(filepath.Join(b.dir, "index", wheel+"-py3-none-any.whl"))
				require.NoError(t, err)
				lines = append(lines, fmt.Sprintf("%s --hash=sha256:%x", strings.Replace(wheel, "-", "==", 1), sha256.Sum256(data)))
			}
			if len(lines) > 0 {
				c.env = append(c.env, "LOCKED="+strings.Join(lines, "\n"))
			}
			out, err := b.step("python/collect-wheels", c.env...)
			if c.fails != "" {
				require.Error(t, err, out)
				require.Contains(t, out, c.fails)
				return
			}
			require.NoError(t, err, out)
			require.Equal(t, c.want, b.collected(), out)
		})
	}
}

// TestInstallWheels installs two wheels twice: the same files with the same bytes.
func TestInstallWheels(t *testing.T) {
	b := newWorkbench(t)
	b.wheel("artifact", "leaf", "1.0")
	b.wheel("artifact", "user", "1.0", "leaf")
	var digests []string
	for range 2 {
		destdir := filepath.Join(b.dir, "destdir")
		require.NoError(t, os.RemoveAll(destdir))
		require.NoError(t, os.Mkdir(destdir, 0o755))
		out, err := b.step("python/install-wheels", "DESTDIR="+destdir)
		require.NoError(t, err, out)
		var all bytes.Buffer
		require.NoError(t, filepath.WalkDir(destdir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(name)
			fmt.Fprintf(&all, "%s %x\n", strings.TrimPrefix(name, destdir+b.python), sha256.Sum256(data))
			return err
		}))
		require.Contains(t, all.String(), "/bin/user ")
		require.Contains(t, all.String(), "/leaf-1.0.dist-info/RECORD ")
		require.Contains(t, all.String(), "/__pycache__/leaf.")
		require.NotContains(t, all.String(), "REQUESTED")
		digests = append(digests, all.String())
	}
	require.Equal(t, digests[0], digests[1])
}

// TestPackArchive packs the same files, made at different times, to the same bytes.
func TestPackArchive(t *testing.T) {
	b := newWorkbench(t)
	var digests [][32]byte
	for range 2 {
		stage := filepath.Join(b.dir, "stage")
		require.NoError(t, os.RemoveAll(stage))
		for _, file := range []string{"usr/local/bin/a", "opt/b/c", "opt/b/a"} {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(stage, file)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(stage, file), []byte(file), 0o644))
		}
		out, err := b.step("archive/pack", "STAGE="+stage, "ARCHIVE=a-1.tar.gz")
		require.NoError(t, err, out)
		data, err := os.ReadFile(filepath.Join(b.dir, "out/a-1.tar.gz"))
		require.NoError(t, err)
		digests = append(digests, sha256.Sum256(data))
	}
	require.Equal(t, digests[0], digests[1])
}

// TestCheckoutLocked checks out the commit of the lock, wherever the ref is by now.
func TestCheckoutLocked(t *testing.T) {
	b := newWorkbench(t)
	origin := filepath.Join(b.dir, "origin")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@localhost"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main", origin)
	var commits []string
	for _, text := range []string{"one", "two", "three"} {
		require.NoError(t, os.WriteFile(filepath.Join(origin, "file"), []byte(text), 0o644))
		git("-C", origin, "add", "file")
		git("-C", origin, "commit", "-q", "-m", text)
		commits = append(commits, git("-C", origin, "rev-parse", "HEAD"))
	}
	git("-C", origin, "tag", "-a", "-m", "second", "v2", commits[1])
	for _, c := range []struct{ name, ref, commit, want, fails string }{
		{name: "a branch as it is", ref: "main", want: "three"},
		{name: "a branch that has moved on", ref: "main", commit: commits[0], want: "one"},
		{name: "a tag", ref: "v2", commit: commits[1], want: "two"},
		{name: "a tag that was moved", ref: "v2", commit: commits[2], want: "three"},
		{name: "a commit that is gone", ref: "main", commit: strings.Repeat("1", 40), fails: strings.Repeat("1", 40)},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := filepath.Join(t.TempDir(), "src")
			out, err := b.step("git/checkout", "REPOSITORY=file://"+origin, "REF="+c.ref, "DESTINATION="+src, "SUBMODULES=false", "FULL=false", "COMMIT="+c.commit)
			if c.fails != "" {
				require.Error(t, err, out)
				require.Contains(t, out, c.fails)
				return
			}
			require.NoError(t, err, out)
			text, err := os.ReadFile(filepath.Join(src, "file"))
			require.NoError(t, err)
			require.Equal(t, c.want, string(text))
		})
	}
}

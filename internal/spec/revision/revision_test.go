package revision_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/spec/revision"
)

// repository is a git repository with a catalog in one of its folders.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := repository{t, t.TempDir()}
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	r.git("init", "-q", "-b", "main")
	r.write("catalog/matrix.yaml", "platforms: []\n", 0o644)
	r.write("catalog/packages/g/p/package.yaml", "name: p\n", 0o644)
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
	c.Dir = r.dir
	out, err := c.CombinedOutput()
	require.NoError(r.t, err, "%s", out)
	return string(out)
}

func (r repository) write(name, text string, mode fs.FileMode) {
	r.t.Helper()
	name = filepath.Join(r.dir, filepath.FromSlash(name))
	require.NoError(r.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(r.t, os.WriteFile(name, []byte(text), mode))
}

func (r repository) commit() {
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "c")
}

func (r repository) read(name string, extra ...string) (*revision.Catalog, error) {
	return revision.Read(context.Background(), filepath.Join(r.dir, "catalog"), name, extra...)
}

func TestARevisionHasTheBytesThatWereCommitted(t *testing.T) {
	r := newRepository(t)
	// What attributes ask for is for archives and working trees.
	r.write("catalog/.gitattributes", "subst.txt export-subst\nhidden.txt export-ignore\n*.txt text eol=crlf\n", 0o644)
	r.write("catalog/packages/g/p/subst.txt", "$Format:%H$\n", 0o644)
	r.write("catalog/packages/g/p/hidden.txt", "hidden\n", 0o644)
	r.write("catalog/packages/g/p/run.sh", "true\n", 0o755)
	r.write("catalog/packages/g/p/empty", "", 0o644)
	r.write("catalog/packages/g/p/tab\tand\nnewline", "odd\n", 0o644)
	r.write("catalog/packages/g/p/zero", "\x00\n\x00", 0o644)
	r.write("catalog/overlay/matrix.yaml", "platforms: []\n", 0o644)
	r.write("catalog/secret.txt", "no part of a catalog\n", 0o644)
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(r.dir, "catalog/packages/g/p/link")))
	r.commit()
	r.write("catalog/packages/g/p/package.yaml", "name: changed\n", 0o644)

	c, err := r.read("main", "overlay/matrix.yaml", "../outside", "/etc/passwd")
	require.NoError(t, err)
	require.Len(t, c.Commit, 40)
	for name, want := range map[string]string{
		"packages/g/p/package.yaml": "name: p\n", "packages/g/p/subst.txt": "$Format:%H$\n", "packages/g/p/hidden.txt": "hidden\n",
		"packages/g/p/empty": "", "packages/g/p/tab\tand\nnewline": "odd\n", "packages/g/p/zero": "\x00\n\x00",
		"matrix.yaml": "platforms: []\n", "overlay/matrix.yaml": "platforms: []\n",
	} {
		got, err := fs.ReadFile(c.Files, name)
		require.NoError(t, err, name)
		require.Equal(t, want, string(got), name)
	}
	_, err = fs.Stat(c.Files, "secret.txt")
	require.ErrorIs(t, err, fs.ErrNotExist)
	modes := map[string]fs.FileMode{}
	entries, err := fs.ReadDir(c.Files, "packages/g/p")
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		modes[e.Name()] = info.Mode()
	}
	require.Equal(t, fs.FileMode(0o755), modes["run.sh"])
	require.Equal(t, fs.FileMode(0o644), modes["package.yaml"])
	require.Equal(t, fs.ModeSymlink, modes["link"].Type())
	require.NoError(t, fstest.TestFS(c.Files, "matrix.yaml", "packages/g/p/run.sh"))
	require.Contains(t, r.git("status", "--porcelain"), "package.yaml", "the working tree is as it was")
}

func TestNamesOfRevisions(t *testing.T) {
	r := newRepository(t)
	r.commit()
	r.git("tag", "v1")
	r.git("tag", "v1-tree", "HEAD^{tree}")
	for _, name := range []string{"main", "HEAD", "v1", "main~0", "HEAD^{commit}"} {
		_, err := r.read(name)
		require.NoError(t, err, name)
	}
	for _, name := range []string{"", "-", "-h", "--output=x", "--upload-pack=touch x", "v2", "main:catalog", "v1-tree", "main..v1", "main v1", "main\n"} {
		_, err := r.read(name)
		var unknown *revision.Unknown
		require.ErrorAs(t, err, &unknown, "%q", name)
	}
}

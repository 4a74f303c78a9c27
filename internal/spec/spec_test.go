package spec

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/diag"
)

func baseCatalog(t testing.TB, files string) (fstest.MapFS, *Catalog) {
	fsys := catalogOf(t, txtar.Parse([]byte(files)))
	cat, list := Load(fsys, Options{})
	require.Empty(t, printed(list))
	return fsys, cat
}

func TestValuesStayAsWritten(t *testing.T) {
	_, cat := baseCatalog(t, `
-- packages/ml/a/package.yaml --
name: a
group: ml
summary: 2.10
versions: [{version: 2.10, values: {n: 010, yes: yes, d: 2024-01-02}, default: {}}]
env: {A: 1.50, B: true, C: 0x10, D: ""}
build:
  steps:
    - uses: python/build-wheel
      if: true
      with: {source: 3.10, isolated: false}
    - uses: apt/install
      with: {packages: [1.0, b]}
`)
	a := cat.Packages["a"]
	require.Equal(t, "2.10", a.Versions[0].Version)
	require.Equal(t, "2.10", a.Summary)
	require.Equal(t, map[string]string{"n": "010", "yes": "yes", "d": "2024-01-02"}, a.Versions[0].Values)
	require.Equal(t, Requires{{}}, a.Versions[0].Default, "{} is one condition that always holds")
	require.Equal(t, map[string]string{"A": "1.50", "B": "true", "C": "0x10", "D": ""}, a.Env)
	require.Equal(t, map[string]any{"source": "3.10", "isolated": false}, a.Build.Steps[0].With)
	require.Equal(t, "true", a.Build.Steps[0].If)
	require.Equal(t, []any{"1.0", "b"}, a.Build.Steps[1].With["packages"])
	require.Equal(t, "12.6", cat.Matrix.Platforms[0].CUDA[0].Version)
	require.Equal(t, []string{"3.10", "3.12"}, cat.Matrix.Platforms[0].Python)
}

func TestShapesAndDefaults(t *testing.T) {
	_, cat := baseCatalog(t, "")
	n := cat.Packages["numpy"]
	require.Equal(t, []Dependency{{Target: "python"}}, n.Depends)
	require.Equal(t, Requires{{L4T: ">=36"}, {OS: "ubuntu >=24.04"}}, n.Versions[1].Requires)
	require.Nil(t, n.Versions[1].Default)
	require.Equal(t, "boolean", n.Options["doc"].Type)
	require.Equal(t, false, n.Options["doc"].Default)
	require.Equal(t, "openblas", n.Options["blas"].Default)
	require.Equal(t, 10.0, n.Tests[0].TimeoutMinutes)
	require.Equal(t, "sh", n.Tests[0].Shell)
	require.Equal(t, true, cat.Steps["python/build-wheel"].Inputs["isolated"].Default)
	p := cat.Matrix.Platforms[0]
	require.Equal(t, "arm64", p.Arch)
	require.Equal(t, "tegra", p.Flavour)
	require.Equal(t, Base{Image: "nvcr.io/nvidia/l4t-jetpack:r36.4.0"}, p.Base)
	require.Equal(t, diag.Position{File: "matrix.yaml", Line: 2, Col: 10}, p.Pos.Pos("l4t"))
	require.Equal(t, 20, cat.Matrix.Strategy.Pos.Pos("matrix", "cuda").Line)
}

func TestOverlay(t *testing.T) {
	fsys := catalogOf(t, txtar.Parse([]byte(`
-- over.yaml --
platforms:
  - {l4t: 36.4.0, os: {id: debian, version: 12}, python: [3.11], hosts: "*", testbed: true, base: {mmdebstrap: {suite: bookworm}}}
  - {l4t: 36.4.0, flavour: sbsa, os: {id: debian, version: 12}, python: [3.11], hosts: "*", base: x}
`)))
	cat, list := Load(fsys, Options{Matrix: []string{"matrix.yaml", "./over.yaml"}})
	require.Empty(t, printed(list))
	var got []string
	for _, p := range cat.Matrix.Platforms {
		got = append(got, p.L4T+" "+p.Flavour+" "+p.OS.ID)
	}
	require.Equal(t, []string{"36.4.0 tegra debian", "35.4.1 tegra ubuntu", "36.4.0 sbsa debian"}, got)
	require.Empty(t, cat.Matrix.Platforms[0].CUDA, "records are replaced whole")
	require.Equal(t, "apt", cat.Matrix.Platforms[0].Base.Mmdebstrap.Variant)
	require.Equal(t, []string{"default"}, cat.Matrix.Strategy.Matrix.CUDA)
	require.Equal(t, "over.yaml", cat.Matrix.Platforms[0].Pos.Pos().File)
}

func TestAliases(t *testing.T) {
	_, cat := baseCatalog(t, `
-- packages/ros/ros2/package.yaml --
name: ros2
group: ros
summary: Robots
aliases: [ros, "ros:rolling", "moveit:humble"]
versions: [{version: jazzy}, {version: humble}, {version: rolling}]
`)
	require.Equal(t, map[string]string{"ros": "ros2", "ros:rolling": "ros2:rolling", "moveit:humble": "ros2:humble"}, cat.Aliases)
	for in, want := range map[string]string{
		"ros": "ros2", "ros:humble": "ros2:humble", "ros2:jazzy": "ros2:jazzy", "moveit:humble+a": "ros2:humble+a", "numpy": "numpy",
	} {
		target, err := ParseTarget(in)
		require.NoError(t, err)
		got, ok := cat.Canonical(target)
		require.True(t, ok, in)
		require.Equal(t, want, got.String(), in)
	}
	_, ok := cat.Canonical(Target{Name: "moveit"})
	require.False(t, ok)
}

func TestFiles(t *testing.T) {
	fsys, cat := baseCatalog(t, `
-- packages/ml/numpy/README.md --
x
-- packages/ml/numpy/docs/a.md --
x
-- packages/ml/numpy/patches/b.patch --
hello
-- packages/ml/numpy/a.sh --
x
-- packages/ml/numpy/tests/t.py --
x
`)
	fsys["packages/ml/numpy/a.sh"].Mode = 0o755
	files, list := Files(fsys, cat.Packages["numpy"])
	require.Empty(t, list)
	require.Len(t, files, 3)
	require.Equal(t, "a.sh", files[0].Path)
	require.True(t, files[0].Exec)
	require.Equal(t, File{Path: "patches/b.patch", Name: "packages/ml/numpy/patches/b.patch", Size: 6,
		SHA256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}, files[1])
	require.Equal(t, "tests/t.py", files[2].Path)
	require.True(t, files[2].Test)

	fsys["packages/ml/numpy/link"] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte("/etc/passwd")}
	files, list = Files(fsys, cat.Packages["numpy"])
	require.Nil(t, files)
	require.Equal(t, "symlink", list[0].Code)
	_, list = Load(fsys, Options{})
	require.Len(t, list, 1)
}

// On a real file system a symlink is seen too, on the way to a file as well.
func TestSymlinksOnDisk(t *testing.T) {
	dir := t.TempDir()
	fsys := catalogOf(t, &txtar.Archive{})
	require.NoError(t, os.CopyFS(dir, fsys))
	_, list := Load(os.DirFS(dir), Options{})
	require.Empty(t, printed(list))
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "out")))
	require.NoError(t, os.Symlink("/etc", filepath.Join(dir, "packages/ml/etc")))
	_, list = Load(os.DirFS(dir), Options{Matrix: []string{"matrix.yaml", "out/etc/passwd"}})
	require.Len(t, list, 2)
	require.Equal(t, "out", list[0].File)
	require.Equal(t, "packages/ml/etc", list[1].File)
}

func TestSizeLimit(t *testing.T) {
	fsys := catalogOf(t, &txtar.Archive{})
	fsys["packages/ml/numpy/package.yaml"].Data = bytes.Repeat([]byte("# x\n"), maxFileSize/4+1)
	_, list := Load(fsys, Options{})
	require.Len(t, list, 1, "other files do not complain about numpy")
	require.Equal(t, "file-size", list[0].Code)
}

func TestPositions(t *testing.T) {
	var list diag.List
	doc := parseYAML("f", []byte("a:\n  - b: 'x y'\n    é: ü ${{ v }}\nrun: |\n\n    one\n      two\nfold: >\n  a\n  b\nflow: {k: [1, \"q\\tr\"]}\n"), &list)
	require.Empty(t, list)
	at := func(line, col int) diag.Position { return diag.Position{File: "f", Line: line, Col: col} }
	require.Equal(t, at(1, 1), doc.Pos())
	require.Equal(t, at(1, 1), doc.Pos("a"))
	require.Equal(t, at(2, 5), doc.Pos("a", 0))
	require.Equal(t, at(2, 8), doc.Pos("a", 0, "b"))
	require.Equal(t, at(2, 5), doc.KeyPos("a", 0, "b"))
	require.Equal(t, at(2, 5), doc.Pos("a", 0, "missing", "deeper"))
	require.Equal(t, at(11, 7), doc.Pos("flow"))
	require.Equal(t, at(2, 11), doc.PosAt(2, "a", 0, "b"))
	require.Equal(t, at(3, 14), doc.PosAt(len("ü ${{ "), "a", 0, "é"))
	require.Equal(t, at(6, 5), doc.PosAt(1, "run"))
	require.Equal(t, at(7, 9), doc.PosAt(len("\none\n  tw"), "run"))
	require.Equal(t, at(8, 7), doc.PosAt(2, "fold"))
	require.Equal(t, at(11, 15), doc.PosAt(2, "flow", "k", 1), "escapes are not counted through")
	require.Equal(t, diag.Position{}, (*Document)(nil).Pos("x"))
}

func TestSchemas(t *testing.T) {
	for _, kind := range Kinds() {
		got, err := Schema(kind)
		require.NoError(t, err)
		again, err := Schema(kind)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
		require.True(t, json.Valid(got))
		file := filepath.Join("../../schema", kind+".schema.json")
		if *update {
			require.NoError(t, os.WriteFile(file, got, 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "run go test ./internal/spec -update")
	}
	_, err := Schema("nothing")
	require.Error(t, err)
}

// Every pattern of the schemas is explained in words.
func TestPatternsHaveWords(t *testing.T) {
	for _, kind := range Kinds() {
		data, err := Schema(kind)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"pattern": ("(?:[^"\\]|\\.)*")`).FindAllSubmatch(data, -1) {
			var p string
			require.NoError(t, json.Unmarshal(m[1], &p))
			require.NotContains(t, patternWords(p), "matches", p)
		}
	}
}

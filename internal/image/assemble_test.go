package image

import (
	"archive/tar"
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

func file(p, content string) Entry {
	return Entry{Path: p, Type: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), SHA256: "sha of " + content}
}
func dir(p string, mode int64) Entry { return Entry{Path: p, Type: tar.TypeDir, Mode: mode} }
func link(p, to string) Entry {
	return Entry{Path: p, Type: tar.TypeSymlink, Mode: 0o777, Link: to}
}
func mode(e Entry, m int64) Entry { e.Mode = m; return e }

func TestAssemblyConflicts(t *testing.T) {
	base := Owned{"base", FileList{
		link("bin", "usr/bin"), file("etc/passwd", "root"), link("lib64", "/usr/lib"),
		dir("tmp", 0o1777), dir("usr", 0o755), dir("usr/bin", 0o755), file("usr/bin/sh", "sh"),
		dir("usr/local/lib/python3.11", 0o2775),
		file("usr/lib/python3/dist-packages/numpy-1.21.5.egg-info", "x"),
		file("usr/lib/python3/dist-packages/Foo_Bar-1.0-py3.11.egg-info/PKG-INFO", "x"),
	}}
	tests := []struct {
		name   string
		chain  []Owned
		linked []Linked
		env    []Var
		want   *Conflict // nil: it fits
	}{
		{name: "files of its own", linked: []Linked{{Owner: "a", Files: FileList{dir("usr", 0o755), dir("usr/bin", 0o755), file("usr/bin/a", "a")}}}},
		{name: "the same file twice", linked: []Linked{
			{Owner: "a", Files: FileList{file("opt/x", "same")}}, {Owner: "b", Files: FileList{file("opt/x", "same")}}}},
		{name: "other content", linked: []Linked{
			{Owner: "a", Files: FileList{file("opt/x", "one")}}, {Owner: "b", Files: FileList{file("opt/x", "two")}}},
			want: &Conflict{"opt/x", [2]string{"a", "b"}, "the content differs"}},
		{name: "other content than the base's", linked: []Linked{{Owner: "a", Files: FileList{file("etc/passwd", "mine")}}},
			want: &Conflict{"etc/passwd", [2]string{"base", "a"}, "the content differs"}},
		{name: "other mode", linked: []Linked{{Owner: "a", Files: FileList{mode(file("etc/passwd", "root"), 0o600)}}},
			want: &Conflict{"etc/passwd", [2]string{"base", "a"}, "the mode differs: 0644 and 0600"}},
		{name: "other owner", linked: []Linked{{Owner: "a", Files: FileList{{Path: "tmp", Type: tar.TypeDir, Mode: 0o1777, UID: 3}}}},
			want: &Conflict{"tmp", [2]string{"base", "a"}, "the owner differs: 0:0 and 3:0"}},
		{name: "other mode of a directory", linked: []Linked{{Owner: "a", Files: FileList{dir("tmp", 0o755)}}},
			want: &Conflict{"tmp", [2]string{"base", "a"}, "the mode differs: 01777 and 0755"}},
		{name: "a setgid directory as it is below", linked: []Linked{{Owner: "a", Files: FileList{dir("usr/local/lib/python3.11", 0o2775)}}}},
		{name: "a setgid directory of its own", linked: []Linked{{Owner: "a", Files: FileList{dir("opt/a", 0o2775)}}},
			want: &Conflict{"opt/a", [2]string{"a", "a"}, "a linked layer must not hold anything setuid or setgid"}},
		{name: "through a symlink", linked: []Linked{{Owner: "a", Files: FileList{file("bin/a", "a")}}},
			want: &Conflict{"bin/a", [2]string{"base", "a"}, "the path goes through the symlink bin -> usr/bin"}},
		{name: "through a file", linked: []Linked{{Owner: "a", Files: FileList{file("etc/passwd/x", "a")}}},
			want: &Conflict{"etc/passwd/x", [2]string{"base", "a"}, "the path goes through etc/passwd, which is no directory"}},
		{name: "through a linked layer's symlink", linked: []Linked{
			{Owner: "a", Files: FileList{link("opt/x", "y")}}, {Owner: "b", Files: FileList{file("opt/x/z", "z")}}},
			want: &Conflict{"opt/x/z", [2]string{"a", "b"}, "the path goes through the symlink opt/x -> y"}},
		{name: "a symlink over a directory", linked: []Linked{{Owner: "a", Files: FileList{link("usr/bin", "/bin")}}},
			want: &Conflict{"usr/bin", [2]string{"base", "a"}, "one has a directory there, the other a symlink"}},
		{name: "a symlink over a directory that no layer names", linked: []Linked{{Owner: "a", Files: FileList{link("etc", "/x")}}},
			want: &Conflict{"etc", [2]string{"base", "a"}, "one has a directory there, the other a symlink"}},
		{name: "a directory over a symlink", linked: []Linked{{Owner: "a", Files: FileList{dir("bin", 0o755)}}},
			want: &Conflict{"bin", [2]string{"base", "a"}, "one has a symlink there, the other a directory"}},
		{name: "another symlink", linked: []Linked{{Owner: "a", Files: FileList{link("bin", "elsewhere")}}},
			want: &Conflict{"bin", [2]string{"base", "a"}, "one links to usr/bin, the other to elsewhere"}},
		{name: "a whiteout", linked: []Linked{{Owner: "a", Files: FileList{file("etc/.wh.passwd", "")}}},
			want: &Conflict{"etc/.wh.passwd", [2]string{"a", "a"}, "a linked layer must not remove anything (whiteout)"}},
		{name: "setuid", linked: []Linked{{Owner: "a", Files: FileList{mode(file("opt/su", "su"), 0o4755)}}},
			want: &Conflict{"opt/su", [2]string{"a", "a"}, "a linked layer must not hold anything setuid or setgid"}},
		{name: "device node", linked: []Linked{{Owner: "a", Files: FileList{{Path: "dev/x", Type: tar.TypeChar}}}},
			want: &Conflict{"dev/x", [2]string{"a", "a"}, "a linked layer must not hold a device node"}},
		{name: "hard link to the same bytes", linked: []Linked{
			{Owner: "a", Files: FileList{file("opt/x", "same")}},
			{Owner: "b", Files: FileList{{Path: "opt/x", Type: tar.TypeLink, Link: "opt/y", Mode: 0o644, SHA256: "sha of same"}}}}},
		{name: "the chain may replace", chain: []Owned{{"apt", FileList{file("etc/passwd", "more")}}},
			linked: []Linked{{Owner: "a", Files: FileList{file("etc/passwd", "root")}}},
			want:   &Conflict{"etc/passwd", [2]string{"apt", "a"}, "the content differs"}},
		{name: "what the chain removed is gone", chain: []Owned{{"apt", FileList{file("etc/.wh.passwd", ""), file(".wh.bin", "")}}},
			linked: []Linked{{Owner: "a", Files: FileList{file("bin/a", "a"), file("etc/passwd", "mine")}}}},
		{name: "two versions, dpkg's and a wheel's", linked: []Linked{{Owner: "np", Files: FileList{file("usr/local/lib/python3.11/dist-packages/numpy-1.26.4.dist-info/METADATA", "x")}}},
			want: &Conflict{"usr/local/lib/python3.11/dist-packages/numpy-1.26.4.dist-info", [2]string{"base", "np"},
				"the Python distribution numpy comes in two versions: 1.21.5 at usr/lib/python3/dist-packages/numpy-1.21.5.egg-info, and 1.26.4"}},
		{name: "two versions in the chain", chain: []Owned{{"pip", FileList{file("usr/local/lib/python3.11/site-packages/foo.bar-2.dist-info/RECORD", "x")}}},
			want: &Conflict{"usr/local/lib/python3.11/site-packages/foo.bar-2.dist-info", [2]string{"base", "pip"},
				"the Python distribution foo-bar comes in two versions: 1.0 at usr/lib/python3/dist-packages/Foo_Bar-1.0-py3.11.egg-info, and 2"}},
		{name: "one version, written in two ways", linked: []Linked{{Owner: "f", Files: FileList{file("usr/local/lib/python3.11/dist-packages/foo_bar-1.0.0.dist-info/METADATA", "x")}}}},
		{name: "an upgrade in the chain removes the old version", chain: []Owned{{"apt", FileList{
			file("usr/lib/python3/dist-packages/.wh.numpy-1.21.5.egg-info", ""), file("usr/lib/python3/dist-packages/numpy-1.26.4.egg-info", "y")}}}},
		{name: "vendored metadata does not count", linked: []Linked{{Owner: "v", Files: FileList{file("usr/lib/python3/dist-packages/v/_vendor/numpy-9.dist-info/METADATA", "x")}}}},
		{name: "PATH-like variables", env: []Var{{"a", "PATH", "/a", true}, {"b", "PATH", "/b", true}}},
		{name: "one variable, one value", env: []Var{{"a", "X", "1", false}, {"b", "X", "1", false}}},
		{name: "one variable, two values", env: []Var{{"a", "X", "1", false}, {"b", "X", "2", false}},
			want: &Conflict{"variable X", [2]string{"a", "b"}, `one sets "1", the other "2"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := Assembly{BelowFiles: append([]Owned{base}, test.chain...), Linked: test.linked, Env: test.env}
			err := a.Check()
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			var c *Conflict
			require.ErrorAs(t, err, &c)
			require.Equal(t, test.want, c)
			require.ErrorContains(t, err, test.want.Owners[0])
			require.ErrorContains(t, err, test.want.Owners[1])
			var all Conflicts
			require.True(t, errors.As(err, &all))
			require.Len(t, all, 1)
		})
	}
}

func TestMerge(t *testing.T) {
	got := Merge(
		FileList{dir("a", 0o755), file("a/1", "1"), file("a/2", "2"), dir("b", 0o755), file("b/1", "1"), file("c/d/e", "e"), file("f", "f")},
		FileList{file("a/.wh.1", ""), file("a/3", "3"), file("b/.wh..wh..opq", ""), file("b/2", "2"), link("c", "a"), dir("f", 0o700)},
	)
	require.Equal(t, FileList{dir("a", 0o755), file("a/2", "2"), file("a/3", "3"), dir("b", 0o755), file("b/2", "2"), link("c", "a"), dir("f", 0o700)}, got)
}

func TestMergeEnv(t *testing.T) {
	env, conflicts := mergeEnv([]string{"LANG=C", "LD_LIBRARY_PATH=/usr/lib/x"}, []Var{
		{"cuda", "PATH", "/usr/local/cuda/bin", true},
		{"cuda", "LD_LIBRARY_PATH", "/usr/local/cuda/lib64", true},
		{"torch", "PATH", "/opt/torch/bin:/usr/local/cuda/bin", true},
		{"torch", "LANG", "C", false},
		{"torch", "TORCH", "1=2", false},
	})
	require.Empty(t, conflicts)
	require.Equal(t, []string{
		"LANG=C",
		"LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/lib/x",
		"PATH=/opt/torch/bin:/usr/local/cuda/bin:" + defaultPath,
		"TORCH=1=2",
	}, env)

	_, conflicts = mergeEnv([]string{"LANG=C"}, []Var{{"torch", "LANG", "en", false}})
	require.Equal(t, []*Conflict{{"variable LANG", [2]string{belowOwner, "torch"}, `one sets "C", the other "en"`}}, conflicts)
}

func TestAssembledImage(t *testing.T) {
	below, err := random.Image(64, 2) // Docker media types
	require.NoError(t, err)
	below, err = mutate.Config(below, v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}, Labels: map[string]string{"base": "kept"}})
	require.NoError(t, err)
	one, oneFiles := layerOf(t, map[string]string{"opt/one": "1"})
	two, twoFiles := layerOf(t, map[string]string{"opt/two": "2"})
	labels, err := Labels{Title: "two", Version: "2", Key: "k", Packages: []Package{{"one", "1"}, {"two", "2"}},
		Platform: Platform{L4T: "36.4.0", Flavour: "tegra", OS: "debian 12", Arch: "arm64"}}.Map()
	require.NoError(t, err)
	a := Assembly{
		Below:      below,
		BelowFiles: []Owned{{Owner: "debian"}, {Owner: "apt"}},
		Linked:     []Linked{{"one", one, oneFiles}, {"two", two, twoFiles}},
		Env:        []Var{{"one", "PATH", "/opt", true}},
		Labels:     labels,
		Platform:   v1.Platform{OS: "linux", Architecture: "arm64"},
	}
	img, err := a.Image()
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	digest, err := img.Digest()
	require.NoError(t, err)
	for range 25 {
		again, err := a.Image()
		require.NoError(t, err)
		d, err := again.Digest()
		require.NoError(t, err)
		require.Equal(t, digest, d)
	}

	m, err := img.Manifest()
	require.NoError(t, err)
	require.Equal(t, types.OCIManifestSchema1, m.MediaType)
	require.Equal(t, types.OCIConfigJSON, m.Config.MediaType)
	require.Len(t, m.Layers, 4)
	for _, l := range m.Layers {
		require.Equal(t, types.OCILayer, l.MediaType)
	}
	want, err := one.Digest()
	require.NoError(t, err)
	require.Equal(t, want, m.Layers[2].Digest, "a linked layer is the same blob in every image")

	cf, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, []string{"PATH=/opt:/bin"}, cf.Config.Env)
	require.Equal(t, []string{"sh"}, cf.Config.Cmd)
	require.Equal(t, "kept", cf.Config.Labels["base"])
	require.Equal(t, "arm64", cf.Architecture)
	var owners []string
	for _, h := range cf.History {
		owners = append(owners, h.CreatedBy)
	}
	require.Equal(t, []string{"jetcrate debian", "jetcrate apt", "jetcrate one", "jetcrate two"}, owners)

	read, err := ParseLabels(cf.Config.Labels)
	require.NoError(t, err)
	require.Equal(t, "36.4.0", read.Platform.L4T)
	require.Equal(t, []Package{{"one", "1"}, {"two", "2"}}, read.Packages)
}

func TestParseLabels(t *testing.T) {
	_, err := ParseLabels(map[string]string{"maintainer": "someone"})
	require.EqualError(t, err, "the image has no label io.jetcrate.packages: jetcrate did not make it")
	_, err = ParseLabels(map[string]string{LabelPackages: "numpy"})
	require.ErrorContains(t, err, "reading label io.jetcrate.packages")
}

func FuzzParseLabels(f *testing.F) {
	f.Add(`[{"name":"a","version":"1"}]`, `{"l4t":"36.4.0","flavour":"tegra","os":"ubuntu 22.04","arch":"arm64"}`)
	f.Add(`[]`, `{}`)
	f.Fuzz(func(t *testing.T, packages, platform string) {
		l, err := ParseLabels(map[string]string{LabelPackages: packages, LabelPlatform: platform})
		if err != nil {
			return
		}
		m, err := l.Map()
		require.NoError(t, err)
		again, err := ParseLabels(m)
		require.NoError(t, err)
		require.Equal(t, l.Platform, again.Platform)
		require.Equal(t, len(l.Packages), len(again.Packages))
	})
}

func FuzzParseDistribution(f *testing.F) {
	for _, s := range []string{"numpy-1.26.4.dist-info", "Foo_Bar-1.0-py3.11.egg-info", "foo.egg-info", "-.dist-info"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, base string) {
		if d, ok := parseDistribution(base); ok {
			require.NotEmpty(t, d.version)
		}
	})
}

package testbed_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/attest"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/store"
)

// inspected is what `jetcrate inspect -o json` says, as far as tests read it.
type inspected struct {
	Digest     string
	Layers     []attest.Layer
	Tests      []attest.Test
	Contents   *attest.Contents
	Made       *attest.Made `json:"provenance"`
	TestResult string
}

// inspect runs the command, and reads its answer.
func (s *site) inspect(catalog string, args ...string) inspected {
	s.Helper()
	var out inspected
	cmd := s.command(catalog, append([]string{"inspect", "--l4t", "36.4.0", "-o", "json"}, args...)...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	require.NoError(s, err)
	require.NoError(s, json.Unmarshal(text, &out))
	return out
}

// open opens the store of the site.
func (s *site) open() *store.Store {
	s.Helper()
	st, err := store.Open(context.Background(), store.Options{Dir: filepath.Join(s.dir, "data", "jetcrate", "store")})
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, st.Close()) })
	return st
}

// contents lists what each layer of an image holds: everything but times.
func contents(t *testing.T, st *store.Store, digest string) (lists []image.FileList) {
	t.Helper()
	img, err := st.ImageAt(context.Background(), digest)
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	for _, l := range layers {
		list, err := image.ListLayer(l)
		require.NoError(t, err)
		lists = append(lists, list)
	}
	return lists
}

// Two builds of one plan, each with an engine and a store of its own: linked
// layers are the same bytes, stacked ones have the same content. What is attached
// to the images says what they stand on.
func TestTheSamePlanOnFreshEngines(t *testing.T) {
	catalog := freshSmall(t)
	var sites [2]*site
	var images [2]inspected
	for i := range sites {
		s := newSite(t)
		s.env = append(s.env, "SOURCE_DATE_EPOCH=1700000000")
		out, err := s.command(catalog, "build", "kit", "--l4t", "36.4.0").CombinedOutput()
		require.NoError(t, err, "%s", out)
		sites[i], images[i] = s, s.inspect(catalog, "kit")
	}
	require.Len(t, images[1].Layers, len(images[0].Layers))
	linked := 0
	for i, l := range images[0].Layers {
		other := images[1].Layers[i]
		require.Equal(t, l.Owner, other.Owner)
		require.Equal(t, l.Key, other.Key)
		if l.Kind == "linked" {
			linked++
			require.Equal(t, l.Digest, other.Digest, "the layer of %s", l.Owner)
		}
		t.Logf("%s (%s): the same bytes: %v", l.Owner, l.Kind, l.Digest == other.Digest)
	}
	require.Equal(t, 2, linked)
	a, b := sites[0].open(), sites[1].open()
	require.Equal(t, contents(t, a, images[0].Digest), contents(t, b, images[1].Digest))

	one := images[0]
	require.Equal(t, "PASSED", one.TestResult)
	require.NotEmpty(t, one.Tests)
	require.Equal(t, "2023-11-14T22:13:20Z", one.Made.Finished, "SOURCE_DATE_EPOCH")
	require.Equal(t, "2023-11-14T22:13:20Z", one.Contents.Created)
	require.Positive(t, one.Contents.Debian)
	require.Contains(t, strings.Join(one.Made.Versions, " "), "engine buildkit v")
	base, there, err := a.Lookup(context.Background(), store.Base, one.Layers[0].Key)
	require.NoError(t, err)
	require.True(t, there)
	require.Equal(t, attest.Material{Name: "base", Digest: base.Digest, Note: one.Made.Materials[0].Note}, one.Made.Materials[0])

	sbom, err := sites[0].command(catalog, "inspect", "kit", "--l4t", "36.4.0", "--sbom").Output()
	require.NoError(t, err)
	doc, err := attest.ReadSBOM(sbom)
	require.NoError(t, err)
	require.Greater(t, len(doc.Packages), one.Contents.Debian)

	// A second build attaches nothing and changes no digest.
	pushes := func() []string {
		list, err := a.Referrers(context.Background(), one.Digest)
		require.NoError(t, err)
		var digests []string
		for _, d := range list {
			digests = append(digests, d.Digest.String())
		}
		return digests
	}
	before := pushes()
	out, err := sites[0].command(catalog, "build", "kit", "--l4t", "36.4.0").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, before, pushes())
	require.Equal(t, one.Digest, sites[0].inspect(catalog, "kit").Digest)
}

// The same for what the catalog compiles on the testbed, two wheels, a wheel with
// headers and a C library: the layers that hold them are the same bytes. Those of
// apt below them have other times, and other content when the mirror has.
func TestCompiledPackagesAreTheSameBytes(t *testing.T) {
	if os.Getenv("JETCRATE_ALL") == "" {
		t.Skip("two builds from nothing, with compilers under QEMU: make test-all")
	}
	var images [2]inspected
	var lists [2][]image.FileList
	for i := range images {
		s := newSite(t)
		with := []string{"--matrix", "matrix.yaml", "--matrix", "testbed/matrix.yaml"}
		cmd := s.command("..", append([]string{"build", "robot-kit", "--no-tests", "--l4t", "36.4.0"}, with...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		images[i] = s.inspect("..", append([]string{"robot-kit"}, with...)...)
		lists[i] = contents(t, s.open(), images[i].Digest)
		require.Len(t, lists[i], len(images[0].Layers))
	}
	var same []string
	for i, l := range images[0].Layers {
		is := l.Digest == images[1].Layers[i].Digest
		t.Logf("%s (%s): the same bytes: %v, the same content: %v", l.Owner, l.Kind, is, reflect.DeepEqual(lists[0][i], lists[1][i]))
		if is && l.Kind == "linked" {
			same = append(same, l.Owner)
		}
	}
	require.ElementsMatch(t, []string{"cffi", "libxxhash", "markupsafe", "pybind11"}, same)
}

// An SBOM is read by whichever program for SPDX is here.
func TestSBOMForOtherReaders(t *testing.T) {
	reader, err := exec.LookPath("pyspdxtools")
	if err != nil {
		t.Skip("no pyspdxtools here (pip install spdx-tools); internal/attest reads SBOMs by spdx/tools-golang, as JSON and as tags")
	}
	s := newSite(t)
	catalog := freshSmall(t)
	out, err := s.command(catalog, "build", "kit", "--l4t", "36.4.0").CombinedOutput()
	require.NoError(t, err, "%s", out)
	sbom, err := s.command(catalog, "inspect", "kit", "--l4t", "36.4.0", "--sbom").Output()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "kit.spdx.json")
	require.NoError(t, os.WriteFile(file, sbom, 0o644))
	out, err = exec.Command(reader, "-i", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

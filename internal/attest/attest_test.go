package attest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spdx/tools-golang/tagvalue"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/attest"
	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/fake"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/execute/executetest"
	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

const status = `Package: libc6
Status: install ok installed
Architecture: arm64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u14
Description: GNU C Library
 with a second line

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1
`

// layer writes files as a layer.
func layer(t testing.TB, files map[string]string) v1.Layer {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
	}
	l, _, err := image.LayerFromDir(dir, image.LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	return l
}

// lab is an image that a fake engine made, in a store.
type lab struct {
	t       testing.TB
	base    string // digest
	files   fstest.MapFS
	catalog *spec.Catalog
	plan    *plan.Plan
	store   *store.Store
	digest  string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	ctx := context.Background()
	base, err := image.New("base", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{}, layer(t, map[string]string{"var/lib/dpkg/status": status}))
	require.NoError(t, err)
	digest, err := base.Digest()
	require.NoError(t, err)

	l := &lab{t: t, base: digest.String(), files: executetest.Catalog(t, "testdata/catalog.txtar", base)}
	var list diag.List
	l.catalog, list = spec.Load(l.files, spec.Options{})
	require.NoError(t, list.Err())
	pl, err := solve.Find(l.catalog.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	target, err := spec.ParseTarget("kit")
	require.NoError(t, err)
	l.plan, err = plan.New(l.catalog, l.files, []plan.Request{{Platform: pl, Targets: []spec.Target{target}}})
	require.NoError(t, err)
	l.store, err = store.Open(ctx, store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.store.Close()) })
	eng := &fake.Engine{Files: func(b engine.Build) map[string]string {
		if b.Target == "root" {
			return map[string]string{"usr/lib/python3/site-packages/one_thing-1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: One_Thing\nVersion: 1.0\nLicense-Expression: MIT\n\nLong text.\n"}
		}
		return nil
	}}
	res, err := execute.Run(ctx, execute.Options{
		Plan: l.plan, Cells: l.plan.Cells, Catalog: l.catalog, Files: l.files, Store: l.store, Scratch: t.TempDir(),
		Engine: func(context.Context) (engine.Engine, error) { return eng, nil },
	})
	require.NoError(t, err)
	l.digest = res.Cells[0].Digest
	return l
}

func (l *lab) write(o attest.Options) int {
	l.t.Helper()
	o.Store, o.Plan, o.Catalog, o.Tool = l.store, l.plan, l.catalog, "v0.1.0"
	if o.Now.IsZero() {
		o.Now = time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC)
	}
	n, err := attest.New(o).Write(context.Background(), l.plan.Cells[0], l.digest)
	require.NoError(l.t, err)
	return n
}

func (l *lab) read() attest.Attached {
	l.t.Helper()
	a, err := attest.Read(context.Background(), l.store, l.digest)
	require.NoError(l.t, err)
	return a
}

func TestWriteOnceAndRead(t *testing.T) {
	l := newLab(t)
	commit := strings.Repeat("ab", 20)
	require.Equal(t, 3, l.write(attest.Options{Revision: attest.Revision{Repository: "https://example.com/catalog", Commit: commit}}))
	pushes := l.store.Pushes()
	require.Zero(t, l.write(attest.Options{Now: time.Now()}))
	require.Equal(t, pushes, l.store.Pushes(), "what is there is not sent again")
	again, err := l.store.ImageAt(context.Background(), l.digest)
	require.NoError(t, err)
	digest, err := again.Digest()
	require.NoError(t, err)
	require.Equal(t, l.digest, digest.String())

	a := l.read()
	require.Equal(t, "SPDX-2.3", a.SBOM.SPDXVersion)
	require.Equal(t, "2026-11-26T07:00:00Z", a.SBOM.CreationInfo.Created)
	licences := map[string]string{}
	purls := map[string]string{}
	for _, p := range a.SBOM.Packages {
		licences[p.PackageName+" "+p.PackageVersion] = p.PackageLicenseDeclared
		for _, r := range p.PackageExternalReferences {
			purls[p.PackageName] = r.Locator
		}
	}
	require.Equal(t, "PSF-2.0", licences["python 3"])
	require.Equal(t, "MIT OR Apache-2.0", licences["one 1.0"])
	require.Equal(t, "MIT", licences["One_Thing 1.0"])
	require.Equal(t, "NOASSERTION", licences["libc6 2.36-9+deb12u14"])
	require.NotContains(t, licences, "gone 1")
	require.Equal(t, "pkg:pypi/one-thing@1.0", purls["One_Thing"])
	require.Equal(t, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=arm64&distro=debian-12", purls["libc6"])
	var contains []string
	for _, r := range a.SBOM.Relationships {
		contains = append(contains, string(r.RefA.ElementRefID)+" "+r.Relationship+" "+string(r.RefB.ElementRefID))
	}
	require.Contains(t, contains, "catalog-one CONTAINS pypi-One-x5f-Thing-1.0")
	require.Contains(t, contains, "image CONTAINS deb-libc6-2.36-9-x2b-deb12u14-arm64")

	// The other form of SPDX has a reader of its own, which checks more.
	var tags bytes.Buffer
	require.NoError(t, tagvalue.Write(a.SBOM, &tags))
	second, err := tagvalue.Read(&tags)
	require.NoError(t, err)
	require.Len(t, second.Packages, len(a.SBOM.Packages))
	require.Len(t, second.Relationships, len(a.SBOM.Relationships))

	def := a.Provenance.GetBuildDefinition()
	digests := map[string]string{}
	for _, d := range def.GetResolvedDependencies() {
		for _, hex := range d.GetDigest() {
			digests[d.GetName()] = hex
		}
	}
	require.Equal(t, strings.TrimPrefix(l.base, "sha256:"), digests["base"], "the base that the image stands on")
	require.Equal(t, commit, digests["catalog"])
	require.Contains(t, digests, "packages/a/one/package.yaml")
	require.Equal(t, "kit", def.GetExternalParameters().AsMap()["target"])
	require.Contains(t, a.Provenance.GetRunDetails().GetBuilder().GetVersion()["engine"], "fake")
	require.Len(t, a.Provenance.GetRunDetails().GetByproducts(), 3, "base, python, one")

	require.Equal(t, "WARNED", a.Results.GetResult(), "the GPU test did not run")
	require.Equal(t, []string{"one/works", "python/runs"}, a.Results.GetPassedTests())
	require.Equal(t, []string{"one/on-gpu"}, a.Results.GetWarnedTests())
	require.Len(t, a.Evidence, 3)
	require.Empty(t, a.Others)
}

func TestNewEvidenceGivesANewResult(t *testing.T) {
	l := newLab(t)
	require.Equal(t, 3, l.write(attest.Options{}))
	ctx := context.Background()
	img, err := l.store.ImageAt(ctx, l.digest)
	require.NoError(t, err)
	cfg, err := img.ConfigFile()
	require.NoError(t, err)
	rec, _, err := l.store.Lookup(ctx, store.Image, l.plan.Cells[0].Image)
	require.NoError(t, err)
	for _, k := range l.plan.Cells[0].Tests {
		n := l.plan.Node(k)
		if n.Test.Name != "on-gpu" {
			continue
		}
		key, err := execute.EvidenceKey(n.Test.Content, cfg)
		require.NoError(t, err)
		doc, err := json.Marshal(execute.Evidence{Schema: 1, Key: key, Package: "one", Test: "on-gpu", GPU: true, Status: execute.Failed, Image: l.digest})
		require.NoError(t, err)
		_, err = l.store.PutEvidence(ctx, rec.Descriptor(), key, doc)
		require.NoError(t, err)
	}
	require.Equal(t, 1, l.write(attest.Options{Now: time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)}))
	require.Equal(t, "FAILED", l.read().Results.GetResult())
}

// Documents of the same run at the same time are the same bytes: written again,
// they get the digests that they had.
func TestTheSameRunGivesTheSameBytes(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	attached := func() (digests []string) {
		list, err := l.store.Referrers(ctx, l.digest)
		require.NoError(t, err)
		for _, d := range list {
			digests = append(digests, d.Digest.String())
		}
		return digests
	}
	l.write(attest.Options{})
	before := attached()
	require.Len(t, before, 6)
	for range 3 {
		w := attest.New(attest.Options{
			Store: l.store, Plan: l.plan, Catalog: l.catalog, Tool: "v0.1.0", Now: time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC),
		})
		require.NoError(t, w.Forget(ctx))
		n, err := w.Write(ctx, l.plan.Cells[0], l.digest)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.ElementsMatch(t, before, attached())
	}
}

func TestLicences(t *testing.T) {
	for _, c := range []struct{ name, text, declared, comment, other string }{
		{name: "an expression", text: "MIT OR Apache-2.0", declared: "MIT OR Apache-2.0"},
		{name: "a vendor's", text: "LicenseRef-NVIDIA-VPI AND MIT", declared: "LicenseRef-NVIDIA-VPI AND MIT", other: "LicenseRef-NVIDIA-VPI"},
		{name: "free text", text: "BSD (3 clauses)", declared: "NOASSERTION", comment: "its metadata says: BSD (3 clauses)"},
		{name: "nothing", declared: "NOASSERTION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			declared, comment, others := attest.Licence(c.text)
			require.Equal(t, c.declared, declared)
			require.Equal(t, c.comment, comment)
			if c.other == "" {
				require.Empty(t, others)
				return
			}
			require.Equal(t, []string{c.other}, others)
		})
	}
}

func TestInstalledFollowsLayers(t *testing.T) {
	libc := store.Deb{Name: "libc6", Version: "2.36", Arch: "arm64", Source: "glibc"}
	zlib := store.Deb{Name: "zlib1g", Version: "1.2", Arch: "arm64"}
	dist := func(name, version, dir string) store.Distribution {
		return store.Distribution{Name: name, Version: version, Path: dir + "/" + name + "-" + version + ".dist-info"}
	}
	got := attest.Owned([]store.Installed{
		{Dpkg: []store.Deb{libc}, Python: []store.Distribution{dist("a", "1", "x"), dist("gone", "1", "x")}},
		{Dpkg: []store.Deb{libc, zlib}, Removed: []string{"x/gone-1.dist-info"}},
		{Python: []store.Distribution{dist("a", "1", "x"), dist("b", "2", "x"), dist("b", "2", "y")}},
	})
	require.Equal(t, []attest.Installed{
		{Type: "deb", Name: "libc6", Version: "2.36", Arch: "arm64", Source: "glibc", Layer: 0},
		{Type: "deb", Name: "zlib1g", Version: "1.2", Arch: "arm64", Layer: 1},
		{Type: "pypi", Name: "a", Version: "1", Layer: 2},
		{Type: "pypi", Name: "b", Version: "2", Layer: 2},
	}, got)
}

// What is attached is read from any registry, as from the store itself.
func TestInspectFromARegistry(t *testing.T) {
	l := newLab(t)
	l.write(attest.Options{})
	ctx := context.Background()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://") + "/lab/kit"
	repo, err := name.NewRepository(host)
	require.NoError(t, err)
	img, err := l.store.ImageAt(ctx, l.digest)
	require.NoError(t, err)
	require.NoError(t, remote.Write(repo.Digest(l.digest), img))
	list, err := l.store.Referrers(ctx, l.digest)
	require.NoError(t, err)
	for _, d := range list {
		attached, err := l.store.ImageAt(ctx, d.Digest.String())
		require.NoError(t, err)
		require.NoError(t, remote.Write(repo.Digest(d.Digest.String()), attached))
	}

	there, err := store.Open(ctx, store.Options{Location: host, Cache: t.TempDir()})
	require.NoError(t, err)
	here, _, err := attest.Inspect(ctx, l.store, l.digest)
	require.NoError(t, err)
	other, _, err := attest.Inspect(ctx, there, l.digest)
	require.NoError(t, err)
	require.Equal(t, there.Reference(l.digest), other.Reference)
	other.Reference = here.Reference
	require.Equal(t, here, other)
	require.Equal(t, 1, other.Contents.Debian)
	require.Equal(t, "MIT OR Apache-2.0", other.Packages[1].Licence)
	require.Equal(t, "linked", other.Layers[2].Kind)
	require.NotEmpty(t, other.Layers[1].Key)
}

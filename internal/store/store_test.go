package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
)

func key(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	o.backoff = remote.Backoff{Duration: 10 * time.Millisecond, Factor: 2, Steps: 6}
	s, err := Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// backends runs a test on the embedded registry and on one that lacks the
// referrers API.
func backends(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Run("embedded", func(t *testing.T) { test(t, open(t, Options{Dir: t.TempDir()})) })
	t.Run("registry", func(t *testing.T) {
		srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(srv.Close)
		host := strings.TrimPrefix(srv.URL, "http://")
		test(t, open(t, Options{Location: host + "/some/repo", Cache: t.TempDir()}))
	})
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := d.Digest()
	require.NoError(t, err)
	return h.String()
}

func TestImages(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		_, _, err := s.Image(ctx, Base, key("base"))
		require.ErrorIs(t, err, ErrNotFound)
		_, ok, err := s.Lookup(ctx, Base, key("base"))
		require.NoError(t, err)
		require.False(t, ok)

		img, err := random.Image(1000, 3)
		require.NoError(t, err)
		put, err := s.PutImage(ctx, Base, key("base"), img, nil)
		require.NoError(t, err)
		require.Equal(t, digestOf(t, img), put.Digest)
		require.Equal(t, 5, s.Pushes(), "3 layers, config, manifest")

		_, err = s.PutImage(ctx, Base, key("base"), img, nil)
		require.NoError(t, err)
		require.Equal(t, 5, s.Pushes(), "what is there is not sent again")
		_, err = s.PutImage(ctx, Image, key("same"), img, nil)
		require.NoError(t, err)
		require.Equal(t, 6, s.Pushes(), "another tag is one manifest")

		got, r, err := s.Image(ctx, Base, key("base"))
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
		require.Equal(t, put, r)
		looked, ok, err := s.Lookup(ctx, Base, key("base"))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, put.Descriptor(), looked.Descriptor())
		at, err := s.ImageAt(ctx, put.Digest)
		require.NoError(t, err)
		require.Equal(t, put.Digest, digestOf(t, at))

		known, err := s.Known(ctx)
		require.NoError(t, err)
		require.Len(t, known, 2)
		require.Equal(t, Base, known["base-"+key("base")].Kind)
		m, err := s.Manifest(ctx, known["image-"+key("same")])
		require.NoError(t, err)
		require.Len(t, m.Layers, 3)

		_, err = s.LayerAt(ctx, put)
		require.ErrorContains(t, err, "is stacked")
	})
}

func TestAnnotatedImageKeepsItsConfig(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		img, err := random.Image(100, 1)
		require.NoError(t, err)
		r, err := s.PutImage(ctx, Layer, key("l"), img, map[string]string{image.AnnotationParent: "sha256:" + key("p")})
		require.NoError(t, err)
		require.NotEqual(t, digestOf(t, img), r.Digest)
		got, again, err := s.Image(ctx, Layer, key("l"))
		require.NoError(t, err)
		require.NoError(t, validate.Image(got))
		require.Equal(t, "sha256:"+key("p"), again.Annotations[image.AnnotationParent])
		want, err := img.ConfigName()
		require.NoError(t, err)
		name, err := got.ConfigName()
		require.NoError(t, err)
		require.Equal(t, want, name)
	})
}

func TestLinkedLayers(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644))
		l, files, err := image.LayerFromDir(dir, image.LayerOptions{Scratch: t.TempDir()})
		require.NoError(t, err)
		put, err := s.PutLayer(ctx, key("linked"), l, files, map[string]string{"io.jetcrate.package": "x"})
		require.NoError(t, err)
		got, r, err := s.Layer(ctx, key("linked"))
		require.NoError(t, err)
		require.Equal(t, put, r)
		require.Equal(t, "x", r.Annotations["io.jetcrate.package"])
		require.NoError(t, validate.Layer(got))
		require.Equal(t, digestOf(t, l), digestOf(t, got))
		at, err := s.LayerAt(ctx, Record{Kind: Layer, Key: key("linked")}) // as Known gives it for a registry
		require.NoError(t, err)
		diffID, err := at.DiffID()
		require.NoError(t, err)
		list, err := s.fileList(ctx, diffID)
		require.NoError(t, err)
		require.Equal(t, files, list)
		_, err = s.fileList(ctx, v1.Hash{Algorithm: "sha256", Hex: key("none")})
		require.ErrorIs(t, err, ErrNotFound)

		// An image that holds the layer shares its blob.
		below, err := random.Image(100, 1)
		require.NoError(t, err)
		_, err = s.PutImage(ctx, Layer, key("chain"), below, nil)
		require.NoError(t, err)
		chain, _, err := s.Image(ctx, Layer, key("chain"))
		require.NoError(t, err)
		img, err := image.Assembly{Below: chain, Linked: []image.Linked{{Owner: "x", Layer: got, Files: list}}}.Image()
		require.NoError(t, err)
		before := s.Pushes()
		_, err = s.PutImage(ctx, Image, key("image"), img, nil)
		require.NoError(t, err)
		require.Equal(t, before+2, s.Pushes(), "config and manifest, no layer")
		back, _, err := s.Image(ctx, Image, key("image"))
		require.NoError(t, err)
		require.NoError(t, validate.Image(back))
		_, _, err = s.Image(ctx, Layer, key("linked"))
		require.ErrorContains(t, err, "is no image but "+layerType)
	})
}

func TestFolders(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub/empty"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.whl"), []byte("wheel"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "sub/tool"), []byte("tool"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "sub/zero"), nil, 0o644))
		require.NoError(t, os.Symlink("tool", filepath.Join(dir, "sub/link")))
		put, err := s.PutFiles(ctx, Artifact, key("a"), dir, map[string]string{"k": "v"})
		require.NoError(t, err)
		before := s.Pushes()
		again, err := s.PutFiles(ctx, Artifact, key("a"), dir, map[string]string{"k": "v"})
		require.NoError(t, err)
		require.Equal(t, put, again)
		require.Equal(t, before, s.Pushes())

		r, ok, err := s.Lookup(ctx, Artifact, key("a"))
		require.NoError(t, err)
		require.True(t, ok)
		files, err := s.ListFiles(ctx, r)
		require.NoError(t, err)
		require.Equal(t, []string{"a.whl", "sub/tool", "sub/zero"}, []string{files[0].Path, files[1].Path, files[2].Path})
		require.Equal(t, "sha256:"+key("wheel"), files[0].Digest)

		out := filepath.Join(t.TempDir(), "new/folder")
		require.NoError(t, s.GetFiles(ctx, r, out))
		raw, err := os.ReadFile(filepath.Join(out, "sub/link"))
		require.NoError(t, err)
		require.Equal(t, "tool", string(raw))
		for name, mode := range map[string]os.FileMode{"a.whl": 0o644, "sub/tool": 0o755, "sub/zero": 0o644, "sub/empty": os.ModeDir | 0o755} {
			info, err := os.Stat(filepath.Join(out, name))
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), name)
		}

		empty, err := s.PutFiles(ctx, Source, key("empty"), t.TempDir(), nil)
		require.NoError(t, err)
		require.NoError(t, s.GetFiles(ctx, empty, t.TempDir()))
		require.Error(t, s.GetFiles(ctx, Record{Kind: Source, Key: key("none")}, t.TempDir()))
	})
}

func TestFolderIsNeverLeft(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := context.Background()
	for _, path := range []string{"../evil", "/evil", "sub/../../evil"} {
		d, err := s.upload(ctx, &fileBlob{path: os.DevNull, digest: emptyHash(t)})
		require.NoError(t, err)
		d.Annotations = map[string]string{annotationTitle: path}
		r, err := s.putArtifact(ctx, Artifact, key(path), artifact{kind: folderType, layers: []v1.Descriptor{d}})
		require.NoError(t, err)
		parent := t.TempDir()
		require.Error(t, s.GetFiles(ctx, r, filepath.Join(parent, "out")), path)
		entries, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	}
}

func emptyHash(t *testing.T) v1.Hash {
	h, _, err := v1.SHA256(bytes.NewReader(nil))
	require.NoError(t, err)
	return h
}

func TestEvidence(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		img, err := random.Image(100, 1)
		require.NoError(t, err)
		r, err := s.PutImage(ctx, Image, key("i"), img, nil)
		require.NoError(t, err)
		none, err := s.Referrers(ctx, r.Digest)
		require.NoError(t, err)
		require.Empty(t, none)

		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = s.PutEvidence(ctx, r.Descriptor(), key(fmt.Sprint(i)), fmt.Appendf(nil, `{"n":%d}`, i))
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		doc, _, err := s.Evidence(ctx, key("7"))
		require.NoError(t, err)
		require.JSONEq(t, `{"n":7}`, string(doc))
		refs, err := s.Referrers(ctx, r.Digest)
		require.NoError(t, err)
		require.Len(t, refs, len(errs), "none is lost")
		require.Equal(t, EvidenceType, refs[0].ArtifactType)
		doc, err = s.EvidenceAt(ctx, refs[0].Digest.String())
		require.NoError(t, err)
		require.Contains(t, string(doc), `"n"`)
	})
}

func TestNames(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		tags, err := s.Tags(ctx)
		require.NoError(t, err)
		require.Empty(t, tags)
		known, err := s.Known(ctx)
		require.NoError(t, err)
		require.Empty(t, known)
		img, err := random.Image(100, 1)
		require.NoError(t, err)
		r, err := s.PutImage(ctx, Image, key("i"), img, nil)
		require.NoError(t, err)
		require.NoError(t, s.Tag(ctx, "pytorch-2.8-r36.4", r.Digest))
		tags, err = s.Tags(ctx)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"image-" + key("i"), "pytorch-2.8-r36.4"}, tags)
		known, err = s.Known(ctx)
		require.NoError(t, err)
		require.Len(t, known, 1, "a name is no record")
		require.ErrorIs(t, s.Tag(ctx, "x", "sha256:"+key("none")), ErrNotFound)
		require.Error(t, s.Tag(ctx, "not a tag", r.Digest))
		_, _, err = s.Lookup(ctx, Image, "short")
		require.EqualError(t, err, `image key "short" is not 64 hex digits`)

		// The later record has the tag; the earlier one stays.
		other, err := random.Image(100, 1)
		require.NoError(t, err)
		_, err = s.PutImage(ctx, Image, key("i"), other, nil)
		require.NoError(t, err)
		again, err := s.ImageAt(ctx, r.Digest)
		require.NoError(t, err)
		require.NoError(t, validate.Image(again))
	})
}

func TestLayoutAndImport(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		below, err := random.Image(500, 2)
		require.NoError(t, err)
		r, err := s.PutImage(ctx, Base, key("b"), below, nil)
		require.NoError(t, err)
		dir, err := s.Layout(ctx, r.Digest)
		require.NoError(t, err)
		elsewhere := open(t, Options{Dir: t.TempDir()})
		moved, err := elsewhere.Import(ctx, dir, r.Digest)
		require.NoError(t, err)
		require.NoError(t, validate.Image(moved))

		// An engine's result: a new layer, and the blobs below left out.
		top, err := random.Layer(500, "application/vnd.oci.image.layer.v1.tar+gzip")
		require.NoError(t, err)
		img, err := mutate.AppendLayers(below, top)
		require.NoError(t, err)
		out := t.TempDir()
		p, err := layout.Write(out, empty.Index)
		require.NoError(t, err)
		require.NoError(t, p.AppendImage(img))
		m, err := below.Manifest()
		require.NoError(t, err)
		for _, l := range m.Layers {
			require.NoError(t, os.Remove(filepath.Join(out, "blobs/sha256", l.Digest.Hex)))
		}
		before := s.Pushes()
		got, err := s.Import(ctx, out, digestOf(t, img))
		require.NoError(t, err)
		require.Equal(t, before+3, s.Pushes(), "one layer, config, manifest")
		require.NoError(t, validate.Image(got))

		_, err = s.Import(ctx, out, "sha256:"+key("none"))
		require.ErrorIs(t, err, ErrNotFound)
		_, err = s.Layout(ctx, "sha256:"+key("none"))
		require.ErrorIs(t, err, ErrNotFound)

		damaged := filepath.Join(out, "blobs/sha256", strings.TrimPrefix(digestOf(t, img), "sha256:"))
		require.NoError(t, os.WriteFile(damaged, []byte("{}"), 0o644))
		_, err = s.Import(ctx, out, digestOf(t, img))
		require.ErrorContains(t, err, "is damaged")
	})
}

func TestConfigOfAnEngineIsKept(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := context.Background()
	img, err := random.Image(10, 1)
	require.NoError(t, err)
	raw, err := img.RawConfigFile()
	require.NoError(t, err)
	raw = append(bytes.TrimSuffix(raw, []byte("}")), []byte(`,"moby.unknown":1}`)...)
	odd := &oddConfig{img, raw}
	_, err = s.PutImage(ctx, Layer, key("odd"), odd, map[string]string{"a": "b"})
	require.NoError(t, err)
	got, _, err := s.Image(ctx, Layer, key("odd"))
	require.NoError(t, err)
	back, err := got.RawConfigFile()
	require.NoError(t, err)
	require.Equal(t, raw, back)
}

// oddConfig is an image whose config holds what the library does not know.
type oddConfig struct {
	v1.Image
	config []byte
}

func (o *oddConfig) RawConfigFile() ([]byte, error) { return o.config, nil }
func (o *oddConfig) ConfigName() (v1.Hash, error)   { return partial.ConfigName(o) }
func (o *oddConfig) Digest() (v1.Hash, error)       { return partial.Digest(o) }
func (o *oddConfig) Size() (int64, error)           { return partial.Size(o) }
func (o *oddConfig) RawManifest() ([]byte, error) {
	m, err := o.Manifest()
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}
func (o *oddConfig) Manifest() (*v1.Manifest, error) {
	m, err := o.Image.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	m.Config.Digest, m.Config.Size, err = v1.SHA256(bytes.NewReader(o.config))
	return m, err
}

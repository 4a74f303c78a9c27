package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// put stores a random image and gives its record.
func put(t testing.TB, s *Store, kind Kind, name string) Record {
	t.Helper()
	img, err := random.Image(2000, 2)
	require.NoError(t, err)
	r, err := s.PutImage(context.Background(), kind, key(name), img, nil)
	require.NoError(t, err)
	return r
}

// clean fails unless verify finds nothing wrong.
func clean(t testing.TB, s *Store) Verified {
	t.Helper()
	v, err := s.Verify(context.Background(), VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, v.Problems)
	return v
}

// crash copies what a store's folder holds at this moment, as after a failure
// of the power, and makes it look so.
func crash(t *testing.T, dir string) *folder {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	s, err := readServed(filepath.Join(to, addressFile))
	require.NoError(t, err)
	require.False(t, s.Clean)
	s.Boot = "the one before"
	require.NoError(t, writeServed(filepath.Join(to, addressFile), s))
	return &folder{dir: to}
}

// What was reported is on the disk when it is; what was not, and came to harm, is
// made again instead of being believed.
func TestPowerFailure(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	r := put(t, s, Image, "reported")
	_, err := s.PutEvidence(ctx, r.Descriptor(), key("t"), []byte(`{}`))
	require.NoError(t, err)
	srv := s.embedded.server
	require.Empty(t, srv.folder.unsynced, "all blobs of what was reported are synced")
	_, err = s.upload(ctx, static.NewLayer([]byte("not part of a record yet"), fileType))
	require.NoError(t, err)
	require.Len(t, srv.folder.unsynced, 1)
	late := put(t, s, Image, "late")

	f := crash(t, dir)
	loose := f.blob(key("not part of a record yet"))
	require.NoError(t, os.Truncate(loose, 3)) // the kernel had the name only
	manifest := f.blob(strings.TrimPrefix(late.Digest, "sha256:"))
	require.NoError(t, os.WriteFile(manifest, make([]byte, late.Size), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(f.layout(), "index.json.123"), []byte("{"), 0o644))

	again := open(t, Options{Dir: f.dir})
	require.NoFileExists(t, loose)
	require.NoFileExists(t, filepath.Join(f.layout(), "index.json.123"))
	known, err := again.Known(ctx)
	require.NoError(t, err)
	require.Len(t, known, 2, "the reported ones")
	img, _, err := again.Image(ctx, Image, key("reported"))
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	refs, err := again.Referrers(ctx, r.Digest)
	require.NoError(t, err)
	require.Len(t, refs, 1)
	clean(t, again)
	put(t, again, Image, "late")
	clean(t, again)
}

func TestDamagedIndexIsRestored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	put(t, s, Image, "a")
	for name, damage := range map[string]string{"empty": "", "half": `{"manifests":[{`} {
		t.Run(name, func(t *testing.T) {
			f := crash(t, dir)
			require.NoError(t, os.WriteFile(f.indexFile(), []byte(damage), 0o644))
			again := open(t, Options{Dir: f.dir})
			known, err := again.Known(context.Background())
			require.NoError(t, err)
			require.Len(t, known, 1)
			put(t, again, Image, "b")
			require.Equal(t, 2, clean(t, again).Records)
		})
	}
	f := crash(t, dir)
	require.NoError(t, os.WriteFile(f.indexFile(), nil, 0o644))
	require.NoError(t, os.Remove(filepath.Join(f.dir, goodIndex)))
	_, err := Open(context.Background(), Options{Dir: f.dir})
	require.ErrorContains(t, err, "is damaged")
	require.ErrorContains(t, err, "to start anew")
}

func TestVerifyAndRepair(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	good := put(t, s, Image, "good")
	bad := put(t, s, Image, "bad")
	for _, r := range []Record{good, bad} {
		_, err := s.PutEvidence(ctx, r.Descriptor(), key("t"+r.Key), []byte(`{}`))
		require.NoError(t, err)
	}
	f := s.embedded.folder
	m, err := s.Manifest(ctx, bad)
	require.NoError(t, err)
	flip := f.blob(m.Layers[0].Digest.Hex)
	raw, err := os.ReadFile(flip)
	require.NoError(t, err)
	raw[0] ^= 1
	require.NoError(t, os.WriteFile(flip, raw, 0o644))
	require.NoError(t, os.WriteFile(f.blob(key("nobody's")), []byte("other"), 0o644))

	v, err := s.Verify(ctx, VerifyOptions{Quick: true})
	require.NoError(t, err)
	require.Empty(t, v.Problems, "its size is right")
	v, err = s.Verify(ctx, VerifyOptions{})
	require.NoError(t, err)
	require.Len(t, v.Problems, 2)
	require.Empty(t, v.Problems[0].Record)
	require.Equal(t, "image-"+key("bad"), v.Problems[1].Record)
	require.Contains(t, v.Problems[1].What, "is damaged: its content is sha256:")

	v, err = s.Verify(ctx, VerifyOptions{Repair: true})
	require.NoError(t, err)
	require.Contains(t, v.Removed, "image-"+key("bad"))
	require.Contains(t, v.Removed, "test-"+key("t"+key("bad")), "evidence goes with what it is about")
	require.Equal(t, 2, clean(t, s).Records)
	_, ok, err := s.Lookup(ctx, Image, key("bad"))
	require.NoError(t, err)
	require.False(t, ok)
	put(t, s, Image, "bad")
	require.Equal(t, 3, clean(t, s).Records)

	require.NoError(t, os.Remove(f.blob(strings.TrimPrefix(good.Digest, "sha256:"))))
	v, err = s.Verify(ctx, VerifyOptions{Quick: true})
	require.NoError(t, err)
	require.Equal(t, missing, v.Problems[0].What)
	require.Contains(t, fmt.Sprint(v.Problems), "test-"+key("t"+key("good")), "a referrer without its subject")
}

// Two processes, one claim; a killed one gives it up.
func TestClaims(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	release, ok, err := s.Claim(Layer, key("l"))
	require.NoError(t, err)
	require.True(t, ok)
	other := open(t, Options{Dir: dir})
	_, ok, err = other.Claim(Layer, key("l"))
	require.NoError(t, err)
	require.False(t, ok)
	_, ok, err = other.Claim(Artifact, key("l"))
	require.NoError(t, err)
	require.True(t, ok, "another record")
	release()
	release, ok, err = other.Claim(Layer, key("l"))
	require.NoError(t, err)
	require.True(t, ok)
	release()
	require.NoFileExists(t, filepath.Join(dir, "claims", "layer-"+key("l")))

	killed := startChild(t, dir, "claim")
	_, ok, err = s.Claim(Layer, key("claimed"))
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	_, ok, err = s.Claim(Layer, key("claimed"))
	require.NoError(t, err)
	require.True(t, ok)
}

// Two processes begin and end 50 times while both write, and one of them is
// killed now and then.
func TestFiftyRoundsOfTwoWriters(t *testing.T) {
	dir := t.TempDir()
	const rounds = 50
	for round := range rounds {
		a := startChild(t, dir, fmt.Sprintf("few-a%d-", round))
		b := startChild(t, dir, fmt.Sprintf("few-b%d-", round))
		if round%5 == 4 {
			c := startChild(t, dir, fmt.Sprintf("few-c%d-", round))
			time.Sleep(time.Duration(round) * time.Millisecond / 4)
			require.NoError(t, c.Process.Kill())
		}
		require.NoError(t, a.Wait())
		require.NoError(t, b.Wait())
	}
	s := open(t, Options{Dir: dir})
	known, err := s.Known(context.Background())
	require.NoError(t, err)
	for round := range rounds {
		for i := range fewRecords {
			for _, p := range []string{"a", "b"} {
				require.Contains(t, known, "image-"+key(fmt.Sprintf("few-%s%d-%d", p, round, i)))
			}
		}
	}
	clean(t, s)
}

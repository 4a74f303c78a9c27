package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
)

// stockroom is a store whose writers have all ended, so that gc takes everything
// that nothing keeps.
type stockroom struct {
	*testing.T
	dir string
}

// in runs f as a process of its own would.
func (r stockroom) in(f func(s *Store)) {
	r.Helper()
	s, err := Open(context.Background(), Options{Dir: r.dir})
	require.NoError(r, err)
	f(s)
	require.NoError(r, s.Close())
}

// build makes records in a run of their own.
func (r stockroom) build(names ...string) {
	r.Helper()
	r.in(func(s *Store) {
		var tags []string
		for _, n := range names {
			tags = append(tags, "image-"+key(n))
		}
		run, err := s.BeginRun(context.Background(), strings.Join(names, " "), time.Unix(0, 0), tags) // 1970 is as good as any time
		require.NoError(r, err)
		require.NoError(r, run.Surveyed(nil))
		for _, n := range names {
			rec := put(r, s, Image, n)
			_, err := s.PutEvidence(context.Background(), rec.Descriptor(), key("t"+n), []byte(`{}`))
			require.NoError(r, err)
		}
		require.NoError(r, run.End(time.Unix(9, 0), true, nil))
	})
}

func (r stockroom) gc(o Retention) (c Collected) {
	r.Helper()
	r.in(func(s *Store) {
		var err error
		c, err = s.GC(context.Background(), o)
		require.NoError(r, err)
		clean(r, s)
	})
	return c
}

// images are those of the names that the store has.
func (r stockroom) images(names ...string) (there []string) {
	r.in(func(s *Store) {
		for _, n := range names {
			img, _, err := s.Image(context.Background(), Image, key(n))
			if err == nil {
				require.NoError(r, validate.Image(img))
				_, _, err := s.Evidence(context.Background(), key("t"+n))
				require.NoError(r, err, "an image has its evidence")
				there = append(there, n)
			}
		}
	})
	return there
}

func (r stockroom) bytes() (n int64) {
	entries, err := os.ReadDir(filepath.Join(r.dir, registryDir, repository, "blobs/sha256"))
	require.NoError(r, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(r, err)
		n += info.Size()
	}
	return n
}

func TestRetention(t *testing.T) {
	ctx := context.Background()
	full := []string{"a", "b", "c", "d", "e"}
	newRoom := func(t *testing.T) stockroom {
		r := stockroom{t, t.TempDir()}
		for _, n := range full {
			r.build(n)
		}
		return r
	}
	t.Run("last runs", func(t *testing.T) {
		r := newRoom(t)
		before := r.bytes()
		c := r.gc(Retention{Runs: 2, DryRun: true})
		require.Equal(t, []int{1, 2, 3}, c.Runs)
		require.Len(t, c.Removed, 6, "images and their tests")
		require.Equal(t, before, r.bytes(), "a dry run frees nothing")
		again := r.gc(Retention{Runs: 2})
		require.Equal(t, c, again, "and says what the other does")
		require.Equal(t, []string{"d", "e"}, r.images(full...))
		require.Equal(t, before-c.Freed.Bytes, r.bytes())
		require.Equal(t, c.Kept.Bytes, r.bytes())
		require.Empty(t, r.gc(Retention{Runs: 2}).Removed)
		r.build("f")
		require.Equal(t, []string{"e", "f"}, func() []string { r.gc(Retention{Runs: 2}); return r.images("d", "e", "f") }())
	})
	t.Run("names and pins", func(t *testing.T) {
		r := newRoom(t)
		r.in(func(s *Store) {
			rec, _, err := s.Lookup(ctx, Image, key("a"))
			require.NoError(t, err)
			require.NoError(t, s.Tag(ctx, "named", rec.Digest))
			pinned, err := s.Pin(ctx, []string{"run-2", "image-" + key("c")[:12]})
			require.NoError(t, err)
			require.Equal(t, []string{"image-" + key("c"), "run-2"}, pinned)
		})
		c := r.gc(Retention{})
		require.Equal(t, []string{"a", "b", "c"}, r.images(full...))
		require.Equal(t, 1, c.Kept.Names)
		r.in(func(s *Store) {
			_, err := s.Remove(ctx, []string{"run-2"})
			require.EqualError(t, err, "run-2 is pinned: unpin it first")
			_, err = s.Remove(ctx, []string{"nothing"})
			require.ErrorContains(t, err, `the store has no "nothing": name a tag, a record (KIND-KEY) or a run (run-N)`)
			_, err = s.Unpin(ctx, []string{"run-2", "image-" + key("c")})
			require.NoError(t, err)
			removed, err := s.Remove(ctx, []string{"named"})
			require.NoError(t, err)
			require.Equal(t, []string{"named"}, removed)
		})
		require.Equal(t, []string{"a", "b", "c"}, r.images(full...), "rm alone frees nothing")
		c = r.gc(Retention{})
		require.Empty(t, r.images(full...))
		require.Zero(t, c.Kept.Blobs)
		require.Zero(t, r.bytes())
	})
	t.Run("quota", func(t *testing.T) {
		r := newRoom(t)
		half := r.bytes() / 2
		c := r.gc(Retention{Runs: 10, Quota: half})
		require.Zero(t, c.Over)
		require.Equal(t, []string{"d", "e"}, r.images(full...), "the oldest go first")
		require.LessOrEqual(t, r.bytes(), half)
		r.in(func(s *Store) {
			_, err := s.Pin(ctx, []string{"run-4", "run-5"})
			require.NoError(t, err)
		})
		c = r.gc(Retention{Runs: 10, Quota: 100})
		require.Positive(t, c.Over)
		require.Equal(t, []string{"d", "e"}, r.images(full...))
	})
	t.Run("a record is made again after rm", func(t *testing.T) {
		r := newRoom(t)
		r.in(func(s *Store) {
			_, err := s.Remove(ctx, []string{"image-" + key("a")})
			require.NoError(t, err)
			_, ok, err := s.Lookup(ctx, Image, key("a"))
			require.NoError(t, err)
			require.False(t, ok)
			put(t, s, Image, "a")
			clean(t, s)
		})
	})
	t.Run("the same build over and over is one run", func(t *testing.T) {
		r := newRoom(t)
		for range 5 {
			r.build("e")
		}
		r.in(func(s *Store) {
			list, err := s.List(ctx)
			require.NoError(t, err)
			require.Len(t, list.Runs, 5)
			require.Equal(t, 10, list.Runs[4].ID)
			require.False(t, list.Runs[4].Live)
			require.Len(t, list.Records, 10)
			require.Equal(t, int64(r.bytes()), list.Bytes)
		})
	})
}

// What linked layers and images of linked layers need is kept with them.
func TestGCKeepsFileLists(t *testing.T) {
	r := stockroom{t, t.TempDir()}
	ctx := context.Background()
	src := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(src, "f"), []byte("x"), 0o644))
	l, files, err := image.LayerFromDir(src, image.LayerOptions{Scratch: t.TempDir()})
	require.NoError(t, err)
	diffID, err := l.DiffID()
	require.NoError(t, err)
	r.in(func(s *Store) {
		_, err := s.PutLayer(ctx, key("l"), l, files, nil)
		require.NoError(t, err)
		img, err := image.New("x", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{}, l)
		require.NoError(t, err)
		rec, err := s.PutImage(ctx, Image, key("i"), img, nil)
		require.NoError(t, err)
		require.NoError(t, s.Tag(ctx, "name", rec.Digest))
	})
	c := r.gc(Retention{})
	require.Equal(t, []string{"layer-" + key("l")}, c.Removed)
	r.in(func(s *Store) {
		list, err := s.fileList(ctx, diffID)
		require.NoError(t, err)
		require.Equal(t, files, list)
	})
}

// Builds go on while gc runs again and again with nothing to keep: what they
// stored, or were told to be there, is there when they come to need it.
func TestGCDuringBuilds(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	r := stockroom{t, dir}
	r.build("old", "older")
	shared, err := random.Layer(5000, "application/vnd.oci.image.layer.v1.tar+gzip")
	require.NoError(t, err)
	r.in(func(s *Store) { // a blob that no record needs: a builder finds it there
		_, err := s.upload(ctx, shared)
		require.NoError(t, err)
	})
	collector := open(t, Options{Dir: dir})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	collections := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := collector.GC(ctx, Retention{}); err != nil {
				t.Error(err)
				return
			}
			collections++
		}
	})
	var builders sync.WaitGroup
	for b := range 3 {
		builders.Go(func() {
			for round := range 8 {
				s, err := Open(ctx, Options{Dir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				if err := buildWhileCollected(ctx, s, fmt.Sprintf("%d-%d", b, round), shared); err != nil {
					t.Errorf("builder %d: %v", b, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	builders.Wait()
	close(stop)
	wg.Wait()
	require.Greater(t, collections, 3)
	clean(t, collector)
	require.Empty(t, r.images("old", "older"))
}

func buildWhileCollected(ctx context.Context, s *Store, name string, shared v1.Layer) error {
	tags := []string{"image-" + key(name), "base-" + key("base")}
	run, err := s.BeginRun(ctx, name, time.Now(), tags)
	if err != nil {
		return err
	}
	base, found, err := s.Lookup(ctx, Base, key("base"))
	if err != nil {
		return err
	}
	if err := run.Surveyed(nil); err != nil {
		return err
	}
	if !found {
		img, err := random.Image(2000, 2)
		if err != nil {
			return err
		}
		if base, err = s.PutImage(ctx, Base, key("base"), img, nil); err != nil {
			return err
		}
	}
	time.Sleep(10 * time.Millisecond) // a compile
	below, err := s.ImageAt(ctx, base.Digest)
	if err != nil {
		return fmt.Errorf("the base that was there is gone: %w", err)
	}
	if _, err := s.upload(ctx, shared); err != nil {
		return err
	}
	time.Sleep(5 * time.Millisecond)
	if _, err := s.putArtifact(ctx, Artifact, key("artifact"+name), artifact{kind: folderType, layers: []v1.Descriptor{descriptorOf(shared)}}); err != nil {
		return fmt.Errorf("the blob that was there is gone: %w", err)
	}
	rec, err := s.PutImage(ctx, Image, key(name), below, nil)
	if err != nil {
		return err
	}
	if _, err := s.PutEvidence(ctx, rec.Descriptor(), key("t"+name), []byte(`{}`)); err != nil {
		return err
	}
	got, _, err := s.Image(ctx, Image, key(name))
	if err == nil {
		err = validate.Image(got)
	}
	if err != nil {
		return fmt.Errorf("what was made is gone: %w", err)
	}
	return run.End(time.Now(), true, nil)
}

func descriptorOf(l v1.Layer) v1.Descriptor {
	digest, _ := l.Digest()
	size, _ := l.Size()
	mt, _ := l.MediaType()
	return v1.Descriptor{Digest: digest, Size: size, MediaType: mt}
}

// A process that is killed counts no longer, and its run still keeps what it made
// for the next that goes on from there.
func TestGCAfterAKill(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	killed := startChild(t, dir, "run")
	s := open(t, Options{Dir: dir})
	c, err := s.GC(ctx, Retention{})
	require.NoError(t, err)
	require.Equal(t, 1, c.Builds)
	require.Empty(t, c.Removed)
	list, err := s.List(ctx)
	require.NoError(t, err)
	require.True(t, list.Runs[0].Live)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	c, err = s.GC(ctx, Retention{Runs: 1})
	require.NoError(t, err)
	require.Zero(t, c.Builds)
	require.Empty(t, c.Removed)
	leases, err := os.ReadDir(filepath.Join(dir, leasesDir))
	require.NoError(t, err)
	require.Empty(t, leases)
	c, err = s.GC(ctx, Retention{})
	require.NoError(t, err)
	require.Equal(t, []string{"image-" + key("made")}, c.Removed)
	require.True(t, slices.Equal(c.Runs, []int{1}))
}

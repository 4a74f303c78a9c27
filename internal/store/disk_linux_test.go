package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"
)

// tmpfs mounts a small file system, for as long as the test runs.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this is not root, which mounting a small disk needs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "size=2m")
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	put(t, s, Image, "before")
	big, err := random.Image(4<<20, 1)
	require.NoError(t, err)
	_, err = s.PutImage(ctx, Image, key("big"), big, nil)
	require.ErrorContains(t, err, "the store's disk is full: free some of the disk with "+dir+" (jetcrate store gc --dry-run shows what can go), then the same command goes on")
	require.ErrorContains(t, err, "no space left on device")

	// Full to the last byte, no record is reported that the disk does not have.
	filler, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	chunk := make([]byte, 64<<10)
	for err == nil {
		_, err = filler.Write(chunk)
	}
	require.NoError(t, filler.Close())
	img, err := random.Image(10, 1)
	require.NoError(t, err)
	_, err = s.PutImage(ctx, Image, key("small"), img, nil)
	require.ErrorContains(t, err, "is full")
	_, ok, err := s.Lookup(ctx, Image, key("small"))
	require.NoError(t, err)
	require.False(t, ok)

	require.NoError(t, os.Remove(filler.Name()))
	_, err = s.PutImage(ctx, Image, key("small"), img, nil)
	require.NoError(t, err)
	require.Equal(t, 2, clean(t, s).Records)
}

// A disk that fills up while the index is written is the worst moment.
func TestDiskFullAtEachStep(t *testing.T) {
	dir := tmpfs(t, "size=1m")
	s := open(t, Options{Dir: dir})
	ctx := context.Background()
	reported := 0
	for i := range 200 {
		img, err := random.Image(16<<10, 1)
		require.NoError(t, err)
		if _, err := s.PutImage(ctx, Image, key(fmt.Sprint(i)), img, nil); err != nil {
			require.ErrorContains(t, err, "is full")
			break
		}
		reported++
	}
	require.Less(t, reported, 200)
	require.Greater(t, reported, 5)
	idx, err := s.embedded.folder.index()
	require.NoError(t, err)
	require.Len(t, idx.Manifests, reported)
	require.Equal(t, reported, clean(t, s).Records)
}

func TestReadOnlyFolder(t *testing.T) {
	dir := tmpfs(t, "size=1m")
	s, err := Open(context.Background(), Options{Dir: dir})
	require.NoError(t, err)
	put(t, s, Image, "a")
	require.NoError(t, s.Close())
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err = Open(context.Background(), Options{Dir: dir})
	require.ErrorIs(t, err, syscall.EROFS)
	require.ErrorContains(t, err, "opening the store in "+dir)
}

package jetcrate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image/registrytest"
	"github.com/jetcrate/jetcrate/internal/store"
)

// home is a home folder of a test, with a store that holds two images, each of a
// run of its own and with a name.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	for _, v := range []string{"XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "JETCRATE_STORE"} {
		t.Setenv(v, "")
	}
	return dir
}

func storeDir(home string) string { return filepath.Join(home, ".local/share/jetcrate/store") }

func filled(t *testing.T) string {
	t.Helper()
	dir := home(t)
	ctx := context.Background()
	for _, digit := range []string{"a", "b"} {
		st, err := store.Open(ctx, store.Options{Dir: storeDir(dir)})
		require.NoError(t, err)
		key := strings.Repeat(digit, 64)
		run, err := st.BeginRun(ctx, "image-of-"+digit, time.Unix(0, 0), []string{"image-" + key})
		require.NoError(t, err)
		require.NoError(t, run.Surveyed(nil))
		img, err := random.Image(1000, 2)
		require.NoError(t, err)
		rec, err := st.PutImage(ctx, store.Image, key, img, nil)
		require.NoError(t, err)
		require.NoError(t, st.Tag(ctx, "image-of-"+digit, rec.Digest))
		require.NoError(t, run.End(time.Unix(60, 0), true, nil))
		require.NoError(t, st.Close())
	}
	return dir
}

// try runs the command and wants an exit code.
func try(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	got := Main(args, strings.NewReader(""), &out, &errs)
	require.Equal(t, code, got, "%s\n%s%s", args, &out, &errs)
	return out.String(), errs.String()
}

func TestStoreOfTwoImages(t *testing.T) {
	dir := filled(t)
	out, errs := try(t, 0, "store", "ls")
	require.Regexp(t, `^127\.0\.0\.1:\d+/jetcrate:image-of-a  sha256:[0-9a-f]{12}  \d.*iB\n127.*:image-of-b  .*\n$`, out)
	require.Regexp(t, `^2 names, 2 records, .*iB in 8 blobs, 2 runs\n$`, errs)
	out, _ = try(t, 0, "store", "ls", "--records")
	require.Contains(t, out, "image-"+strings.Repeat("a", 64))
	out, _ = try(t, 0, "store", "ls", "--runs")
	require.Equal(t, "run-1  1970-01-01T00:00:00Z  good  image-of-a\nrun-2  1970-01-01T00:00:00Z  good  image-of-b\n", out)
	out, _ = try(t, 0, "store", "pin", "run-2")
	require.Equal(t, "pinned run-2\n", out)

	// As ls printed it, a name may be handed to rm; then gc frees the space.
	name, _, _ := strings.Cut(firstLine(t, 0, "store", "ls"), " ")
	out, _ = try(t, 0, "store", "rm", name)
	require.Equal(t, "removed image-of-a\n", out)
	dry, errs := try(t, 0, "store", "gc", "--keep-runs", "0", "-n")
	require.Equal(t, "image-"+strings.Repeat("a", 64)+"\n", dry)
	require.Contains(t, errs, "would free ")
	require.Contains(t, errs, "4 blobs: 1 record, 1 old run\n")
	wet, errs := try(t, 0, "store", "gc", "--keep-runs", "0")
	require.Equal(t, dry, wet)
	require.Contains(t, errs, "\nkept ")
	_, errs = try(t, 3, "store", "gc", "--quota", "10B")
	require.Contains(t, errs, "above the quota; jetcrate store rm removes names")

	_, errs = try(t, 0, "store", "verify")
	require.Regexp(t, `^1 record, 1 name, .* in 4 blobs: all there and undamaged\n$`, errs)
	blobs, err := filepath.Glob(filepath.Join(storeDir(dir), "registry/jetcrate/blobs/sha256/*"))
	require.NoError(t, err)
	require.Len(t, blobs, 4)
	require.NoError(t, os.WriteFile(blobs[0], []byte("other"), 0o644))
	out, errs = try(t, 3, "store", "verify")
	require.Contains(t, out, "(needed by image-")
	require.Contains(t, errs, "jetcrate store verify --repair removes what is damaged, and the next build makes it again")
	out, _ = try(t, 3, "store", "verify", "-o", "json")
	var v store.Verified
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.NotEmpty(t, v.Problems)
	out, errs = try(t, 0, "store", "verify", "--repair")
	require.Contains(t, out, "removed image-"+strings.Repeat("b", 64))
	require.Contains(t, errs, "repaired; the next build makes again what is missing")
	try(t, 0, "store", "verify")
}

func firstLine(t *testing.T, code int, args ...string) string {
	out, _ := try(t, code, args...)
	line, _, _ := strings.Cut(out, "\n")
	return line
}

// Whatever a registry does to a build, as its store or as what holds its base,
// the exit code is that of the environment, and the message says what to do.
func TestBuildWithABrokenRegistry(t *testing.T) {
	home(t)
	reg := registrytest.New(t)
	dir := t.TempDir()
	require.NoError(t, fill(dir, os.DirFS("testdata/catalog")))
	matrix, err := os.ReadFile(filepath.Join(dir, "matrix.yaml"))
	require.NoError(t, err)
	matrix = bytes.ReplaceAll(matrix, []byte("example.org/"), []byte(reg.Host+"/"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "matrix.yaml"), matrix, 0o644))
	for _, tt := range []struct {
		name   string
		on     string
		answer func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)
		want   string
	}{
		{"no such base", "", nil, "has no such thing in base; check the reference"},
		{"401", "GET /manifests/", registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`), "log in with: docker login"},
		{"403", "GET /manifests/", registrytest.Status(403), "log in with: docker login"},
	} {
		t.Run("base: "+tt.name, func(t *testing.T) {
			reg.Break()
			if tt.on != "" {
				reg.Break(registrytest.Fault{On: tt.on, Answer: tt.answer})
			}
			_, errs := try(t, 2, "build", "python", "--l4t", "36.4.0", "-C", dir)
			require.Contains(t, errs, tt.want)
		})
		if tt.on == "" {
			continue
		}
		t.Run("store: "+tt.name, func(t *testing.T) {
			reg.Break(registrytest.Fault{On: "GET /tags/", Answer: tt.answer})
			_, errs := try(t, 2, "build", "python", "--l4t", "36.4.0", "-C", dir, "--store", reg.Host+"/lab/store")
			require.Contains(t, errs, tt.want)
		})
	}
}

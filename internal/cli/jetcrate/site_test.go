package jetcrate

import (
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/site/sitetest"
	"github.com/jetcrate/jetcrate/internal/store"
)

// A served site follows the table: it says so where there is none, and is made
// anew when the table is written again.
func TestServedSiteFollowsTheTable(t *testing.T) {
	t.Chdir(t.TempDir())
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	file := filepath.Join(t.TempDir(), "table.json")
	h := (&app{stderr: io.Discard}).siteOf(st, file)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	write := func(targets int) {
		f, err := os.Create(file)
		require.NoError(t, err)
		require.NoError(t, sitetest.Table(targets, 2).Write(f))
		require.NoError(t, f.Close())
	}

	code, text := get("/")
	require.Equal(t, 404, code)
	require.Contains(t, text, "jetcrate table makes one")
	write(2)
	code, text = get("/")
	require.Equal(t, 200, code)
	require.Contains(t, text, "2 targets on 2 platforms")
	code, _ = get("/p/package-1.html")
	require.Equal(t, 200, code)
	code, _ = get("/p/package-2.html")
	require.Equal(t, 404, code)
	write(3)
	require.NoError(t, os.Chtimes(file, time.Now(), time.Now().Add(time.Minute)))
	code, _ = get("/p/package-2.html")
	require.Equal(t, 200, code)

	require.NoError(t, os.WriteFile(file, []byte("{"), 0o644))
	code, text = get("/")
	require.Equal(t, 500, code)
	require.NotContains(t, text, file, "what is wrong is the server's to say")
}

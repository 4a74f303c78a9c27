package host_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Every folder of testdata is the root of a host; beside it lie its facts.
func TestDetect(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	found := 0
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "fuzz" {
			continue
		}
		found++
		t.Run(e.Name(), func(t *testing.T) {
			facts := host.Detect(os.DirFS(filepath.Join("testdata", e.Name())))
			got, err := json.MarshalIndent(facts, "", "  ")
			require.NoError(t, err)
			path := filepath.Join("testdata", e.Name()+".json")
			if *update {
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
	require.NotZero(t, found)
}

func TestRelease(t *testing.T) {
	for name, want := range map[string]string{
		"r32.7.1": "32.7.1", "r35.4.1": "35.4.1", "r36.4.3": "36.4.3", "dpkg-only": "36.4.3",
		"contradictory": "", "x86": "", "removed": "", "garbled": "",
	} {
		t.Run(name, func(t *testing.T) {
			r, known := host.Detect(os.DirFS(filepath.Join("testdata", name))).Release()
			require.Equal(t, want, r.String())
			require.Equal(t, want != "", known)
		})
	}
}

func TestDetectNothing(t *testing.T) {
	f := host.Detect(fstest.MapFS{})
	require.Equal(t, "there is no /etc/nv_tegra_release; there is no /var/lib/dpkg/status", f.L4T.Reason)
	require.Equal(t, "unknown (there is no /proc/device-tree/model)", f.Model.String())
}

func TestDetectOddFiles(t *testing.T) {
	f := host.Detect(fstest.MapFS{
		"etc/nv_tegra_release":   {Mode: os.ModeDir},
		"proc/device-tree/model": {Data: []byte(strings.Repeat("x", 70<<10))},
	})
	require.Contains(t, f.L4T.Reason, "/etc/nv_tegra_release: is a folder")
	require.Contains(t, f.Model.Reason, "is larger than 64 KiB")
}

func TestParseTegraRelease(t *testing.T) {
	cases := []struct{ name, line, release, board string }{
		{"nano", "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64", "32.7.1", "t210ref"},
		{"orin", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "36.4.3", "generic"},
		{"no board", "# R39 (release), REVISION: 1.0", "39.1.0", ""},
		{"other order", "# R36 (release), BOARD: generic, REVISION: 4.3", "36.4.3", "generic"},
		{"no revision", "# R36 (release), BOARD: generic", "", ""},
		{"not a release", "# R36 (debug), REVISION: 4.3", "", ""},
		{"too many parts", "# R36 (release), REVISION: 4.3.1", "", ""},
		{"negative", "# R-36 (release), REVISION: 4.3", "", ""},
		{"empty", "", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			release, board, err := host.ParseTegraRelease(c.line)
			require.Equal(t, c.release == "", err != nil)
			require.Equal(t, c.release, release)
			require.Equal(t, c.board, board)
		})
	}
}

// No file of a host makes Detect panic, invent a release that does not parse,
// or hand on control characters.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("# R36 (release), REVISION: 4.3, BOARD: generic\n"), []byte("Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.3-2025\n"), []byte("nvidia,tegra234\x00"))
	f.Add([]byte("# R"), []byte("\n\n"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, release, status, tree []byte) {
		facts := host.Detect(fstest.MapFS{
			"etc/nv_tegra_release":        {Data: release},
			"var/lib/dpkg/status":         {Data: status},
			"proc/device-tree/model":      {Data: tree},
			"proc/device-tree/compatible": {Data: tree},
		})
		_, known := facts.Release()
		require.Equal(t, facts.L4T.Known(), known)
		for _, fact := range []host.Fact{facts.L4T, facts.Board, facts.Model, facts.SoC, facts.GPU} {
			require.NotEqual(t, fact.Value == "", fact.Reason == "", "a fact is known or has a reason")
			require.NotContains(t, fact.String(), "\x1b")
		}
	})
}

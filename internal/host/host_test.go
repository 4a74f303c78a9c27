package host_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Every folder of testdata/devices is the root of a device; beside it lie its facts.
func TestInspect(t *testing.T) {
	found := 0
	for _, name := range devices(t) {
		found++
		t.Run(name, func(t *testing.T) {
			fsys := root(t, name)
			got, err := json.MarshalIndent(host.Inspect(fsys), "", "  ")
			require.NoError(t, err)
			path := filepath.Join("testdata", "devices", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
			require.Equal(t, host.Detect(fsys), host.Inspect(fsys).Facts)
		})
	}
	require.GreaterOrEqual(t, found, 12)
}

func devices(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata/devices")
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func root(t *testing.T, device string) fs.FS {
	t.Helper()
	fsys, end, err := host.Root(filepath.Join("testdata", "devices", device))
	require.NoError(t, err)
	t.Cleanup(func() { _ = end() })
	return fsys
}

// What is said here by hand is not taken from what Detect says.
func TestRelease(t *testing.T) {
	releases := map[string]string{
		"nano-32.7.1": "32.7.1", "tx2-32.7.6": "32.7.6", "agx-orin-35.4.1": "35.4.1", "xavier-nx-35.4.1": "35.4.1",
		"agx-orin-36.3.0": "36.3.0", "orin-nano-36.4.3": "36.4.3", "orin-nx-36.4.9": "36.4.9", "dpkg-only": "36.4.3",
		"agx-thor-38.2.0": "38.2.0", "agx-orin-38.4.0": "38.4.0", "agx-orin-39.1.0": "39.1.0", "newer-40.0.0": "40.0.0",
		"nano-says-36.4.3": "36.4.3", "x86-says-36.4.3": "36.4.3",
		"contradictory": "", "x86": "", "removed": "", "garbled": "", "container": "", "sbsa-server": "",
	}
	for _, name := range devices(t) {
		want, ok := releases[name]
		require.True(t, ok, name)
		r, known := host.Detect(root(t, name)).Release()
		require.Equal(t, want, r.String(), name)
		require.Equal(t, want != "", known, name)
	}
}

func TestConflicts(t *testing.T) {
	for name, want := range map[string]string{
		"contradictory":    "/etc/nv_tegra_release says L4T 35.4.1, but nvidia-l4t-core in /var/lib/dpkg/status has version 36.4.3",
		"nano-says-36.4.3": "/etc/nv_tegra_release says L4T 36.4.3, which supports tegra234, but /proc/device-tree/compatible says tegra210",
		"agx-orin-38.4.0":  "/etc/nv_tegra_release says L4T 38.4.0, which supports tegra264, but /proc/device-tree/compatible says tegra234",
		"x86-says-36.4.3":  "/etc/nv_tegra_release says L4T 36.4.3, but /proc/sys/kernel/arch says amd64: L4T is arm64",
		"orin-nano-36.4.3": "", "agx-orin-39.1.0": "", "newer-40.0.0": "",
	} {
		require.Equal(t, want, strings.Join(host.Detect(root(t, name)).Conflicts, "; "), name)
	}
}

// A link of another device leads into its own root, or nowhere.
func TestRootKeepsLinksInside(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	outside := filepath.Join(t.TempDir(), "release")
	require.NoError(t, os.WriteFile(outside, []byte("# R36 (release), REVISION: 4.3\n"), 0o644))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "etc", "nv_tegra_release")))
	fsys, end, err := host.Root(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = end() })
	require.False(t, host.Detect(fsys).L4T.Known())
	_, _, err = host.Root(outside)
	require.Error(t, err)
}

// A pipe is not waited for.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "etc", "nv_tegra_release"), 0o644))
	fsys, end, err := host.Root(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = end() })
	require.Contains(t, host.Detect(fsys).L4T.Reason, "/etc/nv_tegra_release: is not a file")
}

func TestDiskOf(t *testing.T) {
	fsys := fstest.MapFS{
		"proc/self/mounts":              {Data: []byte("overlay / overlay rw 0 0\n/dev/mmcblk0p1 /a ext4 rw 0 0\n/dev/nvme0n1 /a/b\\040c ext4 rw 0 0\n/dev/sda1 /a/bb ext4 rw 0 0\n")},
		"sys/block/mmcblk0/device/type": {Data: []byte("MMC\n")},
	}
	for folder, want := range map[string]string{"/": "", "/x": "", "/a": "eMMC", "/a/b": "eMMC", "/a/b c/d": "NVMe", "/a/bb": "SATA or USB disk", "/a/bbb": "eMMC"} {
		require.Equal(t, want, host.DiskOf(fsys, folder).Value, folder)
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

// No file of a host makes Inspect panic, invent a release that does not parse,
// or hand on control characters.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("# R36 (release), REVISION: 4.3, BOARD: generic\n"), []byte("Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.3-2025\n"), []byte("nvidia,tegra234\x00"), []byte(`{"runtimes": {"nvidia": {}}}`))
	f.Add([]byte("# R"), []byte("\n\n"), []byte("\x00"), []byte("kind: a/b\ndevices: [{name: all}]"))
	f.Add([]byte("pmode:0002"), []byte("MemTotal: 4 kB\nSwapTotal: 1 kB"), []byte("/dev/mmcblk0p1 / ext4"), []byte("[nvidia-container-runtime]\nmode = 'cdi'"))
	f.Fuzz(func(t *testing.T, release, status, tree, config []byte) {
		fsys := fstest.MapFS{}
		for content, names := range map[*[]byte][]string{
			&release: {"etc/nv_tegra_release", "var/lib/nvpmodel/status", "proc/driver/nvidia/version", "etc/os-release"},
			&status:  {"var/lib/dpkg/status", "proc/meminfo", "proc/swaps", "etc/nvpmodel.conf"},
			&tree:    {"proc/device-tree/model", "proc/device-tree/compatible", "proc/self/mounts", "proc/sys/kernel/osrelease", "proc/sys/kernel/arch"},
			&config:  {"etc/docker/daemon.json", "etc/cdi/x.yaml", "etc/nvidia-container-runtime/config.toml", "usr/local/cuda/version.json"},
		} {
			for _, name := range names {
				fsys[name] = &fstest.MapFile{Data: *content}
			}
		}
		d := host.Inspect(fsys)
		_, known := d.Release()
		require.Equal(t, d.L4T.Known(), known)
		for _, fact := range []host.Fact{
			d.L4T, d.Board, d.Model, d.Module, d.SoC, d.GPU, d.Arch, d.Flavour, d.JetPack, d.OS, d.Kernel, d.Driver, d.CUDA, d.Memory, d.Swap,
			d.Zram, d.PowerMode, d.Container, d.Docker.Version, d.Docker.DefaultRuntime, d.Docker.Root, d.Docker.Disk, d.Docker.Toolkit, d.Docker.Mode, d.Docker.RawTable,
		} {
			require.NotEqual(t, fact.Value == "", fact.Reason == "", "a fact is known or has a reason")
			require.NotContains(t, fact.String(), "\x1b")
		}
		for _, list := range []host.List{d.Accelerators, d.Docker.Runtimes, d.Docker.CDI} {
			require.NotEqual(t, len(list.Values) == 0, list.Reason == "")
			require.NotContains(t, list.String(), "\x1b")
		}
	})
}

package buildkit

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/buildkit/util/archutil"
)

// systemPath is where root's programs lie; a user's PATH may leave it out.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// config is the daemon's buildkitd.toml. Everything that the daemon would look
// for elsewhere on the machine is named, so that a second BuildKit is no matter.
// Steps use the machine's network: the daemon then needs no bridge, and what is
// on loopback is reached.
func (p *private) config(emulator string) string {
	var platforms string
	if emulator != "" { // the daemon lists what the kernel runs, which this is not
		platforms = fmt.Sprintf("  platforms = [%q, %q]\n", "linux/"+runtime.GOARCH, "linux/arm64")
	}
	return fmt.Sprintf(`root = %q

[grpc]
  address = [%q]

[otel]
  socketPath = %q

[worker.oci]
  enabled = true
  networkMode = "host"
%s  gc = true
  reservedSpace = "10%%"
  maxUsedSpace = "60%%"
  minFreeSpace = "10%%"

[worker.containerd]
  enabled = false

[history]
  maxAge = "24h"
  maxEntries = 20
`, p.file("root"), p.address(), filepath.Join(filepath.Dir(p.socket), "otel.sock"), platforms)
}

// fingerprint is what a daemon is started from; one of another make is ended.
func (p *private) fingerprint() (string, error) {
	fi, err := os.Stat(p.binary)
	if err != nil {
		return "", fmt.Errorf("examining %s: %w", p.binary, err)
	}
	h := sha256.New()
	fmt.Fprintln(h, p.binary, fi.Size(), fi.ModTime().UnixNano())
	fmt.Fprint(h, p.config(""))
	return hex.EncodeToString(h.Sum(nil)), nil
}

// socketLimit is the longest path of a unix socket (sockaddr_un, less its NUL).
const socketLimit = 107

// plainPath is what an address may hold without being read as something else.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

// socketPath is where the daemon of a state folder listens: in the folder, or,
// where its path is too long for a socket, in a short folder that is noted in
// the file "socket", so that a process with other variables finds it too.
func socketPath(state string) (string, error) {
	note := filepath.Join(state, "socket")
	if own := filepath.Join(state, "buildkitd.sock"); fits(own) {
		return own, nil
	}
	if raw, err := os.ReadFile(note); err == nil && fits(string(raw)) {
		return string(raw), nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading where buildkitd listens: %w", err)
	}
	sum := sha256.Sum256([]byte(state))
	name := "jetcrate-" + hex.EncodeToString(sum[:6])
	var tried []string
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/run", os.TempDir()} {
		path := filepath.Join(base, name, "buildkitd.sock")
		if base == "" || !fits(path) {
			continue
		}
		if err := ownFolder(filepath.Dir(path)); err != nil {
			tried = append(tried, err.Error())
			continue
		}
		if err := os.WriteFile(note, []byte(path), 0o644); err != nil {
			return "", fmt.Errorf("noting where buildkitd listens: %w", err)
		}
		return path, nil
	}
	return "", fmt.Errorf("no folder for buildkitd's socket, whose path may have %d bytes: %s", socketLimit, strings.Join(tried, "; "))
}

// fits says whether a socket may lie there, and the longer one beside it.
func fits(path string) bool {
	return len(path) <= socketLimit && plainPath.MatchString(path)
}

// ownFolder makes a folder that nobody else can put a socket into.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.IsDir() || fi.Mode().Perm() != 0o700 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to somebody else", dir)
	}
	return nil
}

// emulate lets the daemon run ARM64 programs where the kernel does not: a
// program called buildkit-qemu-aarch64 on its PATH is what BuildKit runs them
// with. It returns that program's path, "" if the kernel needs no help.
func emulate(bin string) (string, error) {
	link := filepath.Join(bin, "buildkit-qemu-aarch64")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("preparing QEMU: %w", err)
	}
	for _, p := range archutil.SupportedPlatforms(true) {
		if p.OS == "linux" && p.Architecture == "arm64" {
			return "", nil
		}
	}
	qemu, err := findQEMU()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("preparing QEMU: %w", err)
	}
	if err := os.Symlink(qemu, link); err != nil {
		return "", fmt.Errorf("preparing QEMU: %w", err)
	}
	return link, nil
}

// findQEMU finds a user-mode QEMU that needs no libraries: it runs inside
// images, which have none for this machine.
func findQEMU() (string, error) {
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		path, err := lookPath(name)
		if err != nil {
			continue
		}
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		static := !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		f.Close()
		if static {
			return path, nil
		}
	}
	return "", errors.New("this machine runs no ARM64 programs: apt install qemu-user-static")
}

// lookPath finds a program on PATH or where root's programs lie.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || strings.ContainsRune(name, filepath.Separator) {
		return path, err
	}
	for _, dir := range filepath.SplitList(systemPath) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// daemonEnv is the environment of the daemon: the user's, for proxies and the
// like, without what is meant for another service.
func daemonEnv(env []string, bin string) []string {
	path := systemPath
	var out []string
	for _, kv := range env {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "PATH":
			path = value + ":" + systemPath
		case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			out = append(out, kv)
		}
	}
	return append(out, "PATH="+bin+":"+path)
}

// moduleVersion is the version of BuildKit that a buildkitd was built from, as
// the Go toolchain noted it: one built from the module proxy does not know.
func moduleVersion(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return ""
	}
	const module = "github.com/moby/buildkit"
	if info.Main.Path == module && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}

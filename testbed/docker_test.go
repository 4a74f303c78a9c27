package testbed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	stdlog "log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/table"
)

// dock is a Docker daemon of the test's own, with jet in front of it. The host is
// a Jetson's files in a folder; its containers run ARM64 programs.
type dock struct {
	*testing.T
	dir  string
	env  []string
	mark string // what the runtime called nvidia leaves behind
}

// startDocker starts a daemon with a runtime called nvidia: runc, with a mark.
func startDocker(t *testing.T) *dock {
	t.Helper()
	real(t)
	for _, program := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("JETCRATE_REAL") != "" {
				t.Fatalf("this machine lacks %s on PATH: make setup", program)
			}
			t.Skipf("this machine lacks %s on PATH; make test has it", program)
		}
	}
	// A socket's path is short, and t.TempDir's is not.
	dir, err := os.MkdirTemp("", "jetcrate-dock-")
	require.NoError(t, err)
	d := &dock{T: t, dir: dir, mark: filepath.Join(dir, "mark")}
	runc, err := exec.LookPath("runc")
	require.NoError(t, err)
	d.write("runtime", "#!/bin/sh\necho \"$@\" >>"+d.mark+"\nexec "+runc+" \"$@\"\n")
	require.NoError(t, os.Chmod(filepath.Join(dir, "runtime"), 0o755))
	socket := "unix://" + filepath.Join(dir, "s")
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	// The machine's own Docker keeps its settings, its containers and its firewall.
	config, err := json.Marshal(map[string]any{
		"runtimes":  map[string]any{"nvidia": map[string]any{"path": filepath.Join(dir, "runtime")}},
		"bridge":    "none",
		"iptables":  false,
		"ip6tables": false,
		"features":  map[string]bool{"containerd-snapshotter": false},
	})
	require.NoError(t, err)
	d.write("daemon.json", string(config))
	daemon := exec.Command("dockerd", "--config-file", filepath.Join(dir, "daemon.json"), "--data-root", filepath.Join(dir, "root"),
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "-H", socket,
		"--containerd-namespace", "jetcrate-test", "--containerd-plugins-namespace", "jetcrate-test-plugins")
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, daemon.Start())
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
		_ = syscall.Unmount(filepath.Join(dir, "exec/netns/default"), 0) // the daemon leaves it behind
		require.NoError(t, os.RemoveAll(dir))
	})

	d.write("device/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "DOCKER_") && !strings.HasPrefix(v, "DISPLAY=") {
			d.env = append(d.env, v)
		}
	}
	d.env = append(d.env, "HOME="+dir, "DOCKER_HOST="+socket, "JETCRATE_TABLE="+filepath.Join(dir, "table.json"))
	for start := time.Now(); d.command("docker", "version").Run() != nil; time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not answer:\n%s", said)
		}
	}
	return d
}

func (d *dock) write(path, content string) {
	d.Helper()
	path = filepath.Join(d.dir, path)
	require.NoError(d, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(d, os.WriteFile(path, []byte(content), 0o644))
}

func (d *dock) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = d.env, d.dir
	return cmd
}

// run runs a command to its end.
func (d *dock) run(stdin io.Reader, argv ...string) (stdout, stderr string, code int) {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = d.env, d.dir, stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		require.IsType(d, &exec.ExitError{}, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (d *dock) autotag(args ...string) (stdout, stderr string, code int) {
	return d.run(nil, append([]string{"jet", "autotag", "--root", filepath.Join(d.dir, "device")}, args...)...)
}

func (d *dock) jetRun(args ...string) []string {
	return append([]string{"jet", "run", "--root", filepath.Join(d.dir, "device")}, args...)
}

// load puts an image of the prober into Docker.
func (d *dock) load(tag string, layer v1.Layer, labels map[string]string) {
	d.Helper()
	img, err := image.New("prober", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{Labels: labels, Entrypoint: []string{"/prober"}}, layer)
	require.NoError(d, err)
	ref, err := name.NewTag(tag)
	require.NoError(d, err)
	file := filepath.Join(d.dir, "image.tar")
	require.NoError(d, tarball.WriteToFile(file, ref, img))
	out, errs, code := d.run(nil, "docker", "load", "-i", file)
	require.Zero(d, code, out+errs)
}

// proberLayer compiles the prober for ARM64.
func (d *dock) proberLayer() v1.Layer {
	d.Helper()
	dir := filepath.Join(d.dir, "layer")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "prober"), "./testdata/prober")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	out, err := build.CombinedOutput()
	require.NoError(d, err, "%s", out)
	layer, _, err := image.LayerFromDir(dir, image.LayerOptions{})
	require.NoError(d, err)
	return layer
}

// writeTable writes a table that has a platform, and no image that can be had.
func (d *dock) writeTable() {
	d.Helper()
	row := table.Row{
		Target: "prober", Roots: []string{"prober"}, Hosts: ">=36.4 <37", Status: table.Current, State: table.NotBuilt, Reason: "no run has built it",
		Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}, CUDA: &table.CUDA{Version: "12.6"}},
	}
	var b bytes.Buffer
	require.NoError(d, (&table.Table{Rows: []table.Row{row}}).Write(&b))
	d.write("table.json", b.String())
}

func TestDocker(t *testing.T) {
	d := startDocker(t)
	d.writeTable()
	layer := d.proberLayer()
	labels := func(version string) map[string]string {
		m, err := image.Labels{
			Title: "prober", Key: strings.Repeat("ab", 32), Packages: []image.Package{{Name: "prober", Version: version}},
			Platform: image.Platform{L4T: "36.4.0", Flavour: "tegra", OS: "ubuntu 22.04", Arch: "arm64", CUDA: "12.6"},
		}.Map()
		require.NoError(t, err)
		return m
	}

	t.Run("unlabelled and half-built images do not count", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		d.load("prober:r36.4.0", layer, nil)
		half := maps.Clone(labels("9.9"))
		delete(half, image.LabelPlatform)
		d.load("prober:latest", layer, half)
		stdout, stderr, code := d.autotag("prober", "--why")
		require.Equal(t, 3, code, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "ruled out: prober:r36.4.0\n  - it has no labels of jetcrate")
		require.Contains(t, stderr, "ruled out: prober:latest\n  - it is half built: the image has no label io.jetcrate.platform")
	})

	d.load("robot:mine", layer, labels("1.0"))

	t.Run("an image is found by its labels", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		stdout, stderr, code := d.autotag("prober")
		require.Zero(t, code, stderr)
		require.Equal(t, "robot:mine\n", stdout)
		stdout, _, _ = d.autotag("prober", "--digest")
		require.Regexp(t, `^sha256:[0-9a-f]{64}\n$`, stdout)
		_, _, code = d.autotag("prober:2")
		require.Equal(t, 3, code)
		_, _, code = d.autotag("prober", "--no-local")
		require.Equal(t, 3, code)
		_, _, code = d.autotag("prober", "--host-l4t", "35.4.1")
		require.Equal(t, 3, code)
	})

	t.Run("what was built upon it is not it", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		id, errs, code := d.run(nil, "docker", "create", "robot:mine", "args")
		require.Zero(t, code, errs)
		_, errs, code = d.run(nil, "docker", "commit", strings.TrimSpace(id), "a-prober:newest")
		require.Zero(t, code, errs)
		stdout, stderr, code := d.autotag("prober", "--why")
		require.Zero(t, code)
		require.Equal(t, "robot:mine\n", stdout)
		require.Regexp(t, `ruled out: a-prober:newest\n  - something was built on top of it: `, stderr)
	})

	t.Run("arguments and exit code", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		stdout, stderr, code := d.run(nil, d.jetRun("prober", "--", "args", "a  b", "it's", `"$HOME"`, "", "--rm")...)
		require.Zero(t, code, stderr)
		require.Equal(t, "on arm64\n[a  b]\n[it's]\n[\"$HOME\"]\n[]\n[--rm]\n", stdout)
		_, _, code = d.run(nil, d.jetRun("prober", "--", "exit", "7")...)
		require.Equal(t, 7, code)
	})

	t.Run("what only the folder has is not made on this machine", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		d.write("device/tmp/argus_socket", "")
		line, _, code := d.run(nil, d.jetRun("--dry-run", "prober")...)
		require.Zero(t, code)
		require.Contains(t, line, " --volume=/tmp/argus_socket:/tmp/argus_socket ")
		_, stderr, code := d.run(nil, d.jetRun("prober", "--", "exit", "0")...)
		require.Zero(t, code, stderr)
		require.NoDirExists(t, "/tmp/argus_socket")
		require.NoError(t, os.RemoveAll(filepath.Join(d.dir, "device/tmp")))
	})

	t.Run("the runtime called nvidia", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		require.NoError(t, os.RemoveAll(d.mark))
		stdout, _, code := d.run(nil, d.jetRun("prober", "--", "env", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")...)
		require.Zero(t, code)
		require.Equal(t, "on arm64\nNVIDIA_VISIBLE_DEVICES=all\nNVIDIA_DRIVER_CAPABILITIES=all\n", stdout)
		require.FileExists(t, d.mark)
		require.NoError(t, os.Remove(d.mark))
		_, _, code = d.run(nil, d.jetRun("--gpu-mode", "none", "prober", "--", "exit", "0")...)
		require.Zero(t, code)
		require.NoFileExists(t, d.mark)
	})

	t.Run("a line of --dry-run does the same", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		line, _, code := d.run(nil, d.jetRun("--dry-run", "--no-host-files", "prober", "-e", "SAY=it's  me", "--", "env", "SAY")...)
		require.Zero(t, code)
		stdout, stderr, code := d.run(nil, "sh", "-c", line)
		require.Zero(t, code, stderr)
		require.Equal(t, "on arm64\nSAY=it's  me\n", stdout)
	})

	t.Run("secrets and data", func(t *testing.T) {
		d := &dock{t, d.dir, append(d.env, "HF_TOKEN=hf_secret"), d.mark}
		line, stderr, code := d.run(nil, d.jetRun("--dry-run", "prober")...)
		require.Zero(t, code)
		require.NotContains(t, line+stderr, "hf_secret")
		stdout, _, code := d.run(nil, d.jetRun("prober", "--", "env", "HF_TOKEN")...)
		require.Zero(t, code)
		require.Contains(t, stdout, "HF_TOKEN=hf_secret\n")
		stdout, _, _ = d.run(nil, d.jetRun("prober", "--", "write", "/data/x")...)
		require.Contains(t, stdout, "error <nil>")
		require.FileExists(t, filepath.Join(d.dir, ".local/share/jetcrate/data/x"))
	})

	t.Run("a pipe", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		stdout, _, code := d.run(strings.NewReader("through\n"), d.jetRun("prober", "--", "cat")...)
		require.Zero(t, code)
		require.Equal(t, "on arm64\nthrough\n", stdout)
		stdout, _, _ = d.run(nil, d.jetRun("prober", "--", "tty")...)
		require.Contains(t, stdout, "terminal false")
	})

	t.Run("signals without a terminal", func(t *testing.T) {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			d := &dock{t, d.dir, d.env, d.mark}
			cmd := d.command(d.jetRun("prober", "--", "wait")...)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			await(t, out, "ready\n")
			require.NoError(t, cmd.Process.Signal(s))
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			require.Equal(t, 40+int(s), cmd.ProcessState.ExitCode())
		}
	})

	t.Run("Ctrl-C on a terminal", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		master, path, err := console.NewPty()
		require.NoError(t, err)
		defer master.Close()
		slave, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		require.NoError(t, err)
		cmd := d.command(d.jetRun("prober", "--", "wait")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		require.NoError(t, cmd.Start())
		require.NoError(t, slave.Close())
		await(t, master, "ready\r\n")
		_, err = master.Write([]byte{3})
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, master)
		_ = cmd.Wait()
		require.Equal(t, 42, cmd.ProcessState.ExitCode())
	})

	t.Run("pulling", func(t *testing.T) { pulling(&dock{t, d.dir, d.env, d.mark}, layer) })

	t.Run("docs/jet.md as a new user tries it", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		page, err := os.ReadFile("../docs/jet.md")
		require.NoError(t, err)
		found := regexp.MustCompile("(?s)## On a Jetson\n.*?\n```\n(.*?)```\n").FindSubmatch(page)
		require.NotNil(t, found)
		release := filepath.Join(d.dir, "release")
		require.NoError(t, os.Mkdir(release, 0o755))
		name := filepath.Join(release, "jet-linux-"+runtime.GOARCH)
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, "../cmd/jet")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		script, err := os.ReadFile("../install.sh")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(release, "install.sh"), script, 0o755))
		d.env = append(d.env, "JETCRATE_ROOT="+filepath.Join(d.dir, "device"), "PATH="+filepath.Join(d.dir, "opt/bin")+":"+os.Getenv("PATH"))
		// The device lacks facts, so doctor has something to say, and its prefix is the test's.
		lines := strings.Replace(string(found[1]), "./install.sh", "./install.sh --prefix "+filepath.Join(d.dir, "opt"), 1)
		lines = strings.Replace(lines, "jet doctor", "jet doctor || test $? = 3", 1)
		stdout, stderr, code := d.run(nil, "sh", "-eux", "-c", "cd release; sha256sum jet-linux-* >SHA256SUMS\n"+strings.ReplaceAll(lines, "pytorch", "prober"))
		require.Zero(t, code, stdout+stderr)
		require.Contains(t, stdout, "install: linked ")
		require.Contains(t, stdout, "\nrobot:mine\n")
		require.Equal(t, 2, strings.Count(stdout, "on arm64\n"))
	})

	t.Run("doctor and storage ask the daemon", func(t *testing.T) {
		d := &dock{t, d.dir, d.env, d.mark}
		stdout, _, _ := d.run(nil, "jet", "doctor", "--root", filepath.Join(d.dir, "device"), "-o", "json")
		var report struct {
			Checks []struct{ Name, Status, Message string }
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &report), stdout)
		said := map[string]string{}
		for _, c := range report.Checks {
			said[c.Name] = c.Status + ": " + c.Message
		}
		require.Contains(t, said["Docker"], "pass: the daemon answers: version ")
		require.Equal(t, "pass: Docker has the runtime nvidia (the daemon)", said["GPU access"])
		stdout, _, code := d.run(nil, "jet", "storage", "--root", filepath.Join(d.dir, "device"))
		require.Zero(t, code)
		require.Regexp(t, `image +robot:mine\n`, stdout)
		require.NotContains(t, stdout, "prober:r36.4.0")
	})
}

// await reads until a text has come.
func await(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var got bytes.Buffer
	b := make([]byte, 1)
	for !strings.Contains(got.String(), text) {
		n, err := r.Read(b)
		got.Write(b[:n])
		require.NoError(t, err, "before %q came: %s", text, got.String())
	}
}

// cutting is a registry that breaks off the first answer with a large blob.
type cutting struct {
	http.Handler
	mu  sync.Mutex
	cut bool
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		w = &half{ResponseWriter: w, cutting: c}
	}
	c.Handler.ServeHTTP(w, r)
}

type half struct {
	http.ResponseWriter
	*cutting
	sent int
}

func (h *half) Header() http.Header { return h.ResponseWriter.Header() }
func (h *half) Write(b []byte) (int, error) {
	if h.sent += len(b); h.sent > 1<<20 {
		h.mu.Lock()
		again := h.cut
		h.cut = true
		h.mu.Unlock()
		if !again {
			panic(http.ErrAbortHandler)
		}
	}
	return h.ResponseWriter.Write(b)
}

// pulling pulls from a registry by the digest of the table.
func pulling(d *dock, layer v1.Layer) {
	site := &cutting{Handler: registry.New(registry.Logger(stdlog.New(io.Discard, "", 0)))}
	server := httptest.NewServer(site)
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	large, err := random.Layer(4<<20, types.OCILayer)
	require.NoError(d, err)
	labels, err := image.Labels{
		Title: "pulled", Key: strings.Repeat("cd", 32), Packages: []image.Package{{Name: "pulled", Version: "1"}},
		Platform: image.Platform{L4T: "36.4.0", Flavour: "tegra", OS: "ubuntu 22.04", Arch: "arm64"},
	}.Map()
	require.NoError(d, err)
	img, err := image.New("pulled", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{Labels: labels, Entrypoint: []string{"/prober"}}, layer, large)
	require.NoError(d, err)
	ref, err := name.NewTag(address + "/jetcrate:pulled")
	require.NoError(d, err)
	require.NoError(d, remote.Write(ref, img))
	digest, err := img.Digest()
	require.NoError(d, err)
	write := func(file, digest string) string {
		row := table.Row{
			Target: "pulled", Roots: []string{"pulled"}, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built,
			Packages: []table.Package{{Name: "pulled", Version: "1"}},
			Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}},
			Image:    &table.Image{Reference: ref.String(), Digest: digest, Key: strings.Repeat("cd", 32), Size: 4 << 20},
			Evidence: table.Evidence{Tests: []table.TestResult{{Package: "pulled", Name: "import", Status: table.Passed, Environment: "qemu"}}},
		}
		row.Evidence.Count()
		var b bytes.Buffer
		require.NoError(d, (&table.Table{Rows: []table.Row{row}}).Write(&b))
		d.write(file, b.String())
		return filepath.Join(d.dir, file)
	}
	good, wrong := write("good.json", digest.String()), write("wrong.json", "sha256:"+strings.Repeat("0", 64))
	pull := func(table string) (string, string, int) {
		return d.run(nil, "jet", "pull", "pulled", "--root", filepath.Join(d.dir, "device"), "--table", table)
	}

	// A digest that the registry does not have, whatever the tag says.
	stdout, stderr, code := pull(wrong)
	require.Equal(d, 2, code, stderr)
	require.Empty(d, stdout)

	stdout, stderr, code = pull(good)
	require.Zero(d, code, stderr)
	require.Equal(d, ref.String()+"\n", stdout)
	require.True(d, site.cut, "although the connection broke")

	// What was pulled by the digest of the table has its evidence, and is preferred.
	stdout, stderr, code = d.autotag("pulled", "--table", good, "--why")
	require.Zero(d, code)
	require.Equal(d, ref.String()+"\n", stdout)
	require.Contains(d, stderr, "chosen: pulled 1 for r36.4.0, in Docker as "+ref.String()+"\n  + it runs on hosts >=36.4 <37, this one is r36.4.3\n  + tested: 1 passed\n  + Docker has it\n")
	_, stderr, code = pull(good)
	require.Zero(d, code)
	require.Contains(d, stderr, "Docker has it already")

	// Nor does jet run take what the tag means by now.
	_, stderr, code = d.run(nil, "docker", "rmi", "-f", ref.String(), ref.Context().Digest(digest.String()).String())
	require.Zero(d, code, stderr)
	other, err := image.New("pulled", v1.Platform{OS: "linux", Architecture: "arm64"}, v1.Config{Entrypoint: []string{"/nothing"}}, layer)
	require.NoError(d, err)
	require.NoError(d, remote.Write(ref, other))
	stdout, stderr, code = d.run(nil, d.jetRun("pulled", "--table", wrong, "--", "exit", "5")...)
	require.Equal(d, 2, code, stderr)
	require.Empty(d, stdout)
	stdout, stderr, code = d.run(nil, d.jetRun("pulled", "--table", good, "--", "exit", "5")...)
	require.Equal(d, 5, code, stderr)
	require.Equal(d, "on arm64\n", stdout, "the pull's progress is on stderr")

	// Without the registry, what Docker has still answers and runs.
	server.Close()
	stdout, stderr, code = d.run(nil, d.jetRun("pulled", "--table", good, "--", "exit", "5")...)
	require.Equal(d, 5, code, stdout+stderr)
}

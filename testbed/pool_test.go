package testbed_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// daemon is a buildkitd that stands for a machine of its own: it is in a network
// namespace, and reached by TCP.
type daemon struct {
	address string
	netns   string
	cmd     *exec.Cmd
}

// startDaemon starts one. n tells those of a test apart.
func startDaemon(s *site, n int) *daemon {
	s.Helper()
	d := &daemon{netns: fmt.Sprintf("jetcrate-%d-%d", os.Getpid(), n)}
	// Addresses for tests between networks (RFC 2544), a pair for each daemon.
	net4 := fmt.Sprintf("198.19.%d", (os.Getpid()+n)%256)
	d.address = fmt.Sprintf("tcp://%s.2:1234", net4)
	veth := fmt.Sprintf("jc%d-%d", os.Getpid()%1000000, n)
	ip := func(args ...string) {
		out, err := exec.Command("ip", args...).CombinedOutput()
		require.NoError(s, err, "ip %v: %s", args, out)
	}
	ip("netns", "add", d.netns)
	s.Cleanup(func() { _ = exec.Command("ip", "netns", "del", d.netns).Run() })
	ip("link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", d.netns)
	s.Cleanup(func() { _ = exec.Command("ip", "link", "del", veth).Run() })
	ip("addr", "add", net4+".1/24", "dev", veth)
	ip("link", "set", veth, "up")
	ip("-n", d.netns, "addr", "add", net4+".2/24", "dev", "eth0")
	ip("-n", d.netns, "link", "set", "eth0", "up")
	ip("-n", d.netns, "link", "set", "lo", "up")

	dir := filepath.Join(s.dir, fmt.Sprint("engine", n))
	bin := filepath.Join(dir, "bin")
	require.NoError(s, os.MkdirAll(bin, 0o755))
	qemu, err := exec.LookPath("qemu-aarch64-static")
	require.NoError(s, err)
	require.NoError(s, os.Symlink(qemu, filepath.Join(bin, "buildkit-qemu-aarch64"))) // where the kernel runs no ARM64
	config := filepath.Join(dir, "buildkitd.toml")
	require.NoError(s, os.WriteFile(config, fmt.Appendf(nil, `root = %q
[grpc]
  address = ["tcp://0.0.0.0:1234"]
[otel]
  socketPath = %q
[worker.oci]
  enabled = true
  networkMode = "host"
  platforms = ["linux/amd64", "linux/arm64"]
[worker.containerd]
  enabled = false
`, filepath.Join(dir, "root"), filepath.Join(dir, "otel.sock")), 0o644))
	buildkitd, err := exec.LookPath("buildkitd")
	require.NoError(s, err)
	// ip netns exec would hide the control groups, which runc needs.
	d.cmd = exec.Command("nsenter", "--net=/run/netns/"+d.netns, buildkitd, "--config", config)
	d.cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	d.cmd.Stdout, d.cmd.Stderr = &log, &log
	require.NoError(s, d.cmd.Start())
	s.Cleanup(func() {
		d.end()
		_ = d.cmd.Wait()
		if s.Failed() {
			s.Logf("buildkitd %d said:\n%s", n, &log)
		}
	})
	require.Eventually(s, func() bool {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(d.address, "tcp://"), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	return d
}

// runs reports whether a command is at work in the daemon's namespace.
func (d *daemon) runs(command string) bool {
	out, _ := exec.Command("ip", "netns", "pids", d.netns).Output()
	for _, pid := range strings.Fields(string(out)) {
		line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), command) {
			return true
		}
	}
	return false
}

// end ends everything in the daemon's namespace: it, and what it runs.
func (d *daemon) end() {
	for range 20 {
		out, _ := exec.Command("ip", "netns", "pids", d.netns).Output()
		pids := strings.Fields(string(out))
		if len(pids) == 0 {
			return
		}
		_ = exec.Command("kill", append([]string{"-9"}, pids...)...).Run()
		time.Sleep(50 * time.Millisecond)
	}
}

// slowSmall is the small catalog with packages whose builds take a while.
func slowSmall(t testing.TB, packages int) (catalog string, targets []string) {
	catalog = freshSmall(t)
	for i := range packages {
		name := fmt.Sprintf("slow%d", i)
		dir := filepath.Join(catalog, "packages/g", name)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "package.yaml"), fmt.Appendf(nil, `name: %[1]s
group: g
summary: takes a while
depends: [low]
versions: [{version: "1"}]
build: {steps: [{run: "echo sleeping %[2]d; sleep 6; echo %[1]s > /out/%[1]s.txt"}]}
install: {steps: [{uses: x/copy}]}
`, name, time.Now().UnixNano()), 0o644))
		targets = append(targets, name)
	}
	return catalog, targets
}

// TestPoolSurvivesAnEngine builds on two buildkitds and kills one with what it is
// at. The run completes on the other, and makes nothing twice that was finished.
func TestPoolSurvivesAnEngine(t *testing.T) {
	s := newSite(t)
	a, b := startDaemon(s, 1), startDaemon(s, 2)
	catalog, targets := slowSmall(t, 4)
	cmd := s.command(catalog, append([]string{"build", "--l4t", "36.4.0", "--engine", a.address + "," + b.address, "-j", "4", "-o", "jsonl"}, targets...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())

	killed := make(chan bool, 1)
	go func() {
		for range 3000 {
			if a.runs("sleep 6") {
				a.end()
				killed <- true
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		killed <- false
	}()
	type event struct {
		Event, Name, Status, Engine, Message string
		Attempts                             int
	}
	var events []event
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var e event
		require.NoError(t, json.Unmarshal(sc.Bytes(), &e))
		events = append(events, e)
	}
	require.NoError(t, cmd.Wait(), "%s", &errs)
	require.True(t, <-killed)

	ends, engines, again, told := map[string]int{}, map[string]int{}, 0, false
	for _, e := range events {
		told = told || e.Message == "engine "+a.address+" is gone"
		if e.Event != "ended" {
			continue
		}
		require.Contains(t, []string{"reused", "built", "assembled", "passed"}, e.Status, e.Name)
		if strings.HasPrefix(e.Name, "slow") && strings.HasSuffix(e.Name, " build") {
			require.Equal(t, "built", e.Status)
			ends[e.Name]++
			engines[e.Engine]++
			if e.Attempts > 1 {
				again++
				require.Equal(t, b.address, e.Engine)
			}
		}
	}
	require.Len(t, ends, len(targets))
	for name, n := range ends {
		require.Equal(t, 1, n, name)
	}
	require.True(t, told)
	require.GreaterOrEqual(t, again, 1)
	require.LessOrEqual(t, again, len(targets)/2, "those that the dead one was at, and no others")
	require.GreaterOrEqual(t, engines[b.address], len(targets)/2)

	text, err := s.command(catalog, "report").CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.Contains(t, string(text), ", done")
	text, err = s.command(catalog, "store", "verify").CombinedOutput()
	require.NoError(t, err, "%s", text)
}

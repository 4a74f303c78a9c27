package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jetcrate/jetcrate/internal/image"
)

// What a virtual machine's kernel needs for its disk, in the order in which it takes them.
var diskModules = []string{
	"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
	"drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
}

// guestRegistry is a name of the virtual machine's loopback address.
const guestRegistry = "registry.example"

// The test binary is also the first process of the virtual machine.
func init() {
	if os.Getpid() == 1 && os.Getenv("JETCRATE_GUEST") != "" {
		fmt.Println("ENDED", guest())
		time.Sleep(time.Minute) // what is written gets out
	}
}

// guest is the only process of a virtual machine: it says what the store on its
// disk holds and whether that is whole, and writes records, each told when it is
// done, until the power is cut.
func guest() error {
	for _, m := range []struct{ device, at, kind string }{{"none", "/proc", "proc"}, {"none", "/dev", "devtmpfs"}} {
		if err := unix.Mount(m.device, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	for _, m := range diskModules {
		f, err := os.Open("/" + filepath.Base(m) + ".ko")
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			return fmt.Errorf("loading %s: %w", m, err)
		}
	}
	if err := unix.Mount("/dev/vda", "/data", "ext4", 0, ""); err != nil {
		return fmt.Errorf("mounting the disk: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("the loopback interface: %w", err)
	}
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: "/data/store"})
	if err != nil {
		return err
	}
	v, err := s.Verify(ctx, VerifyOptions{})
	if err != nil {
		return err
	}
	for _, p := range v.Problems {
		if p.Record != "" { // what nothing needs is only in the way
			fmt.Println("PROBLEM", p.Record, p.What)
		}
	}
	known, err := s.Known(ctx)
	if err != nil {
		return err
	}
	for tag, r := range known {
		fmt.Println("HAS", tag, r.Digest)
	}
	if time.Now().Year() < 2000 {
		err := wrongClock(ctx)
		fmt.Println("CLOCK", err)
	}
	fmt.Println("CHECKED", len(known))
	for {
		img, err := random.Image(200_000, 2)
		if err != nil {
			return err
		}
		r, err := s.PutImage(ctx, Image, key(fmt.Sprint(rand.Uint64())), img, nil)
		if err != nil {
			return err
		}
		fmt.Println("DONE", string(r.Kind)+"-"+r.Key, r.Digest)
		if _, err := s.PutEvidence(ctx, r.Descriptor(), r.Key, []byte(`{}`)); err != nil {
			return err
		}
	}
}

// wrongClock asks a registry whose certificate holds from 2020 on.
func wrongClock(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{guestRegistry},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	raw, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
	srv.StartTLS()
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		return err
	}
	_, err = image.Open(ctx, guestRegistry+":"+port+"/an/image:1", image.OpenOptions{})
	return err
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// TestPowerCut cuts the power of a virtual machine whose store is being written, and
// boots it again: its memory is gone, and what its disk has is all that there is. In
// every other round the clock says 1970.
func TestPowerCut(t *testing.T) {
	if os.Getenv("JETCRATE_ALL") == "" {
		t.Skip("20 power cuts of a virtual machine take minutes; make test-all (JETCRATE_ALL=1) has it")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the virtual machine is an x86-64 one")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("this machine has no qemu-system-x86_64; make test-all installs it")
	}
	dir := t.TempDir()
	kernel, modules := debianKernel(t, dir)
	boot := filepath.Join(dir, "boot.cpio")
	require.NoError(t, os.WriteFile(boot, initramfs(t, dir, modules), 0o644))
	disk := filepath.Join(dir, "disk")
	require.NoError(t, os.WriteFile(disk, nil, 0o644))
	require.NoError(t, os.Truncate(disk, 4<<30))
	out, err := exec.Command("mkfs.ext4", "-q", "-F", disk).CombinedOutput()
	require.NoError(t, err, "%s", out)

	done := map[string]string{} // digests of what was reported, by tag
	for round := range 20 {
		now := time.Now().UTC()
		if round%2 == 1 {
			now = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
		}
		cmd := exec.Command(qemu, "-rtc", "base="+now.Format("2006-01-02T15:04:05"),
			"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-m", "1024", "-accel", "tcg", // KVM of a machine that is virtual itself is not to be relied on
			"-kernel", kernel, "-initrd", boot, "-append", "console=ttyS0 quiet panic=-1 rdinit=/init JETCRATE_GUEST=1",
			"-drive", "if=virtio,format=raw,file="+disk,
		)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		require.NoError(t, cmd.Start())
		watchdog := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })

		has, said := map[string]string{}, []string{}
		checked, cutting, clock := false, false, ""
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			line := strings.TrimSpace(sc.Text())
			said = append(said, line)
			word, rest, _ := strings.Cut(line, " ")
			tag, digest, _ := strings.Cut(rest, " ")
			switch word {
			case "HAS":
				has[tag] = digest
			case "PROBLEM", "ENDED":
				t.Errorf("round %d: %s", round, strings.Join(said, "\n"))
				_ = cmd.Process.Kill()
			case "CLOCK":
				clock = rest
			case "CHECKED":
				checked = true
				for tag, digest := range done {
					require.Equal(t, digest, has[tag], "round %d: %s was reported as done", round, tag)
				}
			case "DONE":
				done[tag] = digest
				if !cutting { // at some moment between now and a second from now
					cutting = true
					time.AfterFunc(time.Duration(rand.Int64N(int64(2*time.Second))), func() { _ = cmd.Process.Kill() })
				}
			}
		}
		_ = cmd.Wait()
		watchdog.Stop()
		require.True(t, checked && cutting, "round %d: %s\n%s", round, strings.Join(said, "\n"), &errs)
		if now.Year() == 1970 {
			require.Contains(t, clock, "the clock of this machine says 1970-01-02: if that is wrong, set it", "round %d", round)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d records were reported, and none was lost", len(done))
}

// debianKernel unpacks Debian's kernel for virtual machines, which is not installed.
func debianKernel(t *testing.T, dir string) (kernel, modules string) {
	out, err := exec.Command("apt-cache", "depends", "linux-image-cloud-amd64").Output()
	if err != nil {
		t.Skip("this machine has no package linux-image-cloud-amd64")
	}
	_, rest, _ := strings.Cut(string(out), "Depends: ")
	name, _, _ := strings.Cut(rest, "\n")
	download := exec.Command("apt-get", "download", "-q", name)
	download.Dir = dir
	if err := download.Run(); err != nil {
		t.Skipf("%s cannot be downloaded here", name)
	}
	debs, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	require.NoError(t, err)
	require.Len(t, debs, 1)
	out, err = exec.Command("dpkg-deb", "--extract", debs[0], dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	kernels, err := filepath.Glob(filepath.Join(dir, "boot/vmlinuz-*"))
	require.NoError(t, err)
	require.Len(t, kernels, 1)
	return kernels[0], filepath.Join(dir, "lib/modules", strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-"), "kernel")
}

// initramfs has this test as its init, in the format newc of cpio
// (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
func initramfs(t *testing.T, dir, modules string) []byte {
	test := filepath.Join(dir, "init")
	build := exec.Command("go", "test", "-c", "-o", test, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var b bytes.Buffer
	n := 0
	add := func(name string, mode uint32, major, minor int, content []byte) {
		n++
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", n, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0)
		b.WriteString(name + "\x00")
		pad(&b)
		b.Write(content)
		pad(&b)
	}
	for _, d := range []string{"proc", "dev", "data", "tmp", "etc"} {
		add(d, unix.S_IFDIR|0o755, 0, 0, nil)
	}
	add("dev/console", unix.S_IFCHR|0o600, 5, 1, nil)
	content, err := os.ReadFile(test)
	require.NoError(t, err)
	add("init", unix.S_IFREG|0o755, 0, 0, content)
	add("etc/hosts", unix.S_IFREG|0o644, 0, 0, []byte("127.0.0.1 "+guestRegistry+"\n"))
	for _, m := range diskModules {
		content, err := os.ReadFile(filepath.Join(modules, m+".ko"))
		require.NoError(t, err)
		add(filepath.Base(m)+".ko", unix.S_IFREG|0o644, 0, 0, content)
	}
	add("TRAILER!!!", 0, 0, 0, nil)
	return b.Bytes()
}

func pad(b *bytes.Buffer) {
	_, _ = io.CopyN(b, zeros{}, int64(-b.Len()&3))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

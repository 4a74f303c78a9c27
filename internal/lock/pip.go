package lock

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jetcrate/jetcrate/internal/spec"
)

const noPython = "python3 is not installed here: apt-get install python3-pip"

//go:embed pip.py
var pipScript []byte

// pip runs pip's own resolver for a platform, on this machine and from wheels
// alone: nothing of the index is executed.
func pip(ctx context.Context, r Resolve) ([]Distribution, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return nil, &Unreachable{errors.New(noPython), noPython}
	}
	dir, err := os.MkdirTemp("", "jetcrate-lock-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	asked, err := pipAsked(r, dir)
	if err != nil {
		return nil, err
	}
	script := filepath.Join(dir, "pip.py")
	if err := os.WriteFile(script, pipScript, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, python, "-I", script)
	cmd.Stdin = bytes.NewReader(asked)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PIP_REQUIRE_VIRTUALENV=false")
	out, err := cmd.CombinedOutput()
	if err != nil {
		said := pipSays(string(out))
		err := fmt.Errorf("pip: %s", said)
		for _, away := range []string{"Failed to establish a new connection", "Max retries exceeded", "ConnectTimeoutError", "has no pip", "Temporary failure in name resolution", "NewConnectionError", "ProtocolError", "ReadTimeoutError"} {
			if strings.Contains(string(out), away) {
				return nil, &Unreachable{err, err.Error()}
			}
		}
		return nil, err
	}
	report, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return nil, fmt.Errorf("reading pip's report: %w", err)
	}
	return readReport(report)
}

// pipAsked is what pip.py reads. The stubs of what lies below go into dir.
func pipAsked(r Resolve, dir string) ([]byte, error) {
	glibc, known := glibcOf(r.Place.OS)
	if !known {
		return nil, fmt.Errorf("which wheels fit %s is not known here", r.Place.OS)
	}
	stubs := filepath.Join(dir, "stubs")
	if err := os.MkdirAll(stubs, 0o755); err != nil {
		return nil, err
	}
	for name, v := range r.Below {
		if v == "" {
			continue
		}
		info := filepath.Join(stubs, strings.ReplaceAll(name, "-", "_")+"-"+v+".dist-info")
		if err := os.MkdirAll(info, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(info, "METADATA"), []byte("Metadata-Version: 2.1\nName: "+name+"\nVersion: "+v+"\n"), 0o644); err != nil {
			return nil, err
		}
	}
	digits := strings.ReplaceAll(r.Place.Python, ".", "")
	args := []string{
		"install", "--dry-run", "--report", filepath.Join(dir, "report.json"), "--no-input", "--progress-bar", "off", "--no-color", "--no-cache-dir",
		"--disable-pip-version-check", "--retries", "1", "--timeout", "20", "--only-binary=:all:",
		"--python-version", r.Place.Python, "--implementation", "cp", "--abi", "cp" + digits, "--abi", "abi3", "--abi", "none",
	}
	if digits == "36" || digits == "37" { // their ABI says pymalloc
		args = append(args, "--abi", "cp"+digits+"m")
	}
	for minor := glibc; minor >= 17; minor-- {
		args = append(args, "--platform", fmt.Sprintf("manylinux_2_%d_%s", minor, r.Arch))
	}
	args = append(args, "--platform", "manylinux2014_"+r.Arch, "--platform", "linux_"+r.Arch)
	switch {
	case isFolder(r.Index):
		folder, err := filepath.Abs(r.Index)
		if err != nil {
			return nil, err
		}
		args = append(args, "--no-index", "--find-links", folder)
	case r.Index != "":
		args = append(args, "--index-url", r.Index)
	}
	if r.Extra != "" && !isFolder(r.Index) {
		args = append(args, "--extra-index-url", r.Extra)
	}
	if r.Alone {
		args = append(args, "--no-deps")
	}
	constraints := append([]string(nil), r.Constraints...)
	there := []string{}                         // in a version that nobody knows
	for _, name := range sortedNames(r.Below) { // what lies below stays what it is
		if r.Below[name] == "" {
			there = append(there, name)
			continue
		}
		constraints = append(constraints, name+"=="+r.Below[name])
	}
	file := filepath.Join(dir, "constraints")
	if err := os.WriteFile(file, []byte(strings.Join(constraints, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	args = append(append(args, "--constraint", file, "--"), r.Wanted...)
	full := r.Place.Python
	if strings.Count(full, ".") == 1 {
		full += ".0"
	}
	return json.Marshal(map[string]any{
		"stubs": stubs, "args": args, "there": there,
		"markers": map[string]string{
			"implementation_name": "cpython", "implementation_version": full, "os_name": "posix", "platform_machine": r.Arch,
			"platform_python_implementation": "CPython", "platform_release": "", "platform_system": "Linux",
			"platform_version": "", "python_full_version": full, "python_version": r.Place.Python, "sys_platform": "linux",
		},
	})
}

// readReport reads the installation report of pip
// (https://pip.pypa.io/en/stable/reference/installation-report/).
func readReport(raw []byte) ([]Distribution, error) {
	var report struct {
		Install []struct {
			Metadata struct {
				Name, Version string
			} `json:"metadata"`
			Download struct {
				URL     string `json:"url"`
				Archive struct {
					Hash   string            `json:"hash"`
					Hashes map[string]string `json:"hashes"`
				} `json:"archive_info"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return nil, fmt.Errorf("reading pip's report: %w", err)
	}
	var out []Distribution
	for _, i := range report.Install {
		d := Distribution{Name: spec.DistributionName(i.Metadata.Name), Version: i.Metadata.Version, SHA256: i.Download.Archive.Hashes["sha256"]}
		if d.SHA256 == "" {
			d.SHA256, _ = strings.CutPrefix(i.Download.Archive.Hash, "sha256=")
		}
		if len(d.SHA256) != 64 || strings.Contains(d.SHA256, "=") {
			return nil, fmt.Errorf("pip tells no SHA-256 of %s %s", d.Name, d.Version)
		}
		out = append(out, d)
	}
	return out, nil
}

// pipSays is the error of pip's output in one line.
func pipSays(out string) string {
	var said []string
	if _, causes, ok := strings.Cut(out, "The conflict is caused by:\n"); ok {
		causes, _, _ = strings.Cut(causes, "\n\n")
		for line := range strings.Lines(causes) {
			said = append(said, strings.TrimSpace(line))
		}
		return strings.Join(said, "; ")
	}
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR: "); ok {
			said = append(said, rest)
		}
	}
	if len(said) == 0 {
		return lastLine(out)
	}
	s := strings.Join(said, "; ")
	if len(s) > 600 {
		s = s[:600] + "..."
	}
	return s
}

// glibcOf is the minor version of the C library of an OS, which decides the
// manylinux wheels that fit: 35 of glibc 2.35. They are those of the package
// libc6 in the release (https://packages.ubuntu.com/libc6,
// https://packages.debian.org/libc6).
func glibcOf(os string) (int, bool) {
	minor, ok := map[string]int{
		"ubuntu 18.04": 27, "ubuntu 20.04": 31, "ubuntu 22.04": 35, "ubuntu 24.04": 39,
		"debian 11": 31, "debian 12": 36, "debian 13": 41,
	}[os]
	return minor, ok
}

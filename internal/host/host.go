// Package host says what the device is that images run on, read from the files
// of its root through an fs.FS: another root (a mounted disk, a device's files in
// a folder) is asked in the same way.
//
// Every fact says where it came from; what no file says is unknown, with the
// reason, and nothing is inferred from anything else. The L4T release comes from
// /etc/nv_tegra_release, and where that is missing from the installed version of
// the Debian package nvidia-l4t-core. Two of them that disagree make the release
// unknown. A device tree whose SoC that release does not support is a conflict
// too: it is reported, and the SoC's GPU rules out images by itself.
//
// Detect reads what decides which image runs here; Inspect reads the rest:
// memory, disks, Docker, runtimes, power.
package host

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Facts is what is known of a host and decides which image runs on it.
type Facts struct {
	L4T     Fact `json:"l4t"`     // 36.4.3
	Board   Fact `json:"board"`   // as nv_tegra_release names it
	Model   Fact `json:"model"`   // as the device tree names it
	Module  Fact `json:"module"`  // Jetson Orin Nano
	SoC     Fact `json:"soc"`     // tegra234
	GPU     Fact `json:"gpu"`     // sm_87
	Arch    Fact `json:"arch"`    // arm64, as Debian names it
	Flavour Fact `json:"flavour"` // tegra or sbsa
	// Conflicts are sources that contradict one another, in words.
	Conflicts []string `json:"conflicts,omitempty"`
}

// Fact is something known, with its source, or unknown, with the reason.
type Fact struct {
	Value  string `json:"value,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`  // where it is an amount
	Source string `json:"source,omitempty"` // file that says it
	Reason string `json:"reason,omitempty"` // why it is unknown
}

// Known reports whether there is a value.
func (f Fact) Known() bool { return f.Value != "" }

func (f Fact) String() string {
	if !f.Known() {
		return "unknown (" + f.Reason + ")"
	}
	return f.Value + " (" + f.Source + ")"
}

func unknown(format string, args ...any) Fact { return Fact{Reason: fmt.Sprintf(format, args...)} }

// The files that are read, below the root.
const (
	releaseFile    = "etc/nv_tegra_release"
	statusFile     = "var/lib/dpkg/status"
	modelFile      = "proc/device-tree/model"
	compatibleFile = "proc/device-tree/compatible"
	kernelArchFile = "proc/sys/kernel/arch"
)

// corePackage is the Debian package whose version is the L4T release.
const corePackage = "nvidia-l4t-core"

// Release is the L4T release, when it is known.
func (f Facts) Release() (version.Release, bool) {
	r, err := version.ParseL4T(f.L4T.Value)
	return r, err == nil
}

// Detect reads the facts of the host whose root is fsys.
func Detect(fsys fs.FS) Facts { return detect(fsys, readStatus(fsys)) }

func detect(fsys fs.FS, dpkg status) Facts {
	var f Facts
	tegra, board := fromReleaseFile(fsys)
	core := fromStatus(dpkg)
	f.Board = board
	f.Model = line(fsys, modelFile)
	tree := readTree(fsys)
	f.SoC, f.GPU, f.Module = tree.soc(), tree.gpu(), tree.module()
	f.Arch = archOf(fsys, dpkg)

	switch {
	case tegra.Known() && core.Known() && !same(tegra.Value, core.Value):
		conflict := fmt.Sprintf("/%s says L4T %s, but %s in /%s has version %s", releaseFile, tegra.Value, corePackage, statusFile, core.Value)
		f.Conflicts = append(f.Conflicts, conflict)
		f.L4T = Fact{Reason: conflict}
	case tegra.Known():
		f.L4T = tegra
	case core.Known():
		f.L4T = core
	default:
		f.L4T = unknown("%s; %s", tegra.Reason, core.Reason)
	}
	f.Flavour = f.flavour()
	if conflict := f.socConflict(); conflict != "" {
		f.Conflicts = append(f.Conflicts, conflict)
	}
	if f.L4T.Known() && f.Arch.Known() && f.Arch.Value != "arm64" {
		f.Conflicts = append(f.Conflicts, fmt.Sprintf("%s says L4T %s, but %s says %s: L4T is arm64", f.L4T.Source, f.L4T.Value, f.Arch.Source, f.Arch.Value))
	}
	return f
}

// flavour is what the release says. From 38 on L4T comes as tegra and as SBSA,
// and no file of a device tells them apart: Thor calls itself SBSA to nvidia-smi
// and tegra to the kernel.
func (f Facts) flavour() Fact {
	r, ok := f.Release()
	switch {
	case !ok:
		return unknown("the L4T release is unknown")
	case r.Major() < 38:
		return Fact{Value: "tegra", Source: f.L4T.Source + ": L4T below 38"}
	}
	return unknown("L4T %d exists for tegra and for sbsa", r.Major())
}

// socConflict compares the device tree with the release. Which line supports
// which SoC is as github.com/dusty-nv/jetson-containers at dd206bf has it; of
// other majors nothing is known.
func (f Facts) socConflict() string {
	r, ok := f.Release()
	if !ok || !f.SoC.Known() {
		return ""
	}
	supports := map[int][]string{
		32: {"tegra210", "tegra186", "tegra194"},
		34: {"tegra194", "tegra234"}, 35: {"tegra194", "tegra234"},
		36: {"tegra234"}, 38: {"tegra264"}, 39: {"tegra234", "tegra264"},
	}[r.Major()]
	if supports == nil || slices.Contains(supports, f.SoC.Value) {
		return ""
	}
	return fmt.Sprintf("%s says L4T %s, which supports %s, but %s says %s", f.L4T.Source, r, strings.Join(supports, ", "), f.SoC.Source, f.SoC.Value)
}

func same(a, b string) bool {
	ra, errA := version.ParseL4T(a)
	rb, errB := version.ParseL4T(b)
	return errA == nil && errB == nil && ra.Compare(rb) == 0
}

func fromReleaseFile(fsys fs.FS) (release, board Fact) {
	first := line(fsys, releaseFile)
	if !first.Known() {
		return first, Fact{Reason: first.Reason}
	}
	r, b, err := ParseTegraRelease(first.Value)
	if err != nil {
		reason := fmt.Sprintf("/%s: %s", releaseFile, err)
		return Fact{Reason: reason}, Fact{Reason: reason}
	}
	release = Fact{Value: r, Source: first.Source}
	board = Fact{Value: b, Source: first.Source}
	if b == "" {
		board = Fact{Reason: first.Source + " names no board"}
	}
	return release, board
}

// ParseTegraRelease reads the first line of /etc/nv_tegra_release, such as
//
//	# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: ...
//
// whose release is 36.4.3. The board is "" where the line names none.
func ParseTegraRelease(text string) (release, board string, err error) {
	text, _, _ = strings.Cut(text, "\n")
	bad := fmt.Errorf("%q is not of the form # R36 (release), REVISION: 4.3, and so on", clip(text))
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "# R")
	if !ok {
		return "", "", bad
	}
	fields := strings.Split(rest, ",")
	major, ok := strings.CutSuffix(strings.TrimSpace(fields[0]), "(release)")
	if !ok {
		return "", "", bad
	}
	revision := ""
	for _, field := range fields[1:] {
		name, value, _ := strings.Cut(field, ":")
		switch strings.TrimSpace(name) {
		case "REVISION":
			revision = strings.TrimSpace(value)
		case "BOARD":
			board = clip(strings.TrimSpace(value))
		}
	}
	r, err := version.ParseL4T(strings.TrimSpace(major) + "." + revision)
	if err != nil {
		return "", "", bad
	}
	return r.String(), board, nil
}

// status is dpkg's list of packages, or why it cannot be read.
type status struct {
	data   []byte
	reason string
}

func readStatus(fsys fs.FS) status {
	data, err := read(fsys, statusFile, maxStatus)
	if err != nil {
		return status{reason: reason(statusFile, err)}
	}
	return status{data: data}
}

// find returns the version and the architecture of an installed package.
func (s status) find(name string) (ver, arch string, why string) {
	if s.reason != "" {
		return "", "", s.reason
	}
	// The list has megabytes: one search for the name instead of reading all.
	head := []byte("Package: " + name + "\n")
	at := -1
	for from := 0; ; {
		i := bytes.Index(s.data[from:], head)
		if i < 0 {
			return "", "", fmt.Sprintf("/%s has no %s", statusFile, name)
		}
		if at = from + i; at == 0 || s.data[at-1] == '\n' {
			break
		}
		from = at + 1
	}
	stanza, _, _ := bytes.Cut(s.data[at:], []byte("\n\n"))
	var state string
	for l := range bytes.Lines(stanza) {
		field, text, _ := strings.Cut(strings.TrimSpace(string(l)), ":")
		switch field {
		case "Status":
			state = strings.TrimSpace(text)
		case "Version":
			ver = clip(strings.TrimSpace(text))
		case "Architecture":
			arch = clip(strings.TrimSpace(text))
		}
	}
	if !strings.HasSuffix(state, " installed") {
		return "", "", fmt.Sprintf("%s is not installed: /%s says %q", name, statusFile, clip(state))
	}
	return ver, arch, ""
}

// fromStatus is the release that the installed nvidia-l4t-core has.
func fromStatus(dpkg status) Fact {
	ver, _, why := dpkg.find(corePackage)
	if why != "" {
		return Fact{Reason: why}
	}
	number, _, _ := strings.Cut(ver, "-") // 36.4.3-20250107174145
	r, err := version.ParseL4T(number)
	if err != nil {
		return unknown("/%s: %s has version %q, which is no L4T release", statusFile, corePackage, ver)
	}
	return Fact{Value: r.String(), Source: "/" + statusFile}
}

// archOf is the architecture of the kernel, or of the root's own programs.
func archOf(fsys fs.FS, dpkg status) Fact {
	kernel := line(fsys, kernelArchFile)
	debian := map[string]string{"aarch64": "arm64", "x86_64": "amd64"}
	if kernel.Known() {
		if name, ok := debian[kernel.Value]; ok {
			return Fact{Value: name, Source: kernel.Source}
		}
		return unknown("%s says %q", kernel.Source, clip(kernel.Value))
	}
	_, arch, why := dpkg.find("base-files")
	if arch == "" {
		return unknown("%s; %s", kernel.Reason, why)
	}
	return Fact{Value: arch, Source: "/" + statusFile + ": base-files"}
}

// Package host says what the device is that images run on: its L4T release, its
// model and its GPU architecture, read from the files of its root.
//
// The release comes from /etc/nv_tegra_release, and where that is missing from
// the installed version of the Debian package nvidia-l4t-core. Model and SoC
// come from the device tree. Every fact says where it came from; what no file
// says is unknown, with the reason, and nothing is inferred from anything else.
// Two sources that disagree make the release unknown: the disagreement is
// reported, and a person has to say which is right.
//
// Facts are read through an fs.FS, so that another root (a mounted disk, a
// folder of a test) is asked in the same way.
package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/version"
)

// Facts is what is known of a host.
type Facts struct {
	L4T   Fact `json:"l4t"`   // 36.4.3
	Board Fact `json:"board"` // as nv_tegra_release names it
	Model Fact `json:"model"` // as the device tree names it
	SoC   Fact `json:"soc"`   // tegra234
	GPU   Fact `json:"gpu"`   // sm_87
	// Conflicts are sources that contradict one another, in words.
	Conflicts []string `json:"conflicts,omitempty"`
}

// Fact is something known, with its source, or unknown, with the reason.
type Fact struct {
	Value  string `json:"value,omitempty"`
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

// The files that are read, below the root.
const (
	releaseFile    = "etc/nv_tegra_release"
	statusFile     = "var/lib/dpkg/status"
	modelFile      = "proc/device-tree/model"
	compatibleFile = "proc/device-tree/compatible"
)

// corePackage is the Debian package whose version is the L4T release.
const corePackage = "nvidia-l4t-core"

// Bounds on what is read: dpkg's status has a few MiB, the others one line.
const (
	maxStatus = 64 << 20
	maxLine   = 64 << 10
)

// Release is the L4T release, when it is known.
func (f Facts) Release() (version.Release, bool) {
	r, err := version.ParseL4T(f.L4T.Value)
	return r, err == nil
}

// Detect reads the facts of the host whose root is fsys.
func Detect(fsys fs.FS) Facts {
	var f Facts
	tegra, board := fromReleaseFile(fsys)
	dpkg := fromStatus(fsys)
	f.Board = board
	f.Model = line(fsys, modelFile)
	f.SoC, f.GPU = fromCompatible(fsys)

	switch {
	case tegra.Known() && dpkg.Known() && !same(tegra.Value, dpkg.Value):
		conflict := fmt.Sprintf("/%s says L4T %s, but %s in /%s has version %s", releaseFile, tegra.Value, corePackage, statusFile, dpkg.Value)
		f.Conflicts = append(f.Conflicts, conflict)
		f.L4T = Fact{Reason: conflict}
	case tegra.Known():
		f.L4T = tegra
	case dpkg.Known():
		f.L4T = dpkg
	default:
		f.L4T = Fact{Reason: tegra.Reason + "; " + dpkg.Reason}
	}
	return f
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

// fromStatus finds the installed nvidia-l4t-core in dpkg's status.
func fromStatus(fsys fs.FS) Fact {
	data, err := read(fsys, statusFile, maxStatus)
	if err != nil {
		return Fact{Reason: reason(statusFile, err)}
	}
	for stanza := range strings.SplitSeq(string(data), "\n\n") {
		var name, status, value string
		for l := range strings.Lines(stanza) {
			field, text, _ := strings.Cut(strings.TrimSuffix(l, "\n"), ":")
			switch field {
			case "Package":
				name = strings.TrimSpace(text)
			case "Status":
				status = strings.TrimSpace(text)
			case "Version":
				value = strings.TrimSpace(text)
			}
		}
		if name != corePackage {
			continue
		}
		if !strings.HasSuffix(status, " installed") {
			return Fact{Reason: fmt.Sprintf("%s is not installed: /%s says %q", corePackage, statusFile, clip(status))}
		}
		number, _, _ := strings.Cut(value, "-") // 36.4.3-20250107174145
		r, err := version.ParseL4T(number)
		if err != nil {
			return Fact{Reason: fmt.Sprintf("/%s: %s has version %q, which is no L4T release", statusFile, corePackage, clip(value))}
		}
		return Fact{Value: r.String(), Source: "/" + statusFile}
	}
	return Fact{Reason: fmt.Sprintf("/%s has no %s", statusFile, corePackage)}
}

// fromCompatible reads the SoC from the device tree, and the architecture of
// its GPU. The pairs are those of https://developer.nvidia.com/cuda-gpus and of
// the kernel's device tree bindings (arm/tegra.yaml).
func fromCompatible(fsys fs.FS) (soc, gpu Fact) {
	data, err := read(fsys, compatibleFile, maxLine)
	if err != nil {
		why := reason(compatibleFile, err)
		return Fact{Reason: why}, Fact{Reason: why}
	}
	names := strings.Split(strings.TrimRight(string(data), "\x00\n"), "\x00")
	known := []struct{ soc, gpu string }{
		{"tegra210", "sm_53"}, {"tegra186", "sm_62"}, {"tegra194", "sm_72"}, {"tegra234", "sm_87"}, {"tegra264", "sm_110"},
	}
	for _, k := range known {
		if slices.Contains(names, "nvidia,"+k.soc) {
			source := "/" + compatibleFile
			return Fact{Value: k.soc, Source: source}, Fact{Value: k.gpu, Source: source + ": " + k.soc}
		}
	}
	why := fmt.Sprintf("/%s names no SoC that is known here: %q", compatibleFile, clip(strings.Join(names, " ")))
	return Fact{Reason: why}, Fact{Reason: why}
}

// line reads the first line of a file; the device tree ends its own with NUL.
func line(fsys fs.FS, path string) Fact {
	data, err := read(fsys, path, maxLine)
	if err != nil {
		return Fact{Reason: reason(path, err)}
	}
	text, _, _ := strings.Cut(string(data), "\n")
	text = strings.TrimSpace(strings.TrimRight(text, "\x00"))
	if text == "" {
		return Fact{Reason: "/" + path + " is empty"}
	}
	return Fact{Value: printable(text), Source: "/" + path}
}

func read(fsys fs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a folder")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d KiB", limit>>10)
	}
	return data, nil
}

func reason(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no /" + path
	case errors.Is(err, fs.ErrPermission):
		return "/" + path + " may not be read"
	}
	var pe *fs.PathError
	if errors.As(err, &pe) { // its path is the opened one, said already
		err = pe.Err
	}
	return fmt.Sprintf("/%s: %s", path, err)
}

// clip shortens what is shown of a file that is not what it should be.
func clip(s string) string {
	const most = 100
	s = printable(s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// printable keeps a file's bytes from driving the terminal they are shown on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

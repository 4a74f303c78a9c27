package host

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// Device is everything that is known of a host.
type Device struct {
	Facts
	Accelerators List   `json:"accelerators"` // DLA, PVA, OFA, VIC, ...
	JetPack      Fact   `json:"jetpack"`      // version of the package nvidia-jetpack
	OS           Fact   `json:"os"`           // ubuntu 22.04
	Kernel       Fact   `json:"kernel"`
	Driver       Fact   `json:"driver"` // of the GPU
	CUDA         Fact   `json:"cuda"`   // toolkit on the host: images bring their own
	Memory       Fact   `json:"memory"`
	Swap         Fact   `json:"swap"`      // in total, zram included
	Zram         Fact   `json:"zram"`      // how many zram devices swap
	PowerMode    Fact   `json:"powerMode"` // 15W, MAXN
	Container    Fact   `json:"container"` // which file shows that this is one
	Docker       Docker `json:"docker"`
}

// List is several things that are known together.
type List struct {
	Values []string `json:"values,omitempty"`
	Source string   `json:"source,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

func (l List) String() string {
	if len(l.Values) == 0 {
		return "unknown (" + l.Reason + ")"
	}
	return strings.Join(l.Values, ", ") + " (" + l.Source + ")"
}

// Inspect reads everything.
func Inspect(fsys fs.FS) Device {
	dpkg := readStatus(fsys)
	d := Device{
		Facts:        detect(fsys, dpkg),
		Accelerators: accelerators(fsys),
		JetPack:      installed(dpkg, "nvidia-jetpack"),
		OS:           osRelease(fsys),
		Kernel:       line(fsys, "proc/sys/kernel/osrelease"),
		Driver:       driver(fsys),
		CUDA:         toolkit(fsys),
		PowerMode:    powerMode(fsys),
		Container:    container(fsys),
	}
	d.Memory, d.Swap = memory(fsys)
	d.Zram = zram(fsys)
	d.Docker = inspectDocker(fsys, dpkg, d.Kernel)
	return d
}

func installed(dpkg status, names ...string) Fact {
	var reasons []string
	for _, name := range names {
		ver, _, why := dpkg.find(name)
		if why == "" {
			return Fact{Value: ver, Source: "/" + statusFile + ": " + name}
		}
		if !slices.Contains(reasons, why) { // all alike where there is no list
			reasons = append(reasons, why)
		}
	}
	return Fact{Reason: strings.Join(reasons, "; ")}
}

func osRelease(fsys fs.FS) Fact {
	const file = "etc/os-release"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}
	}
	values := map[string]string{}
	for l := range strings.Lines(content) {
		if name, value, ok := strings.Cut(strings.TrimSpace(l), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	if values["ID"] == "" || values["VERSION_ID"] == "" {
		return unknown("/%s lacks ID or VERSION_ID", file)
	}
	return Fact{Value: clip(values["ID"] + " " + values["VERSION_ID"]), Source: "/" + file}
}

// driver is the version in "NVRM version: NVIDIA UNIX Open Kernel Module for
// aarch64  540.4.0  Release Build ...". L4T below 36 has no such file.
func driver(fsys fs.FS) Fact {
	const file = "proc/driver/nvidia/version"
	first := line(fsys, file)
	if !first.Known() {
		return first
	}
	found := regexp.MustCompile(`Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s`).FindStringSubmatch(first.Value + " ")
	if found == nil {
		return unknown("/%s: %q names no version", file, clip(first.Value))
	}
	return Fact{Value: found[1], Source: "/" + file}
}

func toolkit(fsys fs.FS) Fact {
	const file = "usr/local/cuda/version.json"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}
	}
	var v struct {
		CUDA struct{ Version string } `json:"cuda"`
	}
	if err := json.Unmarshal([]byte(content), &v); err != nil || v.CUDA.Version == "" {
		return unknown("/%s names no version of CUDA", file)
	}
	return Fact{Value: clip(v.CUDA.Version), Source: "/" + file}
}

func memory(fsys fs.FS) (total, swap Fact) {
	const file = "proc/meminfo"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}, Fact{Reason: why}
	}
	amount := func(name string) Fact {
		for l := range strings.Lines(content) {
			rest, ok := strings.CutPrefix(l, name+":")
			if !ok {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil || kib < 0 || kib > 1<<50 {
				return unknown("/%s: %s is %q", file, name, clip(strings.TrimSpace(rest)))
			}
			return bytesFact(kib<<10, "/"+file)
		}
		return unknown("/%s has no %s", file, name)
	}
	return amount("MemTotal"), amount("SwapTotal")
}

func bytesFact(n int64, source string) Fact {
	return Fact{Value: units.BytesSize(float64(n)), Bytes: n, Source: source}
}

func zram(fsys fs.FS) Fact {
	const file = "proc/swaps"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}
	}
	n := 0
	for l := range strings.Lines(content) {
		if strings.HasPrefix(l, "/dev/zram") {
			n++
		}
	}
	return Fact{Value: fmt.Sprintf("%d devices", n), Source: "/" + file}
}

// powerMode is nvpmodel's mode: its number is in the status ("pmode:0002
// fmode:quiet"), its name in the configuration ("< POWER_MODEL ID=2 NAME=MAXN >").
func powerMode(fsys fs.FS) Fact {
	const file = "var/lib/nvpmodel/status"
	state := line(fsys, file)
	if !state.Known() {
		return state
	}
	found := regexp.MustCompile(`\bpmode:0*(\d{1,4})\b`).FindStringSubmatch(state.Value)
	if found == nil {
		return unknown("/%s: %q names no mode", file, clip(state.Value))
	}
	config, why := text(fsys, "etc/nvpmodel.conf")
	if why != "" {
		return Fact{Value: "mode " + found[1], Source: state.Source}
	}
	name := regexp.MustCompile(`(?m)^\s*<\s*POWER_MODEL\s+ID=` + found[1] + `\s+NAME=([A-Za-z0-9_.-]+)`).FindStringSubmatch(config)
	if name == nil {
		return Fact{Value: "mode " + found[1], Source: state.Source}
	}
	return Fact{Value: name[1], Source: state.Source + ", /etc/nvpmodel.conf"}
}

func container(fsys fs.FS) Fact {
	for _, marker := range []string{".dockerenv", "run/.containerenv"} {
		if exists(fsys, marker) {
			return Fact{Value: "yes", Source: "/" + marker}
		}
	}
	return unknown("there is no /.dockerenv and no /run/.containerenv")
}

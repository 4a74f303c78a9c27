package host

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"
)

// Docker is what files say of Docker and of what hands it a GPU. The running
// daemon may have been started with other settings.
type Docker struct {
	Version        Fact `json:"version"` // of the installed package
	Runtimes       List `json:"runtimes"`
	DefaultRuntime Fact `json:"defaultRuntime"`
	Root           Fact `json:"root"`    // folder of images and containers
	Disk           Fact `json:"disk"`    // kind of disk below it: NVMe, eMMC, SD card, ...
	Toolkit        Fact `json:"toolkit"` // nvidia-container-toolkit
	Mode           Fact `json:"mode"`    // of the NVIDIA runtime: auto, csv, cdi, legacy
	CDI            List `json:"cdi"`     // devices that the specs offer
	RawTable       Fact `json:"rawTable"`
}

const daemonFile = "etc/docker/daemon.json"

func inspectDocker(fsys fs.FS, dpkg status, kernel Fact) Docker {
	d := Docker{
		Version: installed(dpkg, "docker-ce", "docker.io"),
		Toolkit: installed(dpkg, "nvidia-container-toolkit"),
		Mode:    runtimeMode(fsys),
		CDI:     cdi(fsys),
	}
	d.RawTable = rawTable(fsys, kernel)
	var config struct {
		Root           string                     `json:"data-root"`
		DefaultRuntime string                     `json:"default-runtime"`
		Runtimes       map[string]json.RawMessage `json:"runtimes"`
	}
	content, why := text(fsys, daemonFile)
	switch {
	case !exists(fsys, daemonFile):
		d.Root = Fact{Value: "/var/lib/docker", Source: "Docker's default: " + why}
		d.Runtimes, d.DefaultRuntime = List{Reason: why}, Fact{Reason: why}
	case why == "":
		if err := json.Unmarshal([]byte(content), &config); err != nil {
			why = fmt.Sprintf("/%s is not the JSON that it should be: %s", daemonFile, clip(err.Error()))
		}
	}
	switch {
	case d.Root.Known():
	case why != "":
		d.Root, d.DefaultRuntime, d.Runtimes = Fact{Reason: why}, Fact{Reason: why}, List{Reason: why}
	default:
		d.fromConfig(config.Root, config.DefaultRuntime, config.Runtimes)
	}
	d.Disk = Fact{Reason: d.Root.Reason}
	if d.Root.Known() {
		d.Disk = DiskOf(fsys, d.Root.Value)
	}
	return d
}

func (d *Docker) fromConfig(root, runtime string, runtimes map[string]json.RawMessage) {
	d.Root = Fact{Value: "/var/lib/docker", Source: "Docker's default: /" + daemonFile + " has no data-root"}
	if path.IsAbs(root) {
		d.Root = Fact{Value: printable(path.Clean(root)), Source: "/" + daemonFile}
	} else if root != "" {
		d.Root = unknown("/%s: data-root %q is no absolute path", daemonFile, clip(root))
	}
	d.DefaultRuntime = unknown("/%s has no default-runtime", daemonFile)
	if runtime != "" {
		d.DefaultRuntime = Fact{Value: clip(runtime), Source: "/" + daemonFile}
	}
	d.Runtimes = List{Reason: "/" + daemonFile + " has no runtimes"}
	for name := range runtimes {
		d.Runtimes.Values = append(d.Runtimes.Values, clip(name))
	}
	if len(runtimes) > 0 {
		slices.Sort(d.Runtimes.Values)
		d.Runtimes.Reason, d.Runtimes.Source = "", "/"+daemonFile
	}
}

// DiskOf says what kind of disk a folder lies on, by the mount that is nearest
// above it.
func DiskOf(fsys fs.FS, folder string) Fact {
	const file = "proc/self/mounts"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}
	}
	var device, at string
	for l := range strings.Lines(content) {
		fields := strings.Fields(l)
		if len(fields) < 2 || len(fields[1]) < len(at) {
			continue
		}
		mount := strings.NewReplacer(`\040`, " ", `\134`, `\`).Replace(fields[1])
		if folder == mount || mount == "/" || strings.HasPrefix(folder, mount+"/") {
			device, at = fields[0], mount
		}
	}
	name, ok := strings.CutPrefix(device, "/dev/")
	if !ok {
		return unknown("/%s: %s lies on %q, which is no disk", file, folder, clip(device))
	}
	source := "/" + file + ": " + clip(device) + " at " + clip(at)
	switch {
	case strings.HasPrefix(name, "nvme"):
		return Fact{Value: "NVMe", Source: source}
	case strings.HasPrefix(name, "sd"):
		return Fact{Value: "SATA or USB disk", Source: source}
	case strings.HasPrefix(name, "mmcblk"):
		disk, _, _ := strings.Cut(name, "p")
		kindFile := "sys/block/" + disk + "/device/type"
		kind := line(fsys, kindFile)
		switch kind.Value {
		case "MMC":
			return Fact{Value: "eMMC", Source: source + ", /" + kindFile}
		case "SD":
			return Fact{Value: "SD card", Source: source + ", /" + kindFile}
		}
		return Fact{Value: "eMMC or SD card", Source: source}
	}
	return unknown("/%s: %s is of no kind that is known here", file, clip(device))
}

// runtimeMode is the mode of nvidia-container-runtime, which is auto where its
// configuration is silent.
func runtimeMode(fsys fs.FS) Fact {
	const file = "etc/nvidia-container-runtime/config.toml"
	content, why := text(fsys, file)
	if why != "" {
		return Fact{Reason: why}
	}
	var config struct {
		Runtime struct {
			Mode string `toml:"mode"`
		} `toml:"nvidia-container-runtime"`
	}
	if _, err := toml.Decode(content, &config); err != nil {
		return unknown("/%s is not the TOML that it should be: %s", file, clip(err.Error()))
	}
	if config.Runtime.Mode == "" {
		return Fact{Value: "auto", Source: "its default: /" + file + " names no mode"}
	}
	return Fact{Value: clip(config.Runtime.Mode), Source: "/" + file}
}

// cdi lists the devices of the CDI specs in the two folders that Docker reads.
func cdi(fsys fs.FS) List {
	var out List
	var sources, broken []string
	for _, dir := range []string{"etc/cdi", "var/run/cdi"} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			file := dir + "/" + e.Name()
			if ext := path.Ext(file); ext != ".json" && ext != ".yaml" && ext != ".yml" {
				continue
			}
			var spec struct {
				Kind    string
				Devices []struct{ Name string }
			}
			content, why := text(fsys, file)
			if why == "" {
				if err := yaml.Unmarshal([]byte(content), &spec); err != nil || spec.Kind == "" {
					why = "/" + file + " is no CDI spec"
				}
			}
			if why != "" {
				broken = append(broken, clip(why))
				continue
			}
			sources = append(sources, "/"+file)
			for _, d := range spec.Devices {
				out.Values = append(out.Values, clip(spec.Kind+"="+d.Name))
			}
		}
	}
	if len(out.Values) == 0 {
		out.Reason = strings.Join(append(broken, "there is no CDI spec in /etc/cdi or /var/run/cdi"), "; ")
		return out
	}
	slices.Sort(out.Values)
	out.Values = slices.Compact(out.Values)
	out.Source = strings.Join(sources, ", ")
	return out
}

// rawTable says whether the kernel has the iptables table "raw", which Docker 28
// needs for published ports and L4T's kernels lack:
// https://github.com/moby/moby/issues/49557
func rawTable(fsys fs.FS, kernel Fact) Fact {
	if !kernel.Known() {
		return Fact{Reason: kernel.Reason}
	}
	if tables, why := text(fsys, "proc/net/ip_tables_names"); why == "" && slices.Contains(strings.Fields(tables), "raw") {
		return Fact{Value: "yes", Source: "/proc/net/ip_tables_names"}
	}
	dir := "lib/modules/" + kernel.Value
	if !fs.ValidPath(dir) {
		return unknown("the kernel's name %q is no folder", clip(kernel.Value))
	}
	var reasons []string
	for _, file := range []string{dir + "/modules.dep", dir + "/modules.builtin"} {
		content, why := text(fsys, file)
		if why != "" {
			reasons = append(reasons, why)
			continue
		}
		if strings.Contains(content, "/iptable_raw.ko") {
			return Fact{Value: "yes", Source: "/" + file}
		}
	}
	if len(reasons) > 0 {
		return Fact{Reason: strings.Join(reasons, "; ")}
	}
	return Fact{Value: "no", Source: "/" + dir + "/modules.dep, modules.builtin"}
}

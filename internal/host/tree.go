package host

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// tree is what the device tree says at its root.
type tree struct {
	compatible []string
	reason     string // why there is none
}

func readTree(fsys fs.FS) tree {
	data, err := read(fsys, compatibleFile, maxLine)
	if err != nil {
		return tree{reason: reason(compatibleFile, err)}
	}
	names := strings.Split(strings.TrimRight(string(data), "\x00\n"), "\x00")
	return tree{compatible: names}
}

const treeSource = "/" + compatibleFile

// socs are SoCs with the architecture of their GPU, as
// https://developer.nvidia.com/cuda-gpus and the kernel's device tree bindings
// (arm/tegra.yaml) have them.
func socs() [][2]string {
	return [][2]string{{"tegra210", "sm_53"}, {"tegra186", "sm_62"}, {"tegra194", "sm_72"}, {"tegra234", "sm_87"}, {"tegra264", "sm_110"}}
}

func (t tree) find() (soc, gpu, why string) {
	if t.reason != "" {
		return "", "", t.reason
	}
	for _, s := range socs() {
		if slices.Contains(t.compatible, "nvidia,"+s[0]) {
			return s[0], s[1], ""
		}
	}
	return "", "", fmt.Sprintf("%s names no SoC that is known here: %q", treeSource, clip(strings.Join(t.compatible, " ")))
}

func (t tree) soc() Fact {
	soc, _, why := t.find()
	if why != "" {
		return Fact{Reason: why}
	}
	return Fact{Value: soc, Source: treeSource}
}

func (t tree) gpu() Fact {
	soc, gpu, why := t.find()
	if why != "" {
		return Fact{Reason: why}
	}
	return Fact{Value: gpu, Source: treeSource + ": " + soc}
}

// module names the module by the number of its board, which compatible holds
// alone (nvidia,p3767-0005) or after that of its carrier
// (nvidia,p3768-0000+p3767-0005). Numbers and names are those of the Jetson
// Linux Developer Guide, "Jetson Modules and Configurations".
func (t tree) module() Fact {
	if t.reason != "" {
		return Fact{Reason: t.reason}
	}
	known := [][2]string{
		{"p3448-", "Jetson Nano"}, {"p2180-", "Jetson TX1"}, {"p3636-", "Jetson TX2 NX"}, {"p3310-", "Jetson TX2"}, {"p3489-", "Jetson TX2"},
		{"p2888-", "Jetson AGX Xavier"}, {"p3668-", "Jetson Xavier NX"}, {"p3701-", "Jetson AGX Orin"},
		{"p3767-0000", "Jetson Orin NX"}, {"p3767-0001", "Jetson Orin NX"},
		{"p3767-0003", "Jetson Orin Nano"}, {"p3767-0004", "Jetson Orin Nano"}, {"p3767-0005", "Jetson Orin Nano"},
		{"p3834-", "Jetson Thor"},
	}
	for _, name := range t.compatible {
		for _, part := range strings.FieldsFunc(strings.TrimPrefix(name, "nvidia,"), func(r rune) bool { return r == '+' }) {
			for _, k := range known {
				if strings.HasPrefix(part, k[0]) {
					return Fact{Value: k[1], Source: treeSource + ": " + clip(part)}
				}
			}
		}
	}
	return unknown("%s names no module that is known here: %q", treeSource, clip(strings.Join(t.compatible, " ")))
}

// accelerators are the engines beside the GPU that the device tree has and does
// not switch off: nodes below host1x, named as NVIDIA names the engines.
func accelerators(fsys fs.FS) List {
	names := [][2]string{
		{"nvdla", "DLA"}, {"pva", "PVA"}, {"ofa", "OFA"}, {"vic", "VIC"}, {"nvenc", "NVENC"}, {"nvdec", "NVDEC"}, {"nvjpg", "NVJPG"},
	}
	var nodes []string
	for _, pattern := range []string{"proc/device-tree/host1x@*", "proc/device-tree/bus@*/host1x@*", "proc/device-tree/host1x", "proc/device-tree/host1x@*/*", "proc/device-tree/bus@*/host1x@*/*", "proc/device-tree/host1x/*"} {
		found, err := fs.Glob(fsys, pattern)
		if err == nil { // only a bad pattern is an error
			nodes = append(nodes, found...)
		}
	}
	if len(nodes) == 0 {
		return List{Reason: "there is no /proc/device-tree/host1x@*"}
	}
	out := List{Source: "/proc/device-tree/**/host1x@*"}
	for _, n := range names {
		for _, node := range nodes {
			unit := strings.TrimRight(strings.SplitN(path.Base(node), "@", 2)[0], "0123456789")
			if unit == n[0] && !disabled(fsys, node) {
				out.Values = append(out.Values, n[1])
				break
			}
		}
	}
	if len(out.Values) == 0 {
		return List{Reason: "/proc/device-tree/**/host1x@* has none that is switched on"}
	}
	return out
}

// disabled reports a node whose status is not okay; without one it is on.
func disabled(fsys fs.FS, node string) bool {
	state := line(fsys, node+"/status")
	return state.Known() && state.Value != "okay" && state.Value != "ok"
}

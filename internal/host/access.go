package host

import "slices"

// CDIDevice is all GPUs, as NVIDIA's CDI specs name them.
const CDIDevice = "nvidia.com/gpu=all"

// Access is what decides how a container gets the GPU.
type Access struct {
	Program       string   // docker, podman or nerdctl
	Flavour       string   // of the image's platform: tegra or sbsa; "" is unknown
	Runtimes      []string // that Docker knows
	RuntimesKnown bool
	CDI           []string // devices that CDI specs offer
	Device        string   // the CDI device to hand over; "" is CDIDevice
}

// AccessModes are the ways to hand over a GPU; auto is Mode's choice.
func AccessModes() []string { return []string{"auto", "runtime", "cdi", "gpus", "none"} }

// Mode chooses. On Tegra that is the NVIDIA runtime, which mounts the host's
// driver libraries by its CSV files, or CDI where only that is there; elsewhere
// --gpus.
func (a Access) Mode() string {
	switch {
	case a.Program == "podman":
		return "cdi"
	case a.Program == "nerdctl", a.Flavour == "sbsa":
		return "gpus"
	case slices.Contains(a.CDI, a.device()) && a.RuntimesKnown && !slices.Contains(a.Runtimes, "nvidia"):
		return "cdi"
	}
	return "runtime"
}

// There reports whether the host offers what a mode takes, as far as is known.
func (a Access) There(mode string) bool {
	switch mode {
	case "runtime":
		return slices.Contains(a.Runtimes, "nvidia")
	case "cdi":
		return slices.Contains(a.CDI, a.device())
	case "gpus":
		return slices.Contains(a.Runtimes, "nvidia") || len(a.CDI) > 0
	}
	return false
}

// Flags are a mode's for docker run and its like; false is no mode.
func (a Access) Flags(mode string) ([]string, bool) {
	capabilities := "--env=NVIDIA_DRIVER_CAPABILITIES=all"
	switch mode {
	case "runtime":
		// Without NVIDIA_VISIBLE_DEVICES the runtime does nothing.
		return []string{"--runtime", "nvidia", "--env=NVIDIA_VISIBLE_DEVICES=all", capabilities}, true
	case "cdi":
		return []string{"--device", a.device(), capabilities}, true
	case "gpus":
		return []string{"--gpus", "all", capabilities}, true
	case "none":
		return nil, true
	}
	return nil, false
}

func (a Access) device() string {
	if a.Device != "" {
		return a.Device
	}
	return CDIDevice
}

package jet

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/host"
)

// container is a docker run line in the making.
type container struct {
	program  string // docker, podman or nerdctl
	image    string
	flavour  string // of the image's platform; "" is unknown
	gpuMode  string
	data     string // folder behind /data; "" is none
	bare     bool
	off      map[string]*bool // parts that were switched off
	extra    []string         // flags for docker that jet does not know
	command  []string
	terminal bool // stdin and stdout are a terminal
	piped    bool // stdin is a pipe or a file

	fsys          fs.FS // the host's root
	getenv        func(string) string
	runtimes      []string
	runtimesKnown bool
	cdi           []string // devices that CDI specs offer
}

// part is something that jet adds by itself where the host has it.
type part struct {
	name string
	what string
	args func(*container) []string
}

// parts in the order of the command line.
func parts() []part {
	return []part{
		{"rm", "removing the container when it ends (--rm)", func(*container) []string { return []string{"--rm"} }},
		{"tty", "the terminal (-it)", (*container).tty},
		{"network", "the host's network", func(*container) []string { return []string{"--network", "host"} }},
		{"shm", "8 GB of shared memory", func(*container) []string { return []string{"--shm-size=8g"} }},
		{"data", "the folder for models, /data", func(c *container) []string {
			if c.data == "" {
				return nil
			}
			return []string{"--volume=" + c.data + ":/data"}
		}},
		{"argus", "the camera daemon's socket", func(c *container) []string { return c.mounts("", "tmp/argus_socket") }},
		{"host-files", "the host's L4T release, encoder settings and time zone", func(c *container) []string {
			return c.mounts(":ro", "etc/enctune.conf", "etc/nv_tegra_release", "etc/localtime")
		}},
		{"cameras", "cameras (/dev/video*)", func(c *container) []string { return c.devices("dev/video*") }},
		{"i2c", "I2C buses", func(c *container) []string { return c.devices("dev/i2c-*") }},
		{"serial", "serial ports", func(c *container) []string { return c.devices("dev/ttyACM*", "dev/ttyUSB*", "dev/ttyTHS*") }},
		{"sound", "sound devices and PulseAudio", (*container).sound},
		{"usb", "USB devices", func(c *container) []string { return c.devices("dev/bus/usb") }},
		{"display", "the X display", (*container).display},
		{"jtop", "jtop's socket", func(c *container) []string { return c.mounts("", "run/jtop.sock") }},
		{"tokens", "Hugging Face tokens, by name", func(c *container) []string {
			var out []string
			for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
				if c.getenv(name) != "" { // docker takes the value, so that no line shows it
					out = append(out, "--env="+name)
				}
			}
			return out
		}},
	}
}

// argv is the command line.
func (c *container) argv() []string {
	argv := []string{c.program, "run"}
	for _, p := range parts() {
		if p.name == "network" {
			argv = append(argv, c.gpu()...)
		}
		if c.bare || *c.off[p.name] || c.said(p.name) {
			continue
		}
		argv = append(argv, p.args(c)...)
	}
	argv = append(argv, c.extra...)
	return append(append(argv, c.image), c.command...)
}

// said reports a part that the user has settled with a flag for docker.
func (c *container) said(name string) bool {
	switch name {
	case "network":
		return c.given("--network", "--net")
	case "shm":
		return c.given("--shm-size")
	case "tty":
		return c.given("--detach", "-d", "--interactive", "-i", "--tty", "-t")
	case "rm":
		return c.given("--restart") // docker refuses both
	}
	return false
}

// given reports whether one of docker's flags is among the extra ones. -dit
// holds -d, -i and -t.
func (c *container) given(flags ...string) bool {
	for _, arg := range c.extra {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains(flags, name) {
			return true
		}
		if len(arg) > 2 && arg[0] == '-' && strings.Trim(arg[1:], shortSwitches) == "" {
			for _, letter := range arg[1:] {
				if slices.Contains(flags, "-"+string(letter)) {
					return true
				}
			}
		}
	}
	return false
}

func (c *container) tty() []string {
	switch {
	case c.terminal:
		return []string{"-it"}
	case c.piped:
		return []string{"-i"}
	}
	return nil
}

// gpu is how the container gets the GPU.
func (c *container) gpu() []string {
	access := host.Access{Program: c.program, Flavour: c.flavour, Runtimes: c.runtimes, RuntimesKnown: c.runtimesKnown, CDI: c.cdi}
	mode := c.gpuMode
	if mode == "auto" {
		mode = access.Mode()
		if c.given("--runtime", "--gpus") || slices.ContainsFunc(c.extra, func(s string) bool { return strings.Contains(s, "nvidia.com/gpu") }) {
			mode = "none" // the user has said how
		}
	}
	flags, _ := access.Flags(mode) // one of host.AccessModes
	return flags
}

// mounts hands over paths that exist: Docker makes a folder of one that does not.
func (c *container) mounts(mode string, paths ...string) []string {
	var out []string
	for _, p := range paths {
		if exists(c.fsys, p) {
			out = append(out, "--volume=/"+p+":/"+p+mode)
		}
	}
	return out
}

func (c *container) devices(patterns ...string) []string {
	var out []string
	for _, pattern := range patterns {
		matches, err := fs.Glob(c.fsys, pattern) // sorted
		if err != nil {
			continue // only for a bad pattern
		}
		for _, p := range matches {
			if !strings.Contains(p, ":") { // docker reads a colon as a separator
				out = append(out, "--device=/"+p)
			}
		}
	}
	return out
}

func (c *container) sound() []string {
	out := c.devices("dev/snd")
	if socket := c.hostPath(path.Join(c.getenv("XDG_RUNTIME_DIR"), "pulse/native")); c.getenv("XDG_RUNTIME_DIR") != "" && socket != "" {
		out = append(out, "--volume="+socket+":"+socket, "--env=PULSE_SERVER=unix:"+socket)
	}
	return out
}

func (c *container) display() []string {
	if c.getenv("DISPLAY") == "" || !exists(c.fsys, "tmp/.X11-unix") {
		return nil
	}
	out := []string{"--env=DISPLAY", "--volume=/tmp/.X11-unix:/tmp/.X11-unix"}
	// Where X looks itself: XAUTHORITY is not set in every session, over SSH least.
	cookie := cmp.Or(c.getenv("XAUTHORITY"), path.Join(c.getenv("HOME"), ".Xauthority"))
	if file := c.hostPath(cookie); file != "" {
		out = append(out, "--volume="+file+":/tmp/.xauthority:ro", "--env=XAUTHORITY=/tmp/.xauthority")
	}
	return out
}

// hostPath is an absolute path of the host that exists and can be mounted, or "".
func (c *container) hostPath(p string) string {
	if !path.IsAbs(p) || strings.Contains(p, ":") || !exists(c.fsys, strings.TrimPrefix(path.Clean(p), "/")) {
		return ""
	}
	return path.Clean(p)
}

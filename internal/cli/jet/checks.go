package jet

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/go-units"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/version"
)

const gib = 1 << 30

// checkRelease looks at what everything else hangs on. said is --host-l4t.
func (c *checkup) checkRelease(said string) {
	h := c.Host
	switch {
	case said != "" && !h.L4T.Known():
		c.add("L4T", warn, "", "%s, as --host-l4t says; the device itself does not: %s", said, h.L4T.Reason)
	case len(h.Conflicts) > 0 && !h.L4T.Known():
		c.add("L4T", fail, "head -1 /etc/nv_tegra_release; dpkg -s nvidia-l4t-core", "%s", strings.Join(h.Conflicts, "; "))
	case len(h.Conflicts) > 0:
		c.add("L4T", warn, "head -1 /etc/nv_tegra_release; tr '\\0' ' ' </proc/device-tree/compatible", "%s", strings.Join(h.Conflicts, "; "))
	case h.L4T.Known():
		c.add("L4T", pass, "", "%s", h.L4T)
	default:
		c.add("L4T", fail, "", "unknown: %s; name it with --host-l4t, if this is a Jetson", h.L4T.Reason)
	}
	if h.GPU.Known() {
		c.add("GPU", pass, "", "%s", h.GPU)
	} else {
		c.add("GPU", warn, "", "its architecture is unknown, so images for other GPUs are not ruled out: %s", h.GPU.Reason)
	}
	if h.Container.Known() {
		c.add("container", warn, "", "this is a container (%s): what is said of Docker and disks is not said of the device", h.Container.Source)
	}
}

// updateTable fetches from where the table came from last, or says what to name.
const updateTable = "jet update"

// maxTableAge is when a table is worth a look for a newer one.
const maxTableAge = 90 * 24 * time.Hour

func (q *question) checkTable(c *checkup) error {
	src, info, done, err := q.source()
	var f *failure
	if errors.As(err, &f) && f.code == exitEnvironment {
		why, _, _ := strings.Cut(err.Error(), "\n")
		c.add("table", fail, updateTable, "%s", why)
		return nil
	} else if err != nil {
		return err
	}
	defer done()
	var query resolve.Query
	if _, err := q.host(&query); err != nil {
		return err
	}
	placements := src.Placements()
	age := ""
	if !info.modified.IsZero() {
		age = ", written " + strings.ToLower(units.HumanDuration(q.app.now().Sub(info.modified))) + " ago"
	}
	age += ", " + info.signed
	covered := slices.ContainsFunc(placements, func(p table.Placement) bool {
		hosts, err := version.ParseL4TRange(p.Hosts)
		return err == nil && !query.L4T.IsZero() && hosts.Contains(query.L4T)
	})
	switch {
	case query.L4T.IsZero():
		c.add("table", pass, "", "%d platforms%s", len(placements), age)
	case !covered:
		c.add("table", fail, updateTable, "none of its %d platforms runs on L4T %s%s", len(placements), query.L4T, age)
	case !offers(src, query):
		c.add("table", fail, "jet list --all", "it has no image that runs here, though platforms for L4T %s%s", query.L4T, age)
	case !info.modified.IsZero() && q.app.now().Sub(info.modified) > maxTableAge:
		c.add("table", warn, updateTable, "it is old%s", age)
	default:
		c.add("table", pass, "", "it has images that run on L4T %s%s", query.L4T, age)
	}
	return nil
}

// offers reports whether the table has an image of anything for a host.
func offers(src resolve.Source, host resolve.Query) bool {
	for name := range src.Names().Versions {
		host.Packages = []resolve.Wanted{{Name: name}}
		if answer, err := resolve.Choose(src, host); err == nil && answer.Chosen != nil {
			return true
		}
	}
	return false
}

func (q *question) checkDocker(ctx context.Context, c *checkup, d daemon, engine *engineFacts) {
	if engine != nil {
		c.add("Docker", pass, "", "the daemon answers: version %s", engine.version)
		return
	}
	if q.root != "/" && d.Client == nil {
		if v := c.Host.Docker.Version; v.Known() {
			c.add("Docker", pass, "", "%s", v)
		} else {
			c.add("Docker", warn, "sudo apt-get install docker.io", "nothing shows that it is installed: %s", v.Reason)
		}
		return
	}
	if _, err := exec.LookPath("docker"); err != nil {
		for _, other := range []string{"podman", "nerdctl"} {
			if _, err := exec.LookPath(other); err == nil {
				c.add("Docker", pass, "", "there is no docker, but %s, which jet run uses", other)
				return
			}
		}
		c.add("Docker", fail, "sudo apt-get install docker.io", "there is no docker on PATH")
		return
	}
	why := d.why
	if d.Client != nil {
		_, err := d.facts(ctx)
		if err != nil {
			why = err.Error()
		}
		if errors.Is(err, syscall.EACCES) || errors.Is(err, fs.ErrPermission) || strings.Contains(why, "permission denied") {
			c.add("Docker", fail, "sudo usermod -aG docker $USER && newgrp docker", "%s", why)
			return
		}
	}
	c.add("Docker", fail, "sudo systemctl start docker", "the daemon does not answer: %s", why)
}

const registerRuntime = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"

// checkGPU looks for a way to hand the GPU over.
func (c *checkup) checkGPU(engine *engineFacts) {
	runtimes, cdi := c.Host.Docker.Runtimes, c.Host.Docker.CDI.Values
	source := runtimes.Source
	if engine != nil {
		runtimes.Values, source = engine.runtimes, "the daemon"
		cdi = append(slices.Clone(cdi), engine.cdi...)
	}
	switch {
	case slices.Contains(runtimes.Values, "nvidia"):
		c.add("GPU access", pass, "", "Docker has the runtime nvidia (%s)", source)
	case slices.Contains(cdi, host.CDIDevice):
		c.add("GPU access", pass, "", "there is the CDI device %s", host.CDIDevice)
	case engine == nil && !c.Host.Docker.Root.Known():
		c.add("GPU access", fail, "sudo nano /etc/docker/daemon.json", "Docker's settings cannot be read: %s", c.Host.Docker.Root.Reason)
	case !c.Host.Docker.Toolkit.Known() && engine == nil && c.Host.Docker.Runtimes.Reason != "":
		c.add("GPU access", fail, "sudo apt-get install nvidia-container-toolkit && "+registerRuntime, "no runtime nvidia and no CDI device %s: %s", host.CDIDevice, c.Host.Docker.Runtimes.Reason)
	default:
		c.add("GPU access", fail, registerRuntime, "Docker has no runtime nvidia, and there is no CDI device %s", host.CDIDevice)
	}
}

// checkRawTable is about https://github.com/moby/moby/issues/49557: Docker 28
// cannot publish ports without the iptables table raw.
func (c *checkup) checkRawTable(engine *engineFacts) {
	have := c.Host.Docker.Version.Value
	if engine != nil {
		have = engine.version
	}
	major := dockerMajor(have)
	switch raw := c.Host.Docker.RawTable; {
	case major == 0:
	case major < 28:
		c.add("iptables", pass, "", "Docker %s needs no iptables table raw", have)
	case raw.Value == "yes":
		c.add("iptables", pass, "", "the kernel has the iptables table raw (%s)", raw.Source)
	case raw.Value == "no":
		c.add("iptables", fail, "sudo apt-get install --allow-downgrades 'docker-ce=5:27.*' 'docker-ce-cli=5:27.*'",
			"Docker %s cannot publish ports: the kernel has no iptables table raw (%s); jet run uses the host's network and needs none", have, raw.Source)
	default:
		c.add("iptables", warn, "sudo iptables -t raw -L", "Docker %s needs the iptables table raw to publish ports, and whether the kernel has it is unknown: %s", have, raw.Reason)
	}
}

// dockerMajor reads 28 from 28.0.1 and from Debian's 5:28.0.1-1~ubuntu.
func dockerMajor(v string) int {
	if _, rest, ok := strings.Cut(v, ":"); ok {
		v = rest
	}
	head, _, _ := strings.Cut(v, ".")
	n, err := strconv.Atoi(head)
	if err != nil {
		return 0
	}
	return n
}

// checkDisk looks at where Docker keeps images. The largest images with their
// models take more than 27 GB.
func (q *question) checkDisk(c *checkup, fsys fs.FS, engine *engineFacts) {
	root := c.Host.Docker.Root
	if engine != nil {
		root = host.Fact{Value: engine.root, Source: "the daemon"}
	}
	if !root.Known() {
		c.add("disk", warn, "", "where Docker keeps images is unknown: %s", root.Reason)
		return
	}
	disk := host.DiskOf(fsys, root.Value)
	free, known := q.app.freeSpace(q.root, root.Value)
	room := "free space unknown"
	if known {
		room = units.BytesSize(float64(free)) + " free"
	}
	move := "" // where there is nothing to move to, copying would fill the card
	if nvme := nvmeMount(fsys); nvme != "" {
		move = "sudo systemctl stop docker && sudo rsync -a " + quote(root.Value+"/") + " " + quote(nvme+"/docker/") +
			"   # then set \"data-root\" in /etc/docker/daemon.json, and: sudo systemctl start docker"
	}
	switch {
	case known && free < 2*gib:
		c.add("disk", fail, "docker system df; docker image prune", "%s, where Docker keeps images: %s (%s)", root.Value, room, cmp.Or(disk.Value, "kind unknown"))
	case disk.Value == "eMMC" || disk.Value == "SD card" || disk.Value == "eMMC or SD card":
		c.add("disk", warn, move, "Docker keeps images on an %s (%s): %s, and slow; an NVMe disk takes images and models of 30 GB", disk.Value, root.Value, room)
	case known && free < 30*gib:
		c.add("disk", warn, "jet storage", "%s, where Docker keeps images: %s (%s); the largest images with their models take 30 GB", root.Value, room, cmp.Or(disk.Value, "kind unknown"))
	case !disk.Known():
		c.add("disk", pass, "", "%s: %s; the kind of its disk is unknown: %s", root.Value, room, disk.Reason)
	default:
		c.add("disk", pass, "", "%s is on %s: %s", root.Value, disk.Value, room)
	}
}

func (c *checkup) checkMemory() {
	h := c.Host
	switch {
	case !h.Memory.Known():
	case h.Memory.Bytes < 9*gib && h.Swap.Known() && h.Swap.Bytes < 2*gib:
		c.add("memory", warn, "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile",
			"%s of memory and %s of swap: models that fill it are killed", h.Memory.Value, h.Swap.Value)
	default:
		c.add("memory", pass, "", "%s, swap %s", h.Memory.Value, cmp.Or(h.Swap.Value, "unknown"))
	}
}

func (c *checkup) checkPower() {
	if h := c.Host; h.PowerMode.Known() {
		c.add("power mode", pass, "", "%s (all modes: sudo nvpmodel -p --verbose)", h.PowerMode.Value)
	}
}

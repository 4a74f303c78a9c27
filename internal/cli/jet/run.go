package jet

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	q := &question{app: a}
	d := container{terminal: a.terminal}
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "run PACKAGE[:VERSION][+OPTION]... [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "Run a command in the image of these packages that fits this host",
		Long: `Runs Docker with the image that autotag would print, and what a Jetson needs: the
NVIDIA runtime, the host's network, shared memory, and cameras, sound, serial and
I2C devices where the host has them. Docker's own socket is never handed over, and
the container is not privileged.

jet is replaced by docker: its exit code is the command's.`,
		Example: `  jet run pytorch -- python3 -c 'import torch; print(torch.cuda.is_available())'
  jet run pytorch -v /data:/data --dry-run -- bash
  jet run pytorch --gpu-mode cdi`,
		RunE: func(cmd *cobra.Command, args []string) error {
			packages := args
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				packages, d.command = args[:dash], args[dash:]
			}
			if len(packages) == 0 {
				return mistake("name a package to run, such as: jet run pytorch -- bash")
			}
			r, err := q.ask(packages)
			if err != nil {
				return err
			}
			if q.why {
				r.explain(a)
			}
			if r.Chosen == nil {
				return &no{r.Why}
			}
			r.warn(a)
			d.image, d.flavour = r.Reference, r.Chosen.Row.Platform.Flavour
			argv, err := d.argv(os.DirFS(q.root))
			if err != nil {
				return err
			}
			if dryRun {
				line, err := commandLine(argv)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.stdout, line)
				return err
			}
			return execute(argv)
		},
	}
	q.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&dryRun, "dry-run", false, "print the docker command line instead of running it")
	f.StringVar(&d.gpuMode, "gpu-mode", "auto", "how the GPU is handed over: auto, runtime, cdi, gpus or none")
	f.StringArrayVarP(&d.volumes, "volume", "v", nil, "bind mount for docker, `SOURCE:TARGET[:ro]`; may be repeated")
	f.StringArrayVarP(&d.env, "env", "e", nil, "variable for the container, `NAME[=VALUE]`; without a value docker takes the host's")
	complete(cmd, "gpu-mode", gpuModes()...)
	return cmd
}

// execute replaces this process by docker.
func execute(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return environment("docker is not to be found on PATH: install it, or print the command line with --dry-run")
	}
	return environment("running %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// container is a docker run line in the making.
type container struct {
	image    string
	flavour  string // of the image's platform
	gpuMode  string
	terminal bool
	volumes  []string
	env      []string
	command  []string
}

func gpuModes() []string { return []string{"auto", "runtime", "cdi", "gpus", "none"} }

// argv is the command line of docker for a host whose root is fsys.
func (c container) argv(fsys fs.FS) ([]string, error) {
	argv := []string{"docker", "run", "--rm"}
	if c.terminal {
		argv = append(argv, "-it")
	}
	gpu, err := c.gpu()
	if err != nil {
		return nil, err
	}
	argv = append(argv, gpu...)
	argv = append(argv, "--network", "host", "--shm-size=8g")
	argv = append(argv, hostPaths(fsys)...)
	for _, v := range c.volumes {
		argv = append(argv, "--volume="+v)
	}
	for _, e := range c.env {
		argv = append(argv, "--env="+e)
	}
	return append(append(argv, c.image), c.command...), nil
}

// gpu is how the container gets the GPU. On Tegra that is the NVIDIA runtime,
// which mounts the host's driver libraries by its CSV files; elsewhere --gpus.
func (c container) gpu() ([]string, error) {
	mode := c.gpuMode
	if mode == "auto" {
		mode = "runtime"
		if c.flavour == "sbsa" {
			mode = "gpus"
		}
	}
	capabilities := "--env=NVIDIA_DRIVER_CAPABILITIES=all"
	switch mode {
	case "runtime":
		// Without NVIDIA_VISIBLE_DEVICES the runtime does nothing.
		return []string{"--runtime", "nvidia", "--env=NVIDIA_VISIBLE_DEVICES=all", capabilities}, nil
	case "cdi":
		return []string{"--device", "nvidia.com/gpu=all", capabilities}, nil
	case "gpus":
		return []string{"--gpus", "all", capabilities}, nil
	case "none":
		return nil, nil
	}
	return nil, mistake("--gpu-mode %q is none of auto, runtime, cdi, gpus, none", c.gpuMode)
}

// hostPaths hands over what a Jetson's software looks for, where it exists:
// Docker makes a folder of a mount source that does not.
func hostPaths(fsys fs.FS) []string {
	var out []string
	for _, m := range []struct{ path, mode string }{
		{"tmp/argus_socket", ""}, // the camera daemon
		{"etc/enctune.conf", ":ro"},
		{"etc/nv_tegra_release", ":ro"},
		{"etc/localtime", ":ro"},
	} {
		if _, err := fs.Stat(fsys, m.path); err == nil {
			out = append(out, "--volume=/"+m.path+":/"+m.path+m.mode)
		}
	}
	for _, pattern := range []string{"dev/video*", "dev/i2c-*", "dev/ttyACM*", "dev/snd"} {
		matches, err := fs.Glob(fsys, pattern) // sorted
		if err != nil {
			continue // only for a bad pattern
		}
		for _, path := range matches {
			out = append(out, "--device=/"+path)
		}
	}
	return out
}

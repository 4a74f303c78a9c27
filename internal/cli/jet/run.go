package jet

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jetcrate/jetcrate/internal/host"
	"github.com/jetcrate/jetcrate/internal/resolve"
)

func (a *app) runCommand() *cobra.Command {
	q := &question{app: a}
	r := &runner{app: a, question: q}
	cmd := &cobra.Command{
		Use:   "run [flags] PACKAGE[:VERSION][+OPTION]...|IMAGE [DOCKER FLAGS] [-- COMMAND [ARGUMENT...]]",
		Short: "Run a command in the image of these packages that fits this host",
		Long: `Runs Docker with the image that autotag would print, and what a Jetson needs: the
GPU, the host's network, shared memory, a folder for models (/data), and cameras,
sound, serial and I2C devices, a display and tokens where the host has them.
Docker's own socket and the system bus are never handed over, and the container is
not privileged. What has a / or an @ in it names an image, which is run unjudged.

Flags that jet does not know go to docker run as they are. What jet adds by itself
is switched off one by one (--no-display, ...), or as a whole with --bare.

An image that is not here is pulled first, by the digest that the table has for it:
other bytes are refused. Then jet is replaced by docker: its exit code is the
command's.`,
		Example: `  jet run pytorch -- python3 -c 'import torch; print(torch.cuda.is_available())'
  jet run pytorch -v /data:/models -p 8888:8888 --dry-run -- bash
  jet run --no-display --no-network --gpu-mode cdi pytorch
  echo 2+2 | jet run pytorch -- python3 -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			what := args
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				what, r.command = args[:dash], args[dash:]
			}
			if len(what) == 0 {
				return r.nothingNamed()
			}
			a.unknownPackage = "a command follows --: jet run pytorch -- bash; an image has its registry before it: docker.io/library/ubuntu:22.04"
			return r.run(cmd.Context(), what)
		},
	}
	q.flags(cmd)
	r.flags(cmd)
	return cmd
}

// runner is a jet run.
type runner struct {
	app      *app
	question *question
	dryRun   bool
	noChecks bool
	engine   string
	flagSet  *pflag.FlagSet // of jet run
	container
}

func (r *runner) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	r.flagSet = f
	f.BoolVar(&r.dryRun, "dry-run", false, "print the command line instead of running it")
	r.engineFlags(cmd)
	f.StringVar(&r.gpuMode, "gpu-mode", "auto", "how the GPU is handed over: auto, runtime, cdi, gpus or none")
	f.StringVar(&r.data, "data", "", "`folder` that the container sees as /data (default: data in jetcrate's folder of the user)")
	f.BoolVar(&r.bare, "bare", false, "add nothing but the GPU")
	r.off = map[string]*bool{}
	for _, part := range parts() {
		r.off[part.name] = f.Bool("no-"+part.name, false, "leave out: "+part.what)
	}
	complete(cmd, "gpu-mode", host.AccessModes()...)
}

func (r *runner) engineFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.noChecks, "no-checks", false, "start without looking at free space and at the runtime first")
	f.StringVar(&r.engine, "engine", "auto", "program that has images and containers: docker, podman, nerdctl, or auto (the first of them on PATH)")
	complete(cmd, "engine", "auto", "docker", "podman", "nerdctl")
}

// nothingNamed says where the package went, if a flag of docker's took it.
func (r *runner) nothingNamed() error {
	line := "name a package to run, as in: jet run pytorch -- bash"
	if i := slices.IndexFunc(r.app.dockerArgs, dockerTakesWord); i >= 0 && i+1 < len(r.app.dockerArgs) {
		flag := r.app.dockerArgs[i]
		line += fmt.Sprintf("\njet has no %s, so it and %q after it are docker's", flag, r.app.dockerArgs[i+1])
		if near := nearFlag(r.flagSet, strings.TrimLeft(flag, "-")); near != "" {
			line += fmt.Sprintf("\ndid you mean --%s?", near)
		}
	}
	return mistake("%s", line)
}

func (r *runner) run(ctx context.Context, what []string) error {
	a, q := r.app, r.question
	if !slices.Contains(host.AccessModes(), r.gpuMode) {
		return mistake("--gpu-mode %q is none of %s", r.gpuMode, strings.Join(host.AccessModes(), ", "))
	}
	fsys, err := q.fs()
	if err != nil {
		return err
	}
	device := host.Inspect(fsys)
	if !r.dryRun {
		// The container is this machine's, and Docker makes a folder of a path that
		// is not here: another root's devices and files are only printed.
		fsys = os.DirFS("/")
	}
	r.fsys, r.getenv = fsys, a.getenv
	r.terminal, r.piped, r.extra = a.terminal, a.piped, a.dockerArgs
	chosen, err := r.choose(ctx, what, device)
	if err != nil {
		return err
	}
	if err := r.pickEngine(); err != nil {
		return err
	}
	daemon := r.daemonFacts(ctx)
	r.runtimes, r.cdi = device.Docker.Runtimes.Values, device.Docker.CDI.Values
	if daemon != nil {
		r.runtimes, r.cdi = daemon.runtimes, append(slices.Clone(r.cdi), daemon.cdi...)
	}
	r.runtimesKnown = daemon != nil || device.Docker.Runtimes.Reason == ""
	if err := r.dataFolder(); err != nil {
		return err
	}
	argv := r.argv()
	toPull := chosen != nil && !chosen.Local && chosen.Row.Image != nil
	if !r.noChecks {
		var size int64
		if toPull {
			size = chosen.Row.Image.Size
		}
		if err := r.preflight(argv, device, daemon, size); err != nil {
			return err
		}
		if chosen != nil {
			q.warnModels(device, chosen.Row, cmp.Or(r.data, a.dataDir()))
		}
	}
	if r.dryRun {
		line, err := commandLine(argv)
		if err != nil {
			return err
		}
		return a.line(line)
	}
	if toPull && !r.given("--pull") { // docker run would take what the tag means by now
		if err := r.fetch(ctx, chosen); err != nil {
			return err
		}
	}
	return execute(argv)
}

// choose settles which image is run, and the flavour of its platform. An image that
// was named is no candidate: nil.
func (r *runner) choose(ctx context.Context, what []string, device host.Device) (*resolve.Candidate, error) {
	if named := slices.IndexFunc(what, isImage); named >= 0 {
		if len(what) > 1 {
			return nil, mistake("%q is an image: it is run alone, and packages are run without it", what[named])
		}
		if strings.HasPrefix(what[0], "-") {
			return nil, mistake("%q is no image", what[0])
		}
		r.image, r.flavour = what[0], device.Flavour.Value
		return nil, nil
	}
	reply, err := r.question.ask(ctx, what, r.question.why)
	if err != nil {
		return nil, err
	}
	if r.question.why {
		reply.explain(r.app)
	}
	chosen := reply.Chosen
	switch {
	case chosen != nil:
		reply.warn(r.app)
		r.image = reply.Reference
	case r.dryRun:
		return nil, reply.refusal()
	default:
		if r.image, err = r.compose(ctx, reply); err != nil {
			return nil, err
		}
		chosen = &resolve.Candidate{Row: reply.Composition[0].Row, Local: true}
	}
	r.flavour = chosen.Row.Platform.Flavour
	return chosen, nil
}

// isImage tells a reference from a package: a package's name has neither.
func isImage(s string) bool { return strings.ContainsAny(s, "/@") || strings.HasPrefix(s, "sha256:") }

func (r *runner) pickEngine() error {
	known := []string{"docker", "podman", "nerdctl"}
	switch {
	case slices.Contains(known, r.engine):
		r.program = r.engine
		return nil
	case r.engine != "auto":
		return mistake("--engine %q is none of auto, %s", r.engine, strings.Join(known, ", "))
	}
	r.program = known[0]
	for _, name := range known {
		if _, err := exec.LookPath(name); err == nil {
			r.program = name
			break
		}
	}
	return nil
}

// daemonFacts asks Docker, where it is there and may be asked.
func (r *runner) daemonFacts(ctx context.Context) *engineFacts {
	if r.program != "docker" {
		return nil
	}
	d := r.question.daemon()
	defer d.close()
	if d.Client == nil {
		return nil
	}
	facts, err := d.facts(ctx)
	if err != nil {
		return nil // running the container will say what is wrong
	}
	return &facts
}

// dataFolder makes the folder behind /data: Docker would make it as root.
func (r *runner) dataFolder() error {
	if r.bare || *r.off["data"] {
		r.data = ""
		return nil
	}
	own := r.data == ""
	if own {
		r.data = filepath.Join(r.app.dataDir(), "data")
	}
	said := r.data
	abs, err := filepath.Abs(said)
	if err != nil {
		return environment("finding --data: %w", err)
	}
	r.data = abs
	if strings.Contains(r.data, ":") {
		return mistake("the folder of --data has a colon in it, which docker cannot mount: %s", said)
	}
	info, err := os.Stat(r.data)
	switch {
	case err == nil && !info.IsDir():
		return mistake("--data %s is not a folder", said)
	case err == nil:
		return nil
	case !own:
		return mistake("--data %s does not exist", said)
	case r.dryRun:
		// What does not exist is not mounted, and a dry run makes nothing.
		r.app.say("note: without --dry-run, %s would be made and handed over as /data", r.data)
		r.data = ""
		return nil
	}
	if err := os.MkdirAll(r.data, 0o755); err != nil {
		return environment("making the folder for /data: %w", err)
	}
	return nil
}

// preflight says before a long download what would end in an error after it.
func (r *runner) preflight(argv []string, device host.Device, daemon *engineFacts, size int64) error {
	a := r.app
	// Only the daemon itself knows: files may have been written after its start.
	if daemon != nil && r.usesRuntime(argv) && !slices.Contains(daemon.runtimes, "nvidia") {
		if !r.dryRun {
			return environment("Docker has no runtime called nvidia, so the container would get no GPU\nregister it: %s\nor start without a GPU: --gpu-mode none", registerRuntime)
		}
		a.say("warning: Docker has no runtime called nvidia; register it: %s", registerRuntime)
	}
	return r.question.checkSpace(r.fsys, device, daemon, r.image, size)
}

func (r *runner) usesRuntime(argv []string) bool {
	i := slices.Index(argv, "--runtime")
	return i >= 0 && i < len(argv)-1 && argv[i+1] == "nvidia" && i < slices.Index(argv, r.image)
}

// freeSpace is what is free below a folder of this machine.
func (a *app) freeSpace(root, folder string) (int64, bool) {
	if a.free != nil {
		return a.free(folder)
	}
	if root != "/" || folder == "" {
		return 0, false
	}
	for ; ; folder = filepath.Dir(folder) { // it may not be there yet
		var stat syscall.Statfs_t
		err := syscall.Statfs(folder, &stat)
		if err == nil {
			return int64(stat.Bavail) * stat.Bsize, true
		}
		if folder == "/" || folder == "." {
			return 0, false
		}
	}
}

// lookEngine finds docker or what stands in for it.
func lookEngine(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", environment("%s is not to be found on PATH\njet doctor says what is missing, and how to install it", program)
	}
	return path, nil
}

// execute replaces this process by the engine.
func execute(argv []string) error {
	path, err := lookEngine(argv[0])
	if err != nil {
		return err
	}
	return environment("running %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

package workflow

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Where things are in a container.
const (
	containerWorkspace = "/workspace"
	containerTemp      = "/tmp/jetcrate"
)

// InContainer is a machine that is a container of an engine. The workspace is a
// copy: what scripts change in it is there for the next one, and lost at the end.
type InContainer struct {
	container engine.Container
	arch      string
	name      string
	runs      int
}

var _ Machine = (*InContainer)(nil)

// NewContainer starts the container of a job.
func NewContainer(ctx context.Context, e engine.Containers, img engine.Image, platform, workspace, job string, env map[string]string) (*InContainer, error) {
	r := engine.Run{
		Name: job, Image: img, Platform: platform, Dir: "/",
		Mounts: []engine.Mount{{Source: workspace, Target: containerWorkspace}},
	}
	for _, k := range sorted(env) {
		r.Env = append(r.Env, k+"="+env[k])
	}
	c, err := e.Container(ctx, r)
	if err != nil {
		return nil, err
	}
	_, arch, _ := strings.Cut(platform, "/")
	return &InContainer{container: c, arch: archName(arch), name: "container"}, nil
}

// Place implements Machine.
func (c *InContainer) Place() Place {
	return Place{Workspace: containerWorkspace, Temp: containerTemp, OS: "Linux", Arch: c.arch, Name: c.name}
}

// prepare takes the script from stdin and runs it. Its arguments are the folder
// of the step, the kind of shell, the folders before PATH and the folder to be in.
const prepare = `set -e
step=$1 shell=$2 path=$3 dir=$4
mkdir -p "$step"
cat > "$step/script.sh"
for f in GITHUB_OUTPUT GITHUB_ENV GITHUB_PATH GITHUB_STEP_SUMMARY; do : > "$step/$f"; done
[ -z "$path" ] || PATH=$path:$PATH
export PATH
[ -d "$dir" ] || { echo "there is no folder $dir to work in" >&2; exit 1; }
cd "$dir"
case $shell in
bash) exec bash --noprofile --norc -eo pipefail "$step/script.sh" </dev/null ;;
sh) exec sh -e "$step/script.sh" </dev/null ;;
esac
if command -v bash >/dev/null; then exec bash -e "$step/script.sh" </dev/null; fi
exec sh -e "$step/script.sh" </dev/null`

// collect prints the size and the beginning of each file of a step, and removes
// the step's folder.
const collect = `step=$1 most=$2
for f in GITHUB_OUTPUT GITHUB_ENV GITHUB_PATH GITHUB_STEP_SUMMARY; do
  if [ -f "$step/$f" ] && [ ! -h "$step/$f" ]; then head -c "$most" "$step/$f" > "$step/part"; else : > "$step/part"; fi
  wc -c < "$step/part"
  cat "$step/part"
done
rm -rf "$step"`

// Run implements Machine.
func (c *InContainer) Run(ctx context.Context, s Script) (int, Files, error) {
	c.runs++
	step := fmt.Sprintf("%s/step-%d", containerTemp, c.runs)
	var env []string
	for _, k := range sorted(s.Env) {
		env = append(env, k+"="+s.Env[k])
	}
	for _, f := range fileVariables() {
		env = append(env, f+"="+step+"/"+f)
	}
	dir := s.Dir
	if !strings.HasPrefix(dir, "/") {
		dir = containerWorkspace + "/" + dir
	}
	exit, err := c.container.Exec(ctx, engine.Command{
		Args: []string{"sh", "-c", prepare, "step", step, s.Shell, strings.Join(s.Path, ":"), dir},
		Env:  env, Alone: true, Stdin: strings.NewReader(s.Text), Stdout: s.Stdout, Stderr: s.Stderr,
	})
	switch {
	case err != nil:
		return 0, Files{}, err
	case exit.TimedOut:
		return 0, Files{}, context.Cause(ctx)
	}
	files, err := c.collect(ctx, step)
	return exit.Code, files, err
}

func (c *InContainer) collect(ctx context.Context, step string) (Files, error) {
	var out, errs bytes.Buffer
	exit, err := c.container.Exec(ctx, engine.Command{
		Args:   []string{"sh", "-c", collect, "collect", step, strconv.Itoa(maxFile + 1)},
		Stdout: &out, Stderr: &errs,
	})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", exit.Code, strings.TrimSpace(errs.String()))
	}
	var f Files
	r := bufio.NewReader(&out)
	for _, to := range []*[]byte{&f.Output, &f.Env, &f.Path, &f.Summary} {
		if err != nil {
			break
		}
		*to, err = readPart(r)
	}
	if err != nil {
		return Files{}, fmt.Errorf("reading the files of the step: %w", err)
	}
	return f, nil
}

// readPart reads a line with a size, and as many bytes.
func readPart(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || n < 0 || n > maxFile+1 {
		return nil, errors.New("the container gave no sizes")
	}
	part := make([]byte, n)
	_, err = io.ReadFull(r, part)
	return part, err
}

// Close implements Machine.
func (c *InContainer) Close() error { return c.container.Close() }

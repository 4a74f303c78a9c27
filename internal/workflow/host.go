package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// killWait is how long a script that is to end may take before it is killed.
const killWait = 5 * time.Second

// Host is the machine that jetcrate runs on. Scripts run in the workspace itself.
type Host struct {
	Workspace string
	Temp      string   // an empty folder
	Env       []string // what scripts inherit
	runs      int
}

var _ Machine = (*Host)(nil)

// Place implements Machine.
func (h *Host) Place() Place {
	name, _ := os.Hostname()
	return Place{Workspace: h.Workspace, Temp: h.Temp, OS: "Linux", Arch: archName(runtime.GOARCH), Name: name}
}

// archName is GitHub's word for an architecture.
func archName(goarch string) string {
	switch goarch {
	case "amd64":
		return "X64"
	case "386":
		return "X86"
	}
	return strings.ToUpper(goarch)
}

// Run implements Machine.
func (h *Host) Run(ctx context.Context, s Script) (int, Files, error) {
	h.runs++
	dir := filepath.Join(h.Temp, fmt.Sprintf("step-%d", h.runs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, Files{}, fmt.Errorf("making a folder for the step: %w", err)
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "script.sh")
	if err := os.WriteFile(script, []byte(s.Text), 0o600); err != nil {
		return 0, Files{}, fmt.Errorf("writing the script: %w", err)
	}
	env := map[string]string{}
	for k, v := range s.Env {
		env[k] = v
	}
	for _, f := range fileVariables() {
		env[f] = filepath.Join(dir, f)
		if err := os.WriteFile(env[f], nil, 0o600); err != nil {
			return 0, Files{}, fmt.Errorf("making %s: %w", f, err)
		}
	}
	_, err := exec.LookPath("bash")
	args := shellCommand(s.Shell, script, err == nil)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = s.Dir
	if !filepath.IsAbs(cmd.Dir) {
		cmd.Dir = filepath.Join(h.Workspace, s.Dir)
	}
	if info, err := os.Stat(cmd.Dir); err != nil || !info.IsDir() {
		return 0, Files{}, fmt.Errorf("there is no folder %s to work in", s.Dir)
	}
	cmd.Env = hostEnv(h.Env, env, s.Path)
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	// The whole group ends with the step: what a script left running in the
	// background would hold its output open.
	cmd.SysProcAttr = ownGroup(syscall.SIGKILL)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killWait
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	files, readErr := readFiles(env)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, files, context.Cause(ctx)
	case errors.As(err, &exit):
		return exit.ExitCode(), files, readErr
	case errors.Is(err, exec.ErrWaitDelay):
		return 0, files, readErr
	case err != nil:
		return 0, files, fmt.Errorf("starting %s: %w", args[0], err)
	}
	return 0, files, readErr
}

// fileVariables are the variables that name a step's files.
func fileVariables() []string {
	return []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"}
}

// readFiles reads what a step left in its files; a step may have removed them.
func readFiles(env map[string]string) (Files, error) {
	var f Files
	for i, to := range []*[]byte{&f.Output, &f.Env, &f.Path, &f.Summary} {
		name := env[fileVariables()[i]]
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && (!info.Mode().IsRegular() || info.Size() > 2*maxFile) {
			return f, fmt.Errorf("%s is no plain file of at most %d KiB any more", fileVariables()[i], maxFile>>10)
		}
		if err == nil {
			*to, err = os.ReadFile(name)
		}
		if err != nil {
			return f, fmt.Errorf("reading %s: %w", fileVariables()[i], err)
		}
	}
	return f, nil
}

// hostEnv lays a step's variables over what it inherits.
func hostEnv(inherited []string, own map[string]string, path []string) []string {
	all := map[string]string{}
	for _, kv := range inherited {
		if k, v, ok := strings.Cut(kv, "="); ok {
			all[k] = v
		}
	}
	for k, v := range own {
		all[k] = v
	}
	if len(path) > 0 {
		all["PATH"] = strings.Join(append(append([]string(nil), path...), all["PATH"]), string(filepath.ListSeparator))
	}
	var out []string
	for _, k := range sorted(all) {
		out = append(out, k+"="+all[k])
	}
	return out
}

// Close implements Machine.
func (h *Host) Close() error { return nil }

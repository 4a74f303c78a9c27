package workflow

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// programWait is how long a program of an action may take to tidy up.
const programWait = time.Minute

// Program runs a program for an action, in the workspace and with the step's
// variables over those given. It is interrupted when ctx ends, and gets a SIGTERM
// when this process is killed.
func Program(ctx context.Context, call Call, inherited []string, name string, args ...string) (code int, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = call.Dir
	cmd.Env = hostEnv(inherited, call.Env, nil)
	cmd.Stdout, cmd.Stderr = call.Stdout, call.Stderr
	cmd.SysProcAttr = ownGroup(syscall.SIGTERM)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = programWait
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("starting %s: %w", name, err)
	}
	return 0, nil
}

package dagger

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"dagger.io/dagger"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/engine/buildkit"
)

// ended is how the BuildKit in a Dagger engine words a step that failed; the
// API gives it no type.
var ended = regexp.MustCompile(`process "(.*)" did not complete successfully: exit code: (\d+)`)

// stepError reads a failed build: nil when the recipe is not to blame.
func (d *engineOf) stepError(err error) *engine.StepError {
	var step *engine.StepError
	if errors.As(err, &step) {
		return step
	}
	var exec *dagger.ExecError
	if errors.As(err, &exec) {
		wrote := strings.TrimSpace(exec.Stdout + "\n" + exec.Stderr)
		return &engine.StepError{Step: strings.Join(exec.Cmd, " "), Code: exec.ExitCode, Log: string(lastLines([]byte(wrote)))}
	}
	if found := ended.FindStringSubmatch(err.Error()); found != nil {
		if code, err := strconv.Atoi(found[2]); err == nil {
			return &engine.StepError{Step: found[1], Code: code, Log: d.log.String()}
		}
	}
	if fault := buildkit.FaultOf(err.Error()); fault != "" {
		return &engine.StepError{Step: "Dockerfile", Fault: fault}
	}
	return nil
}

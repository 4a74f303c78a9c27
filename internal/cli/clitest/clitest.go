// Package clitest runs testscripts of the command lines: every file of a folder
// testdata/script is a behaviour of a program.
package clitest

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Run runs the scripts of a folder, at the same time. Beside testscript's own
// commands they have `exec-code CODE PROGRAM [ARGUMENT...]`, which wants one exit
// code. UPDATE_SCRIPTS=1 rewrites what cmp compares with.
func Run(t *testing.T, dir string, setup func(*testscript.Env) error) {
	testscript.Run(t, params(testscript.Params{Dir: dir, Setup: setup}))
}

// RunFile runs one script, and returns when it ended.
func RunFile(t *testing.T, file string, setup func(*testscript.Env) error) {
	testscript.Run(t, params(testscript.Params{Files: []string{file}, Setup: setup}))
}

func params(p testscript.Params) testscript.Params {
	p.UpdateScripts, _ = strconv.ParseBool(os.Getenv("UPDATE_SCRIPTS"))
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){"exec-code": execCode}
	return p
}

func execCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exec-code CODE PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, not %s", code, args[0])
	}
}

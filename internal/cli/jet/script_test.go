package jet

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jet": func() { os.Exit(Main()) }})
}

// Every file of testdata/script is a behaviour of jet. JETCRATE_TABLE names
// testdata/table.json, and JET is the path of the program.
func TestScripts(t *testing.T) {
	tab, err := filepath.Abs("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	update, _ := strconv.ParseBool(os.Getenv("UPDATE_SCRIPTS"))
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: update,
		Setup: func(env *testscript.Env) error {
			jet, err := exec.LookPath("jet")
			env.Setenv("JET", jet)
			env.Setenv("JETCRATE_TABLE", tab)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exec-code": execCode},
	})
}

// execCode runs a program that has to end with one exit code: exec-code 3 jet ...
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

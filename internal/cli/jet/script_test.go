package jet

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jetcrate/jetcrate/internal/cli/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jet": func() { os.Exit(Main()) }})
}

// JETCRATE_TABLE names testdata/table.json, and JET is the path of the program.
func TestScripts(t *testing.T) {
	tab, err := filepath.Abs("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, "testdata/script", func(env *testscript.Env) error {
		jet, err := exec.LookPath("jet")
		env.Setenv("JET", jet)
		env.Setenv("JETCRATE_TABLE", tab)
		return err
	})
}

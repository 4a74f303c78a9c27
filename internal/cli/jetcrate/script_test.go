package jetcrate

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jetcrate/jetcrate/internal/cli/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"jetcrate": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// Every script starts in a folder `catalog`, a copy of testdata/catalog without
// mistakes; what the script brings is laid over it. $CATALOG is the catalog of
// this repository, to be read. No engine is to be had.
func TestScripts(t *testing.T) {
	clitest.Run(t, "testdata/script", func(env *testscript.Env) error {
		env.Setenv("HOME", env.WorkDir)
		env.Setenv("DOCKER_HOST", "unix://"+env.WorkDir+"/no-docker.sock")
		env.Setenv("NO_COLOR", "1")
		jetcrate, err := exec.LookPath("jetcrate")
		if err != nil {
			return err
		}
		env.Setenv("JETCRATE", jetcrate)
		catalog, err := filepath.Abs("../../..")
		if err != nil {
			return err
		}
		env.Setenv("CATALOG", catalog)
		into := filepath.Join(env.WorkDir, "catalog")
		return fill(into, os.DirFS("testdata/catalog"))
	})
}

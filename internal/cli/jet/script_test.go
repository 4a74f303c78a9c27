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
	jet := func() { os.Exit(Main()) }
	testscript.Main(m, map[string]func(){
		"jet": jet, "autotag": jet, "jet-linux-arm64": jet, "jet-linux-amd64": jet, "largetable": writeLargeTable,
	})
}

// JETCRATE_TABLE names testdata/table.json, JET is the path of the program, and
// DEVICES holds the files of devices, REPO the repository's.
func TestScripts(t *testing.T) {
	tab, err := filepath.Abs("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := filepath.Abs("../../host/testdata/devices")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, "testdata/script", func(env *testscript.Env) error {
		jet, err := exec.LookPath("jet")
		env.Setenv("JET", jet)
		env.Setenv("JETCRATE_TABLE", tab)
		env.Setenv("DEVICES", devices)
		env.Setenv("REPO", repo)
		env.Setenv("DOCKER_HOST", "unix:///no/docker.sock") // whatever this machine has
		env.Setenv("HOME", env.WorkDir+"/home")
		return err
	})
}

// Package testbed_test runs the main job for real: BuildKit, ARM64 containers
// under QEMU, a registry. Its store lies in the user's cache folder and is kept
// from run to run, so that what has a key is made once; what a script is about
// is made anew each time, because NONCE in its files is another each time.
package testbed_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/cli/clitest"
	"github.com/jetcrate/jetcrate/internal/cli/jet"
	"github.com/jetcrate/jetcrate/internal/cli/jetcrate"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"jetcrate": func() { os.Exit(jetcrate.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"jet":      func() { os.Exit(jet.Main()) },
	})
}

// real skips where the main job cannot run, and gives the environment in which
// it can. `make test` sets JETCRATE_REAL, and there nothing is skipped.
func real(t testing.TB) map[string]string {
	t.Helper()
	var lacks []string
	if os.Geteuid() != 0 {
		lacks = append(lacks, "root")
	}
	for _, program := range []string{"buildkitd", "runc", "mmdebstrap", "qemu-aarch64-static"} {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, program+" on PATH")
		}
	}
	if len(lacks) > 0 {
		if os.Getenv("JETCRATE_REAL") != "" {
			t.Fatalf("this machine lacks %s: make setup build", strings.Join(lacks, ", "))
		}
		t.Skipf("this machine lacks %s; make test has it", strings.Join(lacks, ", "))
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "jetcrate-testbed")
	env := map[string]string{}
	for _, name := range []string{"data", "cache", "state"} {
		env["XDG_"+strings.ToUpper(name)+"_HOME"] = filepath.Join(dir, name)
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	env["CATALOG"] = root
	return env
}

// The scripts run one after the other: two cores bear no more.
func TestScripts(t *testing.T) {
	vars := real(t)
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			clitest.RunFile(t, script, func(env *testscript.Env) error {
				for k, v := range vars {
					env.Setenv(k, v)
				}
				env.Setenv("NO_COLOR", "1")
				nonce := fmt.Sprint(time.Now().UnixNano())
				env.Setenv("NONCE", nonce)
				return replaceIn(env.WorkDir, "NONCE", nonce)
			})
		})
	}
}

// replaceIn replaces a word in every file of a folder.
func replaceIn(dir, old, new string) error {
	return filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(b), old) {
			return err
		}
		return os.WriteFile(name, []byte(strings.ReplaceAll(string(b), old, new)), 0o644)
	})
}

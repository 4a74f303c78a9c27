package testbed_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// anew copies the small catalog and changes its lowest layer, so that all above
// the base is made anew.
func anew(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, small()))
	f, err := os.OpenFile(filepath.Join(dir, "packages/g/low/low.sh"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = fmt.Fprintf(f, "# %d\n", time.Now().UnixNano())
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return dir
}

func environ(vars map[string]string) []string {
	env := append(os.Environ(), "NO_COLOR=1")
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	return env
}

// Two terminals, one store: both succeed, and what one makes the other waits for.
func TestTwoBuildsAtOnce(t *testing.T) {
	env := environ(real(t))
	catalog := anew(t)
	var out, errs [2]bytes.Buffer
	var failed [2]error
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			cmd := exec.Command("jetcrate", "build", "kit", "--l4t", "36.4.0", "-C", catalog, "-o", "jsonl")
			cmd.Env, cmd.Stdout, cmd.Stderr = env, &out[i], &errs[i]
			failed[i] = cmd.Run()
		})
	}
	wg.Wait()
	made := map[string]string{}
	for i := range out {
		require.NoError(t, failed[i], "%s%s", &out[i], &errs[i])
		for sc := bufio.NewScanner(&out[i]); sc.Scan(); {
			var e struct{ Event, Node, Name, Status string }
			require.NoError(t, json.Unmarshal(sc.Bytes(), &e))
			if e.Event != "ended" || e.Status == "reused" {
				continue
			}
			require.Contains(t, []string{"built", "assembled", "passed"}, e.Status, e.Name)
			require.NotContains(t, made, e.Node, "%s was made twice", e.Name)
			made[e.Node] = e.Name
		}
	}
	require.Greater(t, len(made), 5)
	cmd := exec.Command("jetcrate", "store", "verify")
	cmd.Env = env
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// A build whose engine has no room left says so, and goes on once it has.
func TestFullDiskOfTheEngine(t *testing.T) {
	vars := real(t)
	b := made(t, small(), nil, "low")
	img, _, err := b.store.Image(context.Background(), store.Base, b.node(plan.Base, "").Key)
	require.NoError(t, err)
	home := t.TempDir()
	for name := range vars {
		vars[name] = filepath.Join(home, name)
	}
	data := filepath.Join(vars["XDG_DATA_HOME"], "jetcrate")
	own, err := store.Open(context.Background(), store.Options{Dir: filepath.Join(data, "store")})
	require.NoError(t, err)
	_, err = own.PutImage(context.Background(), store.Base, b.node(plan.Base, "").Key, img, nil)
	require.NoError(t, err)
	require.NoError(t, own.Close())

	disk := filepath.Join(data, "buildkitd")
	require.NoError(t, os.MkdirAll(disk, 0o755))
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=80m"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	catalog := anew(t)
	build := func() (int, string) {
		cmd := exec.Command("jetcrate", "build", "low", "--l4t", "36.4.0", "-C", catalog)
		cmd.Env = environ(vars)
		text, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(text)
	}
	code, text := build()
	require.Equal(t, 2, code, text)
	require.Contains(t, strings.ToLower(text), "no space left on device")
	require.Contains(t, text, "free some of it, then the same command goes on")
	require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=800m"))
	code, text = build()
	require.Equal(t, 0, code, text)
}

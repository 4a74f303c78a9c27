package testbed_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// site is a machine of its own: an embedded store that holds the testbed's base
// and nothing else, and folders for everything that jetcrate writes.
type site struct {
	testing.TB
	dir string
	env []string
}

func newSite(t testing.TB) *site {
	t.Helper()
	shared := real(t)
	dir, err := os.MkdirTemp("", "jetcrate-site-")
	require.NoError(t, err)
	s := &site{TB: t, dir: dir, env: os.Environ()}
	t.Cleanup(s.clear)
	for _, name := range []string{"data", "cache", "state"} {
		s.env = append(s.env, "XDG_"+strings.ToUpper(name)+"_HOME="+filepath.Join(s.dir, name))
	}
	s.env = append(s.env, "NO_COLOR=1")

	ctx := context.Background()
	files := os.DirFS("testdata/small")
	cat, list := spec.Load(files, spec.Options{})
	require.NoError(t, list.Err())
	pl, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	p, err := plan.New(cat, files, []plan.Request{{Targets: []spec.Target{{Name: "low"}}, Platform: pl}})
	require.NoError(t, err)
	var base string
	for _, n := range p.Nodes {
		if n.Kind == plan.Base {
			base = n.Key
		}
	}
	from, err := store.Open(ctx, store.Options{Dir: filepath.Join(shared["XDG_DATA_HOME"], "jetcrate", "store")})
	require.NoError(t, err)
	defer from.Close()
	if _, there, err := from.Lookup(ctx, store.Base, base); err != nil || !there {
		require.NoError(t, err)
		y := exec.Command("jetcrate", "build", "low", "--l4t", "36.4.0", "-C", "testdata/small")
		y.Env = os.Environ()
		for k, v := range shared {
			y.Env = append(y.Env, k+"="+v)
		}
		out, err := y.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	img, _, err := from.Image(ctx, store.Base, base)
	require.NoError(t, err)
	to, err := store.Open(ctx, store.Options{Dir: filepath.Join(s.dir, "data", "jetcrate", "store")})
	require.NoError(t, err)
	defer to.Close()
	_, err = to.PutImage(ctx, store.Base, base, img, nil)
	require.NoError(t, err)
	return s
}

// clear removes the folders of the site. What a killed daemon mounted there is
// taken away first, as the next daemon would.
func (s *site) clear() {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], s.dir+"/") {
			_ = syscall.Unmount(f[4], syscall.MNT_DETACH)
		}
	}
	for range 50 {
		if os.RemoveAll(s.dir) == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.Errorf("%s cannot be removed", s.dir)
}

// freshSmall copies the small catalog, with another nonce in what is built.
func freshSmall(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/small")))
	nonce := fmt.Sprintf("\n# %d\n", time.Now().UnixNano())
	for name, after := range map[string]string{
		"packages/g/low/package.yaml":    "chmod 755 /opt/low/bin/low\n",
		"packages/g/tool/package.yaml":   "low > /out/tool.txt\n",
		"pipelines/steps/x/program.yaml": "mkdir -p \"$(dirname \"$DESTDIR/$FILE\")\"\n",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		i := strings.Index(string(text), after)
		require.GreaterOrEqual(t, i, 0, name)
		i += len(after)
		indent := "        "
		if strings.HasPrefix(name, "pipelines") {
			indent = "      "
		}
		changed := string(text[:i]) + indent + strings.TrimPrefix(nonce, "\n") + string(text[i:])
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o644))
	}
	return dir
}

// command prepares jetcrate on a catalog.
func (s *site) command(catalog string, args ...string) *exec.Cmd {
	cmd := exec.Command("jetcrate", append([]string{"-C", catalog}, args...)...)
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// daemons are the buildkitds of the site.
func (s *site) daemons() []string {
	out, _ := exec.Command("pgrep", "-f", "buildkitd .*"+filepath.Join(s.dir, "data")).Output()
	return strings.Fields(string(out))
}

// ended gives the nodes of a run's events by status. The last line of a run that
// was killed may be torn.
func ended(t testing.TB, jsonl []byte) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for sc := bufio.NewScanner(bytes.NewReader(jsonl)); sc.Scan(); {
		var e struct{ Event, Node, Kind, Status string }
		if json.Unmarshal(sc.Bytes(), &e) == nil && e.Event == "ended" {
			out[e.Status] = append(out[e.Status], e.Node)
		}
	}
	return out
}

// TestKilled kills jetcrate, its buildkitd or both at a random moment of a
// build. The same command again completes, makes nothing again that was
// reported as made, and leaves a store that verifies.
func TestKilled(t *testing.T) {
	s := newSite(t)
	rounds := 3
	if os.Getenv("JETCRATE_ALL") != "" {
		rounds = 20
	}
	began := time.Now()
	require.NoError(t, s.command(freshSmall(t), "build", "kit", "--l4t", "36.4.0").Run())
	whole := time.Since(began)
	for _, victim := range []string{"jetcrate", "buildkitd", "both"} {
		for round := range rounds {
			t.Run(fmt.Sprintf("%s/%d", victim, round+1), func(t *testing.T) {
				catalog := freshSmall(t)
				var out, errs bytes.Buffer
				cmd := s.command(catalog, "build", "kit", "--l4t", "36.4.0", "-o", "jsonl")
				cmd.Stdout, cmd.Stderr = &out, &errs
				require.NoError(t, cmd.Start())
				after := rand.N(whole)
				time.Sleep(after)
				if victim != "jetcrate" {
					for _, pid := range s.daemons() {
						_ = exec.Command("kill", "-9", pid).Run()
					}
				}
				if victim != "buildkitd" {
					_ = cmd.Process.Kill()
				}
				_ = cmd.Wait()
				code := cmd.ProcessState.ExitCode()
				if victim == "buildkitd" { // it was not needed any more, or started again, or said so
					require.Contains(t, []int{0, 2}, code, "after %v: %s", after, &errs)
				}
				made := ended(t, out.Bytes())
				text, err := s.command(catalog, "report", "-o", "json").CombinedOutput()
				require.NoError(t, err, "the journal of a killed run can be read: %s", text)

				var again bytes.Buffer
				errs.Reset()
				cmd = s.command(catalog, "build", "kit", "--l4t", "36.4.0", "-o", "jsonl")
				cmd.Stdout, cmd.Stderr = &again, &errs
				require.NoError(t, cmd.Run(), "after a kill at %v: %s", after, &errs)
				second := ended(t, again.Bytes())
				for status, nodes := range second {
					require.Contains(t, []string{"reused", "built", "assembled", "passed"}, status)
					for _, n := range nodes {
						if status != "reused" {
							require.NotContains(t, made[status], n, "it was %s before the kill at %v", status, after)
						}
					}
				}
				require.Empty(t, s.daemons(), "no engine is left, and none was started beside")
				text, err = s.command(catalog, "store", "verify").CombinedOutput()
				require.NoError(t, err, "%s", text)
			})
		}
	}
}

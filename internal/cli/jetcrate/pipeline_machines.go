package jetcrate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/workflow"
)

// machines gives jobs where they run.
type machines struct {
	app       *app
	run       *pipelineRun
	dirs      dirs
	workspace string
	runners   map[string]string // by label: host, or an image
	scratch   runDirs

	mu     sync.Mutex
	engine engine.Engine // connected when a job needs a container
}

func (a *app) machines(p *pipelineRun, d dirs, workspace string) (*machines, error) {
	runners, err := pairs("--runner", p.runners)
	if err != nil {
		return nil, err
	}
	run, err := d.run()
	if err != nil {
		return nil, err
	}
	return &machines{app: a, run: p, dirs: d, workspace: workspace, runners: runners, scratch: run}, nil
}

func (m *machines) close() {
	if m.engine != nil {
		_ = m.engine.Close()
	}
	_ = os.RemoveAll(m.scratch.scratch)
}

// machine implements workflow.Options.Machine.
func (m *machines) machine(ctx context.Context, want workflow.MachineFor) (workflow.Machine, error) {
	where, err := m.where(want)
	switch {
	case err != nil:
		return nil, err
	case !want.Scripts:
		return nil, nil // actions run beside this program
	case where == workflow.HostLabel:
		temp, err := os.MkdirTemp(m.scratch.scratch, "job-")
		if err != nil {
			return nil, fmt.Errorf("making a folder for the job: %w", err)
		}
		return &workflow.Host{Workspace: m.workspace, Temp: temp, Env: plainEnvironment(os.Environ())}, nil
	}
	return m.container(ctx, want, where)
}

// ubuntu is the label of a runner of GitHub's whose system an image has too.
var ubuntu = regexp.MustCompile(`^ubuntu-([0-9]+\.[0-9]+)(-arm)?$`)

// where is host, or the image of a container.
func (m *machines) where(want workflow.MachineFor) (string, error) {
	if want.Image != "" {
		return want.Image, nil
	}
	if len(want.Labels) == 1 && want.Labels[0] == workflow.HostLabel {
		return workflow.HostLabel, nil
	}
	for _, label := range want.Labels {
		if at, ok := m.runners[label]; ok {
			return at, nil
		}
	}
	for _, label := range want.Labels {
		if v := ubuntu.FindStringSubmatch(label); v != nil && want.Scripts {
			return "docker.io/library/ubuntu:" + v[1], nil
		}
	}
	if !want.Scripts && !slices.Contains(want.Labels, "self-hosted") {
		return workflow.HostLabel, nil // actions run anywhere
	}
	return "", &workflow.NoMachine{Reason: fmt.Sprintf("no runner here has the labels %s; --runner %s=host runs it on this machine",
		strings.Join(want.Labels, ", "), want.Labels[len(want.Labels)-1])}
}

// plainEnvironment is what scripts inherit of this program's variables: where
// programs, the user and the locale are, and what jetcrate itself reads, but no
// token that happens to be set.
func plainEnvironment(all []string) []string {
	names := []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TERM", "DOCKER_HOST", "BUILDKIT_HOST", "SOURCE_DATE_EPOCH", "NO_COLOR"}
	prefixes := []string{"LC_", "XDG_", "SSL_CERT_", "GO", "JETCRATE_"}
	var out []string
	for _, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		upper := strings.ToUpper(name)
		hidden := slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASSWORD", "KEY", "AUTH"}, func(s string) bool { return strings.Contains(upper, s) })
		wanted := slices.Contains(names, name) || strings.HasSuffix(upper, "_PROXY") ||
			slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		if wanted && !hidden {
			out = append(out, kv)
		}
	}
	return out
}

// groupLock makes concurrency groups of files in a folder: one run holds a
// group's lock; one that cancels what is in progress says so in a file beside it.
func groupLock(dir string) func(context.Context, string, bool) (context.Context, func(), error) {
	const often = 200 * time.Millisecond
	return func(ctx context.Context, group string, cancel bool) (context.Context, func(), error) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, err
		}
		file := filepath.Join(dir, fileName(group))
		l := flock.New(file + ".lock")
		got, err := l.TryLock()
		if err == nil && !got {
			if cancel {
				if err := os.WriteFile(file+".cancel", nil, 0o644); err != nil {
					return nil, nil, err
				}
			}
			got, err = l.TryLockContext(ctx, often)
		}
		if err != nil || !got {
			return nil, nil, err
		}
		_ = os.Remove(file + ".cancel") // it was for the one before
		held, stop := context.WithCancelCause(ctx)
		go func() {
			for {
				select {
				case <-held.Done():
					return
				case <-time.After(often):
					if _, err := os.Stat(file + ".cancel"); err == nil {
						stop(errSuperseded)
					}
				}
			}
		}()
		return held, func() { stop(nil); _ = l.Unlock() }, nil
	}
}

// fileName is a text as the name of a file; different texts have different names.
func fileName(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
		}
	}
	return fmt.Sprintf("%.60s-%x", b.String(), sha256.Sum256([]byte(s)))[:min(b.Len(), 60)+17]
}

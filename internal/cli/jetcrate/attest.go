package jetcrate

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/attest"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// attest attaches to the images of a run what they hold, how they were made and
// what their tests said. Where all of it is there, it writes nothing.
func (a *app) attest(ctx context.Context, st *store.Store, cat *spec.Catalog, p *plan.Plan, res *execute.Result) error {
	now, err := epoch()
	if err != nil {
		return err
	}
	w := attest.New(attest.Options{
		Store: st, Plan: p, Catalog: cat, Revision: a.revision(ctx), Tool: toolVersion(), Now: now,
	})
	for _, c := range res.Cells {
		if !c.Good || c.Digest == "" {
			continue
		}
		if _, err := w.Write(ctx, c.Cell, c.Digest); err != nil {
			return err
		}
	}
	return nil
}

// epoch is SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/),
// or the clock.
func epoch() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, usage{fmt.Errorf("SOURCE_DATE_EPOCH is %q, and not seconds since 1970", text)}
	}
	return time.Unix(seconds, 0), nil
}

// toolVersion is the version of this program.
func toolVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// revision asks git where the catalog comes from. A catalog outside git, or a
// machine without git, has no revision.
func (a *app) revision(ctx context.Context) attest.Revision {
	dir, err := a.catalogRoot()
	if err != nil {
		return attest.Revision{}
	}
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	var r attest.Revision
	if r.Commit, err = git("rev-parse", "HEAD"); err != nil {
		return attest.Revision{}
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no", "--", ".")
	r.Modified = err != nil || changed != ""
	if remote, err := git("remote", "get-url", "origin"); err == nil {
		// Only what names the place: no user, no token, no path of this machine.
		if u, err := url.Parse(remote); err == nil && u.Scheme == "https" {
			u.User = nil
			r.Repository = u.String()
		}
	}
	return r
}

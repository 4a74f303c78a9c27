package jetcrate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/workflow"
)

// github is the context github of a run on this machine: what git says of the
// catalog's repository, under the event. What is not known is empty.
func (p *pipelineRun) github(ctx context.Context, w *workflow.Workflow, dir string) (map[string]any, error) {
	event, err := p.readEvent(w)
	if err != nil {
		return nil, err
	}
	git := func(args ...string) string {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		var out bytes.Buffer
		cmd.Stdout = &out
		if cmd.Run() != nil {
			return ""
		}
		return strings.TrimSpace(out.String())
	}
	sha, branch := git("rev-parse", "HEAD"), git("symbolic-ref", "--short", "-q", "HEAD")
	ref, refName, refType := "refs/heads/"+branch, branch, "branch"
	if tag := git("describe", "--tags", "--exact-match", "HEAD"); tag != "" && (branch == "" || p.event == "release") {
		ref, refName, refType = "refs/tags/"+tag, tag, "tag"
	}
	if refName == "" {
		ref, refType = "", ""
	}
	repository := repositoryOf(git("config", "--get", "remote.origin.url"), filepath.Base(dir))
	owner, _, _ := strings.Cut(repository, "/")
	out := map[string]any{
		"event_name": p.event, "sha": sha, "ref": ref, "ref_name": refName, "ref_type": refType,
		"repository": repository, "repository_owner": owner, "actor": userName(), "triggering_actor": userName(),
		"run_id": "0", "run_number": "0", "run_attempt": "1",
		"server_url": cmp.Or(os.Getenv("GITHUB_SERVER_URL"), "https://github.com"), "api_url": cmp.Or(os.Getenv("GITHUB_API_URL"), "https://api.github.com"),
		"workflow": w.Name, "action": "", "token": os.Getenv("GITHUB_TOKEN"), "base_ref": "", "head_ref": "",
	}
	if event == nil {
		event = map[string]any{}
		if p.event == "pull_request" {
			base, err := p.baseRevision(git)
			if err != nil {
				return nil, err
			}
			name := strings.TrimPrefix(base.name, "origin/")
			out["base_ref"], out["head_ref"] = name, branch
			event["number"] = 0
			event["pull_request"] = map[string]any{
				"number": 0, "title": git("log", "-1", "--format=%s"),
				"head": map[string]any{"ref": branch, "sha": sha}, "base": map[string]any{"ref": name, "sha": base.sha},
			}
		}
		if p.event == "release" {
			event["release"] = map[string]any{"tag_name": refName}
		}
	}
	out["event"] = event
	if p.event == "pull_request" && p.payload != "" {
		for key, side := range map[string]string{"base_ref": "base", "head_ref": "head"} {
			pr, _ := event["pull_request"].(map[string]any)
			of, _ := pr[side].(map[string]any)
			if name, ok := of["ref"].(string); ok {
				out[key] = name
			}
		}
	}
	return out, nil
}

type commit struct{ name, sha string }

// baseRevision is where the branch left what a pull request would go into.
func (p *pipelineRun) baseRevision(git func(...string) string) (commit, error) {
	candidates := []string{git("rev-parse", "--abbrev-ref", "origin/HEAD"), "main", "master"}
	if p.base != "" {
		candidates = []string{p.base}
	}
	for _, c := range candidates {
		if c == "" || strings.HasPrefix(c, "-") {
			continue
		}
		if sha := git("merge-base", c, "HEAD"); sha != "" {
			return commit{c, sha}, nil
		}
	}
	if p.base != "" {
		return commit{}, usage{fmt.Errorf("--base %q is no revision here that HEAD comes from", p.base)}
	}
	return commit{}, usage{fmt.Errorf("no revision to compare a pull request with: name one with --base")}
}

var githubRemote = regexp.MustCompile(`[:/]([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+?)(\.git)?/?$`)

// repositoryOf is owner/name out of the address of a remote.
func repositoryOf(remote, folder string) string {
	if m := githubRemote.FindStringSubmatch(remote); m != nil {
		return m[1]
	}
	return "local/" + folder
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

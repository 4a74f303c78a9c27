package jetcrate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-github/v66/github"
	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/workflow/upstream"
)

func (a *app) upstreamCommand() *cobra.Command {
	var api, index string
	var write bool
	var patience time.Duration
	c := &cobra.Command{
		Use: "upstream [PACKAGE...]", Short: "Look for new upstream versions and propose the edits of specs",
		Long: `Looks for versions newer than the newest of each package, where its source says that it
comes from: a release of GitHub or a project of PyPI. Each is proposed as an edit of the
spec, which keeps its comments; --write makes it. Prints nothing where nothing is new;
packages that were not looked at are named on stderr.

GITHUB_TOKEN, where it is set, is used to ask GitHub.`,
		Example: "  jetcrate upstream\n  jetcrate upstream numpy --write && jetcrate diff HEAD",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json", "markdown"); err != nil {
				return err
			}
			o, err := upstreamOptions(api, index, patience)
			if err != nil {
				return err
			}
			return a.upstream(c.Context(), args, o, write)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			cat, _, _, err := a.read()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return cat.Names(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := c.Flags()
	f.BoolVar(&write, "write", false, "write the proposed specs")
	f.StringVar(&api, "github-api", "https://api.github.com", "address of GitHub's API")
	f.StringVar(&index, "index", "https://pypi.org/simple", "address of a simple index with JSON (PEP 691)")
	f.DurationVar(&patience, "patience", 2*time.Minute, "longest wait for a rate limit")
	return c
}

func upstreamOptions(api, index string, patience time.Duration) (upstream.Options, error) {
	client := &http.Client{Timeout: time.Minute}
	gh := github.NewClient(client)
	if token := os.Getenv("GITHUB_TOKEN"); token != "" {
		gh = gh.WithAuthToken(token)
	}
	base, err := url.Parse(strings.TrimSuffix(api, "/") + "/")
	if err != nil || base.Host == "" {
		return upstream.Options{}, usage{fmt.Errorf("--github-api %q is no address", api)}
	}
	gh.BaseURL = base
	return upstream.Options{
		GitHub: gh, Index: index, HTTP: client, Patience: patience, Now: time.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		},
	}, nil
}

func (a *app) upstream(ctx context.Context, names []string, o upstream.Options, write bool) error {
	cat, _, err := a.load()
	if err != nil {
		return err
	}
	for _, name := range names {
		if cat.Packages[name] == nil {
			return solve.Check(cat, []spec.Target{{Name: name}}).Err()
		}
	}
	proposals, skips, err := upstream.Propose(ctx, cat, names, o)
	if err != nil {
		return err
	}
	dir, err := a.catalogRoot()
	if err != nil {
		return err
	}
	for _, p := range proposals {
		if !write {
			break
		}
		if err := renameio.WriteFile(filepath.Join(dir, p.File), p.Edited, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", p.File, err)
		}
	}
	switch a.output {
	case "json":
		return a.json(map[string]any{"proposals": emptyNotNull(proposals), "skipped": emptyNotNull(skips)})
	case "markdown":
		for _, p := range proposals {
			fmt.Fprintf(a.stdout, "- **%s** %s (was %s): %s\n", p.Package, p.New, p.Old, p.Source)
		}
	default:
		for _, p := range proposals {
			fmt.Fprintf(a.stdout, "%s: %s (was %s): %s\n%s", p.Package, p.New, p.Old, p.Source, changes(cat, p))
		}
	}
	for _, s := range skips {
		fmt.Fprintf(a.stderr, "%s: skipped: %s\n", s.Package, diag.Clean(s.Reason))
	}
	return nil
}

// changes is a proposal as a unified diff.
func changes(cat *spec.Catalog, p upstream.Proposal) []byte {
	return diff.Diff("a/"+p.File, cat.Packages[p.Package].Doc.Bytes, "b/"+p.File, p.Edited)
}

func emptyNotNull[V any](list []V) []V {
	if list == nil {
		return []V{}
	}
	return list
}

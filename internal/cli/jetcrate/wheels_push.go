package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/wheel"
)

func (a *app) wheelsPushCommand() *cobra.Command {
	var line, index string
	var unlabelled bool
	c := &cobra.Command{
		Use: "push URL|NAME [PROJECT...]", Short: "Upload the wheels of a line to another index, as twine does",
		Example: "  jetcrate wheels push https://devpi.example/team/dev/ --line jp6/cu126\n  jetcrate wheels push lab markupsafe --line jp6/cu126 --index-url https://lab.example/simple/",
		Long: `Uploads by the legacy upload protocol, which PyPI, devpi, pypiserver and others take.
NAME is a section of ~/.pypirc. The login is that of TWINE_USERNAME and TWINE_PASSWORD,
of ~/.pypirc, or of ~/.netrc ($NETRC).

What is there with the same bytes is left alone; with others it is an error. The index
there has no lines: wheels that hold CUDA code and whose version does not say which are
refused, unless --unlabelled is given. Yanked and untested ones stay here.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if len(args) == 0 {
				return usage{errors.New("wheels push needs the URL for uploads, or a name of ~/.pypirc")}
			}
			home, _ := os.UserHomeDir()
			where, err := wheel.FindLogin(args[0], home, os.Getenv)
			if err != nil {
				return usage{err}
			}
			up := &wheel.Uploader{URL: where.URL, Login: where.Login}
			if up.Index, err = wheel.Open(c.Context(), or(index, simpleOf(where.URL))); err != nil {
				return usage{fmt.Errorf("--index-url: %w", err)}
			}
			return a.withStore(c.Context(), func(st *store.Store) error {
				list, err := trees(c.Context(), st, line)
				if err != nil {
					return err
				}
				if len(list) != 1 {
					var names []string
					for _, t := range list {
						names = append(names, t.Line.String())
					}
					return usage{fmt.Errorf("an index elsewhere has no lines: name one with --line (%s)", strings.Join(names, ", "))}
				}
				part, _, err := list[0].Select(args[1:], false)
				if err != nil {
					return usage{err}
				}
				return a.push(c.Context(), st, up, part, unlabelled)
			})
		},
	}
	a.lineFlag(c, &line)
	c.Flags().StringVar(&index, "index-url", "", "the simple index of the same place, to compare hashes with (default: URL/simple/)")
	c.Flags().BoolVar(&unlabelled, "unlabelled", false, "upload wheels with CUDA code whose version does not name the CUDA")
	return c
}

// simpleOf is where the simple index of an upload address usually is.
func simpleOf(upload string) string {
	if rest, ok := strings.CutPrefix(upload, "https://upload.pypi.org/"); ok && strings.HasPrefix(rest, "legacy") {
		return "https://pypi.org/simple/"
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(upload, "/"), "/legacy"), "/") + "/simple/"
}

type pushed struct {
	Name   string     `json:"name"`
	Status wheel.Sent `json:"status"`
	Reason string     `json:"reason,omitempty"`
}

// push uploads one file after the other, and goes on after one that is refused.
func (a *app) push(ctx context.Context, st *store.Store, up *wheel.Uploader, t *wheel.Tree, unlabelled bool) error {
	results := []pushed{}
	failed := false
	for _, w := range t.Wheels {
		r := pushed{Name: w.Name}
		switch {
		case t.Testbed && !loopback(up.URL):
			r.Status, r.Reason = "refused", "made on the testbed, for checks alone"
		case w.Yanked:
			r.Status, r.Reason = "skipped", "yanked: "+w.Reason
		case w.Untested:
			r.Status, r.Reason = "skipped", "untested"
		case w.GPU && !w.Labelled && !unlabelled:
			r.Status, r.Reason = "refused", "it holds CUDA code, and its version does not say so (--unlabelled uploads it)"
		default:
			var err error
			if r.Status, err = send(ctx, st, up, w); err != nil {
				if ctx.Err() != nil {
					return err
				}
				r.Status, r.Reason = "failed", err.Error()
			}
		}
		failed = failed || r.Status == "failed" || r.Status == "refused"
		results = append(results, r)
		if a.output == "text" {
			reason := ""
			if r.Reason != "" {
				reason = ": " + diag.Clean(r.Reason)
			}
			fmt.Fprintf(a.stdout, "%s %s%s\n", r.Status, r.Name, reason)
		}
	}
	if a.output == "json" {
		if err := a.json(results); err != nil {
			return err
		}
	}
	if failed {
		return said{exitNo}
	}
	return nil
}

func send(ctx context.Context, st *store.Store, up *wheel.Uploader, w wheel.Wheel) (wheel.Sent, error) {
	f, err := st.BlobFile(ctx, "sha256:"+w.SHA256)
	if err != nil {
		return "", err
	}
	defer f.Close()
	m, err := wheel.ReadMetadata(f, w.Size)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", w.Name, err)
	}
	return up.Send(ctx, w.File, m, f)
}

// loopback reports whether a URL is on this machine: the testbed's index is.
func loopback(at string) bool {
	u, err := url.Parse(at)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

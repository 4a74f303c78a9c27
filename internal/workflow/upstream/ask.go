package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v66/github"
)

// Bounds of what is read.
const (
	maxPages = 5
	maxIndex = 64 << 20
	maxTries = 3
)

// newest asks a source for its newest version. A reason means that there is none
// to be had.
func (o Options) newest(ctx context.Context, s source) (found, reason string, err error) {
	for range maxTries {
		var wait time.Duration
		if s.pypi != "" {
			found, wait, reason, err = o.fromIndex(ctx, s.pypi)
		} else {
			found, wait, reason, err = o.fromGitHub(ctx, s)
		}
		if err != nil || wait == 0 {
			return found, reason, err
		}
		if wait > o.Patience {
			return "", fmt.Sprintf("a rate limit holds for %s more", wait.Round(time.Second)), nil
		}
		if err := o.Sleep(ctx, wait); err != nil {
			return "", "", err
		}
	}
	return "", "a rate limit holds on", nil
}

// fromGitHub reads the releases of a repository. A wait says how long a rate
// limit holds.
func (o Options) fromGitHub(ctx context.Context, s source) (found string, wait time.Duration, reason string, err error) {
	var all []string
	opts := &github.ListOptions{PerPage: 100}
	for range maxPages {
		releases, resp, err := o.GitHub.Repositories.ListReleases(ctx, s.owner, s.name, opts)
		var limited *github.RateLimitError
		var abused *github.AbuseRateLimitError
		switch {
		case errors.As(err, &limited):
			return "", max(limited.Rate.Reset.Sub(o.Now()), time.Second), "", nil
		case errors.As(err, &abused):
			return "", max(abused.GetRetryAfter(), time.Second), "", nil
		case resp != nil && resp.StatusCode == http.StatusNotFound:
			return "", 0, fmt.Sprintf("GitHub has no %s/%s", s.owner, s.name), nil
		case resp != nil && resp.StatusCode == http.StatusTooManyRequests:
			return "", retryAfter(resp.Response), "", nil
		case err != nil:
			return "", 0, "", fmt.Errorf("asking GitHub for releases of %s/%s: %w", s.owner, s.name, err)
		}
		for _, r := range releases {
			tag := r.GetTagName()
			if r.GetDraft() || r.GetPrerelease() || !strings.HasPrefix(tag, s.before) || !strings.HasSuffix(tag, s.after) || len(tag) <= len(s.before)+len(s.after) {
				continue
			}
			all = append(all, tag[len(s.before):len(tag)-len(s.after)])
		}
		if resp.NextPage == 0 {
			break
		}
		opts.Page = resp.NextPage
	}
	return best(all), 0, "", nil
}

// page is a project in the JSON form of a simple index
// (https://peps.python.org/pep-0691/, https://peps.python.org/pep-0700/).
type page struct {
	Versions []string `json:"versions"`
	Files    []struct {
		Filename string `json:"filename"`
		Yanked   any    `json:"yanked"` // true, or why
	} `json:"files"`
}

// fromIndex reads a project of a simple index.
func (o Options) fromIndex(ctx context.Context, project string) (found string, wait time.Duration, reason string, err error) {
	at, err := url.JoinPath(o.Index, normalised(project), "/")
	if err != nil {
		return "", 0, "", fmt.Errorf("the index %q: %w", o.Index, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", 0, "", err
	}
	req.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return "", 0, "", fmt.Errorf("asking the index for %s: %w", project, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return "", 0, "the index has no " + project, nil
	case http.StatusTooManyRequests:
		return "", retryAfter(resp), "", nil
	default:
		return "", 0, "", fmt.Errorf("asking the index for %s: it answers %s", project, resp.Status)
	}
	var p page
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxIndex)).Decode(&p); err != nil {
		return "", 0, "", fmt.Errorf("reading what the index says of %s: %w", project, err)
	}
	var all []string
	for _, v := range p.Versions {
		if p.offers(v) {
			all = append(all, v)
		}
	}
	return best(all), 0, "", nil
}

// offers reports whether a version has a file that is not yanked.
func (p page) offers(version string) bool {
	for _, f := range p.Files {
		if yanked, is := f.Yanked.(bool); f.Yanked != nil && (!is || yanked) {
			continue
		}
		_, rest, ok := strings.Cut(f.Filename, "-"+version)
		if ok && (strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, ".tar.") || strings.HasPrefix(rest, ".zip")) {
			return true
		}
	}
	return false
}

// normalised is the name of a project by PEP 503.
func normalised(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' || r == '.' }), "-")
}

// retryAfter is how long an answer asks to wait; a second where it does not say.
func retryAfter(resp *http.Response) time.Duration {
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return time.Second
}

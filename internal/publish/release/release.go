// Package release makes a GitHub release of files: a draft that gets them one
// after the other and is published when all are there.
//
// The same call completes a release that was left halfway. A file that is there
// with the same size and SHA-256 is kept; one that was cut off, or that a draft
// has with other content, is deleted and uploaded again. A published release gets
// what it lacks and never loses or changes a file.
//
// GitHub's limits are obeyed: the primary one (X-RateLimit-Reset), the secondary
// ones (Retry-After), and answers of 5xx and broken connections are tried again
// with growing pauses. The token goes to the API's own hosts and nowhere else.
package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/go-github/v66/github"
)

// DefaultAPI is where GitHub's API is.
const DefaultAPI = "https://api.github.com/"

// Options of New.
type Options struct {
	Repository string // owner/name
	Token      string
	API        string // DefaultAPI when empty; GitHub Enterprise has another
	Transport  http.RoundTripper
	Pause      time.Duration // before the second attempt, doubled with each; 0 is 1 s
	Longest    time.Duration // that a limit is waited for, all together; 0 is 1 h
	Say        func(string)
	Now        func() time.Time
	Sleep      func(context.Context, time.Duration) error
}

// Client makes releases of one repository.
type Client struct {
	Options
	owner, name string
	github      *github.Client
	auth        *auth
	waited      time.Duration
}

// attempts is how often a request is sent that fails for no limit.
const attempts = 6

// New makes a Client.
func New(o Options) (*Client, error) {
	owner, name, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("the repository %q is not OWNER/NAME", o.Repository)
	}
	api, err := url.Parse(strings.TrimSuffix(cmp.Or(o.API, DefaultAPI), "/") + "/")
	if err != nil || api.Host == "" {
		return nil, fmt.Errorf("the API's address %q is no URL", o.API)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	o.Pause, o.Longest = cmp.Or(o.Pause, time.Second), cmp.Or(o.Longest, time.Hour)
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	c := &Client{Options: o, owner: owner, name: name, auth: &auth{inner: o.Transport, token: o.Token, hosts: map[string]bool{api.Host: true}}}
	c.begin(api)
	return c, nil
}

// begin makes the library's client. It keeps limits in mind by the machine's
// clock; after a wait a new one asks GitHub itself whether they are over.
func (c *Client) begin(api *url.URL) {
	c.github = github.NewClient(&http.Client{Transport: c.auth})
	c.github.BaseURL, c.github.UploadURL = api, api
}

// auth sends the token to the hosts that it is for: a download is redirected to
// a host of somebody else.
type auth struct {
	inner http.RoundTripper
	token string
	hosts map[string]bool
}

func (a *auth) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if a.token != "" && a.hosts[r.URL.Host] {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return a.inner.RoundTrip(r)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// try sends a request until it is answered, or must not be sent again.
func (c *Client) try(ctx context.Context, doing string, send func() error) error {
	for attempt := 1; ; attempt++ {
		err := send()
		if err == nil {
			return nil
		}
		wait, limited := c.wait(err, attempt)
		if wait < 0 || !limited && attempt >= attempts || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if limited {
			if c.waited += wait; c.waited > c.Longest {
				return fmt.Errorf("%s: GitHub asks to wait for %s more; the same command goes on then: %w", doing, wait.Round(time.Second), err)
			}
			attempt-- // it was not tried
		}
		c.Say(fmt.Sprintf("%s: waiting %s: %s", doing, wait.Round(time.Millisecond), short(err)))
		if err := c.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if limited {
			c.begin(c.github.BaseURL)
		}
	}
}

// wait says how long to wait after an error, and whether a limit is the reason;
// below 0 is not at all.
func (c *Client) wait(err error, attempt int) (time.Duration, bool) {
	backoff := c.Pause << min(attempt-1, 6)
	var primary *github.RateLimitError
	var secondary *github.AbuseRateLimitError
	var answer *github.ErrorResponse
	var network net
	switch {
	case errors.As(err, &primary):
		return max(primary.Rate.Reset.Sub(c.Now()), 0) + c.Pause, true // the clocks differ
	case errors.As(err, &secondary):
		if secondary.RetryAfter != nil {
			return *secondary.RetryAfter, true
		}
		return max(backoff, 60*c.Pause), true // as GitHub asks where it says nothing
	case errors.As(err, &answer):
		switch code := answer.Response.StatusCode; {
		case code == http.StatusTooManyRequests:
			if after, err := time.ParseDuration(answer.Response.Header.Get("Retry-After") + "s"); err == nil {
				return after, true
			}
			return max(backoff, 60*c.Pause), true
		case code >= 500:
			return backoff, false
		}
		return -1, false
	case errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return backoff, false
	}
	return -1, false
}

// net is what connections that break give: *url.Error and those below it.
type net interface{ Timeout() bool }

// short is an error without the address of its request.
func short(err error) string {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Response.Status
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return strings.SplitN(err.Error(), "\n", 2)[0]
}

// File is a file of a release.
type File struct {
	Name, Path string
	Size       int64
	SHA256     string // hex
	Type       string // media type
}

// NewFile reads size and hash of a file.
func NewFile(name, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return File{}, fmt.Errorf("reading %s: %w", path, err)
	}
	out := File{Name: name, Path: path, Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Type: "application/octet-stream"}
	for suffix, kind := range map[string]string{".json": "application/json", ".md": "text/markdown", ".whl": "application/zip", "SHA256SUMS": "text/plain"} {
		if strings.HasSuffix(name, suffix) {
			out.Type = kind
		}
	}
	return out, nil
}

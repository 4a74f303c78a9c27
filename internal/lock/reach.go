package lock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/jetcrate/jetcrate/internal/image"
)

// Unreachable is a host that does not answer; what else is there is not asked.
// Why is the reason without what was asked for.
type Unreachable struct {
	Err error
	Why string
}

func (u *Unreachable) Error() string { return u.Err.Error() }
func (u *Unreachable) Unwrap() error { return u.Err }

// maxDownload is what one download may have, in bytes: the largest archives of
// vendors have a few GiB.
const maxDownload = 32 << 30

// Reach gives sources that ask registries, git repositories, web servers and
// Python indexes.
func Reach() Sources {
	// A server that says nothing for a minute is given up; a download may take
	// what time it needs.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	transport.DialContext = (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	patience := image.Patience{Attempts: 2}
	client := &http.Client{Transport: image.Transport(transport, patience), CheckRedirect: redirect}
	return Sources{
		Digest: func(ctx context.Context, ref string) (string, error) { return digest(ctx, ref, patience) },
		Commit: commit,
		Download: func(ctx context.Context, address string) (string, int64, error) {
			return download(ctx, client, address, maxDownload)
		},
		Pip: pip,
	}
}

// redirect refuses to leave TLS.
func redirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= 10:
		return errors.New("it redirects ten times")
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https", r.URL.Scheme == "file":
		return fmt.Errorf("it redirects from %s to %s", via[0].URL.Scheme, r.URL.Scheme)
	}
	return nil
}

func registryOf(ref string) string {
	r, err := name.ParseReference(ref)
	if err != nil {
		return ""
	}
	return r.Context().RegistryStr()
}

// digest asks a registry for the digest of a tag: of the index, where there is
// one for several platforms.
func digest(ctx context.Context, ref string, p image.Patience) (string, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return "", fmt.Errorf("reading image reference %q: %w", ref, err)
	}
	d, err := remote.Get(r, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithTransport(image.Transport(nil, p)), remote.WithUserAgent("jetcrate"),
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Steps: 2}))
	if err != nil {
		explained := image.Explain(r.Context().Registry, r.Context().RepositoryStr(), err)
		var network net.Error
		if errors.As(err, &network) {
			return "", &Unreachable{explained, network.Error()}
		}
		return "", explained
	}
	got, _, err := v1.SHA256(bytes.NewReader(d.Manifest))
	if err == nil && got != d.Digest {
		err = fmt.Errorf("the registry says %s and sends %s", d.Digest, got)
	}
	return d.Digest.String(), err
}

// commit asks a git repository for the commit of a tag or a branch.
func commit(ctx context.Context, repository, ref string) (id, from string, err error) {
	if _, err := exec.LookPath("git"); err != nil {
		return "", "", errors.New("git is not installed here: apt-get install git")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	names := []string{"refs/tags/" + ref + "^{}", "refs/tags/" + ref, "refs/heads/" + ref}
	if strings.HasPrefix(ref, "refs/") || ref == "HEAD" {
		names = []string{ref + "^{}", ref}
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30", "ls-remote", "-q", "--", repository}, names...)...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:http:ssh:git:file", "GIT_ASKPASS=true", "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=20", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		said := lastLine(stderr.String())
		if _, fatal, ok := strings.Cut(stderr.String(), "fatal: "); ok {
			said, _, _ = strings.Cut(fatal, "\n")
		}
		err = fmt.Errorf("asking %s for %s: %s", redacted(repository), ref, said)
		for _, away := range []string{"Could not resolve host", "Failed to connect", "Connection refused", "Connection timed out", "Couldn't connect"} {
			if strings.Contains(stderr.String(), away) {
				return "", "", &Unreachable{err, said}
			}
		}
		return "", "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			found[name] = id
		}
	}
	for _, name := range names {
		if id := found[name]; id != "" {
			return id, strings.TrimSuffix(name, "^{}"), nil
		}
	}
	return "", "", fmt.Errorf("%s has no tag or branch %s", redacted(repository), ref)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// redacted is an address without what opens it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	u.User = nil
	return u.String()
}

// download reads what is at an address, and keeps none of it.
func download(ctx context.Context, c *http.Client, address string, limit int64) (string, int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", 0, fmt.Errorf("reading the address %q: %w", address, err)
	}
	r.Header.Set("User-Agent", "jetcrate")
	r.Header.Set("Accept-Encoding", "identity") // the bytes as they are stored
	resp, err := c.Do(r)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		err = fmt.Errorf("fetching %s: %w", redacted(address), err)
		var network net.Error
		if errors.As(err, &network) {
			err = &Unreachable{err, network.Error()}
		}
		return "", 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("fetching %s: %s", redacted(address), resp.Status)
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("fetching %s: %w", redacted(address), err)
	case n > limit:
		return "", 0, fmt.Errorf("fetching %s: it has more than %d bytes", redacted(address), limit)
	case n == 0:
		return "", 0, fmt.Errorf("fetching %s: it is empty", redacted(address))
	case resp.ContentLength >= 0 && n != resp.ContentLength:
		return "", 0, fmt.Errorf("fetching %s: it ended after %d of %d bytes", redacted(address), n, resp.ContentLength)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/go-github/v66/github"
)

// Release is what is to be there.
type Release struct {
	Tag    string
	Commit string // that a new tag names; "" is the default branch
	Notes  string // Markdown
	Files  []File
	Pre    bool // a pre-release
}

// Result is what became of it.
type Result struct {
	URL      string   `json:"url"`
	Created  bool     `json:"created,omitempty"`
	Uploaded []string `json:"uploaded"`
	Kept     []string `json:"kept"`
	Replaced []string `json:"replaced,omitempty"` // that were cut off, or of a draft
}

// asset is a file that a release has, as the API shows it; the library lacks the
// digest.
type asset struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	State  string `json:"state"` // uploaded; starter and open are cut off
	Size   int64  `json:"size"`
	Digest string `json:"digest"` // sha256:..., empty where it is older than digests
}

func (c *Client) repo(format string, args ...any) string {
	return "repos/" + c.owner + "/" + c.name + fmt.Sprintf(format, args...)
}

// get reads one answer of the API; next is the number of the next page.
func (c *Client) get(ctx context.Context, path string, into any) (next int, err error) {
	req, err := c.github.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.github.Do(ctx, req, into)
	if err != nil {
		return 0, err
	}
	return resp.NextPage, nil
}

// each reads all pages of a list.
func each[T any](ctx context.Context, c *Client, doing, path string, visit func(T) (more bool)) error {
	for page := 1; page != 0; {
		var list []T
		var next int
		if err := c.try(ctx, doing, func() (err error) {
			list = nil
			next, err = c.get(ctx, fmt.Sprintf("%s?per_page=100&page=%d", path, page), &list)
			return err
		}); err != nil {
			return err
		}
		for _, v := range list {
			if !visit(v) {
				return nil
			}
		}
		page = next
	}
	return nil
}

// find looks for the release of a tag, drafts too, which only the list has.
func (c *Client) find(ctx context.Context, tag string) (*github.RepositoryRelease, error) {
	var found *github.RepositoryRelease
	err := each(ctx, c, "listing the releases of "+c.Repository, c.repo("/releases"), func(r *github.RepositoryRelease) bool {
		if r.GetTagName() == tag {
			found = r
		}
		return found == nil
	})
	return found, err
}

// Latest reads a file of the newest published release; nil where there is none.
func (c *Client) Latest(ctx context.Context, not, name string) (tag string, content []byte, err error) {
	var latest *github.RepositoryRelease
	if err := each(ctx, c, "listing the releases of "+c.Repository, c.repo("/releases"), func(r *github.RepositoryRelease) bool {
		if !r.GetDraft() && !r.GetPrerelease() && r.GetTagName() != not &&
			(latest == nil || r.GetPublishedAt().After(latest.GetPublishedAt().Time)) {
			latest = r
		}
		return true
	}); err != nil || latest == nil {
		return "", nil, err
	}
	assets, err := c.assets(ctx, latest.GetID())
	if err != nil {
		return "", nil, err
	}
	for _, a := range assets {
		if a.Name == name {
			var b bytes.Buffer
			err := c.download(ctx, a, &b)
			return latest.GetTagName(), b.Bytes(), err
		}
	}
	return latest.GetTagName(), nil, nil
}

func (c *Client) assets(ctx context.Context, release int64) ([]asset, error) {
	var out []asset
	err := each(ctx, c, "listing the files of the release", c.repo("/releases/%d/assets", release), func(a asset) bool {
		out = append(out, a)
		return true
	})
	return out, err
}

func (c *Client) download(ctx context.Context, a asset, to *bytes.Buffer) error {
	return c.try(ctx, "reading "+a.Name+" of the release", func() error {
		to.Reset()
		rc, err := c.open(ctx, a)
		if err != nil {
			return err
		}
		defer rc.Close()
		_, err = io.Copy(to, io.LimitReader(rc, 256<<20))
		return err
	})
}

func (c *Client) open(ctx context.Context, a asset) (io.ReadCloser, error) {
	req, err := c.github.NewRequest(http.MethodGet, c.repo("/releases/assets/%d", a.ID), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/octet-stream")
	resp, err := c.github.BareDo(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// same reports whether an asset has a file's content.
func (c *Client) same(ctx context.Context, a asset, f File) (bool, error) {
	if a.State != "uploaded" || a.Size != f.Size {
		return false, nil
	}
	if a.Digest != "" {
		return a.Digest == "sha256:"+f.SHA256, nil
	}
	same := false
	err := c.try(ctx, "reading "+a.Name+" of the release", func() error {
		rc, err := c.open(ctx, a)
		if err != nil {
			return err
		}
		defer rc.Close()
		h := sha256.New()
		_, err = io.Copy(h, rc)
		same = hex.EncodeToString(h.Sum(nil)) == f.SHA256
		return err
	})
	return same, err
}

// ChangedError is a file that a published release has with other content.
type ChangedError struct{ Tag, Name string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("the release %s is published and has %s with other content: what is published is never changed, make another release", e.Tag, e.Name)
}

// Publish makes the release, or completes it.
func (c *Client) Publish(ctx context.Context, want Release) (*Result, error) {
	rel, err := c.find(ctx, want.Tag)
	if err != nil {
		return nil, err
	}
	res := &Result{Uploaded: []string{}, Kept: []string{}}
	if rel == nil {
		if rel, err = c.create(ctx, want); err != nil {
			return nil, err
		}
		res.Created = true
	}
	upload, err := url.Parse(strings.SplitN(rel.GetUploadURL(), "{", 2)[0])
	if err != nil || upload.Host == "" || upload.Scheme != "https" && upload.Scheme != c.github.BaseURL.Scheme {
		return nil, fmt.Errorf("making the release %s: GitHub gave no address to upload to", want.Tag)
	}
	c.auth.hosts[upload.Host] = true
	for _, f := range want.Files {
		if err := c.put(ctx, rel, upload, f, res); err != nil {
			return nil, err
		}
	}
	if rel.GetDraft() {
		draft := false
		notes := want.Notes
		if err := c.try(ctx, "publishing the release "+want.Tag, func() error {
			done, _, err := c.github.Repositories.EditRelease(ctx, c.owner, c.name, rel.GetID(), &github.RepositoryRelease{
				TagName: &want.Tag, Name: &want.Tag, Body: &notes, Draft: &draft, Prerelease: &want.Pre,
			})
			if err == nil {
				rel = done
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	res.URL = rel.GetHTMLURL()
	return res, nil
}

// create makes a draft. A request whose answer got lost may have made one.
func (c *Client) create(ctx context.Context, want Release) (*github.RepositoryRelease, error) {
	var rel *github.RepositoryRelease
	draft, first := true, true
	err := c.try(ctx, "making the release "+want.Tag, func() (err error) {
		if !first {
			if rel, err = c.find(ctx, want.Tag); err != nil || rel != nil {
				return err
			}
		}
		first = false
		r := &github.RepositoryRelease{TagName: &want.Tag, Name: &want.Tag, Body: &want.Notes, Draft: &draft, Prerelease: &want.Pre}
		if want.Commit != "" {
			r.TargetCommitish = &want.Commit
		}
		rel, _, err = c.github.Repositories.CreateRelease(ctx, c.owner, c.name, r)
		return err
	})
	return rel, err
}

// put brings one file into a release. After each failure it looks anew what is there.
func (c *Client) put(ctx context.Context, rel *github.RepositoryRelease, upload *url.URL, f File, res *Result) error {
	kept := true
	replaced := false
	err := c.try(ctx, "uploading "+f.Name, func() error {
		assets, err := c.assets(ctx, rel.GetID())
		if err != nil {
			return err
		}
		for _, a := range assets {
			if a.Name != f.Name {
				continue
			}
			same, err := c.same(ctx, a, f)
			if err != nil || same {
				return err
			}
			if !rel.GetDraft() && a.State == "uploaded" {
				return &ChangedError{rel.GetTagName(), f.Name}
			}
			if err := c.delete(ctx, a); err != nil {
				return err
			}
			replaced = true
		}
		kept = false
		c.Say("uploading " + f.Name)
		return c.upload(ctx, upload, f)
	})
	if err != nil {
		return err
	}
	if kept {
		res.Kept = append(res.Kept, f.Name)
		return nil
	}
	res.Uploaded = append(res.Uploaded, f.Name)
	if replaced {
		res.Replaced = append(res.Replaced, f.Name)
	}
	return nil
}

func (c *Client) delete(ctx context.Context, a asset) error {
	resp, err := c.github.Repositories.DeleteReleaseAsset(ctx, c.owner, c.name, a.ID)
	if resp != nil && resp.StatusCode == http.StatusNotFound {
		return nil // another attempt did it
	}
	return err
}

func (c *Client) upload(ctx context.Context, to *url.URL, f File) error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	at := *to
	at.RawQuery = url.Values{"name": {f.Name}}.Encode()
	req, err := c.github.NewUploadRequest(at.String(), file, f.Size, f.Type)
	if err != nil {
		return err
	}
	var got asset
	if _, err := c.github.Do(ctx, req, &got); err != nil {
		return err
	}
	switch {
	case got.Name != f.Name:
		return fmt.Errorf("GitHub calls %s %s: give it a name that it keeps", f.Name, got.Name)
	case got.Size != f.Size || got.Digest != "" && got.Digest != "sha256:"+f.SHA256:
		return fmt.Errorf("what arrived of %s is not what was sent (%d bytes of %d): %w", f.Name, got.Size, f.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

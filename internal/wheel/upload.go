package wheel

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/jetcrate/jetcrate/internal/diag"
)

// Uploader sends wheels to an index by the legacy upload protocol, which PyPI,
// devpi, pypiserver and others take from twine.
type Uploader struct {
	URL   string // where uploads go, such as https://upload.pypi.org/legacy/
	Login Login
	// Index tells which files are there already, with their hashes; nil is none.
	Index *Index
	// Wait is the pause before the first retry; 0 is half a second.
	Wait time.Duration
}

// Sent is what became of a file.
type Sent string

const (
	Uploaded Sent = "uploaded"
	Already  Sent = "already there" // with the same bytes
)

const answerLimit = 4 << 10

// Send uploads a wheel of this machine.
func (u *Uploader) Send(ctx context.Context, f File, m Metadata, content *os.File) (Sent, error) {
	there, _, err := u.there(ctx, f)
	if err != nil || there {
		return Already, err
	}
	code, answer, err := u.post(ctx, f, m, content)
	if err != nil {
		return "", fmt.Errorf("uploading %s: %w", f.Name, err)
	}
	switch {
	case code >= 200 && code < 300:
		return Uploaded, nil
	case exists(code, answer):
		// Also what a retry meets whose first attempt arrived after all.
		there, known, err := u.there(ctx, f)
		if err != nil || there {
			return Already, err
		}
		if !known {
			return "", fmt.Errorf("uploading %s: the index has a file of that name, and it cannot be told whether it is the same: name its simple index (--index-url)", f.Name)
		}
	}
	return "", fmt.Errorf("uploading %s: %s answers %d: %s", f.Name, u.host(), code, answer)
}

func (u *Uploader) host() string {
	if p, err := url.Parse(u.URL); err == nil {
		return p.Host
	}
	return u.URL
}

// there reports whether the index has this very file; known is false where it
// cannot be asked. Another file of the name is an error.
func (u *Uploader) there(ctx context.Context, f File) (there, known bool, err error) {
	if u.Index == nil {
		return false, false, nil
	}
	files, err := u.Index.Files(ctx, f.Project)
	if errors.Is(err, ErrNotFound) {
		return false, true, nil
	}
	if err != nil {
		return false, false, ctx.Err() // the upload will tell
	}
	for _, have := range files {
		switch {
		case have.Name != f.Name:
		case have.SHA256 == "":
			return false, false, nil
		case have.SHA256 != f.SHA256:
			return false, true, fmt.Errorf("uploading %s: %s has a file of that name with other bytes (SHA-256 %s, not %s): it needs another version or build tag", f.Name, u.Index, have.SHA256, f.SHA256)
		default:
			return true, true, nil
		}
	}
	return false, true, nil
}

// taken is how indexes say that a file name is taken.
var taken = regexp.MustCompile(`(?i)already exist|already been (taken|uploaded)|already uploaded|overwrite artifact|not allow reuse`)

func exists(code int, answer string) bool {
	return code == http.StatusConflict || (code == http.StatusBadRequest || code == http.StatusForbidden) && taken.MatchString(answer)
}

func (u *Uploader) post(ctx context.Context, f File, m Metadata, content *os.File) (code int, answer string, err error) {
	fields, err := formOf(f, m, content)
	if err != nil {
		return 0, "", err
	}
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	for _, x := range fields {
		if err := form.WriteField(x[0], x[1]); err != nil {
			return 0, "", err
		}
	}
	if _, err := form.CreateFormFile("content", f.Name); err != nil {
		return 0, "", err
	}
	top := head.Len()
	if err := form.Close(); err != nil {
		return 0, "", err
	}
	all := head.Bytes()
	body := func() (io.Reader, error) {
		return io.MultiReader(bytes.NewReader(all[:top]), io.NewSectionReader(content, 0, f.Size), bytes.NewReader(all[top:])), nil
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, u.URL, retryablehttp.ReaderFunc(body))
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = int64(len(all)) + f.Size
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("User-Agent", "jetcrate")
	if u.Login.Password != "" {
		req.SetBasicAuth(u.Login.User, u.Login.Password)
	}
	resp, err := u.client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	answer = strings.Join(strings.Fields(diag.Clean(string(raw))), " ")
	if answer == "" {
		answer = resp.Status
	}
	if to := resp.Header.Get("Location"); resp.StatusCode >= 300 && resp.StatusCode < 400 {
		// Followed, it would be asked for and not sent to, and that would pass for success.
		return 0, "", fmt.Errorf("%s wants uploads at another address: %s", u.host(), diag.Clean(to))
	}
	return resp.StatusCode, answer, nil
}

func (u *Uploader) client() *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = 4, u.Wait, 20*time.Second
	if u.Wait == 0 {
		c.RetryWaitMin = 500 * time.Millisecond
	}
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// formOf is the form of an upload without the file: what it is, its hashes, and
// all of its METADATA.
func formOf(f File, m Metadata, content io.ReaderAt) ([][2]string, error) {
	n, err := ParseName(f.Name)
	if err != nil {
		return nil, err
	}
	sum := md5.New() // some indexes want it beside the SHA-256
	if _, err := io.Copy(sum, io.NewSectionReader(content, 0, f.Size)); err != nil {
		return nil, err
	}
	out := [][2]string{
		{":action", "file_upload"}, {"protocol_version", "1"},
		{"name", m.Name}, {"version", m.Version}, {"filetype", "bdist_wheel"}, {"pyversion", n.Python()},
		{"metadata_version", m.Header.Get("Metadata-Version")},
		{"md5_digest", hex.EncodeToString(sum.Sum(nil))}, {"sha256_digest", f.SHA256},
	}
	for _, key := range slices.Sorted(headers(m)) {
		for _, field := range fieldsOf(key) {
			for _, v := range m.Header[key] {
				out = append(out, [2]string{field, v})
			}
		}
	}
	if m.Description != "" && m.Header.Get("Description") == "" {
		out = append(out, [2]string{"description", m.Description})
	}
	return out, nil
}

func headers(m Metadata) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m.Header {
			if !yield(k) {
				return
			}
		}
	}
}

// fieldsOf are the form's names for a field of METADATA; none for those that are
// sent otherwise.
func fieldsOf(header string) []string {
	switch header {
	case "Metadata-Version", "Name", "Version":
		return nil
	case "Classifier":
		return []string{"classifiers"}
	case "Project-Url":
		return []string{"project_urls"}
	case "License-File":
		return []string{"license_files"}
	case "Provides-Extra":
		return []string{"provides_extra", "provides_extras"} // twine 4 sends the second
	}
	return []string{strings.ToLower(strings.ReplaceAll(header, "-", "_"))}
}

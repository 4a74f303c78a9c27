package wheel

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// ErrNotFound is what a project gives that an index does not have.
var ErrNotFound = errors.New("not in the index")

const (
	jsonType = "application/vnd.pypi.simple.v1+json"
	htmlType = "application/vnd.pypi.simple.v1+html"

	pageLimit = 64 << 20 // PyPI's list of all projects is half of it
)

// Index is another's index of wheels, or a folder of wheels. Files that are no
// wheels are left out.
type Index struct {
	dir    string   // of a folder of wheels
	base   *url.URL // of a simple index, ends with /
	client *http.Client
}

// Open opens an index: the URL of a simple index (PEP 503 or 691, as pip's
// --index-url takes it), file: too, or a folder: one that holds wheels, or the
// static files of an index. A URL is not asked before Projects or Files are.
func Open(ctx context.Context, at string) (*Index, error) {
	u, err := url.Parse(at)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	case err == nil && u.Scheme == "file":
		return openDir(filepath.FromSlash(u.Path))
	default:
		return openDir(at)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	u.RawQuery, u.Fragment = "", ""
	return &Index{base: u, client: newClient()}, ctx.Err()
}

// newClient retries what a busy server answers, and minds Retry-After.
func newClient() *http.Client {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = 4, 250*time.Millisecond, 10*time.Second
	c.HTTPClient.Transport.(*http.Transport).ResponseHeaderTimeout = time.Minute
	return c.StandardClient()
}

func openDir(dir string) (*Index, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the index %s: %w", dir, err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("opening the index %s: %w", dir, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("opening the index %s: it is neither a URL nor a folder", dir)
	}
	if _, err := os.Stat(filepath.Join(abs, "index.html")); err != nil {
		return &Index{dir: abs}, nil
	}
	t := &http.Transport{}
	t.RegisterProtocol("file", http.NewFileTransportFS(os.DirFS("/")))
	return &Index{base: &url.URL{Scheme: "file", Path: filepath.ToSlash(abs) + "/"}, client: &http.Client{Transport: t}}, nil
}

// String is where the index is, without credentials.
func (i *Index) String() string {
	if i.base != nil {
		return i.base.Redacted()
	}
	return i.dir
}

// Projects lists the distributions, in normal form, sorted.
func (i *Index) Projects(ctx context.Context) ([]string, error) {
	var names []string
	if i.base == nil {
		files, err := i.folder()
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			names = append(names, f.Project)
		}
	} else {
		p, err := i.page(ctx, i.base)
		if err != nil {
			return nil, fmt.Errorf("listing the index %s: %w", i, err)
		}
		for _, name := range p.projects {
			names = append(names, Normal(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Files lists the wheels of a distribution, the newest version first, by name
// within one. The error is ErrNotFound where the index has none.
func (i *Index) Files(ctx context.Context, project string) ([]File, error) {
	project = Normal(project)
	var files []File
	if i.base == nil {
		all, err := i.folder()
		if err != nil {
			return nil, err
		}
		for _, f := range all {
			if f.Project == project {
				files = append(files, f)
			}
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s in %s: %w", project, i, ErrNotFound)
		}
	} else {
		p, err := i.page(ctx, i.base.JoinPath(project+"/"))
		if err != nil {
			return nil, fmt.Errorf("looking for %s in %s: %w", project, i, err)
		}
		for _, f := range p.files {
			n, err := ParseName(f.Name)
			if err != nil || n.Project != project {
				continue // a source archive, or from before PEP 427
			}
			f.Project, f.Version = n.Project, n.Version.String()
			files = append(files, f)
		}
	}
	sortFiles(files)
	return files, nil
}

// sortFiles sorts by project, the newest version first, then by name.
func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), compareVersions(b, a), strings.Compare(a.Name, b.Name))
	})
}

func compareVersions(a, b File) int {
	an, aErr := ParseName(a.Name)
	bn, bErr := ParseName(b.Name)
	if aErr != nil || bErr != nil {
		return strings.Compare(a.Version, b.Version)
	}
	return an.Version.Compare(bn.Version)
}

// folder lists a folder of wheels, and reads each.
func (i *Index) folder() ([]File, error) {
	entries, err := os.ReadDir(i.dir)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", i.dir, err)
	}
	var files []File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".whl") || !e.Type().IsRegular() {
			continue
		}
		f, _, err := ReadFile(filepath.Join(i.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// ReadFile reads a wheel of this machine: its name, hash and METADATA, which must
// agree.
func ReadFile(name string) (File, Metadata, error) {
	fail := func(err error) (File, Metadata, error) {
		return File{}, Metadata{}, fmt.Errorf("reading %s: %w", name, err)
	}
	n, err := ParseName(filepath.Base(name))
	if err != nil {
		return File{}, Metadata{}, err
	}
	r, err := os.Open(name)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	h := sha256.New()
	size, err := io.Copy(h, r)
	if err != nil {
		return fail(err)
	}
	m, err := ReadMetadata(r, size)
	if err == nil {
		err = m.agrees(n)
	}
	if err != nil {
		return fail(err)
	}
	f := File{
		Name: n.File, Project: n.Project, Version: n.Version.String(), SHA256: hex.EncodeToString(h.Sum(nil)), Size: size,
		RequiresPython: m.RequiresPython, Metadata: hashOf(m.Raw), URL: (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String(),
	}
	return f, m, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Fetch writes a wheel and compares it with its hash, where the index tells one:
// what w got is not the wheel if there is an error.
func (i *Index) Fetch(ctx context.Context, f File, w io.Writer) error {
	rc, err := i.open(ctx, f.URL)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", f.Name, err)
	}
	defer rc.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), rc); err != nil {
		return fmt.Errorf("fetching %s: %w", f.Name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); f.SHA256 != "" && got != f.SHA256 {
		return fmt.Errorf("fetching %s: it has the SHA-256 %s, the index says %s", f.Name, got, f.SHA256)
	}
	return nil
}

// Metadata reads the METADATA of a wheel: alone where the index has it so (PEP
// 658), compared with its hash, or else out of the whole wheel.
func (i *Index) Metadata(ctx context.Context, f File) (Metadata, error) {
	if i.base == nil {
		u, err := url.Parse(f.URL)
		if err != nil {
			return Metadata{}, fmt.Errorf("reading %s: %w", f.Name, err)
		}
		_, m, err := ReadFile(filepath.FromSlash(u.Path))
		return m, err
	}
	n, err := ParseName(f.Name)
	if err != nil {
		return Metadata{}, err
	}
	if f.Metadata == "" && !f.bare {
		return i.fetched(ctx, f, n)
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return Metadata{}, fmt.Errorf("fetching the metadata of %s: %w", f.Name, err)
	}
	u.Path, u.Fragment = u.Path+".metadata", ""
	rc, err := i.open(ctx, u.String())
	if err != nil {
		return Metadata{}, fmt.Errorf("fetching the metadata of %s: %w", f.Name, err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, metadataLimit+1))
	if err != nil {
		return Metadata{}, fmt.Errorf("fetching the metadata of %s: %w", f.Name, err)
	}
	if got := hashOf(raw); f.Metadata != "" && got != f.Metadata {
		return Metadata{}, fmt.Errorf("the metadata of %s has the SHA-256 %s, the index says %s", f.Name, got, f.Metadata)
	}
	m, err := ParseMetadata(raw)
	if err == nil {
		err = m.agrees(n)
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("the metadata of %s: %w", f.Name, err)
	}
	return m, nil
}

// fetched reads the METADATA out of a wheel that it fetches for that.
func (i *Index) fetched(ctx context.Context, f File, n Name) (Metadata, error) {
	tmp, err := os.CreateTemp("", "jetcrate-*.whl")
	if err != nil {
		return Metadata{}, fmt.Errorf("fetching %s: %w", f.Name, err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := i.Fetch(ctx, f, tmp); err != nil {
		return Metadata{}, err
	}
	info, err := tmp.Stat()
	if err != nil {
		return Metadata{}, fmt.Errorf("fetching %s: %w", f.Name, err)
	}
	m, err := ReadMetadata(tmp, info.Size())
	if err == nil {
		err = m.agrees(n)
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("%s: %w", f.Name, err)
	}
	return m, nil
}

func (i *Index) open(ctx context.Context, at string) (io.ReadCloser, error) {
	if i.base == nil {
		u, err := url.Parse(at)
		if err != nil {
			return nil, err
		}
		return os.Open(filepath.FromSlash(u.Path))
	}
	resp, err := i.get(ctx, at, "")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (i *Index) get(ctx context.Context, at, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "jetcrate")
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp, nil
	case http.StatusNotFound, http.StatusGone:
		err = ErrNotFound
	default:
		err = fmt.Errorf("%s answers %s", req.URL.Redacted(), resp.Status)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

func (i *Index) page(ctx context.Context, at *url.URL) (page, error) {
	resp, err := i.get(ctx, at.String(), jsonType+", "+htmlType+";q=0.2, text/html;q=0.01")
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, pageLimit)
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return page{}, fmt.Errorf("%s: its Content-Type: %w", at.Redacted(), err)
	}
	at = resp.Request.URL // after redirects: what links are relative to
	switch kind {
	case jsonType, "application/json":
		return parseJSON(at, body)
	case htmlType, "text/html":
		return parseHTML(at, body)
	}
	return page{}, fmt.Errorf("%s is of the type %s and no page of an index", at.Redacted(), kind)
}

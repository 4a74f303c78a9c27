// Package releasetest plays GitHub for tests of releases.
package releasetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Hub behaves as GitHub's REST API does for releases, as its documentation has it
// (https://docs.github.com/en/rest/releases): drafts are in the list alone, an
// upload that is cut off leaves an asset in the state starter, a name can be given
// once, downloads are redirected to another host, limits are answered with 403 or
// 429. It is not more patient than GitHub with what it did not ask for.
type Hub struct {
	*testing.T
	API      *httptest.Server
	Digests  bool // assets have digests
	Mu       sync.Mutex
	Releases []*Release                                        // the newest first
	Fault    func(w http.ResponseWriter, r *http.Request) bool // true: it answered

	uploads, storage *httptest.Server
	next             int64
	requests         []string
}

// Release is a release as GitHub tells it.
type Release struct {
	ID        int64      `json:"id"`
	Tag       string     `json:"tag_name"`
	Name      string     `json:"name"`
	Body      string     `json:"body"`
	Target    string     `json:"target_commitish"`
	Draft     bool       `json:"draft"`
	Pre       bool       `json:"prerelease"`
	Upload    string     `json:"upload_url"`
	HTML      string     `json:"html_url"`
	Published *time.Time `json:"published_at"`
	Assets    []*Asset   `json:"-"` // asked for by themselves
}

// Asset is a file of a release.
type Asset struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"` // starter or uploaded
	Size    int64  `json:"size"`
	Digest  string `json:"digest,omitempty"`
	content []byte
}

// Token is the one that the hub takes.
const Token = "ghp_secret"

// New starts a hub with the repository o/r, until the test ends.
func New(t *testing.T) *Hub {
	h := &Hub{T: t, Digests: true, next: 1}
	h.API = httptest.NewServer(http.HandlerFunc(h.Serve))
	h.uploads = httptest.NewServer(http.HandlerFunc(h.Serve))
	h.storage = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to a host that it is not for")
		}
		id, _ := strconv.ParseInt(r.URL.Path[1:], 10, 64)
		h.Mu.Lock()
		defer h.Mu.Unlock()
		if a, _, _ := h.asset(id); a != nil {
			_, _ = w.Write(a.content)
		}
	}))
	t.Cleanup(func() { h.API.Close(); h.uploads.Close(); h.storage.Close() })
	return h
}

func (h *Hub) asset(id int64) (*Asset, *Release, int) {
	for _, r := range h.Releases {
		for i, a := range r.Assets {
			if a.ID == id {
				return a, r, i
			}
		}
	}
	return nil, nil, 0
}

// NewID is an ID that nothing has.
func (h *Hub) NewID() int64 { h.next++; return h.next }

func (h *Hub) release(id int64) *Release {
	for _, r := range h.Releases {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Answer sends a value as JSON.
func Answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// Refuse sends an error as GitHub words it.
func Refuse(w http.ResponseWriter, code int, message string, errs ...map[string]string) {
	Answer(w, code, map[string]any{"message": message, "errors": errs, "documentation_url": "https://docs.github.com/rest"})
}

var route = regexp.MustCompile(`^/repos/o/r/releases(?:/(assets/)?(\d+)(/assets)?)?$`)

// Serve answers as the API does.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request) {
	h.Mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	fault := h.Fault
	h.Mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+Token {
		Refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if fault != nil && fault(w, r) {
		return
	}
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil {
		Refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	id, _ := strconv.ParseInt(m[2], 10, 64)
	if r.Method == http.MethodPost && m[3] != "" {
		h.upload(w, r, id)
		return
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	switch {
	case m[2] == "" && r.Method == http.MethodGet:
		page(w, r, h.Releases)
	case m[2] == "" && r.Method == http.MethodPost:
		rel := &Release{ID: h.NewID()}
		if json.NewDecoder(r.Body).Decode(rel) != nil || rel.Tag == "" {
			Refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
			return
		}
		if slices.ContainsFunc(h.Releases, func(o *Release) bool { return o.Tag == rel.Tag && !o.Draft }) {
			Refuse(w, http.StatusUnprocessableEntity, "Validation Failed", map[string]string{"resource": "Release", "code": "already_exists", "field": "tag_name"})
			return
		}
		rel.Upload = fmt.Sprintf("%s/repos/o/r/releases/%d/assets{?name,label}", h.uploads.URL, rel.ID)
		rel.HTML = "https://github.example/o/r/releases/tag/" + rel.Tag
		h.Releases = append([]*Release{rel}, h.Releases...)
		Answer(w, http.StatusCreated, rel)
	case m[1] == "" && m[3] == "" && r.Method == http.MethodPatch:
		rel := h.release(id)
		if rel == nil {
			Refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		_ = json.NewDecoder(r.Body).Decode(rel)
		if !rel.Draft && rel.Published == nil {
			now := time.Date(2026, 1, int(rel.ID), 0, 0, 0, 0, time.UTC)
			rel.Published = &now
		}
		Answer(w, http.StatusOK, rel)
	case m[3] != "" && r.Method == http.MethodGet:
		rel := h.release(id)
		if rel == nil {
			Refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		page(w, r, rel.Assets)
	case m[1] != "" && r.Method == http.MethodDelete:
		a, rel, i := h.asset(id)
		if a == nil {
			Refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		rel.Assets = slices.Delete(rel.Assets, i, i+1)
		w.WriteHeader(http.StatusNoContent)
	case m[1] != "" && r.Method == http.MethodGet && r.Header.Get("Accept") == "application/octet-stream":
		http.Redirect(w, r, fmt.Sprintf("%s/%d", h.storage.URL, id), http.StatusFound)
	default:
		Refuse(w, http.StatusNotFound, "Not Found")
	}
}

// page answers with a page of a list, three to a page whatever is asked for, with
// the links that lead on.
func page[T any](w http.ResponseWriter, r *http.Request, list []T) {
	const size = 3
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	n = max(n, 1)
	if n*size < len(list) {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, n+1))
	}
	Answer(w, http.StatusOK, append([]T{}, list[min((n-1)*size, len(list)):min(n*size, len(list))]...))
}

func (h *Hub) upload(w http.ResponseWriter, r *http.Request, id int64) {
	if "http://"+r.Host != h.uploads.URL {
		Refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	name := r.URL.Query().Get("name")
	h.Mu.Lock()
	rel := h.release(id)
	if rel == nil || r.ContentLength < 0 {
		h.Mu.Unlock()
		Refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if slices.ContainsFunc(rel.Assets, func(a *Asset) bool { return a.Name == name }) {
		h.Mu.Unlock()
		Refuse(w, http.StatusUnprocessableEntity, "Validation Failed", map[string]string{"resource": "ReleaseAsset", "code": "already_exists", "field": "name"})
		return
	}
	a := &Asset{ID: h.NewID(), Name: name, State: "starter"}
	rel.Assets = append(rel.Assets, a)
	h.Mu.Unlock()
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) != r.ContentLength {
		return // it stays a starter
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Finish(a, content)
	Answer(w, http.StatusCreated, a)
}

// Finish makes an asset what it is once its content has come.
func (h *Hub) Finish(a *Asset, content []byte) {
	sum := sha256.Sum256(content)
	a.State, a.Size, a.content = "uploaded", int64(len(content)), content
	if h.Digests {
		a.Digest = "sha256:" + hex.EncodeToString(sum[:])
	}
}

// Count is how many requests began so.
func (h *Hub) Count(prefix string) int {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// Reset forgets the requests and sets the fault.
func (h *Hub) Reset(fault func(w http.ResponseWriter, r *http.Request) bool) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.requests, h.Fault = nil, fault
}

// Files are the names and contents of a release's assets.
func (h *Hub) Files(tag string) map[string]string {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	out := map[string]string{}
	for _, r := range h.Releases {
		if r.Tag != tag {
			continue
		}
		for _, a := range r.Assets {
			out[a.Name] = string(a.content)
			if a.State != "uploaded" {
				out[a.Name] = a.State
			}
		}
	}
	return out
}

package release_test

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

// hub behaves as GitHub's REST API does for releases, as its documentation has it
// (https://docs.github.com/en/rest/releases): drafts are in the list alone, an
// upload that is cut off leaves an asset in the state starter, a name can be given
// once, downloads are redirected to another host, limits are answered with 403 or
// 429. It is not more patient than GitHub with what it did not ask for.
type hub struct {
	*testing.T
	api, uploads, storage *httptest.Server
	mu                    sync.Mutex
	releases              []*hubRelease
	next                  int64
	digests               bool // assets have digests
	requests              []string
	fault                 func(w http.ResponseWriter, r *http.Request) bool // true: it answered
}

type hubRelease struct {
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
	assets    []*hubAsset
}

type hubAsset struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Size    int64  `json:"size"`
	Digest  string `json:"digest,omitempty"`
	content []byte
}

const token = "ghp_secret"

func newHub(t *testing.T) *hub {
	h := &hub{T: t, digests: true, next: 1}
	h.api = httptest.NewServer(http.HandlerFunc(h.serve))
	h.uploads = httptest.NewServer(http.HandlerFunc(h.serve))
	h.storage = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to a host that it is not for")
		}
		id, _ := strconv.ParseInt(r.URL.Path[1:], 10, 64)
		h.mu.Lock()
		defer h.mu.Unlock()
		if a, _, _ := h.asset(id); a != nil {
			_, _ = w.Write(a.content)
		}
	}))
	t.Cleanup(func() { h.api.Close(); h.uploads.Close(); h.storage.Close() })
	return h
}

func (h *hub) asset(id int64) (*hubAsset, *hubRelease, int) {
	for _, r := range h.releases {
		for i, a := range r.assets {
			if a.ID == id {
				return a, r, i
			}
		}
	}
	return nil, nil, 0
}

func (h *hub) id() int64 { h.next++; return h.next }

func (h *hub) release(id int64) *hubRelease {
	for _, r := range h.releases {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code int, message string, errs ...map[string]string) {
	answer(w, code, map[string]any{"message": message, "errors": errs, "documentation_url": "https://docs.github.com/rest"})
}

var route = regexp.MustCompile(`^/repos/o/r/releases(?:/(assets/)?(\d+)(/assets)?)?$`)

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	fault := h.fault
	h.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if fault != nil && fault(w, r) {
		return
	}
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	id, _ := strconv.ParseInt(m[2], 10, 64)
	if r.Method == http.MethodPost && m[3] != "" {
		h.upload(w, r, id)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case m[2] == "" && r.Method == http.MethodGet:
		page(w, r, h.releases)
	case m[2] == "" && r.Method == http.MethodPost:
		rel := &hubRelease{ID: h.id()}
		if json.NewDecoder(r.Body).Decode(rel) != nil || rel.Tag == "" {
			refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
			return
		}
		if slices.ContainsFunc(h.releases, func(o *hubRelease) bool { return o.Tag == rel.Tag && !o.Draft }) {
			refuse(w, http.StatusUnprocessableEntity, "Validation Failed", map[string]string{"resource": "Release", "code": "already_exists", "field": "tag_name"})
			return
		}
		rel.Upload = fmt.Sprintf("%s/repos/o/r/releases/%d/assets{?name,label}", h.uploads.URL, rel.ID)
		rel.HTML = "https://github.example/o/r/releases/tag/" + rel.Tag
		h.releases = append([]*hubRelease{rel}, h.releases...)
		answer(w, http.StatusCreated, rel)
	case m[1] == "" && m[3] == "" && r.Method == http.MethodPatch:
		rel := h.release(id)
		if rel == nil {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		_ = json.NewDecoder(r.Body).Decode(rel)
		if !rel.Draft && rel.Published == nil {
			now := time.Date(2026, 1, int(rel.ID), 0, 0, 0, 0, time.UTC)
			rel.Published = &now
		}
		answer(w, http.StatusOK, rel)
	case m[3] != "" && r.Method == http.MethodGet:
		rel := h.release(id)
		if rel == nil {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		page(w, r, rel.assets)
	case m[1] != "" && r.Method == http.MethodDelete:
		a, rel, i := h.asset(id)
		if a == nil {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		rel.assets = slices.Delete(rel.assets, i, i+1)
		w.WriteHeader(http.StatusNoContent)
	case m[1] != "" && r.Method == http.MethodGet && r.Header.Get("Accept") == "application/octet-stream":
		http.Redirect(w, r, fmt.Sprintf("%s/%d", h.storage.URL, id), http.StatusFound)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
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
	answer(w, http.StatusOK, append([]T{}, list[min((n-1)*size, len(list)):min(n*size, len(list))]...))
}

func (h *hub) upload(w http.ResponseWriter, r *http.Request, id int64) {
	if "http://"+r.Host != h.uploads.URL {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	name := r.URL.Query().Get("name")
	h.mu.Lock()
	rel := h.release(id)
	if rel == nil || r.ContentLength < 0 {
		h.mu.Unlock()
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if slices.ContainsFunc(rel.assets, func(a *hubAsset) bool { return a.Name == name }) {
		h.mu.Unlock()
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed", map[string]string{"resource": "ReleaseAsset", "code": "already_exists", "field": "name"})
		return
	}
	a := &hubAsset{ID: h.id(), Name: name, State: "starter"}
	rel.assets = append(rel.assets, a)
	h.mu.Unlock()
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) != r.ContentLength {
		return // it stays a starter
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finish(a, content)
	answer(w, http.StatusCreated, a)
}

func (h *hub) finish(a *hubAsset, content []byte) {
	sum := sha256.Sum256(content)
	a.State, a.Size, a.content = "uploaded", int64(len(content)), content
	if h.digests {
		a.Digest = "sha256:" + hex.EncodeToString(sum[:])
	}
}

// count is how many requests began so.
func (h *hub) count(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (h *hub) reset(fault func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests, h.fault = nil, fault
}

// files are the names and contents of a release's assets.
func (h *hub) files(tag string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for _, r := range h.releases {
		if r.Tag != tag {
			continue
		}
		for _, a := range r.assets {
			out[a.Name] = string(a.content)
			if a.State != "uploaded" {
				out[a.Name] = a.State
			}
		}
	}
	return out
}

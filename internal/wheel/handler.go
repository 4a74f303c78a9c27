package wheel

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jetcrate/jetcrate/internal/store"
)

// refresh is how old what a Handler shows of the store may be.
const refresh = 2 * time.Second

// Handler serves the index that a store records, as Site.Write would write it;
// PEP 691 by the Accept header, too. What is recorded later shows within seconds.
type Handler struct {
	store *store.Store
	now   func() time.Time

	mu      sync.Mutex
	shown   *shown
	checked time.Time
}

// shown is the index as it was recorded at one time.
type shown struct {
	tags  map[string]string // digests
	pages map[string][]byte
	files map[string]File
}

// NewHandler serves the index of a store.
func NewHandler(st *store.Store) *Handler { return &Handler{store: st, now: time.Now} }

// current reads what is recorded, unless that was done just now. One asks, and
// the others wait for it.
func (h *Handler) current(ctx context.Context) (*shown, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shown != nil && h.now().Sub(h.checked) < refresh {
		return h.shown, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // it is for the others too
	defer cancel()
	next, err := h.look(ctx)
	if err != nil {
		if h.shown != nil { // a store that does not answer just now
			return h.shown, nil
		}
		return nil, err
	}
	h.shown, h.checked = next, h.now()
	return next, nil
}

func (h *Handler) look(ctx context.Context) (*shown, error) {
	lines, err := Lines(ctx, h.store)
	if err != nil {
		return nil, err
	}
	tags, same := map[string]string{}, h.shown != nil && len(h.shown.tags) == len(lines)
	for _, l := range lines {
		if tags[l.tag()], err = h.store.NameDigest(ctx, l.tag()); err != nil {
			return nil, err
		}
		same = same && h.shown.tags[l.tag()] == tags[l.tag()]
	}
	if same {
		return h.shown, nil
	}
	trees, err := Trees(ctx, h.store)
	if err != nil {
		return nil, err
	}
	site := Site{Trees: trees, Store: h.store}
	pages, err := site.Pages()
	if err != nil {
		return nil, err
	}
	s := &shown{tags: tags, pages: map[string][]byte{}, files: map[string]File{}}
	for _, p := range pages {
		s.pages[p.Path] = p.Content
	}
	for _, f := range site.files() {
		s.files[filePath(f)] = f
	}
	return s, nil
}

// ServeHTTP answers GET and HEAD below the root of the index.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the index is read-only", http.StatusMethodNotAllowed)
		return
	}
	s, err := h.current(r.Context())
	if err != nil {
		http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
		return
	}
	at := strings.TrimPrefix(r.URL.Path, "/")
	if f, ok := s.files[strings.TrimSuffix(at, ".metadata")]; ok {
		h.file(w, r, f, strings.HasSuffix(at, ".metadata"))
		return
	}
	dir := at == "" || strings.HasSuffix(at, "/")
	if !dir && s.pages[at] == nil && s.pages[at+"/index.html"] != nil {
		// Relative, because it is not known where the index is mounted.
		w.Header().Set("Location", at[strings.LastIndexByte(at, '/')+1:]+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	kind := "text/html; charset=utf-8"
	if dir {
		w.Header().Set("Vary", "Accept")
		kind = accepted(r.Header.Values("Accept"))
		if at += "index.html"; kind == jsonType {
			at = strings.TrimSuffix(at, "html") + "json"
		}
	} else if strings.HasSuffix(at, ".json") {
		kind = jsonType
	}
	page, ok := s.pages[at]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hashOf(page)[:32]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
}

// file serves a wheel or its METADATA, both of which never change.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, f File, metadata bool) {
	digest, kind := f.SHA256, "application/octet-stream"
	if metadata {
		digest, kind = f.Metadata, "text/plain; charset=utf-8"
	}
	b, err := h.store.BlobFile(r.Context(), "sha256:"+digest)
	if err != nil {
		code := http.StatusServiceUnavailable
		if errors.Is(err, store.ErrNotFound) {
			code = http.StatusNotFound
		}
		http.Error(w, "the store cannot give this file", code)
		return
	}
	defer b.Close()
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("ETag", `"`+digest+`"`)
	http.ServeContent(w, r, "", time.Time{}, b)
}

// accepted picks the form of a page as PEP 691 has it: HTML unless JSON is asked
// for with at least the same weight.
func accepted(accept []string) string {
	best, weight := "text/html; charset=utf-8", -1.0
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		kind, q := parseAccept(part)
		form := ""
		switch kind {
		case jsonType, "application/vnd.pypi.simple.latest+json":
			form = jsonType
		case htmlType, "application/vnd.pypi.simple.latest+html":
			form = htmlType
		case "text/html", "text/*", "*/*":
			form = "text/html; charset=utf-8"
		}
		if form != "" && q > 0 && (q > weight || q == weight && form == jsonType) {
			best, weight = form, q
		}
	}
	return best
}

// parseAccept reads one media type of an Accept header, with its weight.
func parseAccept(part string) (kind string, q float64) {
	kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
	if err != nil {
		return "", 0
	}
	if text, ok := params["q"]; ok {
		q, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", 0
		}
		return kind, q
	}
	return kind, 1
}

package wheeltest

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
)

// Index takes uploads at /legacy/ and serves them at /simple/, with a login. It
// is strict where PyPI is: what is missing or does not fit is answered with 400.
type Index struct {
	User, Password string
	// Answer, if it gives a code, is the answer to the n-th upload, counted from 1,
	// instead of taking it; stored says that the file is kept all the same, as by a
	// server whose answer is lost.
	Answer func(n int) (code int, stored bool)
	// Taken is the code for a file name that is taken; 0 is PyPI's 400.
	Taken int

	mu      sync.Mutex
	uploads int
	files   map[string]map[string][]byte // by project and name
	forms   map[string]map[string][]string
}

// Form is what came with a file.
func (x *Index) Form(file string) map[string][]string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.forms[file]
}

// Files are the names of the files, sorted.
func (x *Index) Files() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var names []string
	for _, p := range x.files {
		for n := range p {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return names
}

// Uploads counts the requests to upload.
func (x *Index) Uploads() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.uploads
}

func (x *Index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/legacy/" && r.Method == http.MethodPost:
		x.upload(w, r)
	case strings.HasPrefix(r.URL.Path, "/simple/") && r.Method == http.MethodGet:
		x.list(w, r, strings.TrimPrefix(r.URL.Path, "/simple/"))
	default:
		http.NotFound(w, r)
	}
}

var normal = regexp.MustCompile(`[-_.]+`)

func (x *Index) upload(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.uploads++
	user, password, _ := r.BasicAuth()
	if user != x.User || password != x.Password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "403 Invalid or non-existent authentication information.", http.StatusForbidden)
		return
	}
	if err := r.ParseMultipartForm(64 << 20); err != nil {
		http.Error(w, "400 "+err.Error(), http.StatusBadRequest)
		return
	}
	file, head, err := r.FormFile("content")
	if err != nil {
		http.Error(w, "400 Upload payload does not have a file.", http.StatusBadRequest)
		return
	}
	defer file.Close()
	raw, err := io.ReadAll(file)
	if err != nil {
		http.Error(w, "400 "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := check(r.MultipartForm.Value, head.Filename, raw); err != nil {
		http.Error(w, "400 "+err.Error(), http.StatusBadRequest)
		return
	}
	project := strings.ToLower(normal.ReplaceAllString(r.FormValue("name"), "-"))
	if have, ok := x.files[project][head.Filename]; ok && SHA256(have) != SHA256(raw) || ok && x.Taken != 0 {
		code := x.Taken
		if code == 0 {
			code = http.StatusBadRequest
		}
		http.Error(w, fmt.Sprintf("%d File already exists.", code), code)
		return
	}
	code, stored := 0, false
	if x.Answer != nil {
		code, stored = x.Answer(x.uploads)
	}
	if code == 0 || stored {
		if x.files == nil {
			x.files, x.forms = map[string]map[string][]byte{}, map[string]map[string][]string{}
		}
		if x.files[project] == nil {
			x.files[project] = map[string][]byte{}
		}
		x.files[project][head.Filename], x.forms[head.Filename] = raw, r.MultipartForm.Value
	}
	if code != 0 {
		http.Error(w, http.StatusText(code), code)
	}
}

// check is what PyPI checks of an upload.
func check(form map[string][]string, file string, raw []byte) error {
	one := func(key string) string {
		if v := form[key]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
	md := md5.Sum(raw)
	switch {
	case one(":action") != "file_upload":
		return fmt.Errorf(":action: %q", form[":action"])
	case one("protocol_version") != "1":
		return fmt.Errorf("protocol_version: %q", form["protocol_version"])
	case one("filetype") != "bdist_wheel":
		return fmt.Errorf("filetype: %q", form["filetype"])
	case !strings.HasPrefix(one("metadata_version"), "2.") && one("metadata_version") != "1.2":
		return fmt.Errorf("metadata_version: %q", form["metadata_version"])
	case one("pyversion") == "" || one("name") == "" || one("version") == "":
		return fmt.Errorf("pyversion, name or version is missing")
	case one("sha256_digest") != SHA256(raw):
		return fmt.Errorf("sha256_digest: the digest supplied does not match the uploaded file")
	case one("md5_digest") != "" && one("md5_digest") != hex.EncodeToString(md[:]):
		return fmt.Errorf("md5_digest: the digest supplied does not match the uploaded file")
	case !strings.HasSuffix(file, ".whl") || strings.ContainsAny(file, "/\\"):
		return fmt.Errorf("invalid filename %q", file)
	}
	return nil
}

func (x *Index) list(w http.ResponseWriter, r *http.Request, at string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	project, file, _ := strings.Cut(at, "/")
	files, ok := x.files[project]
	switch {
	case !ok:
		http.NotFound(w, r)
	case file != "":
		raw, ok := files[file]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(raw)
	default:
		w.Header().Set("Content-Type", "text/html")
		var names []string
		for n := range files {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			fmt.Fprintf(w, "<a href=\"%s#sha256=%s\">%s</a>\n", html.EscapeString(n), SHA256(files[n]), html.EscapeString(n))
		}
	}
}

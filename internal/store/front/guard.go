package front

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// tokenLength is how short a token may be that nobody guesses.
	tokenLength = 20
	// grantLife is how long a client may use what it got at /token.
	grantLife = 15 * time.Minute
	formLimit = 16 << 10
)

// guard knows who may write.
type guard struct {
	hashes [][sha256.Size]byte // of the tokens: their length does not show in the time that comparing takes
	key    []byte              // of what /token gives out
	url    string
	now    func() time.Time
}

func newGuard(tokens []string, at string) (*guard, error) {
	g := &guard{key: []byte(rand.Text()), now: time.Now}
	for _, t := range tokens {
		if len(t) < tokenLength {
			return nil, fmt.Errorf("a token has %d characters, and must have %d that nobody guesses", len(t), tokenLength)
		}
		g.hashes = append(g.hashes, sha256.Sum256([]byte(t)))
	}
	if at != "" {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, errors.New("--url, the address for clients, must look like https://host:port")
		}
		g.url = u.Scheme + "://" + u.Host
	}
	return g, nil
}

// tokens reports whether there are any.
func (g *guard) tokens() bool { return len(g.hashes) > 0 }

type writerKey struct{}

// writer is who makes a request, if it is one who may write.
func writer(r *http.Request) string {
	who, _ := r.Context().Value(writerKey{}).(string)
	return who
}

// who tells who may write: by certificate, token or grant; "" is a reader.
func (g *guard) who(r *http.Request) string {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return "certificate " + printable(r.TLS.VerifiedChains[0][0].Subject.CommonName)
	}
	if _, password, ok := r.BasicAuth(); ok {
		if g.holds(password) {
			return "token"
		}
		return ""
	}
	if bearer, ok := bearerOf(r); ok {
		if g.holds(bearer) {
			return "token"
		}
		if write, ok := g.granted(bearer); ok && write {
			return "token"
		}
	}
	return ""
}

// known reports whether a request carries what /token gave, if only to read.
func (g *guard) known(r *http.Request) bool {
	bearer, ok := bearerOf(r)
	if ok {
		_, ok = g.granted(bearer)
	}
	return ok
}

func bearerOf(r *http.Request) (string, bool) {
	kind, rest, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return rest, ok && strings.EqualFold(kind, "Bearer")
}

// holds compares with every token, whichever it is.
func (g *guard) holds(token string) bool {
	sum := sha256.Sum256([]byte(token))
	found := 0
	for _, h := range g.hashes {
		found |= subtle.ConstantTimeCompare(sum[:], h[:])
	}
	return found == 1
}

// grant makes the token of a client that logged in, or of one that reads.
func (g *guard) grant(write bool) string {
	text := "r." + strconv.FormatInt(g.now().Add(grantLife).Unix(), 10)
	if write {
		text = "w" + text[1:]
	}
	return text + "." + g.sign(text)
}

func (g *guard) sign(text string) string {
	m := hmac.New(sha256.New, g.key)
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (g *guard) granted(token string) (write, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 || !hmac.Equal([]byte(g.sign(token[:i])), []byte(token[i+1:])) {
		return false, false
	}
	kind, until, _ := strings.Cut(token[:i], ".")
	n, err := strconv.ParseInt(until, 10, 64)
	return kind == "w", err == nil && g.now().Unix() < n
}

// issue is the token endpoint of the distribution protocol, by which clients of
// registries log in: who has no login gets a token to read with.
func (g *guard) issue(w http.ResponseWriter, r *http.Request) {
	_, password, ok := r.BasicAuth()
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost: // as OAuth 2 does
		r.Body = http.MaxBytesReader(w, r.Body, formLimit)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form cannot be read", http.StatusBadRequest)
			return
		}
		for _, field := range []string{"password", "refresh_token"} {
			if v := r.PostForm.Get(field); v != "" {
				password, ok = v, true
			}
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "a token is asked for with GET or POST", http.StatusMethodNotAllowed)
		return
	}
	if ok && !g.holds(password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="jetcrate"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "no such token")
		return
	}
	t := g.grant(ok)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone, or not
		"token": t, "access_token": t, "expires_in": int(grantLife.Seconds()), "issued_at": g.now().UTC().Format(time.RFC3339),
	})
}

// hostForm is a host and port that may stand in a header.
var hostForm = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?$`)

// challenge says how to log in.
func (g *guard) challenge(w http.ResponseWriter, r *http.Request) {
	at := g.url
	if at == "" && hostForm.MatchString(r.Host) {
		at = "http://" + r.Host
		if r.TLS != nil {
			at = "https://" + r.Host
		}
	}
	if at != "" {
		w.Header().Add("WWW-Authenticate", `Bearer realm="`+at+`/token",service="jetcrate"`+scope(r))
	} else {
		w.Header().Add("WWW-Authenticate", `Basic realm="jetcrate"`)
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "writing takes a token")
}

var repositoryForm = regexp.MustCompile(`^/v2/([a-z0-9]+(?:[._/-][a-z0-9]+)*)/(?:blobs|manifests|tags)/`)

func scope(r *http.Request) string {
	m := repositoryForm.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return ""
	}
	return `,scope="repository:` + m[1] + `:pull,push"`
}

// refuse answers in the form of the distribution protocol.
func refuse(w http.ResponseWriter, code int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": kind, "message": message}}}) // the client is gone, or not
}

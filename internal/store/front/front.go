// Package front puts what a lab or a fleet needs behind one port: the OCI
// registry of the store (/v2/), the index of wheels (/wheels/), the table
// (/table.json), a site (/) and a health check (/healthz).
//
// Everyone may read. Writing takes a token, as a bearer token, as a password, or
// as the short-lived token that registries' clients get for it at /token, or a
// client certificate. Nothing is deleted through it.
//
// Who is slow, large or many is cut off: headers, bodies and answers have a pace
// to keep, uploads a size, ranges a number and the listener its connections. Only
// clean paths are answered, and the log holds no query, header or token.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/netutil"
)

// Options of New.
type Options struct {
	// Registry makes the handler of /v2/; nil is none.
	Registry func(mayWrite func(*http.Request) bool) (http.Handler, error)
	Wheels   http.Handler // of /wheels/, without the prefix; nil is none
	Table    http.Handler // of /table.json and /table.md; nil is none
	Site     http.Handler // of everything else; nil is a list of what there is
	// Healthy says why the server cannot do its work.
	Healthy func(context.Context) error

	Tokens []string // that let their holder write
	URL    string   // where clients reach it, if not at the address they name
	Log    *slog.Logger
	Limits Limits
}

// Limits are what a client may take. The zero value has the defaults.
type Limits struct {
	Header      time.Duration // until the headers are there; 10s
	Idle        time.Duration // between requests; 90s
	Grace       time.Duration // before the pace counts; 30s
	Pace        int64         // bytes per second that bodies and answers keep on average; 4 KiB
	Upload      int64         // bytes of one request; 32 GiB
	Connections int           // at once; 1024
	Ranges      int           // in one request; 8
}

func (l Limits) orDefault() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Header, 10*time.Second)
	set(&l.Idle, 90*time.Second)
	set(&l.Grace, 30*time.Second)
	if l.Pace == 0 {
		l.Pace = 4 << 10
	}
	if l.Upload == 0 {
		l.Upload = 32 << 30
	}
	if l.Connections == 0 {
		l.Connections = 1024
	}
	if l.Ranges == 0 {
		l.Ranges = 8
	}
	return l
}

// headerLimit is how long headers may be. Go adds 4 KiB of its own.
const headerLimit = 16 << 10

// Server is the handlers behind one port.
type Server struct {
	options  Options
	guard    *guard
	registry http.Handler
}

// New prepares a server.
func New(o Options) (*Server, error) {
	o.Limits = o.Limits.orDefault()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g, err := newGuard(o.Tokens, o.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, guard: g}
	if o.Registry != nil {
		if s.registry, err = o.Registry(func(r *http.Request) bool { return writer(r) != "" }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// shutdownWait is how long requests under way may take once the server is to end.
const shutdownWait = 15 * time.Second

// Serve answers until ctx ends and what was under way is answered. config is nil
// for plain HTTP.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	l = netutil.LimitListener(l, s.options.Limits.Connections)
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		l = tls.NewListener(l, config)
	}
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: s.options.Limits.Header, IdleTimeout: s.options.Limits.Idle, MaxHeaderBytes: headerLimit,
		// What a broken client makes net/http say is no news, and quotes it.
		ErrorLog:  slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		TLSConfig: config,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	err := srv.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // who takes longer is cut off
	}
	<-done
	if err != nil {
		return fmt.Errorf("ending the server: %w", err)
	}
	return nil
}

// ServeHTTP answers one request and notes it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	out := newPaced(w, s.options.Limits)
	who := s.guard.who(r)
	r = r.WithContext(context.WithValue(r.Context(), writerKey{}, who))
	r.Body = out.body(r.Body, s.options.Limits)
	out.Header().Set("X-Content-Type-Options", "nosniff")
	defer func() {
		out.end()
		level := slog.LevelInfo
		if r.URL.Path == "/healthz" {
			level = slog.LevelDebug
		}
		from := r.RemoteAddr
		if a, err := netip.ParseAddrPort(from); err == nil {
			from = a.Addr().String()
		}
		s.options.Log.Log(r.Context(), level, "request", "method", printable(r.Method), "path", printable(r.URL.Path), "status", out.status(),
			"sent", out.sent, "received", out.received, "seconds", float64(time.Since(began).Milliseconds())/1000, "from", from, "writer", who)
	}()
	s.answer(out, r)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if reason := unclean(r); reason != "" {
		http.Error(w, reason, http.StatusBadRequest)
		return
	}
	if ranges := strings.Join(r.Header.Values("Range"), ","); strings.Count(ranges, ",") >= s.options.Limits.Ranges {
		http.Error(w, "too many ranges in one request", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	if r.ContentLength > s.options.Limits.Upload {
		w.Header().Set("Connection", "close")
		http.Error(w, fmt.Sprintf("a body may have %d bytes", s.options.Limits.Upload), http.StatusRequestEntityTooLarge)
		return
	}
	at := r.URL.Path
	switch {
	case at == "/healthz":
		s.health(w, r)
	case at == "/token" && s.guard.tokens():
		s.guard.issue(w, r)
	case s.registry != nil && (at == "/v2" || strings.HasPrefix(at, "/v2/")):
		s.v2(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is read-only", http.StatusMethodNotAllowed)
	case s.options.Wheels != nil && at == "/wheels":
		http.Redirect(w, r, "/wheels/", http.StatusMovedPermanently)
	case s.options.Wheels != nil && strings.HasPrefix(at, "/wheels/"):
		http.StripPrefix("/wheels", s.options.Wheels).ServeHTTP(w, r)
	case s.options.Table != nil && (at == "/table.json" || at == "/table.md"):
		s.options.Table.ServeHTTP(w, r)
	case s.options.Site != nil:
		s.options.Site.ServeHTTP(w, r)
	case at == "/":
		s.list(w)
	default:
		http.NotFound(w, r)
	}
}

// unclean says why a path is not answered.
func unclean(r *http.Request) string {
	p := r.URL.Path
	switch {
	case r.URL.Host != "" && r.Method != http.MethodConnect && r.URL.Scheme != "" && r.Host != r.URL.Host:
		return "this is no proxy"
	case !strings.HasPrefix(p, "/"):
		return "the path does not begin with /"
	case len(p) > 2048:
		return "the path is too long"
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) || strings.Contains(p, `\`):
		return "the path has characters that no path here has"
	case strings.TrimSuffix(p, "/") != strings.TrimSuffix(path.Clean(p), "/"):
		return "the path is not clean"
	}
	return ""
}

// printable is text of a client for the log.
func printable(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if s.options.Healthy != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := s.options.Healthy(ctx); err != nil {
			s.options.Log.Warn("unhealthy", "error", err.Error())
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"status":"failing"}` + "\n")) // the client is gone, or not
			return
		}
	}
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// list is the page of a server without a site.
func (s *Server) list(w http.ResponseWriter) {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>jetcrate</title></head><body>\n<h1>jetcrate</h1>\n<ul>\n")
	for _, e := range []struct {
		there    bool
		at, what string
	}{
		{s.registry != nil, "/v2/", "the registry: docker pull HOST/jetcrate:TAG"},
		{s.options.Wheels != nil, "/wheels/", "wheels, for pip"},
		{s.options.Table != nil, "/table.json", "the compatibility table, for jet"},
		{true, "/healthz", "whether this works"},
	} {
		if e.there {
			fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a>: %s</li>\n", e.at, e.at, e.what)
		}
	}
	b.WriteString("</ul>\n</body></html>\n")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // the client is gone, or not
}

// v2 lets registry requests through that the client may make.
func (s *Server) v2(w http.ResponseWriter, r *http.Request) {
	who := writer(r)
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case reads && strings.TrimSuffix(r.URL.Path, "/") == "/v2" && who == "" && !s.guard.known(r) && s.guard.tokens():
		// Here clients look how to log in, and never again.
		s.guard.challenge(w, r)
	case reads:
		s.registry.ServeHTTP(w, r)
	case r.Method == http.MethodDelete && !strings.Contains(r.URL.Path, "/blobs/uploads/"):
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "nothing is deleted here: jetcrate store rm, where the store is")
	case who == "" && s.guard.tokens():
		w.Header().Set("Connection", "close") // the body is not read
		s.guard.challenge(w, r)
	case who == "":
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusForbidden, "DENIED", "this server is read-only for you")
	default:
		s.registry.ServeHTTP(w, r)
	}
}

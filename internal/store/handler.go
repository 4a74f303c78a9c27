package store

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// Handler answers the OCI distribution protocol (/v2/) for the embedded registry,
// for a server that lets others reach it. mayWrite decides whether a request may
// change something: the token that writing takes otherwise does not leave this
// machine. Nothing else that the registry does for its own machine is reachable.
func (s *Store) Handler(mayWrite func(*http.Request) bool) (http.Handler, error) {
	if s.embedded == nil {
		return nil, errors.New("only the embedded store can be served; a registry serves itself")
	}
	e := s.embedded
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// Whoever serves the folder now is found when it is dialled.
			r.SetURL(&url.URL{Scheme: "http", Host: e.address()})
		},
		Transport: s.transport.inner,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the store does not answer", http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2" && !strings.HasPrefix(r.URL.Path, "/v2/") {
			http.NotFound(w, r)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del(tokenHeader)
		r.Header.Del("Authorization")
		if mayWrite(r) {
			r.Header.Set(tokenHeader, e.token)
		}
		e.mu.Lock()
		srv := e.server
		e.mu.Unlock()
		if srv != nil { // this process serves it: no second hop
			srv.serveHTTP(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

package wheel_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/wheel"
	"github.com/jetcrate/jetcrate/internal/wheel/wheeltest"
)

// sending is an uploader, a server for it, and a wheel.
type sending struct {
	*wheel.Uploader
	server  *wheeltest.Index
	file    wheel.File
	meta    wheel.Metadata
	content *os.File
}

func newSending(t *testing.T, w wheeltest.Wheel) *sending {
	t.Helper()
	s := &sending{server: &wheeltest.Index{User: "__token__", Password: "secret"}}
	h := httptest.NewServer(s.server)
	t.Cleanup(h.Close)
	s.Uploader = &wheel.Uploader{URL: h.URL + "/legacy/", Login: wheel.Login{User: "__token__", Password: "secret"}, Wait: time.Millisecond}
	var err error
	s.Index, err = wheel.Open(context.Background(), h.URL+"/simple/")
	require.NoError(t, err)
	s.take(t, w)
	return s
}

func (s *sending) take(t *testing.T, w wheeltest.Wheel) {
	t.Helper()
	name := filepath.Join(t.TempDir(), w.File())
	require.NoError(t, os.WriteFile(name, w.Bytes(), 0o644))
	var err error
	s.file, s.meta, err = wheel.ReadFile(name)
	require.NoError(t, err)
	s.content, err = os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.content.Close() })
}

func (s *sending) send(t *testing.T) (wheel.Sent, error) {
	t.Helper()
	return s.Send(context.Background(), s.file, s.meta, s.content)
}

func example() wheeltest.Wheel {
	return wheeltest.Wheel{
		Name: "Some.Thing", Version: "1.0+cu126", Tags: "cp310-cp310-linux_aarch64", Python: ">=3.8", Requires: []string{"a>=1", "b; extra == 'c'"},
		Metadata: "Classifier: Programming Language :: Python\nClassifier: Topic :: Other\nProject-URL: Source, https://example.com\nProvides-Extra: c\nDescription-Content-Type: text/plain\n",
	}
}

func TestAnUploadHasAllThatAnIndexWants(t *testing.T) {
	s := newSending(t, example())
	sent, err := s.send(t)
	require.NoError(t, err)
	require.Equal(t, wheel.Uploaded, sent)
	form := s.server.Form(s.file.Name)
	for key, want := range map[string][]string{
		"name": {"Some.Thing"}, "version": {"1.0+cu126"}, "pyversion": {"cp310"}, "requires_python": {">=3.8"},
		"requires_dist": {"a>=1", "b; extra == 'c'"}, "classifiers": {"Programming Language :: Python", "Topic :: Other"},
		"project_urls": {"Source, https://example.com"}, "provides_extra": {"c"}, "summary": {"made for a test"}, "description": {"A wheel of a test."},
		"description_content_type": {"text/plain"}, "sha256_digest": {s.file.SHA256},
	} {
		require.Equal(t, want, form[key], key)
	}
	files, err := s.Index.Files(context.Background(), "some-thing")
	require.NoError(t, err)
	require.Equal(t, s.file.SHA256, files[0].SHA256)

	sent, err = s.send(t)
	require.NoError(t, err)
	require.Equal(t, wheel.Already, sent)
	require.Equal(t, 1, s.server.Uploads(), "what is there is not sent")
}

func TestWhatGoesWrongWhileUploading(t *testing.T) {
	fails := func(code, times int, stored bool) func(int) (int, bool) {
		return func(n int) (int, bool) {
			if n <= times {
				return code, stored
			}
			return 0, false
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(*sending)
		sent    wheel.Sent
		uploads int
		err     string
	}{
		{"503 twice", func(s *sending) { s.server.Answer = fails(503, 2, false) }, wheel.Uploaded, 3, ""},
		{"429 once", func(s *sending) { s.server.Answer = fails(429, 1, false) }, wheel.Uploaded, 2, ""},
		{"500 for ever", func(s *sending) { s.server.Answer = fails(500, 1000, false) }, "", 5, "answers 500"},
		{"it arrived, and the answer was lost", func(s *sending) { s.server.Answer = fails(502, 1, true); s.server.Taken = 409 }, wheel.Already, 2, ""},
		{"wrong password", func(s *sending) { s.Login.Password = "x" }, "", 1, "403 Invalid"},
		{"no login", func(s *sending) { s.Login = wheel.Login{} }, "", 1, "403 Invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSending(t, example())
			tt.prepare(s)
			sent, err := s.send(t)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				require.NotContains(t, err.Error(), "secret")
			} else {
				require.NoError(t, err)
				require.Equal(t, tt.sent, sent)
			}
			require.Equal(t, tt.uploads, s.server.Uploads())
		})
	}

	for _, code := range []int{400, 409} {
		t.Run("taken by other bytes", func(t *testing.T) {
			s := newSending(t, example())
			s.server.Taken = code
			_, err := s.send(t)
			require.NoError(t, err)
			other := example()
			other.Content = "other"
			s.take(t, other)
			_, err = s.send(t)
			require.ErrorContains(t, err, "a file of that name with other bytes")
			require.Equal(t, 1, s.server.Uploads())
			s.Index = nil // an index of which nothing can be asked
			_, err = s.send(t)
			require.ErrorContains(t, err, "cannot be told whether it is the same")
		})
	}

	t.Run("moved", func(t *testing.T) {
		s := newSending(t, example())
		h := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusMovedPermanently))
		t.Cleanup(h.Close)
		s.URL, s.Index = h.URL+"/legacy/", nil
		_, err := s.send(t)
		require.ErrorContains(t, err, "wants uploads at another address: /elsewhere")
	})
	t.Run("an answer that drives a terminal", func(t *testing.T) {
		s := newSending(t, example())
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("no\x1b[31m\r\nway"))
		}))
		t.Cleanup(h.Close)
		s.URL, s.Index = h.URL, nil
		_, err := s.send(t)
		require.ErrorContains(t, err, "answers 400: no way")
	})
}

func TestLogins(t *testing.T) {
	home := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600))
	}
	env := map[string]string{}
	find := func(target string) (wheel.Where, error) {
		return wheel.FindLogin(target, home, func(k string) string { return env[k] })
	}
	w, err := find("https://a.example/legacy/")
	require.NoError(t, err)
	require.Equal(t, wheel.Where{URL: "https://a.example/legacy/"}, w)
	_, err = find("lab")
	require.ErrorContains(t, err, "~/.pypirc names no index")

	write(".netrc", "machine a.example\n  login me\n  password net;rc#1\nmachine b.example login x password y\n")
	w, err = find("https://a.example/legacy/")
	require.NoError(t, err)
	require.Equal(t, wheel.Login{User: "me", Password: "net;rc#1", From: filepath.Join(home, ".netrc")}, w.Login)

	write(".pypirc", "[distutils]\nindex-servers =\n    pypi\n    lab\n\n[pypi]\npassword = pypi-TOKEN%(x)s;y\n\n[lab]\nRepository: https://a.example/legacy\nusername = you\npassword = \"quoted\" # no comment\n")
	w, err = find("lab")
	require.NoError(t, err)
	require.Equal(t, wheel.Where{URL: "https://a.example/legacy", Login: wheel.Login{User: "you", Password: `"quoted" # no comment`, From: "~/.pypirc"}}, w)
	w, err = find("https://a.example/legacy/")
	require.NoError(t, err)
	require.Equal(t, "you", w.Login.User)
	w, err = find("pypi")
	require.NoError(t, err)
	require.Equal(t, wheel.Where{URL: "https://upload.pypi.org/legacy/", Login: wheel.Login{User: "__token__", Password: "pypi-TOKEN%(x)s;y", From: "~/.pypirc"}}, w)
	_, err = find("other")
	require.ErrorContains(t, err, "lab, pypi")

	env["TWINE_PASSWORD"] = "twine"
	w, err = find("lab")
	require.NoError(t, err)
	require.Equal(t, "twine", w.Login.Password)
	w, err = find("https://u:p@a.example/")
	require.NoError(t, err)
	require.Equal(t, wheel.Where{URL: "https://a.example/", Login: wheel.Login{User: "u", Password: "p", From: "the URL"}}, w)
	delete(env, "TWINE_PASSWORD")

	for _, cut := range []string{"machine", "machine a.example login", "machine a.example password secret login"} {
		write("cut", cut)
		env["NETRC"] = filepath.Join(home, "cut")
		_, err = find("https://a.example:8443/x")
		if err != nil {
			require.NotContains(t, err.Error(), "secret")
		}
	}
	write(".pypirc", "[lab\npassword = secret")
	_, err = find("lab")
	require.ErrorContains(t, err, "not in the form")
	require.NotContains(t, err.Error(), "secret")
}

package jetcrate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/store/front"
	"github.com/jetcrate/jetcrate/internal/wheel"
)

// serving is the flags of serve.
type serving struct {
	listen, url   string
	cert, key, ca string
	tokenFile     string
	site, table   string
	upload        string
	connections   int
	quiet         bool
}

// tokenVariable holds a token for writing.
const tokenVariable = "JETCRATE_SERVE_TOKEN"

func (a *app) serveCommand() *cobra.Command {
	var s serving
	c := &cobra.Command{
		Use: "serve", Short: "Serve the store, the wheels, the table and a site to a lab or a fleet",
		Args: noArgs, Example: `  jetcrate serve --listen :8780
  jetcrate serve --listen :8780 --tls-cert server.pem --tls-key server.key --token-file tokens
  docker pull HOST:8780/jetcrate:robot-kit-1.0-r36.4.0-cu126-py310
  pip install --index-url http://HOST:8780/wheels/jp6/cu126/simple NAME`,
		Long: `Serves until interrupted, on one port:

  /v2/         the store, as an OCI registry
  /wheels/     the index of wheels, one for each line and CUDA
  /table.json  the compatibility table
  /            the site of the table, or a folder of static files (--site)
  /healthz     200 while the store answers

Everyone may read. Writing takes a token, of --token-file (one on a line) or
` + tokenVariable + `, or a client certificate of --client-ca. The log goes to
stderr, with -o json as JSON lines.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), &s) },
	}
	f := c.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:8780", "address to listen at; :8780 is that port on every address")
	f.StringVar(&s.url, "url", "", "where clients reach it, if not at the address they name: https://host:port")
	f.StringVar(&s.cert, "tls-cert", "", "certificate for HTTPS, in PEM, with those that sign it")
	f.StringVar(&s.key, "tls-key", "", "its key, in PEM")
	f.StringVar(&s.ca, "client-ca", "", "certificates, in PEM, whose holders may write")
	f.StringVar(&s.tokenFile, "token-file", "", "file with the tokens that let their holders write, one on a line")
	f.StringVar(&s.site, "site", "", "folder of static files to serve at / (default: the site of the table)")
	f.StringVar(&s.table, "table", "", "folder with table.json and table.md (default: where jetcrate table writes them)")
	f.StringVar(&s.upload, "max-upload", "32GiB", "how large one upload may be")
	f.IntVar(&s.connections, "max-connections", 1024, "how many connections there may be at once")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "do not log requests")
	return c
}

func (a *app) serve(ctx context.Context, s *serving) error {
	if err := a.formats("text", "json"); err != nil {
		return err
	}
	d, err := findDirs()
	if err != nil {
		return err
	}
	o := front.Options{URL: s.url, Limits: front.Limits{Connections: s.connections}, Log: a.log(s)}
	if s.connections < 1 {
		return usage{fmt.Errorf("--max-connections %d: it must be at least 1", s.connections)}
	}
	if o.Limits.Upload, err = units.RAMInBytes(s.upload); err != nil || o.Limits.Upload <= 0 {
		return usage{fmt.Errorf("--max-upload %q is no size; one looks like 500MiB or 32GiB", s.upload)}
	}
	if o.Tokens, err = s.tokens(); err != nil {
		return err
	}
	config, err := s.tls()
	if err != nil {
		return err
	}
	if o.Site, err = folderHandler("--site", s.site); err != nil {
		return err
	}
	if err := os.MkdirAll(d.data, 0o755); err != nil {
		return fmt.Errorf("making the data folder: %w", elsewhere(err, "XDG_DATA_HOME"))
	}
	if o.Table, err = folderHandler("--table", or(s.table, d.data)); err != nil {
		return err
	}
	return a.withStore(ctx, func(st *store.Store) error {
		o.Registry = st.Handler
		if a.storeAt != "" {
			o.Registry = nil // it serves itself
		}
		o.Wheels = wheel.NewHandler(st)
		if s.site == "" {
			o.Site = a.siteOf(st, filepath.Join(or(s.table, d.data), "table.json"))
		}
		o.Healthy = func(ctx context.Context) error {
			_, err := st.NameDigest(ctx, "healthz") // nothing has that name: the store says so, or does not answer
			return err
		}
		srv, err := front.New(o)
		if err != nil {
			return usage{err}
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
		var address *net.AddrError
		var known *net.DNSError
		switch {
		case errors.As(err, &address), errors.As(err, &known):
			return usage{fmt.Errorf("--listen %q: an address is HOST:PORT, or :PORT for all of this machine's", s.listen)}
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("listening: something listens at %s already; name another port with --listen", s.listen)
		case err != nil:
			return fmt.Errorf("listening: %w", err)
		}
		at := "http://"
		if config != nil {
			at = "https://"
		}
		at += l.Addr().String()
		if a.output == "json" {
			if err := a.compact(struct {
				URL   string `json:"url"`
				Store string `json:"store"`
			}{at, st.Repository()}); err != nil {
				return errors.Join(err, l.Close())
			}
		} else {
			fmt.Fprintf(a.stderr, "serving %s, and this machine's own %s; Ctrl-C ends it\n", at, st.Repository())
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return srv.Serve(ctx, l, config) })
		g.Go(func() error { return st.Serve(ctx) })
		return g.Wait()
	})
}

// log writes requests to stderr. Its handlers quote what could drive a terminal.
func (a *app) log(s *serving) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if s.quiet {
		o.Level = slog.LevelWarn
	}
	if a.output == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

// tokens reads those that let their holders write.
func (s *serving) tokens() ([]string, error) {
	var out []string
	if t := strings.TrimSpace(os.Getenv(tokenVariable)); t != "" {
		out = append(out, t)
	}
	if s.tokenFile == "" {
		return out, nil
	}
	raw, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return nil, usage{fmt.Errorf("--token-file: %w", err)}
	}
	if info, err := os.Stat(s.tokenFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, usage{fmt.Errorf("--token-file: others can read %s: chmod 600 %s", s.tokenFile, s.tokenFile)}
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, usage{fmt.Errorf("--token-file: %s holds no token", s.tokenFile)}
	}
	return out, nil
}

// tls is the configuration for HTTPS; nil is HTTP.
func (s *serving) tls() (*tls.Config, error) {
	if (s.cert == "") != (s.key == "") {
		return nil, usage{errors.New("--tls-cert and --tls-key come together")}
	}
	if s.cert == "" {
		if s.ca != "" {
			return nil, usage{errors.New("--client-ca needs --tls-cert and --tls-key")}
		}
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, usage{fmt.Errorf("--tls-cert, --tls-key: %w", err)}
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		raw, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, usage{fmt.Errorf("--client-ca: %w", err)}
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !c.ClientCAs.AppendCertsFromPEM(raw) {
			return nil, usage{fmt.Errorf("--client-ca: %s holds no certificate in PEM", s.ca)}
		}
	}
	return c, nil
}

// folderHandler serves a folder and nothing outside it, not through symlinks
// either; nil where none is named.
func folderHandler(flag, dir string) (http.Handler, error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, usage{fmt.Errorf("%s: %w", flag, err)}
	}
	h := http.FileServerFS(pages{root.FS()})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	}), nil
}

// pages is a file system whose folders are not listed: those without an
// index.html are not there, and neither is what a symlink has outside.
type pages struct{ fs.FS }

func (p pages) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, fs.ErrNotExist // whatever it is, it is not to be had
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		var index fs.File
		if index, err = p.FS.Open(path.Join(name, "index.html")); err == nil {
			return f, index.Close()
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

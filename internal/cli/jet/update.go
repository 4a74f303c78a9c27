package jet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/image"
	"github.com/jetcrate/jetcrate/internal/table"
)

// updateTimeout bounds a fetch; a table is some megabytes.
const updateTimeout = 2 * time.Minute

// origin is where the table was fetched from, and what the server called it.
type origin struct {
	URL  string `json:"url"`
	ETag string `json:"etag,omitempty"`
}

func (a *app) updateCommand() *cobra.Command {
	q := &question{app: a}
	cmd := &cobra.Command{
		Use:   "update [URL]",
		Short: "Fetch the compatibility table from where it is published",
		Long: `Fetches the table and puts it where jet looks. It is checked first: a table that is
damaged, not signed by a trusted key (where there is one), or forgets what an earlier
one had is refused, and the one that is there stays. Without URL it comes from where
it came from last. All other commands work offline, with what was fetched.

URL is https://HOST/table.json, or oci://HOST/REPOSITORY:TAG for a registry. Plain
http:// is taken from this machine, or where a trusted key checks the table.`,
		Example: `  jet update https://jetson.example.org/table.json
  jet update oci://registry.example.org/jetson:table
  jet update`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), updateTimeout)
			defer cancel()
			from := ""
			if len(args) == 1 {
				from = args[0]
			}
			return q.update(ctx, from)
		},
	}
	return cmd
}

func (q *question) update(ctx context.Context, from string) error {
	a := q.app
	path, setting := q.tablePath()
	if setting != "" {
		return mistake("%s names the table: take it away for one that is fetched", setting)
	}
	last, err := readOrigin(path)
	if err != nil {
		return err
	}
	if from == "" {
		if last.URL == "" {
			return mistake("no table was fetched yet: name where it is, such as jet update https://HOST/table.json")
		}
		from = last.URL
	}
	stays := ""
	if _, err := os.Stat(path); err == nil {
		stays = "\nthe table that is there stays: " + path
	}
	if from != last.URL || stays == "" {
		last = origin{URL: from}
	}
	trust, err := a.trust()
	if err != nil {
		return err
	}
	raw, etag, err := fetchTable(ctx, last, len(trust.keys) > 0)
	if err != nil {
		var m *failure
		if errors.As(err, &m) {
			return err
		}
		return environment("fetching the table: %w%s", err, stays)
	}
	now := a.now()
	if raw == nil {
		if err := os.Chtimes(path, now, now); err != nil {
			return environment("noting that the table is new: %w", err)
		}
		return a.line("the table is as it was: " + path)
	}
	t, err := table.Read(bytes.NewReader(raw))
	if err != nil {
		return environment("%s: %w%s", from, err, stays)
	}
	signed, err := trust.check(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return environment("writing the table: %w", err)
	}
	if err := renameio.WriteFile(path, raw, 0o644); err != nil {
		return environment("writing the table: %w", err)
	}
	note, err := json.Marshal(origin{URL: from, ETag: etag})
	if err != nil {
		return environment("noting where the table came from: %w", err)
	}
	if err := renameio.WriteFile(originFile(path), note, 0o644); err != nil {
		return environment("noting where the table came from: %w", err)
	}
	images := 0
	for _, r := range t.Rows {
		if r.Image != nil {
			images++
		}
	}
	return a.line(fmt.Sprintf("%d images, %s, %s: %s", images, units.BytesSize(float64(len(raw))), signed, path))
}

func originFile(path string) string { return path + ".origin" }

func readOrigin(path string) (origin, error) {
	var o origin
	b, err := os.ReadFile(originFile(path))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return o, environment("reading where the table came from, %s: %w", originFile(path), err)
	}
	return o, nil
}

// fetchTable gets the bytes of a table; nil are those that were fetched last.
func fetchTable(ctx context.Context, o origin, checked bool) (raw []byte, etag string, err error) {
	if ref, ok := strings.CutPrefix(o.URL, "oci://"); ok {
		raw, err = image.FetchFile(ctx, ref, table.MediaType, table.MaxBytes)
		return raw, "", err
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, "", mistake("%q is no place of a table: https://HOST/table.json or oci://HOST/REPOSITORY:TAG", o.URL)
	}
	if u.User != nil {
		return nil, "", mistake("the URL holds a password: it would be kept in a file that others read")
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && !checked && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, "", mistake("%s is not encrypted, and no trusted key checks the table: use https, or see $JETCRATE_TRUST", o.URL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", err
	}
	if o.ETag != "" {
		req.Header.Set("If-None-Match", o.ETag)
	}
	client := &http.Client{Transport: image.Transport(nil, image.Patience{})}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && o.ETag != "":
		return nil, o.ETag, nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s answered %s", u.Host, resp.Status)
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, table.MaxBytes+1))
	if err != nil {
		return nil, "", err
	}
	if len(raw) > table.MaxBytes {
		return nil, "", fmt.Errorf("it is larger than %d MiB", table.MaxBytes>>20)
	}
	return raw, resp.Header.Get("ETag"), nil
}

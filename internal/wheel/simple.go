package wheel

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// page is a page of an index: its list of projects, or the files of one.
type page struct {
	projects []string
	files    []File
}

// parseJSON reads PEP 691.
func parseJSON(at *url.URL, r io.Reader) (page, error) {
	var doc jsonPage
	if err := json.NewDecoder(r).Decode(&doc); err != nil {
		return page{}, fmt.Errorf("reading %s: %w", at.Redacted(), err)
	}
	if major, _, _ := strings.Cut(doc.Meta.Version, "."); major != "1" {
		return page{}, fmt.Errorf("reading %s: its api-version is %q, not 1", at.Redacted(), doc.Meta.Version)
	}
	var p page
	for _, e := range doc.Projects {
		p.projects = append(p.projects, e.Name)
	}
	for _, e := range doc.Files {
		u, err := at.Parse(e.URL)
		if err != nil {
			return page{}, fmt.Errorf("reading %s: %w", at.Redacted(), err)
		}
		f := File{Name: e.Name, URL: u.String(), SHA256: e.Hashes["sha256"], Size: e.Size, RequiresPython: e.RequiresPython}
		f.Metadata, f.bare = e.Core.hash(e.DistInfo)
		f.Yanked, f.Reason = bool(e.Yanked.is), e.Yanked.reason
		p.files = append(p.files, f)
	}
	return p, nil
}

// parseHTML reads PEP 503.
func parseHTML(at *url.URL, r io.Reader) (page, error) {
	doc, err := html.Parse(r)
	if err != nil {
		return page{}, fmt.Errorf("reading %s: %w", at.Redacted(), err)
	}
	var p page
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		href, ok := attribute(n, "href")
		switch {
		case n.Data == "base" && ok:
			if b, err := at.Parse(href); err == nil {
				at = b
			}
			continue
		case n.Data != "a" || !ok:
			continue
		}
		u, err := at.Parse(href)
		if err != nil {
			continue // a link that leads nowhere
		}
		f := File{Name: fileOf(u)}
		if alg, hex, ok := strings.Cut(u.Fragment, "="); ok && alg == "sha256" {
			f.SHA256 = hex
		}
		u.Fragment, u.RawFragment = "", ""
		f.URL = u.String()
		f.RequiresPython, _ = attribute(n, "data-requires-python")
		f.Reason, f.Yanked = attribute(n, "data-yanked")
		for _, key := range []string{"data-core-metadata", "data-dist-info-metadata"} {
			if v, ok := attribute(n, key); ok && f.Metadata == "" {
				hex, sha := strings.CutPrefix(v, "sha256=")
				f.bare = true
				if sha {
					f.Metadata = hex
				}
			}
		}
		p.files = append(p.files, f)
		p.projects = append(p.projects, strings.TrimSpace(text(n)))
	}
	return p, nil
}

// fileOf is the last part of a URL's path.
func fileOf(u *url.URL) string { return u.Path[strings.LastIndexByte(u.Path, '/')+1:] }

func attribute(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

package spec

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// archiveName is what a step may see as the only file of /source.
var archiveName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}$`)

// Name is the file name of the archive, taken from the first place that gives a
// plain one; "" when none does.
func (a *Archive) Name() string {
	for _, u := range a.URLs {
		if parsed, err := url.Parse(u); err == nil && archiveName.MatchString(path.Base(parsed.Path)) {
			return path.Base(parsed.Path)
		}
	}
	if name := path.Base(a.Debian); archiveName.MatchString(name) {
		return name
	}
	return ""
}

// addressFault says why a text is no address to fetch from, or "". A name before
// an @ is no part of one: https://github.com@example.org is example.org. Letters
// beyond ASCII are written as they go over the wire (xn--, %C3%A9).
func addressFault(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return "is no address"
	case u.User != nil:
		return "has a user in front of its host"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'\\<>`{}|^", r) }):
		return "holds a character that no address has"
	}
	return ""
}

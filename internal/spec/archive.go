package spec

import (
	"net/url"
	"path"
)

// Name is the file name of the archive, taken from its first place; "" when it
// names no place.
func (a *Archive) Name() string {
	for _, u := range a.URLs {
		if parsed, err := url.Parse(u); err == nil && path.Base(parsed.Path) != "/" && path.Base(parsed.Path) != "." {
			return path.Base(parsed.Path)
		}
	}
	if a.Debian != "" {
		return path.Base(a.Debian)
	}
	return ""
}

package wheel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jdx/go-netrc"
	"gopkg.in/ini.v1"
)

// Login is what an index wants to know of who uploads.
type Login struct {
	User, Password string
	From           string // where it was found, for people
}

// Where is what a word on the command line means: an address, and its login.
type Where struct {
	URL   string
	Login Login
}

// FindLogin finds the address and the login for uploads. target is a URL, or the
// name of a section of ~/.pypirc. The login is that of TWINE_USERNAME and
// TWINE_PASSWORD, of ~/.pypirc, or of $NETRC or ~/.netrc, whichever is first; none
// is no error. A token's user is __token__.
func FindLogin(target, home string, getenv func(string) string) (Where, error) {
	rc, err := ini.LoadSources(ini.LoadOptions{ // as Python's RawConfigParser does
		AllowPythonMultilineValues: true, Loose: true, InsensitiveKeys: true, IgnoreInlineComment: true, IgnoreContinuation: true, PreserveSurroundedQuote: true,
	}, filepath.Join(home, ".pypirc"))
	if err != nil {
		return Where{}, fmt.Errorf("reading %s: %w", filepath.Join(home, ".pypirc"), withoutContent(err))
	}
	w := Where{URL: target}
	var section *ini.Section
	for _, s := range rc.Sections() {
		at := s.Key("repository").Value()
		if s.Name() == "pypi" && at == "" {
			at = "https://upload.pypi.org/legacy/"
		}
		if s.Name() == target || at != "" && strings.TrimSuffix(at, "/") == strings.TrimSuffix(target, "/") {
			section, w.URL = s, at
			break
		}
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		var names []string
		for _, s := range rc.Sections() {
			if s.Key("username").Value() != "" || s.Key("repository").Value() != "" || s.Key("password").Value() != "" {
				names = append(names, s.Name())
			}
		}
		slices.Sort(names)
		if len(names) == 0 {
			return Where{}, fmt.Errorf("%q is no URL, and ~/.pypirc names no index", target)
		}
		return Where{}, fmt.Errorf("%q is neither a URL nor one of the indexes that ~/.pypirc names: %s", target, strings.Join(names, ", "))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		w.Login = Login{User: u.User.Username(), Password: password, From: "the URL"}
		u.User = nil
		w.URL = u.String()
		return w, nil
	}
	if p := getenv("TWINE_PASSWORD"); p != "" {
		w.Login = Login{User: or(getenv("TWINE_USERNAME"), "__token__"), Password: p, From: "TWINE_PASSWORD"}
		return w, nil
	}
	if section != nil && section.Key("password").Value() != "" {
		w.Login = Login{User: or(section.Key("username").Value(), "__token__"), Password: section.Key("password").Value(), From: "~/.pypirc"}
		return w, nil
	}
	file := or(getenv("NETRC"), filepath.Join(home, ".netrc"))
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return Where{}, fmt.Errorf("reading %s: %w", file, withoutContent(err))
	}
	m, err := machine(string(raw), u.Hostname())
	if err != nil {
		return Where{}, fmt.Errorf("reading %s: %w", file, err)
	}
	if m != nil && m.Get("password") != "" {
		w.Login = Login{User: m.Get("login"), Password: m.Get("password"), From: file}
	}
	return w, nil
}

// machine finds a host in the text of a .netrc. The library panics on a text that
// ends within an entry.
func machine(text, host string) (m *netrc.Machine, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errors.New("it ends within an entry")
		}
	}()
	n, err := netrc.ParseString(text)
	if err != nil {
		return nil, withoutContent(err)
	}
	return n.Machine(host), nil
}

// withoutContent is an error about a file of secrets, some of which quote it.
func withoutContent(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path
	}
	return errors.New("it is not in the form that it should have")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

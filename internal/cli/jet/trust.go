package jet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/jetcrate/jetcrate/internal/table"
)

// trust is what a table has to stand up to: public keys, one a line, that
// $JETCRATE_TRUST gives (or the file that it names), else the file trusted-keys in
// jetcrate's configuration folder. Without a key tables are taken as they are. The
// newest head that was seen is remembered, so that a table which forgets is refused.
type trust struct {
	app  *app
	keys []table.Key
	seen map[string]table.Head // by origin
}

func (a *app) trust() (*trust, error) {
	t := &trust{app: a, seen: map[string]table.Head{}}
	text, from := a.getenv("JETCRATE_TRUST"), "JETCRATE_TRUST"
	path := filepath.Join(a.xdg("XDG_CONFIG_HOME", ".config"), "trusted-keys")
	named := text != "" && !strings.Contains(text, "+")
	if named {
		path = text
	}
	if named || text == "" {
		b, err := os.ReadFile(path)
		if !named && errors.Is(err, fs.ErrNotExist) {
			return t, nil
		}
		if err != nil {
			return nil, environment("reading the trusted keys: %w", err)
		}
		text, from = string(b), path
	}
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := table.ParseKey(line)
		if err != nil {
			return nil, mistake("%s: %w", from, err)
		}
		t.keys = append(t.keys, key)
		if head, ok, err := t.read(key.Origin); err != nil {
			return nil, err
		} else if ok {
			t.seen[key.Origin] = head
		}
	}
	if len(t.keys) == 0 {
		return nil, mistake("%s names no key: take it away, or write one key a line", from)
	}
	return t, nil
}

func (t *trust) file(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(t.app.xdg("XDG_STATE_HOME", ".local", "state"), "heads", hex.EncodeToString(sum[:8])+".json")
}

func (t *trust) read(origin string) (h table.Head, ok bool, err error) {
	b, err := os.ReadFile(t.file(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err == nil && h.Origin != origin {
		err = fmt.Errorf("it is of the log %q", h.Origin)
	}
	if err != nil {
		return h, false, environment("reading the head of the last table, %s: %w", t.file(origin), err)
	}
	return h, true, nil
}

// check verifies a table and remembers its head. It returns what is to be said of
// the table's signature.
func (t *trust) check(tab *table.Table) (string, error) {
	if len(t.keys) == 0 {
		return t.says(tab.Log != nil), nil
	}
	v := table.Trust{Keys: t.keys, Now: t.app.now()}
	if tab.Log != nil {
		origin, _, _ := strings.Cut(tab.Log.Head, "\n")
		if seen, ok := t.seen[origin]; ok {
			v.Seen = &seen
		}
	}
	head, err := tab.Verify(v)
	if err != nil {
		return "", &no{[]string{err.Error()}}
	}
	if t.seen[head.Origin] != head {
		t.seen[head.Origin] = head
		if err := t.write(head); err != nil {
			t.app.say("note: the head of the table cannot be remembered, so that one which forgets would not be noticed: %s", err)
		}
	}
	return t.says(true), nil
}

func (t *trust) write(h table.Head) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.file(h.Origin)), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(t.file(h.Origin), b, 0o644)
}

// says is what is known of the signature of a table that was accepted.
func (t *trust) says(signed bool) string {
	switch {
	case len(t.keys) > 0:
		return "signed for " + t.keys[0].Origin
	case signed:
		return "signed, with no key here to check it"
	}
	return "unsigned"
}

// id tells indexes apart that were made of tables under other keys, or before
// a newer head was seen.
func (t *trust) id() string {
	var b bytes.Buffer
	for _, k := range t.keys {
		b.WriteString("\n" + k.Text)
		if h, ok := t.seen[k.Origin]; ok {
			fmt.Fprintf(&b, " %d %s", h.Size, h.Root)
		}
	}
	return b.String()
}

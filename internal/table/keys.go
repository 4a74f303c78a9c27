package table

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A Key checks what a log's signer signed. Its text is a verifier key of
// golang.org/x/mod/sumdb/note whose name is ORIGIN/until-YYYY-MM-DD: the log and
// the day from which the key signs no more are covered by the key's own hash.
type Key struct {
	Text   string
	Origin string
	Until  time.Time
	note.Verifier
}

const (
	until          = "/until-"
	dateOnly       = "2006-01-02"
	statementTitle = "jetcrate key"
	keySigns       = "signs "
	keyRevoked     = "revokes "
)

// KeyName is the name of a key of a log.
func KeyName(origin string, end time.Time) (string, error) {
	if origin == "" || strings.ContainsAny(origin, " +\t\r\n") || strings.Contains(origin, until) {
		return "", fmt.Errorf("a log is named as a web site is, such as releases.example.org, not %q", origin)
	}
	return origin + until + end.UTC().Format(dateOnly), nil
}

// ParseKey reads a public key.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "PRIVATE+KEY+") { // it is shown to nobody, not even in an error
		return Key{}, errors.New("reading a public key: this is a private one; jetcrate keys show prints its public half")
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return Key{}, fmt.Errorf("reading the public key %q: it is not NAME+HASH+KEY", text)
	}
	origin, day, ok := strings.Cut(v.Name(), until)
	end, err := time.Parse(dateOnly, day)
	if !ok || err != nil || origin == "" {
		return Key{}, fmt.Errorf("reading the public key of %q: its name is not ORIGIN%sYYYY-MM-DD", v.Name(), until)
	}
	return Key{Text: text, Origin: origin, Until: end, Verifier: v}, nil
}

// ID names a key without its bytes: NAME+HASH.
func (k Key) ID() string { return fmt.Sprintf("%s+%08x", k.Name(), k.KeyHash()) }

// statement is what a key entry says.
type statement struct {
	origin, time string
	signs        string // a public key
	revokes      string // an ID
	reason       string
}

func (s statement) text() string {
	last := keySigns + s.signs
	if s.revokes != "" {
		last = keyRevoked + s.revokes + "\n" + s.reason
	}
	return strings.Join([]string{statementTitle, s.origin, s.time, last}, "\n") + "\n"
}

func parseStatement(text string) (s statement, err error) {
	bad := errors.New("a key entry's statement is not what it should be")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 4 || lines[0] != statementTitle {
		return s, bad
	}
	s.origin, s.time = lines[1], lines[2]
	signs, ok := strings.CutPrefix(lines[3], keySigns)
	if ok && len(lines) == 4 {
		s.signs = signs
		return s, nil
	}
	if s.revokes, ok = strings.CutPrefix(lines[3], keyRevoked); !ok || len(lines) != 5 {
		return s, bad
	}
	s.reason = lines[4]
	return s, nil
}

// KeyStatement is the entry by which signer says that another key of its log
// signs from now on. A log's first key says so of itself.
func KeyStatement(signer note.Signer, next Key, now time.Time) (Entry, error) {
	return sign(statement{origin: next.Origin, time: stamp(now), signs: next.Text}, signer)
}

// RevokeStatement is the entry by which the key that signs takes another one back.
func RevokeStatement(signer note.Signer, origin, id, reason string, now time.Time) (Entry, error) {
	reason = strings.Join(strings.Fields(reason), " ")
	if reason == "" {
		return Entry{}, errors.New("a key is revoked for a reason")
	}
	return sign(statement{origin: origin, time: stamp(now), revokes: id, reason: reason}, signer)
}

func sign(s statement, signer note.Signer) (Entry, error) {
	b, err := note.Sign(&note.Note{Text: s.text()}, signer)
	if err != nil {
		return Entry{}, fmt.Errorf("signing the statement about a key: %w", err)
	}
	return Entry{Type: KeyEntry, Statement: string(b)}, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Keys is what the key entries of a log say: who signs, and who did.
type Keys struct {
	list    []link
	revoked map[string]string // reason by ID
}

// link is a key, and whether the one before it vouches for it.
type link struct {
	Key
	vouched bool
}

// Current is the key that signs the head.
func (k *Keys) Current() (Key, bool) {
	if len(k.list) == 0 {
		return Key{}, false
	}
	return k.list[len(k.list)-1].Key, true
}

// All lists the keys in their order.
func (k *Keys) All() []Key {
	out := make([]Key, len(k.list))
	for i, l := range k.list {
		out[i] = l.Key
	}
	return out
}

// Revoked gives the reason why a key was revoked.
func (k *Keys) Revoked(id string) (string, bool) {
	reason, ok := k.revoked[id]
	return reason, ok
}

// Apply adds what a key entry states.
func (k *Keys) Apply(e Entry) error {
	// The text is read before it is known who signed it, to know who has to have.
	text, _, ok := strings.Cut(e.Statement, "\n\n")
	if !ok {
		return errors.New("a key entry's statement is not signed")
	}
	s, err := parseStatement(text)
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, s.time)
	if err != nil {
		return fmt.Errorf("a key entry's time: %w", err)
	}
	current, started := k.Current()
	if started && s.origin != current.Origin {
		return fmt.Errorf("a key entry is of the log %q, not of %q", s.origin, current.Origin)
	}
	by := func(key Key) bool {
		n, err := note.Open([]byte(e.Statement), note.VerifierList(key.Verifier))
		return err == nil && n.Text == s.text() && at.Before(key.Until)
	}
	if s.revokes != "" {
		switch {
		case !started || !by(current):
			return fmt.Errorf("the revocation of %s is not signed by the key that signs", s.revokes)
		case s.revokes == current.ID():
			return fmt.Errorf("the key %s revokes itself: rotate it first", s.revokes)
		}
		if k.revoked == nil {
			k.revoked = map[string]string{}
		}
		k.revoked[s.revokes] = s.reason
		return nil
	}
	next, err := ParseKey(s.signs)
	if err != nil {
		return err
	}
	if next.Origin != s.origin {
		return fmt.Errorf("the key %s is not one of the log %q", next.ID(), s.origin)
	}
	vouched := started && by(current)
	if !vouched && !by(next) { // a key that expired cannot vouch; who trusts the next one may go on
		return fmt.Errorf("nobody who may vouches for the key %s", next.ID())
	}
	if _, ok := k.revoked[next.ID()]; ok {
		return fmt.Errorf("the key %s was revoked and cannot come back", next.ID())
	}
	k.list = append(k.list, link{next, vouched})
	return nil
}

// trusts says whether who trusts a key has to trust the current one.
func (k *Keys) trusts(anchor Key) error {
	at := -1
	for i, l := range k.list {
		if l.Text == anchor.Text {
			at = i
		}
	}
	if at < 0 {
		return fmt.Errorf("it is not signed by %s, nor by a key that this one vouches for", anchor.ID())
	}
	if reason, ok := k.revoked[anchor.ID()]; ok {
		return fmt.Errorf("the trusted key %s was revoked: %s", anchor.ID(), reason)
	}
	for _, l := range k.list[at+1:] {
		if !l.vouched {
			return fmt.Errorf("the key %s is not vouched for by the one before it", l.ID())
		}
	}
	return nil
}

package table

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log is a table's share of the log: with the rows it holds every entry, so that
// who saw an earlier table can tell that this one goes on from there.
type Log struct {
	Head string `json:"head" jsonschema:"minLength=1,description=Size and hash of the log as a signed note"`
	// Entries are those that are not a row's.
	Entries []Numbered `json:"entries,omitempty" jsonschema:"description=Entries of the log that publish nothing"`
}

// Numbered is an entry with its place in the log.
type Numbered struct {
	Number int64 `json:"number" jsonschema:"minimum=0"`
	Entry  Entry `json:"entry"`
}

// Head is the state of a log: how many entries it has, and the hash of all.
type Head struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
	Time   time.Time `json:"time"`
}

// text has the form of a checkpoint (https://c2sp.org/tlog-checkpoint): origin,
// size, hash, and one line of our own.
func (h Head) text() string {
	return fmt.Sprintf("%s\n%d\n%s\ntime %s\n", h.Origin, h.Size, h.Root, stamp(h.Time))
}

// Sign signs a head.
func (h Head) Sign(signer note.Signer) (string, error) {
	b, err := note.Sign(&note.Note{Text: h.text()}, signer)
	if err != nil {
		return "", fmt.Errorf("signing the head of the log: %w", err)
	}
	return string(b), nil
}

// OpenHead reads a head that a key signed.
func OpenHead(signed string, key Key) (Head, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(key.Verifier))
	if err != nil {
		return Head{}, fmt.Errorf("the head of the log is not signed by %s: %w", key.ID(), err)
	}
	bad := errors.New("the head of the log is not what it should be")
	lines := strings.Split(strings.TrimSuffix(n.Text, "\n"), "\n")
	if len(lines) != 4 {
		return Head{}, bad
	}
	h := Head{Origin: lines[0]}
	if h.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || h.Size < 1 {
		return Head{}, bad
	}
	if h.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return Head{}, bad
	}
	if h.Time, err = time.Parse("time "+time.RFC3339, lines[3]); err != nil || h.text() != n.Text {
		return Head{}, bad
	}
	switch {
	case h.Origin != key.Origin:
		return Head{}, fmt.Errorf("the head is one of the log %q, and the key one of %q", h.Origin, key.Origin)
	case !h.Time.Before(key.Until):
		return Head{}, fmt.Errorf("the head is of %s, and its key %s expired before", stamp(h.Time), key.ID())
	}
	return h, nil
}

// Trust says what a table has to stand up to.
type Trust struct {
	Keys []Key     // that are trusted, or vouch for those that are
	Seen *Head     // the newest head that was seen; nil is none
	Now  time.Time // decides whether a key has expired
}

// Refusal is a table that is not trusted, with the reason.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return "the table is refused: " + r.Why }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Verify checks that a trusted key signed all that the table says of images, that
// nothing is left out, and that it goes on from what was seen. It returns the head
// to remember. What the table says of cells without an image is not signed.
func (t *Table) Verify(trust Trust) (Head, error) {
	if t.Log == nil {
		return Head{}, refuse("nobody signed it")
	}
	entries, err := t.entries()
	if err != nil {
		return Head{}, refuse("%s", err)
	}
	head, tree, keys, err := openLog(entries, t.Log.Head)
	if err != nil {
		return Head{}, refuse("%s", err)
	}
	if err := trusted(keys, trust.Keys); err != nil {
		return Head{}, refuse("%s", err)
	}
	if seen := trust.Seen; seen != nil {
		if head.Origin != seen.Origin {
			return Head{}, refuse("it is of the log %q, and the last one was of %q", head.Origin, seen.Origin)
		}
		if head.Size < seen.Size {
			return Head{}, refuse("it forgets: its log has %d entries, and one with %d was seen", head.Size, seen.Size)
		}
		if root, err := tree.Root(seen.Size); err != nil || root != seen.Root {
			return Head{}, refuse("its log is another one: it does not go on from the %d entries that were seen", seen.Size)
		}
	}
	// A table that was accepted once stays good on a device that is offline.
	again := trust.Seen != nil && trust.Seen.Size == head.Size
	if key, _ := keys.Current(); !again && !trust.Now.Before(key.Until) {
		return Head{}, refuse("its key %s expired: ask for a newer table", key.ID())
	}
	if err := t.settled(entries); err != nil {
		return Head{}, refuse("%s", err)
	}
	return head, nil
}

// OpenLog checks a log on its own: that the head is one of these entries and
// that the key which signs it is the one that the entries name.
func OpenLog(entries []Entry, head string) (Head, *Tree, *Keys, error) {
	return openLog(entries, head)
}

func openLog(entries []Entry, signed string) (Head, *Tree, *Keys, error) {
	tree, keys := &Tree{}, &Keys{}
	for i, e := range entries {
		if err := e.Check(); err != nil {
			return Head{}, nil, nil, fmt.Errorf("entry %d: %w", i, err)
		}
		if e.Time == "" {
			return Head{}, nil, nil, fmt.Errorf("entry %d has no time", i)
		}
		if e.Type == KeyEntry {
			if err := keys.Apply(e); err != nil {
				return Head{}, nil, nil, fmt.Errorf("entry %d: %w", i, err)
			}
		}
		tree.Append(e.Leaf())
	}
	key, ok := keys.Current()
	if !ok {
		return Head{}, nil, nil, errors.New("its log names no key")
	}
	head, err := OpenHead(signed, key)
	if err != nil {
		return Head{}, nil, nil, err
	}
	root, err := tree.Root(tree.Size())
	if err != nil || head.Size != tree.Size() || head.Root != root {
		return Head{}, nil, nil, fmt.Errorf("the entries are not those that were signed: %d of them, signed are %d", tree.Size(), head.Size)
	}
	return head, tree, keys, nil
}

// Trusted says whether one of these keys is current or vouches for the one that is.
func (k *Keys) Trusted(anchors []Key) error { return trusted(k, anchors) }

func trusted(keys *Keys, anchors []Key) error {
	if len(anchors) == 0 {
		return errors.New("no key is trusted")
	}
	var why []string
	for _, a := range anchors {
		err := keys.trusts(a)
		if err == nil {
			return nil
		}
		why = append(why, err.Error())
	}
	return errors.New(strings.Join(why, "; "))
}

// entries gives the log's entries: those of rows and the others.
func (t *Table) entries() ([]Entry, error) {
	var all []Numbered
	for i := range t.Rows {
		r := &t.Rows[i]
		switch {
		case r.Image == nil && (r.Published != nil || r.Withdrawal != nil || r.Status != Current):
			return nil, fmt.Errorf("row %d (%s) has no image and a place in the log", i+1, r.Cell())
		case r.Image == nil:
		case r.Published == nil:
			return nil, fmt.Errorf("row %d (%s) has an image that is not in the log", i+1, r.Cell())
		default:
			all = append(all, Numbered{r.Published.Entry, r.Entry(*r.Published)})
		}
	}
	for _, e := range t.Log.Entries {
		if e.Entry.Type == PublishedEntry {
			return nil, fmt.Errorf("entry %d publishes an image that no row shows", e.Number)
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Numbered) int { return cmp.Compare(a.Number, b.Number) })
	out := make([]Entry, len(all))
	for i, e := range all {
		if e.Number != int64(i) {
			return nil, fmt.Errorf("it forgets or doubles entries of its log: it has %d where %d belongs", e.Number, i)
		}
		out[i] = e.Entry
	}
	return out, nil
}

// Settle gives rows that were published their status: the last of a cell is
// current, those before it are superseded, and what was withdrawn is neither.
// Rows without an entry are left alone.
func Settle(rows []Row, entries []Numbered) {
	taken := map[string]Withdrawal{}
	for _, n := range entries {
		if e := n.Entry; e.Type == WithdrawnEntry {
			if _, ok := taken[e.Image]; !ok {
				taken[e.Image] = Withdrawal{Entry: n.Number, Time: e.Time, Reason: e.Reason}
			}
		}
	}
	last := map[string]int{}
	for i := range rows {
		r := &rows[i]
		if r.Published == nil {
			continue
		}
		r.Status, r.Withdrawal = Superseded, nil
		if w, ok := taken[r.Image.Digest]; ok {
			r.Status, r.Withdrawal = Withdrawn, &w
			continue
		}
		if j, ok := last[r.CellID()]; !ok || rows[j].Published.Entry < r.Published.Entry {
			last[r.CellID()] = i
		}
	}
	for _, i := range last {
		rows[i].Status = Current
	}
}

// TakenBack are the cells of which an image was withdrawn, by their ID: one that
// has no image now is more than not built.
func (t *Table) TakenBack() map[string]bool {
	out := map[string]bool{}
	for i := range t.Rows {
		if t.Rows[i].Status == Withdrawn {
			out[t.Rows[i].CellID()] = true
		}
	}
	return out
}

// settled reports a row whose status is not what the log says.
func (t *Table) settled(entries []Entry) error {
	numbered := make([]Numbered, len(entries))
	for i, e := range entries {
		numbered[i] = Numbered{int64(i), e}
	}
	want := slices.Clone(t.Rows)
	Settle(want, numbered)
	for i, r := range t.Rows {
		if r.Published == nil {
			continue
		}
		if r.Status != want[i].Status || !same(r.Withdrawal, want[i].Withdrawal) {
			return fmt.Errorf("row %d (%s) is %s, and the log says %s", i+1, r.Cell(), r.Status, want[i].Status)
		}
	}
	return nil
}

func same(a, b *Withdrawal) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// LogEntries gives the entries of the table's log, in their order.
func (t *Table) LogEntries() ([]Entry, error) {
	if t.Log == nil {
		return nil, refuse("nobody signed it")
	}
	entries, err := t.entries()
	if err != nil {
		return nil, refuse("%s", err)
	}
	return entries, nil
}

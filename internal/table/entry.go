package table

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// EntryType says what an entry of the log states.
type EntryType string

const (
	PublishedEntry EntryType = "published" // an image is the one of a cell
	WithdrawnEntry EntryType = "withdrawn" // an image must not be used any more
	KeyEntry       EntryType = "key"       // a key signs from now on, or is revoked
)

// Entry is a leaf of the log: a line of JSON that is never changed. Its hash in
// the tree is that of the bytes that Leaf gives.
type Entry struct {
	Type EntryType `json:"type"`
	// Published: the cell with the key and digest of its image, the digest of the
	// list of its evidence records, and the hash of the row (see Row.Hash).
	Cell     string `json:"cell,omitempty"`
	Key      string `json:"key,omitempty"`
	Image    string `json:"image,omitempty"` // withdrawn: the digest that is taken back
	Evidence string `json:"evidence,omitempty"`
	Row      string `json:"row,omitempty"`
	// Supersedes is the ID of the entry that was the cell's last.
	Supersedes string `json:"supersedes,omitempty"`
	Reason     string `json:"reason,omitempty"`    // withdrawn
	Statement  string `json:"statement,omitempty"` // key: a signed note, see Keys
	// Time is when the entry was logged, in UTC and RFC 3339. An entry that waits
	// for its place in the log has none.
	Time string `json:"time,omitempty"`
}

// ID names what an entry states, whenever it was logged: 64 hex digits.
func (e Entry) ID() string {
	e.Time = ""
	sum := sha256.Sum256(e.Leaf())
	return hex.EncodeToString(sum[:])
}

// Leaf is the entry as the log holds it.
func (e Entry) Leaf() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings alone
	}
	return b
}

// Check refuses an entry that states nothing, or more than its type does.
func (e Entry) Check() error {
	only := Entry{Type: e.Type, Time: e.Time}
	switch e.Type {
	case PublishedEntry:
		only.Cell, only.Key, only.Image, only.Evidence, only.Row, only.Supersedes = e.Cell, e.Key, e.Image, e.Evidence, e.Row, e.Supersedes
		if e.Cell == "" || e.Key == "" || !isDigest(e.Image) || !isDigest(e.Evidence) || !isDigest(e.Row) {
			return fmt.Errorf("a published entry of %q lacks its cell, key, image, evidence or row", e.Cell)
		}
	case WithdrawnEntry:
		only.Image, only.Reason = e.Image, e.Reason
		if !isDigest(e.Image) || strings.TrimSpace(e.Reason) == "" {
			return fmt.Errorf("a withdrawal of %q lacks the image's digest or the reason", e.Image)
		}
	case KeyEntry:
		only.Statement = e.Statement
		if e.Statement == "" {
			return fmt.Errorf("a key entry lacks its statement")
		}
	default:
		return fmt.Errorf("type %q is none of published, withdrawn, key", e.Type)
	}
	if only != e {
		return fmt.Errorf("a %s entry holds more than belongs there", e.Type)
	}
	if e.Time == "" {
		return nil
	}
	if t, err := time.Parse(time.RFC3339, e.Time); err != nil || t.UTC().Format(time.RFC3339) != e.Time {
		return fmt.Errorf("time %q is not RFC 3339 in UTC", e.Time)
	}
	return nil
}

// Published says where in the log a row stands. With it and the row, the entry
// is known.
type Published struct {
	Entry      int64  `json:"entry" jsonschema:"minimum=0,description=Its number in the log"`
	Time       string `json:"time" jsonschema:"description=When it was logged"`
	Evidence   string `json:"evidence" jsonschema:"pattern=^sha256:[0-9a-f]{64}$,description=Digest of the list of evidence records"`
	Supersedes string `json:"supersedes,omitempty" jsonschema:"description=ID of the entry before it of this cell"`
}

// Withdrawal says why a row's image must not be used any more.
type Withdrawal struct {
	Entry  int64  `json:"entry" jsonschema:"minimum=0,description=Its number in the log"`
	Time   string `json:"time"`
	Reason string `json:"reason" jsonschema:"minLength=1"`
}

// Hash is the digest of what a row says of its image: all of it but the status
// and what the log adds.
func (r Row) Hash() string {
	r.Status, r.Published, r.Withdrawal = "", nil, nil
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and maps of strings
	}
	return digestOf(b)
}

// HashList is the digest of a list, such as that of evidence records.
func HashList(list []string) string {
	return digestOf([]byte(strings.Join(list, "\n")))
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// CellID names the cell of a row as plans do: 36.4.0/tegra/cu12.6/py3.10/pytorch.
func (r *Row) CellID() string {
	parts := []string{r.Platform.L4T, r.Platform.Flavour}
	if cuda := r.cuda(); cuda != "" {
		parts = append(parts, "cu"+cuda)
	}
	return strings.Join(append(parts, "py"+r.Platform.Python, r.Target), "/")
}

// Entry is the entry that publishes this row's image. A row that is in the log
// gives the entry that stands there.
func (r *Row) Entry(p Published) Entry {
	return Entry{
		Type: PublishedEntry, Cell: r.CellID(), Key: r.Image.Key, Image: r.Image.Digest, Row: r.Hash(),
		Evidence: p.Evidence, Supersedes: p.Supersedes, Time: p.Time,
	}
}

// Tree is the hash tree over leaves, in memory.
type Tree struct {
	n      int64
	hashes []tlog.Hash
}

// Append adds a leaf.
func (t *Tree) Append(leaf []byte) {
	more, err := tlog.StoredHashes(t.n, leaf, t)
	if err != nil {
		panic(err) // ReadHashes of what is there gives none
	}
	t.hashes = append(t.hashes, more...)
	t.n++
}

// ReadHashes makes a Tree a tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("the tree has no hash %d", at)
		}
		out[i] = t.hashes[at]
	}
	return out, nil
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.n }

// Root is the hash of the first n leaves.
func (t *Tree) Root(n int64) (tlog.Hash, error) {
	if n < 0 || n > t.n {
		return tlog.Hash{}, fmt.Errorf("the tree has %d leaves, not %d", t.n, n)
	}
	return tlog.TreeHash(n, t)
}

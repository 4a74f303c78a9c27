// Package ledger keeps the log of what was published to a place, in a store.
//
// A publisher submits an entry: a document that is named by its content, so that
// the same entry is the same document and nothing that was submitted is lost.
// One sequencer folds what waits: it numbers and times the entries, and writes a
// head that names all entries and is signed. Registries have no compare-and-swap,
// so a sequencer holds a lease, and on one machine a file lock, which holds
// whatever happens. The entries themselves decide between publishers: the first
// to have a reference in the log has it, the other entry stays refused.
//
// Two heads of which neither extends the other are a fork: nothing is read or
// written until people have looked.
//
// Tags: log-PLACE-entry-ID, log-PLACE-head-SIZE-ROOT (never moved), log-PLACE-lease.
package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

const (
	entryType = "application/vnd.jetcrate.log.entry.v1"
	headType  = "application/vnd.jetcrate.log.head.v1"
	leaseType = "application/vnd.jetcrate.log.lease.v1"

	// perBundle is how many entries share a blob: full ones are never written again.
	perBundle = 256
	// largest is what a bundle may have, a guard against what is no log.
	largest = 256 << 20
)

// Item is an entry with what it hashes.
type Item struct {
	Entry    table.Entry `json:"entry"`
	Row      *table.Row  `json:"row,omitempty"`      // published
	Evidence []string    `json:"evidence,omitempty"` // digests of the evidence records
}

// NewItem makes the entry that publishes a row.
func NewItem(row table.Row, evidence []string, supersedes string) Item {
	evidence = slices.Sorted(slices.Values(evidence))
	row.Status, row.Published, row.Withdrawal = table.Current, nil, nil
	return Item{
		Entry: row.Entry(table.Published{Evidence: table.HashList(evidence), Supersedes: supersedes}),
		Row:   &row, Evidence: evidence,
	}
}

// check refuses an item that does not hash to its entry, or says that something
// failed or was never tested.
func (i Item) check() error {
	if err := i.Entry.Check(); err != nil {
		return err
	}
	if i.Entry.Type != table.PublishedEntry {
		if i.Row != nil || len(i.Evidence) > 0 {
			return fmt.Errorf("a %s entry has no row", i.Entry.Type)
		}
		return nil
	}
	if i.Row == nil || i.Row.Image == nil {
		return fmt.Errorf("the entry of %s has no row with an image", i.Entry.Cell)
	}
	want := i.Row.Entry(table.Published{Evidence: table.HashList(i.Evidence), Supersedes: i.Entry.Supersedes, Time: i.Entry.Time})
	if want != i.Entry {
		return fmt.Errorf("the entry of %s does not say what its row says", i.Entry.Cell)
	}
	if !i.Row.Evidence.Tested() {
		return fmt.Errorf("the image of %s is not tested", i.Entry.Cell)
	}
	return (&table.Table{Rows: []table.Row{*i.Row}}).Validate()
}

// Ledger is the log of one place.
type Ledger struct {
	store  *store.Store
	place  string
	prefix string
	owner  string

	// Settle is how long who wrote a lease waits before believing that nobody else
	// has written one meanwhile. None is needed where the file lock decides.
	settle time.Duration
	term   time.Duration // of a lease
	now    func() time.Time
	pushed func() // between the bundles and the head, for tests
}

// Options of Open.
type Options struct {
	// Shared says that other machines write to the store too, so that the lease has
	// to decide and not the file lock alone.
	Shared bool
	Now    func() time.Time // nil is time.Now

	settle time.Duration
	term   time.Duration
}

// Open opens the log of what is published to a place, host/path.
func Open(st *store.Store, place string, o Options) *Ledger {
	sum := sha256.Sum256([]byte(place))
	l := &Ledger{store: st, place: place, prefix: "log-" + hex.EncodeToString(sum[:6]) + "-", owner: rand.Text(), term: time.Minute, now: time.Now}
	if o.Shared {
		l.settle = 2 * time.Second
	}
	if o.settle > 0 {
		l.settle = o.settle
	}
	if o.term > 0 {
		l.term = o.term
	}
	if o.Now != nil {
		l.now = o.Now
	}
	return l
}

// Place is what Open was told.
func (l *Ledger) Place() string { return l.place }

// State is the log as it was read.
type State struct {
	Items  []Item
	Head   table.Head
	Signed string // the signed head; "" for a log without an entry
	Tree   *table.Tree
	Keys   *table.Keys

	Waiting []Item            // entries that have no place yet, by ID
	Refused map[string]string // why some never get one, by ID
}

// ForkError is two heads of which neither extends the other.
type ForkError struct{ A, B string }

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log is forked: the heads %s and %s do not go on from one another; two sequencers wrote at once, or somebody replaced the log; nothing is read or written until one of these tags is taken away", e.A, e.B)
}

// headTag is a head as its tag says it.
type headTag struct {
	tag  string
	size int64
	root tlog.Hash
}

func (l *Ledger) headTag(size int64, root tlog.Hash) string {
	return fmt.Sprintf("%shead-%012d-%s", l.prefix, size, hex.EncodeToString(root[:]))
}

func (l *Ledger) parseHead(tag string) (headTag, bool) {
	rest, ok := strings.CutPrefix(tag, l.prefix+"head-")
	size, root, cut := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(size, 10, 64)
	raw, hexErr := hex.DecodeString(root)
	if !ok || !cut || err != nil || hexErr != nil || len(raw) != tlog.HashSize {
		return headTag{}, false
	}
	return headTag{tag, n, tlog.Hash(raw)}, true
}

// tags lists the heads, the longest first, and the IDs of entries.
func (l *Ledger) tags(ctx context.Context) (heads []headTag, ids []string, err error) {
	tags, err := l.store.Tags(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range tags {
		if h, ok := l.parseHead(t); ok {
			heads = append(heads, h)
		} else if id, ok := strings.CutPrefix(t, l.prefix+"entry-"); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(heads, func(a, b headTag) int {
		return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.tag, b.tag))
	})
	slices.Sort(ids)
	return heads, ids, nil
}

// Read reads the log, and checks that it hangs together.
func (l *Ledger) Read(ctx context.Context) (*State, error) {
	heads, ids, err := l.tags(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log of %s: %w", l.place, err)
	}
	s := &State{Tree: &table.Tree{}, Keys: &table.Keys{}, Refused: map[string]string{}}
	if len(heads) > 0 {
		if err := l.readHead(ctx, heads, s); err != nil {
			return nil, fmt.Errorf("reading the log of %s: %w", l.place, err)
		}
	}
	there := map[string]bool{}
	for _, i := range s.Items {
		there[i.Entry.ID()] = true
	}
	for _, id := range ids {
		if there[id] {
			continue
		}
		item, err := l.readEntry(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("reading the log of %s: %w", l.place, err)
		}
		if item.Entry.ID() != id || item.Entry.Time != "" {
			s.Refused[id] = "it is not what its name says"
			continue
		}
		if err := item.check(); err != nil {
			s.Refused[id] = err.Error()
			continue
		}
		s.Waiting = append(s.Waiting, item)
	}
	s.refuse()
	return s, nil
}

func (l *Ledger) readHead(ctx context.Context, heads []headTag, s *State) error {
	top := heads[0]
	if len(heads) > 1 && heads[1].size == top.size {
		return &ForkError{top.tag, heads[1].tag}
	}
	parts, err := l.blobs(ctx, top.tag, headType)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return fmt.Errorf("%s names nothing", top.tag)
	}
	s.Signed = string(parts[0])
	var entries []table.Entry
	for _, bundle := range parts[1:] {
		for _, line := range bytes.Split(bytes.TrimSuffix(bundle, []byte("\n")), []byte("\n")) {
			var i Item
			if err := json.Unmarshal(line, &i); err != nil {
				return fmt.Errorf("%s: entry %d: %w", top.tag, len(s.Items), err)
			}
			if err := i.check(); err != nil {
				return fmt.Errorf("%s: entry %d: %w", top.tag, len(s.Items), err)
			}
			s.Items = append(s.Items, i)
			entries = append(entries, i.Entry)
		}
	}
	if s.Head, s.Tree, s.Keys, err = table.OpenLog(entries, s.Signed); err != nil {
		return fmt.Errorf("%s: %w", top.tag, err)
	}
	if s.Head.Size != top.size || s.Head.Root != top.root {
		return fmt.Errorf("%s holds another head than it says", top.tag)
	}
	for _, h := range heads[1:] {
		if root, err := s.Tree.Root(h.size); err != nil || root != h.root {
			return &ForkError{top.tag, h.tag}
		}
	}
	return nil
}

func (l *Ledger) readEntry(ctx context.Context, id string) (Item, error) {
	var i Item
	tag := l.prefix + "entry-" + id
	parts, err := l.blobs(ctx, tag, entryType)
	if err != nil {
		return i, err
	}
	if len(parts) != 1 {
		return i, nil // refused: it is not what its name says
	}
	if err := json.Unmarshal(parts[0], &i); err != nil {
		return Item{}, nil
	}
	return i, nil
}

// blobs reads what lies under a tag.
func (l *Ledger) blobs(ctx context.Context, tag, kind string) ([][]byte, error) {
	_, parts, err := l.store.Bundle(ctx, tag, kind)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	out := make([][]byte, len(parts))
	for i, p := range parts {
		if out[i], err = l.store.ReadBlob(ctx, p.Digest, largest); err != nil {
			return nil, fmt.Errorf("reading %s: %w", tag, err)
		}
	}
	return out, nil
}

// Submit hands an entry in. It gets its place with the next Fold.
func (l *Ledger) Submit(ctx context.Context, i Item) (id string, err error) {
	i.Entry.Time = ""
	if err := i.check(); err != nil {
		return "", fmt.Errorf("submitting an entry to the log of %s: %w", l.place, err)
	}
	raw, err := json.Marshal(i)
	if err != nil {
		return "", fmt.Errorf("submitting an entry to the log of %s: %w", l.place, err)
	}
	id = i.Entry.ID()
	return id, l.put(ctx, l.prefix+"entry-"+id, entryType, raw)
}

func (l *Ledger) put(ctx context.Context, tag, kind string, blobs ...[]byte) error {
	parts := make([]store.Part, len(blobs))
	for i, b := range blobs {
		parts[i] = store.Part{Title: fmt.Sprintf("%06d", i), MediaType: kind, Content: b}
	}
	if _, err := l.store.PutBundle(ctx, tag, kind, parts, nil); err != nil {
		return fmt.Errorf("writing the log of %s: %w", l.place, err)
	}
	return nil
}

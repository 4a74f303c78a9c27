package table

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// An index is a table in a form from which a few rows are read without the
// others: a device asks often and reads the table once. It is a cache that its
// owner wrote from a table that Read had checked.
//
//	"jetcrate-index 1\n", length of the header (4 bytes), header (JSON: indexHeader)
//	then, at the offsets that the header names, counted from its end:
//	postings   of each package: entry, sorted by row
//	summaries  one for each row
//	keys       hash of an image's key and row, sorted
//	rows       JSON
//
// Numbers are little-endian.
const indexMagic = "jetcrate-index 1\n"

// Stamp says which file a table was read from, so that an index of an older one
// is noticed.
type Stamp struct {
	Size     int64 `json:"size"`
	Modified int64 `json:"modified"` // nanoseconds since 1970
}

type indexHeader struct {
	Stamp      Stamp                   `json:"stamp"`
	Rows       int                     `json:"rows"`
	Signed     bool                    `json:"signed,omitempty"` // the table has a log
	Placements []Placement             `json:"placements"`
	Packages   map[string]indexPackage `json:"packages"`
	Aliases    map[string]Alias        `json:"aliases"`
	Summaries  int64                   `json:"summaries"`
	Keys       int64                   `json:"keys"`
	KeyCount   int                     `json:"keyCount"`
}

type indexPackage struct {
	Versions []string `json:"versions"`
	At       int64    `json:"at"`
	Count    int      `json:"count"`
}

// entry is a current row that holds a package, or that has no resolution and
// names it.
type entry struct {
	Row     uint32
	Version uint16 // of Versions; noVersion where there is no resolution
	Options uint32 // equal numbers, equal options
	Root    uint8  // 1 where the target names the package
}

const (
	noVersion   = math.MaxUint16
	entrySize   = 4 + 2 + 4 + 1
	summarySize = 8 + 4 + 4 + 4 + 4 + 2 + 2
	keySize     = 8 + 4
)

func entryOf(b []byte) entry {
	le := binary.LittleEndian
	return entry{Row: le.Uint32(b), Version: le.Uint16(b[4:]), Options: le.Uint32(b[6:]), Root: b[10]}
}

// summaryAt reads the summary of row i among all of them.
func summaryAt(all []byte, i uint32) summary {
	b, le := all[int(i)*summarySize:][:summarySize], binary.LittleEndian
	return summary{
		At: le.Uint64(b), Length: le.Uint32(b[8:]), Placement: le.Uint32(b[12:]), Rank: le.Uint32(b[16:]), Packages: le.Uint32(b[20:]),
		Roots: le.Uint16(b[24:]), Flags: le.Uint16(b[26:]),
	}
}

// summary is what decides between rows that are alike.
type summary struct {
	At        uint64 // of the row
	Length    uint32
	Placement uint32
	Rank      uint32 // place among all rows, by target and reference
	Packages  uint32
	Roots     uint16
	Flags     uint16
}

const (
	flagUsable = 1 << iota // built, and nothing failed
	flagTested
)

type keyEntry struct {
	Hash [8]byte
	Row  uint32
}

func keyHash(key string) [8]byte {
	sum := sha256.Sum256([]byte(key))
	return [8]byte(sum[:8])
}

func (p Placement) id() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a bool
	}
	return string(b)
}

// WriteIndex writes the index of a table.
func WriteIndex(w io.Writer, t *Table, stamp Stamp) error {
	b := indexWriter{
		table:  t,
		header: indexHeader{Stamp: stamp, Rows: len(t.Rows), Signed: t.Log != nil, Placements: t.Placements(), Packages: map[string]indexPackage{}},
	}
	names := t.Names()
	b.header.Aliases = names.Aliases
	var body bytes.Buffer
	if err := b.postings(&body, names); err != nil {
		return err
	}
	if err := b.rows(&body); err != nil {
		return err
	}
	head, err := json.Marshal(b.header)
	if err != nil {
		return fmt.Errorf("encoding the index: %w", err)
	}
	var prefix bytes.Buffer
	prefix.WriteString(indexMagic)
	prefix.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(head))))
	prefix.Write(head)
	for _, part := range [][]byte{prefix.Bytes(), body.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("writing the index: %w", err)
		}
	}
	return nil
}

type indexWriter struct {
	table  *Table
	header indexHeader
}

func (b *indexWriter) postings(body *bytes.Buffer, names Names) error {
	entries := map[string][]entry{}
	options := map[string]uint32{}
	for i := range b.table.Rows {
		r := &b.table.Rows[i]
		if r.Status != Current {
			continue
		}
		held := map[string]bool{}
		for _, p := range r.Packages {
			held[p.Name] = true
			text, err := json.Marshal(p.Options) // sorted by name
			if err != nil {
				return fmt.Errorf("encoding options: %w", err)
			}
			if _, ok := options[string(text)]; !ok {
				options[string(text)] = uint32(len(options))
			}
			e := entry{Row: uint32(i), Version: uint16(slices.Index(names.Versions[p.Name], p.Version)), Options: options[string(text)]}
			if slices.Contains(r.Roots, p.Name) {
				e.Root = 1
			}
			entries[p.Name] = append(entries[p.Name], e)
		}
		for _, root := range r.Roots {
			if !held[root] && r.State != Built {
				held[root] = true
				entries[root] = append(entries[root], entry{Row: uint32(i), Version: noVersion, Root: 1})
			}
		}
	}
	for name, versions := range names.Versions {
		if len(versions) >= noVersion {
			return fmt.Errorf("indexing %s: it has %d versions", name, len(versions))
		}
	}
	for _, name := range sortedKeys(names.Versions) {
		b.header.Packages[name] = indexPackage{Versions: names.Versions[name], At: int64(body.Len()), Count: len(entries[name])}
		if err := binary.Write(body, binary.LittleEndian, entries[name]); err != nil {
			return fmt.Errorf("encoding the index: %w", err)
		}
	}
	return nil
}

func (b *indexWriter) rows(body *bytes.Buffer) error {
	n := len(b.table.Rows)
	placements := map[string]uint32{}
	for i, p := range b.header.Placements {
		placements[p.id()] = uint32(i)
	}
	byRank := make([]int, n)
	for i := range byRank {
		byRank[i] = i
	}
	slices.SortStableFunc(byRank, func(x, y int) int { return compareNames(&b.table.Rows[x], &b.table.Rows[y]) })
	summaries := make([]summary, n)
	for rank, i := range byRank {
		summaries[i].Rank = uint32(rank)
	}
	var keys []keyEntry
	var rows bytes.Buffer
	for i := range b.table.Rows {
		r := &b.table.Rows[i]
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encoding row %d: %w", i+1, err)
		}
		if len(r.Roots) > math.MaxUint16 {
			return errors.New("encoding the index: a row has too many roots")
		}
		s := &summaries[i]
		s.At, s.Length = uint64(rows.Len()), uint32(len(text))
		s.Placement = placements[Placement{r.Platform, r.Hosts}.id()]
		s.Packages, s.Roots = uint32(len(r.Packages)), uint16(len(r.Roots))
		if r.State == Built && r.Evidence.Failed == 0 {
			s.Flags |= flagUsable
		}
		if r.Evidence.Tested() {
			s.Flags |= flagTested
		}
		if r.Image != nil {
			keys = append(keys, keyEntry{Hash: keyHash(r.Image.Key), Row: uint32(i)})
		}
		rows.Write(text)
	}
	slices.SortFunc(keys, func(a, b keyEntry) int {
		return cmp.Or(bytes.Compare(a.Hash[:], b.Hash[:]), cmp.Compare(a.Row, b.Row))
	})
	b.header.Summaries = int64(body.Len())
	b.header.Keys = b.header.Summaries + int64(n*summarySize)
	b.header.KeyCount = len(keys)
	start := b.header.Keys + int64(len(keys)*keySize)
	for i := range summaries {
		summaries[i].At += uint64(start)
	}
	for _, part := range []any{summaries, keys, rows.Bytes()} {
		if err := binary.Write(body, binary.LittleEndian, part); err != nil {
			return fmt.Errorf("encoding the index: %w", err)
		}
	}
	return nil
}

// compareNames is the last order between rows that are alike.
func compareNames(a, b *Row) int {
	return cmp.Or(strings.Compare(a.Target, b.Target), strings.Compare(reference(a), reference(b)))
}

func reference(r *Row) string {
	if r.Image == nil {
		return ""
	}
	return r.Image.Reference
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

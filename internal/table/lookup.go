package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// Index reads rows of a table from its index. Select returns all rows that fit,
// or with Best the best of each group: rows of one platform that hold the
// selected packages in the same versions with the same options. Usable rows come
// first, then tested ones, then those whose target names these packages and no
// others, then those that hold the fewest packages, then by target and reference.
type Index struct {
	from   io.ReaderAt
	size   int64 // of what comes after the header
	start  int64
	header indexHeader
}

// errIndex is an index that is damaged: it is to be made again.
var errIndex = errors.New("the index is damaged")

// maxHeader bounds the header: it is read as a whole.
const maxHeader = 16 << 20

// OpenIndex reads the header of an index of size bytes.
func OpenIndex(from io.ReaderAt, size int64) (*Index, error) {
	head := make([]byte, len(indexMagic)+4)
	if _, err := from.ReadAt(head, 0); err != nil || string(head[:len(indexMagic)]) != indexMagic {
		return nil, errIndex
	}
	n := int64(binary.LittleEndian.Uint32(head[len(indexMagic):]))
	x := &Index{from: from, start: int64(len(head)) + n}
	x.size = size - x.start
	if n > maxHeader || x.size < 0 {
		return nil, errIndex
	}
	text := make([]byte, n)
	if _, err := from.ReadAt(text, int64(len(head))); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	if err := json.Unmarshal(text, &x.header); err != nil {
		return nil, errIndex
	}
	return x, nil
}

// Stamp says which file the index was made of.
func (x *Index) Stamp() Stamp { return x.header.Stamp }

// Signed reports whether the table has a log.
func (x *Index) Signed() bool { return x.header.Signed }

// Names is what the table's Names says.
func (x *Index) Names() Names {
	n := Names{Versions: map[string][]string{}, Aliases: x.header.Aliases}
	for name, p := range x.header.Packages {
		n.Versions[name] = p.Versions
	}
	return n
}

// Placements is what the table's Placements says.
func (x *Index) Placements() []Placement { return x.header.Placements }

// records reads n records of size bytes each, as they lie there.
func (x *Index) records(at int64, n, size int) ([]byte, error) {
	if n < 0 || int64(n) > x.size/int64(size) || at < 0 || at > x.size-int64(n)*int64(size) {
		return nil, errIndex
	}
	buf := make([]byte, n*size)
	if _, err := x.from.ReadAt(buf, x.start+at); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	return buf, nil
}

// Select returns rows in their order.
func (x *Index) Select(s Selection) ([]Row, error) {
	found, err := x.find(s)
	if err != nil || len(found) == 0 || len(found[0]) == 0 {
		return nil, err
	}
	all, err := x.records(x.header.Summaries, x.header.Rows, summarySize)
	if err != nil {
		return nil, err
	}
	rows, err := x.best(s, found, all)
	if err != nil {
		return nil, err
	}
	slices.Sort(rows)
	out := make([]Row, 0, len(rows))
	for _, i := range rows {
		r, err := x.row(summaryAt(all, i))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// find returns the entries of each package, of the rows that hold them all: the
// same number of each, in the order of rows.
func (x *Index) find(s Selection) ([][]entry, error) {
	var found [][]entry
	for _, want := range s.Packages {
		entries, err := x.entries(want)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			found, entries = intersect(found, entries)
		}
		found = append(found, entries)
	}
	return found, nil
}

func (x *Index) entries(want Selected) ([]entry, error) {
	p := x.header.Packages[want.Name]
	accepted := make([]bool, len(p.Versions))
	for v, text := range p.Versions {
		accepted[v] = want.Accept == nil || want.Accept(text)
	}
	buf, err := x.records(p.At, p.Count, entrySize)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, p.Count)
	for ; len(buf) > 0; buf = buf[entrySize:] {
		e := entryOf(buf)
		if len(out) > 0 && out[len(out)-1].Row >= e.Row {
			return nil, errIndex
		}
		if e.Version == noVersion || int(e.Version) < len(accepted) && accepted[e.Version] {
			out = append(out, e)
		}
	}
	return out, nil
}

// intersect keeps what is about rows that both have.
func intersect(found [][]entry, next []entry) (kept [][]entry, with []entry) {
	kept = make([][]entry, len(found))
	i := 0
	for _, e := range next {
		for i < len(found[0]) && found[0][i].Row < e.Row {
			i++
		}
		if i < len(found[0]) && found[0][i].Row == e.Row {
			with = append(with, e)
			for k := range found {
				kept[k] = append(kept[k], found[k][i])
			}
		}
	}
	return kept, with
}

// contender is a row with what decides in its group.
type contender struct {
	row   uint32
	exact bool
	summary
}

func (a contender) compare(b contender) int {
	return cmp.Or(
		-cmp.Compare(a.Flags&flagUsable, b.Flags&flagUsable),
		-cmp.Compare(a.Flags&flagTested, b.Flags&flagTested),
		first(a.exact, b.exact),
		cmp.Compare(a.Packages, b.Packages),
		cmp.Compare(a.Rank, b.Rank),
	)
}

// best picks the rows of each group.
func (x *Index) best(s Selection, found [][]entry, all []byte) ([]uint32, error) {
	keep := make([]bool, len(x.header.Placements))
	for i, p := range x.header.Placements {
		keep[i] = s.Keep == nil || s.Keep(p)
	}
	var out []uint32
	groups := map[string][]contender{}
	var id []byte
	for i, e := range found[0] {
		if int64(e.Row) >= int64(x.header.Rows) {
			return nil, errIndex
		}
		c := contender{row: e.Row, summary: summaryAt(all, e.Row)}
		if int64(c.Placement) >= int64(len(keep)) {
			return nil, errIndex
		}
		switch {
		case !keep[c.Placement]:
			continue
		case s.Best <= 0:
			out = append(out, e.Row)
			continue
		}
		c.exact = int(c.Roots) == len(s.Packages)
		id = binary.LittleEndian.AppendUint32(id[:0], c.Placement)
		for _, entries := range found {
			e := entries[i]
			c.exact = c.exact && e.Root != 0
			id = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16(id, e.Version), e.Options)
		}
		group := groups[string(id)]
		at, _ := slices.BinarySearchFunc(group, c, contender.compare)
		if at < s.Best {
			group = slices.Insert(group, at, c)
			groups[string(id)] = group[:min(s.Best, len(group))]
		}
	}
	for _, group := range groups {
		for _, c := range group {
			out = append(out, c.row)
		}
	}
	return out, nil
}

// first puts true first.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// row reads a row and checks it: it may lie there for long.
func (x *Index) row(s summary) (Row, error) {
	if s.At > uint64(x.size) {
		return Row{}, errIndex
	}
	text, err := x.records(int64(s.At), int(s.Length), 1)
	if err != nil {
		return Row{}, err
	}
	var r Row
	if err := json.Unmarshal(text, &r); err != nil {
		return Row{}, errIndex
	}
	if len(r.problems()) > 0 {
		return Row{}, errIndex
	}
	return r, nil
}

// ByKey returns the rows, of any status, whose image has a key.
func (x *Index) ByKey(key string) ([]Row, error) {
	keys, err := x.records(x.header.Keys, x.header.KeyCount, keySize)
	if err != nil {
		return nil, err
	}
	hash := keyHash(key)
	at := sort.Search(x.header.KeyCount, func(i int) bool { return bytes.Compare(keys[i*keySize:][:len(hash)], hash[:]) >= 0 })
	var out []Row
	for ; at < x.header.KeyCount && bytes.Equal(keys[at*keySize:][:len(hash)], hash[:]); at++ {
		i := binary.LittleEndian.Uint32(keys[at*keySize+len(hash):])
		one, err := x.records(x.header.Summaries+int64(i)*summarySize, 1, summarySize)
		if err != nil {
			return nil, err
		}
		r, err := x.row(summaryAt(one, 0))
		if err != nil {
			return nil, err
		}
		if r.Image != nil && r.Image.Key == key {
			out = append(out, r)
		}
	}
	return out, nil
}

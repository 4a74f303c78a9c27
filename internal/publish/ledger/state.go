package ledger

import (
	"fmt"
	"time"

	"github.com/jetcrate/jetcrate/internal/table"
)

// Rows are the published rows with their status, in the order of the log.
func (s *State) Rows() []table.Row {
	var rows []table.Row
	for n, i := range s.Items {
		if i.Row == nil {
			continue
		}
		r := *i.Row
		r.Published = &table.Published{Entry: int64(n), Time: i.Entry.Time, Evidence: i.Entry.Evidence, Supersedes: i.Entry.Supersedes}
		rows = append(rows, r)
	}
	table.Settle(rows, s.Others())
	return rows
}

// Others are the entries that publish nothing.
func (s *State) Others() []table.Numbered {
	var out []table.Numbered
	for n, i := range s.Items {
		if i.Entry.Type != table.PublishedEntry {
			out = append(out, table.Numbered{Number: int64(n), Entry: i.Entry})
		}
	}
	return out
}

// Last is the latest entry of a cell that is not withdrawn, among those that have
// a place and those that wait for one.
func (s *State) Last(cell string) (Item, bool) {
	gone := s.Withdrawn()
	for _, list := range [][]Item{s.Waiting, s.Items} {
		for n := len(list) - 1; n >= 0; n-- {
			e := list[n].Entry
			if _, taken := gone[e.Image]; !taken && e.Type == table.PublishedEntry && e.Cell == cell && s.Refused[e.ID()] == "" {
				return list[n], true
			}
		}
	}
	return Item{}, false
}

// Withdrawn gives the reason of each image digest that was taken back.
func (s *State) Withdrawn() map[string]string { return withdrawn(s.Items) }

// Withdrawing gives those whose withdrawal waits for a sequencer.
func (s *State) Withdrawing() map[string]string { return withdrawn(s.Waiting) }

func withdrawn(items []Item) map[string]string {
	out := map[string]string{}
	for _, i := range items {
		if e := i.Entry; e.Type == table.WithdrawnEntry && out[e.Image] == "" {
			out[e.Image] = e.Reason
		}
	}
	return out
}

// refuse moves what can never get a place from Waiting to Refused.
func (s *State) refuse() {
	gone, held := s.Withdrawn(), s.references()
	kept := s.Waiting[:0:0]
	for _, i := range s.Waiting {
		if why := hopeless(i, gone, held); why != "" {
			s.Refused[i.Entry.ID()] = why
			continue
		}
		kept = append(kept, i)
	}
	s.Waiting = kept
}

// references gives the digest that each reference in the log has.
func (s *State) references() map[string]string {
	held := map[string]string{}
	for _, i := range s.Items {
		if i.Row != nil {
			held[i.Row.Image.Reference] = i.Row.Image.Digest
		}
	}
	return held
}

func hopeless(i Item, gone, held map[string]string) string {
	if i.Row == nil {
		return ""
	}
	if why, ok := gone[i.Entry.Image]; ok {
		return "its image was withdrawn: " + why
	}
	if d := held[i.Row.Image.Reference]; d != "" && d != i.Entry.Image {
		return fmt.Sprintf("%s is %s in the log, and a tag is never moved", i.Row.Image.Reference, d)
	}
	return ""
}

// ready picks what can get a place now, in the order in which it does: an entry
// comes after the one that it supersedes.
func (s *State) ready() []Item {
	there := map[string]bool{"": true}
	for _, i := range s.Items {
		there[i.Entry.ID()] = true
	}
	gone, held := s.Withdrawn(), s.references()
	var out []Item
	left := s.Waiting
	for again := true; again; {
		again = false
		var later []Item
		for _, i := range left {
			if !there[i.Entry.Supersedes] || hopeless(i, gone, held) != "" {
				later = append(later, i)
				continue
			}
			there[i.Entry.ID()], again = true, true
			if i.Row != nil {
				held[i.Row.Image.Reference] = i.Entry.Image
			}
			out = append(out, i)
		}
		left = later
	}
	return out
}

// stamp is the time of new entries: never before that of the last ones.
func (s *State) stamp(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if now.Before(s.Head.Time) {
		return s.Head.Time
	}
	return now
}

// Entries are the entries of all items.
func (s *State) Entries() []table.Entry {
	out := make([]table.Entry, len(s.Items))
	for n, i := range s.Items {
		out[n] = i.Entry
	}
	return out
}

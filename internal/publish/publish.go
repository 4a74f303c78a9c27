// Package publish brings what has passed to a place for releases, by digest and
// never built again, and proves later what it did.
//
// Publishing a cell: its image is judged by its evidence and the rules of the
// place; its blobs, its manifest and what is attached to it go there by digest; an
// entry goes into the log (package ledger); then it gets its tag, which is never
// moved, and after that the moving tags follow. Whatever ends this halfway leaves
// no tag on something incomplete or not logged, and the same command completes it.
// The log is the arbiter between publishers: who has a reference there has the tag.
// Moving tags follow from the log alone (Moving), so that all agree on them.
package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/fold"
)

// Publisher publishes to one place.
type Publisher struct {
	Plan     *plan.Plan
	Store    *store.Store
	About    fold.About
	Ledger   *ledger.Ledger
	Registry *Registry
	Rules    spec.Repository
	Defaults Defaults
	Revision string         // end of the tags: "" is none; Auto gives one where a tag is taken
	Signer   *ledger.Signer // nil leaves entries waiting for a sequencer, and their tags
}

// Auto as a revision: an image whose tag another one has gets -2, or the first
// number after it that is free. The others keep their tags.
const Auto = "auto"

// maxRevision bounds the search for a free number.
const maxRevision = 999

// Action is what becomes of a cell.
type Action string

const (
	Add     Action = "publish" // something of it has to be done
	Present Action = "present" // all of it is done
	Refuse  Action = "refuse"
	None    Action = "none" // there is no image
)

// Change is what publishing does for one cell.
type Change struct {
	Cell    string   `json:"cell"`
	Action  Action   `json:"action"`
	Image   string   `json:"image,omitempty"` // host/path/NAME:TAG
	Digest  string   `json:"digest,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
	Copy    bool     `json:"copy,omitempty"` // the place lacks the image
	Log     bool     `json:"log,omitempty"`  // the log lacks it
	Tag     bool     `json:"tag,omitempty"`  // it lacks its tag

	item ledger.Item
	id   string // of its entry
}

// Move is a moving tag that changes.
type Move struct {
	Tag    string `json:"tag"`            // host/path/NAME:TAG
	From   string `json:"from,omitempty"` // digest; "" where the tag is new
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"` // why it is left alone
}

// Preview is the difference between the place and what it should be.
type Preview struct {
	Place   string   `json:"place"`
	Entries int64    `json:"entries"` // of the log
	Changes []Change `json:"changes"`
	Moves   []Move   `json:"moves,omitempty"`
	Waiting int      `json:"waiting,omitempty"` // entries that no sequencer has folded yet

	repositories map[string]bool // of the cells, whose moving tags are looked at
}

// Refused reports whether a cell may not be published.
func (p *Preview) Refused() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action == Refuse })
}

// Look reads what there is and says what Publish would do. It writes nothing.
func (p *Publisher) Look(ctx context.Context, cells []*plan.Cell) (*Preview, error) {
	state, err := p.Ledger.Read(ctx)
	if err != nil {
		return nil, err
	}
	if p.Signer != nil {
		if err := p.Ledger.Accepts(state, *p.Signer); err != nil {
			return nil, err
		}
	}
	known, err := p.Store.Known(ctx)
	if err != nil {
		return nil, err
	}
	out := &Preview{Place: p.Ledger.Place(), Entries: state.Head.Size, Waiting: len(state.Waiting), repositories: map[string]bool{}}
	taken := map[string]string{}
	rows := state.Rows()
	for _, r := range rows {
		taken[r.Image.Reference] = r.Image.Digest
	}
	others := state.Others()
	place := func(row *table.Row, e table.Entry) { // what comes after all that there is
		n := state.Head.Size + int64(len(rows)+len(others)) + 1
		if row == nil {
			others = append(others, table.Numbered{Number: n, Entry: e})
			return
		}
		r := *row
		r.Published = &table.Published{Entry: n}
		rows = append(rows, r)
	}
	for _, i := range state.Waiting {
		if i.Row != nil && taken[i.Row.Image.Reference] == "" {
			taken[i.Row.Image.Reference] = i.Entry.Image
		}
		place(i.Row, i.Entry)
	}
	for _, c := range cells {
		cell, err := fold.Of(ctx, p.Plan, c, p.Store, known, p.About)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		ref, there, err := p.reference(ctx, c, cell.Row.Image, taken)
		if err != nil {
			return nil, err
		}
		// Whatever becomes of the cell: a tag follows the log, back too.
		out.repositories[ref.Context().Name()] = true
		change, err := p.look(ctx, ref, there, cell, state, taken)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		change.Cell = c.ID
		if change.Action != Refuse && change.Digest != "" {
			taken[change.Image] = change.Digest
			if change.Log {
				place(change.item.Row, change.item.Entry)
			}
		}
		out.Changes = append(out.Changes, change)
	}
	table.Settle(rows, others)
	out.Moves, err = p.moves(ctx, rows, out.repositories)
	return out, err
}

// reference is the tag of a cell's image, and the digest of what has it at the
// place, "" where nothing has.
func (p *Publisher) reference(ctx context.Context, c *plan.Cell, img *table.Image, taken map[string]string) (name.Tag, string, error) {
	revision := p.Revision
	if revision == Auto {
		revision = ""
	}
	for n := 2; ; n++ {
		ref, err := p.Registry.Reference(p.Ledger.Place(), c.Name, immutable(c.Name, c.Tag, revision))
		if err != nil || img == nil {
			return ref, "", err
		}
		there, err := p.Registry.Digest(ctx, ref)
		if err != nil {
			return ref, "", err
		}
		free := !slices.ContainsFunc([]string{there, taken[ref.Name()]}, func(d string) bool { return d != "" && d != img.Digest })
		if free || p.Revision != Auto || n > maxRevision {
			return ref, there, nil
		}
		revision = strconv.Itoa(n)
	}
}

func (p *Publisher) look(ctx context.Context, ref name.Tag, there string, cell fold.Cell, state *ledger.State, taken map[string]string) (Change, error) {
	out := Change{Action: None}
	if cell.Row.Image == nil {
		out.Reasons = []string{cell.Row.Reason}
		return out, nil
	}
	out.Image, out.Digest = ref.Name(), cell.Row.Image.Digest
	out.Reasons = Judge(cell, p.Rules)
	if why, ok := state.Withdrawn()[out.Digest]; ok {
		out.Reasons = append(out.Reasons, "it was withdrawn: "+why)
	} else if why, ok := state.Withdrawing()[out.Digest]; ok {
		out.Reasons = append(out.Reasons, "its withdrawal waits for a sequencer: "+why)
	}
	for _, d := range []string{there, taken[out.Image]} {
		if d != "" && d != out.Digest {
			out.Reasons = append(out.Reasons, fmt.Sprintf("%s is %s already, and such a tag is never moved: publish it with --revision auto", out.Image, d))
			break
		}
	}
	if len(out.Reasons) > 0 {
		out.Action = Refuse
		return out, nil
	}
	row := cell.Row
	img := *row.Image
	img.Reference = out.Image
	row.Image = &img
	var records []string
	for _, t := range cell.Tests {
		if t.Record != "" {
			records = append(records, t.Record)
		}
	}
	last, logged := state.Last(row.CellID())
	out.item = ledger.NewItem(row, records, "")
	if logged {
		out.item = ledger.NewItem(row, records, last.Entry.ID())
	}
	if out.Log = !logged || last.Entry.Image != out.Digest || last.Entry.Row != out.item.Entry.Row; !out.Log {
		out.item = last
	}
	out.id = out.item.Entry.ID()
	out.Tag = there == ""
	here, err := p.Registry.Digest(ctx, ref.Context().Digest(out.Digest))
	if err != nil {
		return out, err
	}
	out.Copy = here == ""
	out.Action = Present
	if out.Log || out.Copy || out.Tag || slices.ContainsFunc(state.Waiting, func(i ledger.Item) bool { return i.Entry.ID() == out.id }) {
		out.Action = Add
	}
	return out, nil
}

// moves compares moving tags with what the log says of them.
func (p *Publisher) moves(ctx context.Context, rows []table.Row, repos map[string]bool) ([]Move, error) {
	logged := map[string]bool{}
	for _, r := range rows {
		if r.Image != nil {
			logged[r.Image.Digest] = true
		}
	}
	want := Moving(rows, p.Defaults)
	var out []Move
	for _, at := range sortedKeys(want) {
		if repo, _ := split(at); !repos[repo] {
			continue
		}
		ref, err := p.Registry.Parse(at)
		if err != nil {
			return nil, err
		}
		from, err := p.Registry.Digest(ctx, ref)
		if err != nil {
			return nil, err
		}
		if from == want[at] {
			continue
		}
		m := Move{Tag: at, From: from, To: want[at]}
		switch {
		case from != "" && !logged[from]:
			m.Reason = "it names an image that the log does not know"
		case m.To == "":
			m.Reason = "its image was withdrawn, and there is no other for it"
		}
		out = append(out, m)
	}
	return out, nil
}

// Publish does what Look found. say is told what is under way.
func (p *Publisher) Publish(ctx context.Context, preview *Preview, say func(string)) (*Preview, error) {
	done := *preview
	done.Changes, done.Moves = slices.Clone(preview.Changes), nil
	for i := range done.Changes {
		c := &done.Changes[i]
		if c.Action != Add && c.Action != Present {
			continue
		}
		if c.Copy {
			say("copying " + c.Image)
		}
		if err := p.Registry.Copy(ctx, p.Store, c.Image, c.Digest); err != nil {
			return nil, err
		}
	}
	for i := range done.Changes {
		if c := &done.Changes[i]; c.Action == Add && c.Log {
			if _, err := p.Ledger.Submit(ctx, c.item); err != nil {
				return nil, err
			}
		}
	}
	var state *ledger.State
	var err error
	if p.Signer == nil {
		state, err = p.Ledger.Read(ctx)
	} else {
		state, err = p.Ledger.Fold(ctx, *p.Signer, nil)
	}
	if err != nil {
		return nil, err
	}
	if err := p.tag(ctx, &done, state); err != nil {
		return nil, err
	}
	for {
		if err := p.move(ctx, &done, state); err != nil {
			return nil, err
		}
		again, err := p.Ledger.Read(ctx)
		if err != nil {
			return nil, err
		}
		done.Entries, done.Waiting = again.Head.Size, len(again.Waiting)
		if again.Head.Size == state.Head.Size {
			return &done, nil
		}
		state = again // another publisher may have moved a tag between our reading and our writing
	}
}

// tag sets the tags of what the log has.
func (p *Publisher) tag(ctx context.Context, done *Preview, state *ledger.State) error {
	logged := map[string]bool{}
	for _, i := range state.Items {
		logged[i.Entry.ID()] = true
	}
	for i := range done.Changes {
		c := &done.Changes[i]
		if c.Action != Add {
			continue
		}
		if !logged[c.id] {
			if why, ok := state.Refused[c.id]; ok {
				c.Action, c.Reasons = Refuse, []string{why}
			} else {
				c.Reasons = []string{"its entry waits for a sequencer: publish again with a key"}
			}
			continue
		}
		ref, err := p.Registry.Parse(c.Image)
		if err != nil {
			return err
		}
		there, err := p.Registry.Digest(ctx, ref)
		switch {
		case err != nil:
			return err
		case there == "":
			if err := p.Registry.Tag(ctx, ref, c.Digest); err != nil {
				return err
			}
		case there != c.Digest:
			c.Action, c.Reasons = Refuse, []string{fmt.Sprintf("%s is %s already, and such a tag is never moved", c.Image, there)}
			continue
		}
		c.Copy, c.Log, c.Tag = false, false, false
	}
	return nil
}

func (p *Publisher) move(ctx context.Context, done *Preview, state *ledger.State) error {
	moves, err := p.moves(ctx, state.Rows(), done.repositories)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if m.Reason == "" {
			ref, err := p.Registry.Parse(m.Tag)
			if err != nil {
				return err
			}
			// The image of a row that another publisher logged may have no tag yet, but
			// it is there: blobs and manifest come before the entry.
			if err := p.Registry.Tag(ctx, ref, m.To); err != nil {
				return err
			}
		}
		done.Moves = append(slices.DeleteFunc(done.Moves, func(old Move) bool { return old.Tag == m.Tag }), m)
	}
	return nil
}

// ErrNoImage is an image that a place does not have.
var ErrNoImage = errors.New("there is no such image")

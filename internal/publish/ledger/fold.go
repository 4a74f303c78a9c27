package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Signer signs heads of a log.
type Signer struct {
	note.Signer
	Key table.Key
}

// Change makes further entries for a log as it stands; they come after all that
// waits. The head with them is signed by signer.
type Change func(*State, time.Time) (items []Item, signer Signer, err error)

// Mistake is a key, or the name of one, that does not fit the log.
type Mistake string

func (m Mistake) Error() string { return string(m) }

// Accepts says why a key may not sign what comes next in a log that was read: what
// it cannot complete is better not begun.
func (l *Ledger) Accepts(s *State, signer Signer) error {
	if err := s.accepts(signer, l.now()); err != nil {
		return fmt.Errorf("the log of %s: %w", l.place, err)
	}
	return nil
}

func (s *State) accepts(signer Signer, now time.Time) error {
	if current, ok := s.Keys.Current(); ok && current.Text != signer.Key.Text {
		return Mistake(fmt.Sprintf("it is signed by %s, not by %s: take that key, or rotate it", current.ID(), signer.Key.ID()))
	}
	if !now.Before(signer.Key.Until) {
		return Mistake(fmt.Sprintf("the key %s has expired: make another with jetcrate keys new, and let it sign with jetcrate keys rotate", signer.Key.ID()))
	}
	return nil
}

// Fold gives everything that waits its place, and signs the head. A log without
// an entry begins with the signer's key. It waits for another sequencer.
func (l *Ledger) Fold(ctx context.Context, signer Signer, change Change) (*State, error) {
	if change == nil { // nobody has to wait for nothing
		if s, err := l.Read(ctx); err != nil || len(s.ready()) == 0 {
			return s, err
		}
	}
	release, err := l.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("sequencing the log of %s: %w", l.place, err)
	}
	defer release()
	for range 100 { // publishers may go on submitting
		s, err := l.Read(ctx)
		if err != nil {
			return nil, err
		}
		next, by, err := l.next(s, signer, change)
		if err != nil {
			return nil, fmt.Errorf("sequencing the log of %s: %w", l.place, err)
		}
		if next == nil {
			return s, nil
		}
		change, signer = nil, by
		if err := l.write(ctx, next); err != nil {
			return nil, err
		}
	}
	return l.Read(ctx)
}

// next is the log with what waits, and who signed it; nil where nothing does.
func (l *Ledger) next(s *State, signer Signer, change Change) (*State, Signer, error) {
	now := s.stamp(l.now())
	items := s.ready()
	// A key that has expired vouches for nothing: another may then begin anew.
	if current, ok := s.Keys.Current(); change == nil || ok && now.Before(current.Until) {
		if err := s.accepts(signer, now); err != nil {
			return nil, signer, err
		}
	}
	if len(s.Items) == 0 {
		if len(items) == 0 && change == nil {
			return nil, signer, nil
		}
		genesis, err := table.KeyStatement(signer, signer.Key, now)
		if err != nil {
			return nil, signer, err
		}
		items = append([]Item{{Entry: genesis}}, items...)
	}
	if change != nil {
		more, by, err := change(s, now)
		if err != nil {
			return nil, signer, err
		}
		items, signer = append(items, more...), by
	}
	if len(items) == 0 {
		return nil, signer, nil
	}
	next := &State{Items: append([]Item{}, s.Items...)}
	for _, i := range items {
		i.Entry.Time = now.Format(time.RFC3339)
		next.Items = append(next.Items, i)
	}
	tree := &table.Tree{}
	entries := make([]table.Entry, len(next.Items))
	for n, i := range next.Items {
		if err := i.check(); err != nil {
			return nil, signer, err
		}
		entries[n] = i.Entry
		tree.Append(i.Entry.Leaf())
	}
	root, err := tree.Root(tree.Size())
	if err != nil {
		return nil, signer, err
	}
	next.Head = table.Head{Origin: signer.Key.Origin, Size: tree.Size(), Root: root, Time: now}
	if next.Signed, err = next.Head.Sign(signer); err != nil {
		return nil, signer, err
	}
	// What a reader would refuse is not written: an expired key, a key of another log.
	if _, _, _, err := table.OpenLog(entries, next.Signed); err != nil {
		return nil, signer, err
	}
	return next, signer, nil
}

// write writes a head with all that it names, the head last.
func (l *Ledger) write(ctx context.Context, s *State) error {
	blobs := [][]byte{[]byte(s.Signed)}
	for from := 0; from < len(s.Items); from += perBundle {
		var b bytes.Buffer
		for _, i := range s.Items[from:min(from+perBundle, len(s.Items))] {
			raw, err := json.Marshal(i)
			if err != nil {
				return fmt.Errorf("writing the log of %s: %w", l.place, err)
			}
			b.Write(raw)
			b.WriteByte('\n')
		}
		blobs = append(blobs, b.Bytes())
	}
	if l.pushed != nil {
		l.pushed()
	}
	if err := l.renew(ctx); err != nil {
		return err
	}
	heads, _, err := l.tags(ctx)
	if err != nil {
		return fmt.Errorf("writing the log of %s: %w", l.place, err)
	}
	if len(heads) > 0 && heads[0].size >= s.Head.Size {
		return fmt.Errorf("writing the log of %s: another sequencer wrote %s meanwhile; try again", l.place, heads[0].tag)
	}
	return l.put(ctx, l.headTag(s.Head.Size, s.Head.Root), headType, blobs...)
}

// lease says who sequences, and until when.
type lease struct {
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
}

// pause is how long to wait for another sequencer before looking again.
const pause = 50 * time.Millisecond

// lock waits until this process alone sequences, as far as that can be known.
func (l *Ledger) lock(ctx context.Context) (release func(), err error) {
	sum := sha256.Sum256([]byte(l.place))
	var claim func()
	for ok := false; !ok; {
		if claim, ok, err = l.store.Claim("log", hex.EncodeToString(sum[:])); err != nil {
			return nil, err
		}
		if !ok {
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
		}
	}
	if l.settle == 0 { // the file lock is gone with a process that is killed, and a lease is not
		return claim, nil
	}
	for {
		held, err := l.readLease(ctx)
		if err == nil && (held.Owner == l.owner || !l.now().Before(held.Until)) {
			if err = l.writeLease(ctx, l.now().Add(l.term)); err == nil {
				err = sleep(ctx, l.settle)
			}
			if err == nil {
				held, err = l.readLease(ctx)
			}
			if err == nil && held.Owner == l.owner {
				return func() {
					// For the next one, who would wait for its end otherwise.
					_ = l.writeLease(context.WithoutCancel(ctx), time.Time{})
					claim()
				}, nil
			}
		}
		if err == nil {
			err = sleep(ctx, 4*pause)
		}
		if err != nil {
			claim()
			return nil, err
		}
	}
}

// renew makes sure that the lease still holds, with time to write a head.
func (l *Ledger) renew(ctx context.Context) error {
	if l.settle == 0 {
		return nil
	}
	held, err := l.readLease(ctx)
	if err != nil {
		return err
	}
	if held.Owner != l.owner || held.Until.Sub(l.now()) < l.term/4 {
		return fmt.Errorf("writing the log of %s: the lease ran out before the head was written; try again", l.place)
	}
	return nil
}

func (l *Ledger) readLease(ctx context.Context) (lease, error) {
	var held lease
	parts, err := l.blobs(ctx, l.prefix+"lease", leaseType)
	if errors.Is(err, store.ErrNotFound) {
		return held, nil
	}
	if err != nil {
		return held, err
	}
	if len(parts) != 1 || json.Unmarshal(parts[0], &held) != nil {
		return lease{}, nil // it is nobody's
	}
	return held, nil
}

func (l *Ledger) writeLease(ctx context.Context, end time.Time) error {
	raw, err := json.Marshal(lease{l.owner, end})
	if err != nil {
		return err
	}
	return l.put(ctx, l.prefix+"lease", leaseType, raw)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

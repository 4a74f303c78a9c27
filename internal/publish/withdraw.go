package publish

import (
	"context"
	"fmt"

	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/table"
)

// Withdraw takes an image back: an entry that no table may leave out. Its blobs
// and its tag stay where they are, since others may have pulled them. Without a
// signer the entry waits for a sequencer.
func Withdraw(ctx context.Context, l *ledger.Ledger, signer *ledger.Signer, digest, reason string) error {
	s, err := l.Read(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, i := range s.Items {
		known = known || i.Entry.Type == table.PublishedEntry && i.Entry.Image == digest
	}
	if !known {
		return fmt.Errorf("%s was never published to %s: %w", digest, l.Place(), ErrNoImage)
	}
	if why, ok := s.Withdrawn()[digest]; ok && why != reason {
		return ledger.Mistake(fmt.Sprintf("%s was withdrawn already: %s", digest, why))
	}
	if signer != nil {
		if err := l.Accepts(s, *signer); err != nil {
			return err
		}
	}
	if _, err := l.Submit(ctx, ledger.Item{Entry: table.Entry{Type: table.WithdrawnEntry, Image: digest, Reason: reason}}); err != nil {
		return err
	}
	if signer == nil {
		return nil
	}
	_, err = l.Fold(ctx, *signer, nil)
	return err
}

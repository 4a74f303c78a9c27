package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

func (a *app) withdrawCommand() *cobra.Command {
	var p place
	var reason string
	c := &cobra.Command{
		Use: "withdraw IMAGE", Short: "Take back a published image, with a reason that jet shows", Args: oneArg("an image by its own tag or digest", "registry.example.org/jetson/pytorch:2.8.0-r36.4.0-cu126-py310"),
		Long: `Adds an entry to the log that takes the image back. The next table says so, jet never
picks the image again, and it cannot be published once more. What the registry has stays
there; moving tags leave it with the next publish, where there is another image for them.`,
		Example: "  jetcrate withdraw registry.example.org/jetson/pytorch:2.8.0-r36.4.0-cu126-py310 --reason 'wrong sums on sm_87'",
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usage{errors.New("say why with --reason: jet shows it")}
			}
			if err := p.of(args[0]); err != nil {
				return err
			}
			return a.withdraw(c.Context(), args[0], p, reason)
		},
	}
	p.flags(c, "to", "place that the image was published to (default: what its name says)")
	p.keyFlag(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for those who have it")
	return c
}

func (a *app) withdraw(ctx context.Context, reference string, p place, reason string) error {
	signer, err := a.signer(p.key)
	if err != nil {
		return err
	}
	rules, err := a.rules(p.to)
	if err != nil {
		return err
	}
	return a.withLedger(ctx, p, rules, func(_ *store.Store, l *ledger.Ledger) error {
		s, err := l.Read(ctx)
		if err != nil {
			return err
		}
		digest, err := published(s.Rows(), reference)
		if err != nil {
			return err
		}
		if err := publish.Withdraw(ctx, l, signer, digest, reason); err != nil {
			return err
		}
		if signer == nil {
			fmt.Fprintf(a.stderr, "the withdrawal of %s waits for a sequencer: any jetcrate publish with a key\n", digest)
			return nil
		}
		fmt.Fprintf(a.stderr, "withdrew %s; now move the tags that follow others (jetcrate publish --to %s), and make the table again (jetcrate table --published %s)\n", digest, p.to, p.to)
		return nil
	})
}

// published finds the digest of an image in the log, whatever its tag says now.
func published(rows []table.Row, reference string) (string, error) {
	if _, digest, ok := strings.Cut(reference, "@"); ok {
		return digest, nil
	}
	for _, r := range rows {
		if r.Image.Reference == reference {
			return r.Image.Digest, nil
		}
	}
	colon := strings.LastIndexByte(reference, ':')
	for _, r := range slices.Backward(rows) { // the newest
		if strings.HasPrefix(r.Image.Reference, reference[:colon+1]) {
			return "", usage{fmt.Errorf("%s is no tag that the log has, which knows those that never move, such as %s; or name it by digest", reference, r.Image.Reference)}
		}
	}
	return "", fmt.Errorf("%s is no tag that the log has: %w", reference, publish.ErrNoImage)
}

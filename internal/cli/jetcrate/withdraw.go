package jetcrate

import (
	"context"
	"errors"
	"fmt"
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
		Use: "withdraw IMAGE", Short: "Take back a published image, with a reason that jet shows", Args: oneArg("an image by tag or digest", "registry.example.org/jetson/pytorch:r36.4"),
		Long: `Adds an entry to the log that takes the image back. The next table says so, jet never
picks the image again, and it cannot be published once more. What the registry has stays
there; moving tags leave it with the next publish.`,
		Example: "  jetcrate withdraw registry.example.org/jetson/pytorch:2.8.0-r36.4.0-cu126-py310 --reason 'wrong sums on sm_87'",
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usage{errors.New("say why with --reason: jet shows it")}
			}
			if p.to == "" {
				p.to = publish.PlaceOf(args[0])
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
		fmt.Fprintf(a.stderr, "withdrew %s; make the table again: jetcrate table --published %s\n", digest, p.to)
		return nil
	})
}

// published finds the digest of an image in the log, whatever its tag says now.
func published(rows []table.Row, reference string) (string, error) {
	if _, digest, ok := strings.Cut(reference, "@"); ok {
		return digest, nil
	}
	for _, r := range rows {
		if r.Image != nil && r.Image.Reference == reference {
			return r.Image.Digest, nil
		}
	}
	return "", fmt.Errorf("%s is no tag that the log has; moving tags will not do: %w", reference, publish.ErrNoImage)
}

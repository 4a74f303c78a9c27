package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/store"
)

func (a *app) keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "Make and change the keys that sign the log of what is published",
		Args: noArgs, Example: "  jetcrate keys new --origin releases.example.org\n  jetcrate keys show",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.keysNewCommand(), a.keysShowCommand(), a.keysRotateCommand(), a.keysRevokeCommand())
	return c
}

func (a *app) keysNewCommand() *cobra.Command {
	var origin, expires, out string
	c := &cobra.Command{
		Use: "new", Short: "Make a key, and print the public one", Args: noArgs,
		Long: `Makes a key for the log that --origin names. The private key goes into a file that
nobody else can read, never over another one, and is never printed. The public key, which
is printed, is what jet and jetcrate verify trust: it names the log and the day from which
it signs no more.`,
		Example: "  jetcrate keys new --origin releases.example.org\n  jetcrate keys new --origin releases.example.org --expires 2027-12-31 --out next.key",
		RunE: func(*cobra.Command, []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if origin == "" {
				return usage{errors.New("name the log with --origin, as a web site is named: releases.example.org")}
			}
			until := time.Now().AddDate(1, 0, 0)
			if expires != "" {
				var err error
				if until, err = time.Parse("2006-01-02", expires); err != nil {
					return usage{fmt.Errorf("--expires %q: a day is written 2027-12-31", expires)}
				}
				if !until.After(time.Now()) {
					return usage{fmt.Errorf("--expires %s: that day is past", expires)}
				}
			}
			signer, file, err := ledger.NewKey(origin, until)
			if err != nil {
				return usage{fmt.Errorf("--origin: %w", err)}
			}
			if out == "" {
				d, err := findDirs()
				if err != nil {
					return err
				}
				out = filepath.Join(d.data, keyFile)
			}
			if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
				return fmt.Errorf("writing the private key: %w", err)
			}
			err = ledger.WriteKey(out, file)
			if errors.Is(err, os.ErrExist) {
				return usage{fmt.Errorf("there is a key at %s already: name another file with --out, and make it the one that signs with jetcrate keys rotate", out)}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "the private key is in %s: keep a copy of it where nobody else comes to\n", out)
			return a.showKey(signer)
		},
	}
	c.Flags().StringVar(&origin, "origin", "", "name of the log, such as releases.example.org")
	c.Flags().StringVar(&expires, "expires", "", "day from which the key signs no more (default: in a year)")
	c.Flags().StringVar(&out, "out", "", "file for the private key (default: "+keyFile+" of jetcrate's data folder)")
	return c
}

func (a *app) showKey(s ledger.Signer) error {
	if a.output == "json" {
		return a.json(struct {
			Public  string `json:"public"`
			ID      string `json:"id"`
			Origin  string `json:"origin"`
			Expires string `json:"expires"`
		}{s.Key.Text, s.Key.ID(), s.Key.Origin, s.Key.Until.Format("2006-01-02")})
	}
	fmt.Fprintln(a.stdout, s.Key.Text)
	return nil
}

func (a *app) keysShowCommand() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use: "show", Short: "Print the public key of a private one, or the keys of a log", Args: noArgs,
		Example: "  jetcrate keys show\n  jetcrate keys show --to registry.example.org/jetson",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if p.to == "" {
				s, err := a.mustSign(p.key)
				if err != nil {
					return err
				}
				return a.showKey(s)
			}
			return a.logKeys(c.Context(), p)
		},
	}
	p.flags(c, "to", "place whose log's keys are listed")
	p.keyFlag(c)
	return c
}

// logKeys lists the keys that signed a log.
func (a *app) logKeys(ctx context.Context, p place) error {
	if err := p.check(); err != nil {
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
		type row struct {
			Public string `json:"public"`
			ID     string `json:"id"`
			State  string `json:"state"` // signs, rotated, revoked
			Reason string `json:"reason,omitempty"`
		}
		rows := []row{}
		current, _ := s.Keys.Current()
		for _, k := range s.Keys.All() {
			r := row{Public: k.Text, ID: k.ID(), State: "rotated"}
			if reason, ok := s.Keys.Revoked(k.ID()); ok {
				r.State, r.Reason = "revoked", reason
			} else if k.Text == current.Text {
				r.State = "signs"
			}
			rows = append(rows, r)
		}
		if a.output == "json" {
			return a.json(rows)
		}
		for _, r := range rows {
			line := r.State + "\t" + r.Public
			if r.Reason != "" {
				line += "\t" + r.Reason
			}
			fmt.Fprintln(a.stdout, line)
		}
		return nil
	})
}

func (a *app) keysRotateCommand() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use: "rotate NEWKEY", Short: "Make another key sign the log: the one that does now vouches for it", Args: oneArg("the file of the new private key", "next.key"),
		Long: `Adds an entry to the log by which the key that signs it now (--key) makes that of the
file NEWKEY sign from then on. Who trusts the old key goes on trusting the log.
A key that has expired vouches for nothing: --key NEWKEY then begins anew, for those
who trust the new key.`,
		Example: "  jetcrate keys new --origin releases.example.org --out next.key\n  jetcrate keys rotate next.key --to registry.example.org/jetson",
		RunE: func(c *cobra.Command, args []string) error {
			next, err := ledger.ReadSigner(args[0])
			if err != nil {
				return usage{err}
			}
			return a.changeKeys(c.Context(), p, func(now ledger.Signer) (ledger.Change, string) {
				return ledger.Rotate(now, next), "the log is signed by " + next.Key.ID() + " from now on"
			})
		},
	}
	p.flags(c, "to", "place whose log it is")
	p.keyFlag(c)
	return c
}

func (a *app) keysRevokeCommand() *cobra.Command {
	var p place
	var reason string
	c := &cobra.Command{
		Use: "revoke ID", Short: "Take back a key that signed the log: who trusts only it is told so", Args: oneArg("the ID of a key as keys show --to has it", "releases.example.org/until-2026-12-31+0123abcd"),
		Example: "  jetcrate keys revoke releases.example.org/until-2026-12-31+0123abcd --to registry.example.org/jetson --reason 'it was stolen'",
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return usage{errors.New("say why with --reason")}
			}
			return a.changeKeys(c.Context(), p, func(now ledger.Signer) (ledger.Change, string) {
				return ledger.Revoke(now, args[0], reason), "revoked " + args[0]
			})
		},
	}
	p.flags(c, "to", "place whose log it is")
	p.keyFlag(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for those who trust the key")
	return c
}

func (a *app) changeKeys(ctx context.Context, p place, change func(ledger.Signer) (ledger.Change, string)) error {
	if err := p.check(); err != nil {
		return err
	}
	signer, err := a.mustSign(p.key)
	if err != nil {
		return err
	}
	rules, err := a.rules(p.to)
	if err != nil {
		return err
	}
	return a.withLedger(ctx, p, rules, func(_ *store.Store, l *ledger.Ledger) error {
		do, done := change(signer)
		if _, err := l.Fold(ctx, signer, do); err != nil {
			return err
		}
		fmt.Fprintln(a.stderr, done)
		return nil
	})
}

package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

func (a *app) verifyCommand() *cobra.Command {
	var p place
	var trust, tableFile string
	c := &cobra.Command{
		Use: "verify IMAGE", Short: "Check a published image: its digests, its place in the signed log, its evidence", Args: oneArg("an image by tag or digest", "registry.example.org/jetson/pytorch:r36.4"),
		Long: `Reads all of an image and checks that every blob has its digest; that the head of the
log is signed by a trusted key, and that the image's entry is in the log (this proof is its
signature); that it was not withdrawn; and that its tests passed as matrix.yaml asks of the
place.

The log is that of --table, a table as it was published, or that of the place.
A trusted key is given by --trust or JETCRATE_TRUST: public keys, or a file of them;
else it is the key that signs here.`,
		Example: "  jetcrate verify registry.example.org/jetson/pytorch:r36.4 --table table.json --trust trusted-keys",
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if err := p.of(args[0]); err != nil {
				return err
			}
			keys, err := a.trusted(trust, p.key)
			if err != nil {
				return err
			}
			return a.verify(c.Context(), args[0], p, keys, tableFile)
		},
	}
	p.flags(c, "to", "place that the image was published to (default: what its name says)")
	p.keyFlag(c)
	c.Flags().StringVar(&trust, "trust", "", "trusted public keys, or a file that has one a line")
	c.Flags().StringVar(&tableFile, "table", "", "signed table that has the log")
	return c
}

// trusted reads public keys: one, several, or a file of them; without any, the
// public half of the key that signs here.
func (a *app) trusted(text, keyFile string) ([]table.Key, error) {
	if text == "" {
		text = os.Getenv("JETCRATE_TRUST")
	}
	if text == "" {
		s, err := a.signer(keyFile)
		if err == nil && s == nil {
			err = usage{errors.New("name the keys that are trusted with --trust or JETCRATE_TRUST")}
		}
		if err != nil {
			return nil, err
		}
		return []table.Key{s.Key}, nil
	}
	if !strings.Contains(text, "+") {
		b, err := os.ReadFile(text)
		if err != nil {
			return nil, usage{fmt.Errorf("reading the trusted keys: %w", err)}
		}
		text = string(b)
	}
	var keys []table.Key
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, err := table.ParseKey(line)
		if err != nil {
			return nil, usage{err}
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, usage{errors.New("no key is trusted: the file of --trust has none")}
	}
	return keys, nil
}

func (a *app) verify(ctx context.Context, reference string, p place, keys []table.Key, tableFile string) error {
	rules, err := a.rules(p.to)
	if err != nil {
		return err
	}
	reg, err := p.registry()
	if err != nil {
		return err
	}
	if tableFile != "" {
		proof, err := tableProof(tableFile)
		var refused *table.Refusal
		if errors.As(err, &refused) {
			a.say(err)
			return said{exitNo}
		}
		if err != nil {
			return err
		}
		return a.verifyIn(ctx, reg, reference, proof, keys, rules)
	}
	return a.withLedger(ctx, p, rules, func(_ *store.Store, l *ledger.Ledger) error {
		s, err := l.Read(ctx)
		if err != nil {
			return err
		}
		return a.verifyIn(ctx, reg, reference, publish.Proof{Entries: s.Entries(), Signed: s.Signed, Rows: s.Rows()}, keys, rules)
	})
}

func tableProof(file string) (publish.Proof, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return publish.Proof{}, usage{err}
	}
	defer f.Close()
	t, err := table.Read(f)
	if err != nil {
		return publish.Proof{}, usage{fmt.Errorf("%s: %w", file, err)}
	}
	entries, err := t.LogEntries()
	if err != nil {
		return publish.Proof{}, err
	}
	return publish.Proof{Entries: entries, Signed: t.Log.Head, Rows: t.Rows}, nil
}

func (a *app) verifyIn(ctx context.Context, reg *publish.Registry, reference string, proof publish.Proof, keys []table.Key, rules spec.Repository) error {
	v, err := publish.Verify(ctx, reg, reference, proof, keys, rules)
	if errors.Is(err, publish.ErrNoImage) {
		a.say(err)
		return said{exitNo}
	}
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = a.json(v)
	} else {
		fmt.Fprintf(a.stdout, "%s\n%s\n", v.Image, v.Digest)
		fmt.Fprintf(a.stdout, "%d blobs, %s\n", v.Blobs, units.BytesSize(float64(v.Bytes)))
		if v.Time != "" {
			fmt.Fprintf(a.stdout, "entry %d of %d in the log %s, %s\n%s: %s\n", v.Entry, v.Entries, v.Log, v.Time, v.Cell, v.Status)
			fmt.Fprintf(a.stdout, "signed by %s\n", v.Key)
		}
		for _, p := range v.Problems {
			fmt.Fprintf(a.stdout, "! %s\n", p)
		}
		if v.Good() {
			fmt.Fprintln(a.stdout, "verified")
		} else {
			fmt.Fprintln(a.stdout, "not verified")
		}
	}
	if err == nil && !v.Good() {
		err = said{exitNo}
	}
	return err
}

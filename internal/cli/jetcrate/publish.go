package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/publish"
	"github.com/jetcrate/jetcrate/internal/publish/ledger"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
)

// place is the flags of commands that have to do with a place for releases.
type place struct {
	to       string
	log      string
	key      string
	insecure bool
}

func (p *place) flags(c *cobra.Command, name, to string) {
	f := c.Flags()
	f.StringVar(&p.to, name, "", to)
	f.StringVar(&p.log, "log", "", "registry that keeps the log: host/repository (default: what matrix.yaml says of the place, else the store)")
	f.BoolVar(&p.insecure, "insecure", false, "speak plain HTTP with the place and --log")
}

func (p *place) keyFlag(c *cobra.Command) {
	c.Flags().StringVar(&p.key, "key", "", "file of the private key that signs the log (default: JETCRATE_KEY, which holds such a file's content, else "+keyFile+" of jetcrate's data folder)")
}

// check reads the place that a flag or an image names.
func (p *place) check() error {
	if p.to == "" {
		return usage{errors.New("name the place with --to HOST/PATH")}
	}
	to, err := publish.ParsePlace(p.to)
	if err != nil {
		return usage{err}
	}
	p.to = to
	if p.log != "" {
		if _, err := publish.ParsePlace(p.log); err != nil {
			return usage{fmt.Errorf("--log: %w", err)}
		}
	}
	return nil
}

// of takes the place from the name of an image, where no flag names it.
func (p *place) of(image string) error {
	at, err := publish.PlaceOf(image)
	if err != nil {
		return usage{err}
	}
	if p.to == "" {
		p.to = at
	}
	return p.check()
}

// keyFile is where keys new writes a key, below the data folder.
const keyFile = "keys/log.key"

// signer gives the key that signs; nil where none is named and none lies where
// keys new writes it.
func (a *app) signer(file string) (*ledger.Signer, error) {
	text := os.Getenv("JETCRATE_KEY")
	if file == "" && text != "" {
		s, err := ledger.ParseSigner([]byte(text))
		if err != nil {
			return nil, usage{fmt.Errorf("JETCRATE_KEY: %w", err)}
		}
		return &s, nil
	}
	if file == "" {
		d, err := findDirs()
		if err != nil {
			return nil, err
		}
		file = filepath.Join(d.data, keyFile)
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	s, err := ledger.ReadSigner(file)
	if err != nil {
		return nil, usage{err}
	}
	return &s, nil
}

// mustSign is signer where there has to be one.
func (a *app) mustSign(file string) (ledger.Signer, error) {
	s, err := a.signer(file)
	if err == nil && s == nil {
		err = usage{errors.New("there is no key to sign the log with: name one with --key or JETCRATE_KEY, or make one with jetcrate keys new")}
	}
	if err != nil {
		return ledger.Signer{}, err
	}
	return *s, nil
}

// rules are what matrix.yaml says of a place, where there is a catalog.
func (a *app) rules(to string) (spec.Repository, error) {
	if _, err := a.catalogRoot(); err != nil {
		if a.catalogDir != "" {
			return spec.Repository{}, err
		}
		return spec.Repository{Repository: to}, nil
	}
	cat, _, err := a.load()
	if err != nil {
		return spec.Repository{}, err
	}
	return cat.Matrix.Repository(to), nil
}

// withLedger opens the log of a place for as long as do runs.
func (a *app) withLedger(ctx context.Context, p place, rules spec.Repository, do func(*store.Store, *ledger.Ledger) error) error {
	at := p.log
	if at == "" {
		at = rules.Log
	}
	return a.withStore(ctx, func(st *store.Store) error {
		logs, shared := st, a.storeAt != ""
		if at != "" {
			d, err := findDirs()
			if err != nil {
				return err
			}
			logs, err = store.Open(ctx, store.Options{Location: at, Insecure: p.insecure, Cache: filepath.Join(d.cache, "blobs")})
			if err != nil {
				return err
			}
			defer logs.Close()
			shared = true
		}
		err := do(st, ledger.Open(logs, p.to, ledger.Options{Shared: shared}))
		var fork *ledger.ForkError
		if errors.As(err, &fork) || errors.Is(err, publish.ErrNoImage) {
			a.say(err)
			return said{exitNo}
		}
		var mistake ledger.Mistake
		if errors.As(err, &mistake) {
			return usage{err}
		}
		return err
	})
}

func (p *place) registry() (*publish.Registry, error) {
	return publish.NewRegistry(publish.RegistryOptions{Insecure: p.insecure, Auth: pushAuth()})
}

func (a *app) publishCommand() *cobra.Command {
	var s selection
	var to place
	var dry bool
	var revision string
	c := &cobra.Command{
		Use: "publish TARGET... | --all", Short: "Copy what has passed to a place for releases, by digest, and log it",
		Long: `Copies images of the store to HOST/PATH/NAME:TAG, with what is attached to them, and
never builds anything. matrix.yaml says which tests an image must have passed to get
there (publish.repositories); a place that it does not name asks for all of them, on a
GPU where they need one.

A tag such as 2.8.0-r36.4.0-cu126-py310 is given once and never moved; 2.8-r36.4 and
r36.4 follow the newest that was published. What is published gets an entry in the log,
which --key signs; without a key the entry waits, and so do the tags.
Ended halfway, the same command goes on.

It prints a line for each image: + is published, = was there already, ! is refused,
- has no image in the store; and for each tag that moves: >, or ! where it stays.`,
		Example: `  jetcrate publish pytorch --l4t r36.4 --to registry.example.org/jetson --dry-run
  jetcrate publish --all --to registry.example.org/jetson`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if err := to.check(); err != nil {
				return err
			}
			if _, err := name.NewTag("image:1"+revision, name.WeakValidation); err != nil {
				return usage{fmt.Errorf("--revision %q: a tag has letters, digits, and . _ - between them", revision)}
			}
			return a.publish(c.Context(), &s, args, to, dry, revision)
		},
	}
	s.flags(c, a)
	s.allFlags(c)
	c.Flags().StringVar(&s.name, "name", "", "name of the image")
	to.flags(c, "to", "place for releases: host/path; the image NAME goes to host/path/NAME")
	to.keyFlag(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would change at the place")
	c.Flags().StringVar(&revision, "revision", "", "end of the tags of images that were made again, such as 2; auto: each the next number that is free")
	return c
}

func (a *app) publish(ctx context.Context, s *selection, args []string, to place, dry bool, revision string) error {
	cat, _, p, err := a.plan(s, args)
	if err != nil {
		return err
	}
	signer, err := a.signer(to.key)
	if err != nil {
		return err
	}
	reg, err := to.registry()
	if err != nil {
		return err
	}
	rules := cat.Matrix.Repository(to.to)
	return a.withLedger(ctx, to, rules, func(st *store.Store, l *ledger.Ledger) error {
		pub := &publish.Publisher{
			Plan: p, Store: st, About: about(cat),
			Ledger: l, Registry: reg, Rules: rules, Defaults: publish.Defaults{Matrix: cat.Matrix}, Revision: revision, Signer: signer,
		}
		preview, err := pub.Look(ctx, p.Cells)
		if err == nil && !dry {
			preview, err = pub.Publish(ctx, preview, func(s string) { fmt.Fprintln(a.stderr, s) })
		}
		if err != nil {
			return err
		}
		if a.output == "json" {
			err = a.json(preview)
		} else {
			a.printPreview(preview, dry)
		}
		if err == nil && preview.Refused() {
			err = said{exitNo}
		}
		return err
	})
}

// printPreview prints a line for each thing that changed, or would.
func (a *app) printPreview(p *publish.Preview, dry bool) {
	for _, c := range p.Changes {
		switch c.Action {
		case publish.Add:
			var todo []string
			for _, t := range []struct {
				is   bool
				what string
			}{{c.Copy, "copy"}, {c.Log, "log"}, {c.Tag, "tag"}} {
				if t.is {
					todo = append(todo, t.what)
				}
			}
			line := "+ " + c.Image + " " + shortDigest(c.Digest)
			switch {
			case len(c.Reasons) > 0:
				line += ": " + strings.Join(c.Reasons, "; ")
			case dry && len(todo) > 0:
				line += " (" + strings.Join(todo, ", ") + ")"
			}
			fmt.Fprintln(a.stdout, line)
		case publish.Present:
			fmt.Fprintln(a.stdout, "= "+c.Image+" "+shortDigest(c.Digest))
		case publish.Refuse:
			fmt.Fprintf(a.stdout, "! %s: %s\n", c.Cell, strings.Join(c.Reasons, "; "))
		case publish.None:
			fmt.Fprintf(a.stdout, "- %s: %s\n", c.Cell, strings.Join(c.Reasons, "; "))
		}
	}
	for _, m := range p.Moves {
		from := "new"
		if m.From != "" {
			from = shortDigest(m.From)
		}
		if m.Reason != "" {
			fmt.Fprintf(a.stdout, "! %s stays %s: %s\n", m.Tag, from, m.Reason)
			continue
		}
		fmt.Fprintf(a.stdout, "> %s %s -> %s\n", m.Tag, from, shortDigest(m.To))
	}
	fmt.Fprintf(a.stderr, "%s: %s; its log has %d entries", p.Place, summary(p.Changes, dry), p.Entries)
	if p.Waiting > 0 {
		fmt.Fprintf(a.stderr, ", and %d waiting for a sequencer", p.Waiting)
	}
	fmt.Fprintln(a.stderr)
}

// summary counts what became of cells, or would.
func summary(changes []publish.Change, dry bool) string {
	words := []string{"published", "waiting", "there already", "refused", "without an image"}
	if dry {
		words[0] = "to publish"
	}
	n := make([]int, len(words))
	for _, c := range changes {
		switch c.Action {
		case publish.Add:
			if len(c.Reasons) > 0 {
				n[1]++
			} else {
				n[0]++
			}
		case publish.Present:
			n[2]++
		case publish.Refuse:
			n[3]++
		case publish.None:
			n[4]++
		}
	}
	var parts []string
	for i, word := range words {
		if n[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[i], word))
		}
	}
	if len(parts) == 0 {
		return "no cells"
	}
	return strings.Join(parts, ", ")
}

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

func digest(s string) string { return table.HashList([]string{s}) }

// row is a row of a tested image.
func row(pkg, ver, build string) table.Row {
	return table.Row{
		Target: pkg, Roots: []string{pkg}, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built,
		Packages: []table.Package{{Name: pkg, Version: ver}},
		Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}, Python: "3.10"},
		Image:    &table.Image{Reference: "registry.example/jetson/" + pkg + ":" + ver + "-" + build, Digest: digest(pkg + ver + build), Key: pkg + ver + build, Size: 1},
		Evidence: table.Evidence{Passed: 1, Tests: []table.TestResult{{Package: pkg, Name: "works", Status: table.Passed}}},
	}
}

func item(pkg, ver, build, supersedes string) Item {
	return NewItem(row(pkg, ver, build), []string{digest("evidence of " + pkg)}, supersedes)
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func day(s string) time.Time {
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		panic(err)
	}
	return t
}

func newSigner(t testing.TB, origin, until string) Signer {
	t.Helper()
	s, _, err := NewKey(origin, day(until))
	require.NoError(t, err)
	return s
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func openLedger(t testing.TB) (*Ledger, *clock) {
	c := &clock{t: day("2026-01-02")}
	return Open(openStore(t), "registry.example/jetson", Options{Now: c.now}), c
}

// ok is for calls that must do.
func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

func TestFold(t *testing.T) {
	ctx := context.Background()
	l, c := openLedger(t)
	signer := newSigner(t, "releases.example", "2027-01-01")
	s := ok[*State](t)(l.Fold(ctx, signer, nil))
	require.Empty(t, s.Items, "nothing waits, nothing is written")

	first := item("a", "1", "1", "")
	id := ok[string](t)(l.Submit(ctx, first))
	require.Equal(t, id, ok[string](t)(l.Submit(ctx, first)), "the same entry is the same document")
	s = ok[*State](t)(l.Read(ctx))
	require.Len(t, s.Waiting, 1)
	last, found := s.Last(first.Entry.Cell)
	require.True(t, found)
	require.Equal(t, id, last.Entry.ID())

	s = ok[*State](t)(l.Fold(ctx, signer, nil))
	require.EqualValues(t, 2, s.Head.Size, "the key, and the image")
	require.Empty(t, s.Waiting)
	require.Equal(t, "2026-01-02T00:00:00Z", s.Items[1].Entry.Time)

	// A later one supersedes it, and waits for it where it must.
	c.add(time.Hour)
	second := item("a", "2", "1", id)
	third := item("a", "3", "1", second.Entry.ID())
	lost := item("b", "1", "1", strings.Repeat("ab", 32))
	for _, i := range []Item{third, second, lost} {
		ok[string](t)(l.Submit(ctx, i))
	}
	s = ok[*State](t)(l.Fold(ctx, signer, nil))
	require.EqualValues(t, 4, s.Head.Size)
	require.Len(t, s.Waiting, 1, "what comes after something unknown waits, and is not lost")
	rows := s.Rows()
	require.Equal(t, []table.Status{table.Superseded, table.Superseded, table.Current}, []table.Status{rows[0].Status, rows[1].Status, rows[2].Status})

	// The clock goes back; the log does not.
	c.add(-48 * time.Hour)
	ok[string](t)(l.Submit(ctx, item("c", "1", "1", "")))
	s = ok[*State](t)(l.Fold(ctx, signer, nil))
	require.Equal(t, "2026-01-02T01:00:00Z", s.Items[4].Entry.Time)
}

func TestManyEntries(t *testing.T) {
	ctx := context.Background()
	l, _ := openLedger(t)
	signer := newSigner(t, "releases.example", "2027-01-01")
	require.Equal(t, 256, perBundle)
	n := perBundle + 3
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < n; i += 4 {
				if _, err := l.Submit(ctx, item(fmt.Sprintf("p%03d", i), "1", "1", "")); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	s := ok[*State](t)(l.Fold(ctx, signer, nil))
	require.EqualValues(t, n+1, s.Head.Size)
	again := ok[*State](t)(l.Read(ctx))
	require.Equal(t, s.Head, again.Head)

	proof := ok[tlog.RecordProof](t)(tlog.ProveRecord(again.Head.Size, 7, again.Tree))
	require.NoError(t, tlog.CheckRecord(proof, again.Head.Size, again.Head.Root, 7, tlog.RecordHash(again.Items[7].Entry.Leaf())))
}

func TestRefused(t *testing.T) {
	ctx := context.Background()
	l, _ := openLedger(t)
	signer := newSigner(t, "releases.example", "2027-01-01")

	bad := item("a", "1", "1", "")
	bad.Row.Hosts = ">=35"
	_, err := l.Submit(ctx, bad)
	require.ErrorContains(t, err, "does not say what its row says")
	untested := row("a", "1", "1")
	untested.Evidence = table.Evidence{Skipped: 1, Tests: []table.TestResult{{Package: "a", Name: "works", Status: table.Skipped, Reason: "no GPU"}}}
	_, err = l.Submit(ctx, NewItem(untested, nil, ""))
	require.ErrorContains(t, err, "is not tested")

	// Two publishers want one reference: the log has one of them.
	one, two := item("a", "1", "1", ""), item("a", "1", "1", "")
	two.Row.Image.Digest = digest("other bytes")
	two = NewItem(*two.Row, two.Evidence, "")
	ok[string](t)(l.Submit(ctx, one))
	ok[string](t)(l.Submit(ctx, two))
	ok[*State](t)(l.Fold(ctx, signer, nil))
	s := ok[*State](t)(l.Read(ctx))
	require.EqualValues(t, 2, s.Head.Size)
	require.Len(t, s.Refused, 1)
	for _, why := range s.Refused {
		require.Contains(t, why, "a tag is never moved")
	}

	// What somebody put there that is no entry stops nobody.
	require.NoError(t, l.put(ctx, l.prefix+"entry-"+strings.Repeat("00", 32), entryType, []byte("{}")))
	s = ok[*State](t)(l.Read(ctx))
	require.Len(t, s.Refused, 2)
}

func TestKeys(t *testing.T) {
	ctx := context.Background()
	l, c := openLedger(t)
	old, next := newSigner(t, "releases.example", "2026-02-01"), newSigner(t, "releases.example", "2028-01-01")
	other := newSigner(t, "other.example", "2028-01-01")
	submit := func(pkg string) { ok[string](t)(l.Submit(ctx, item(pkg, "1", "1", ""))) }

	submit("a")
	first := ok[*State](t)(l.Fold(ctx, old, nil))
	submit("b")
	_, err := l.Fold(ctx, next, nil)
	require.ErrorContains(t, err, "it is signed by "+old.Key.ID())
	require.ErrorAs(t, err, new(Mistake))
	_, err = l.Fold(ctx, next, Rotate(next, next))
	require.ErrorContains(t, err, "it is signed by "+old.Key.ID(), "nothing begins anew while the key may vouch for another")
	_, err = l.Fold(ctx, old, Rotate(old, other))
	require.ErrorContains(t, err, `one of the log "other.example"`)

	s := ok[*State](t)(l.Fold(ctx, old, Rotate(old, next)))
	current, _ := s.Keys.Current()
	require.Equal(t, next.Key.ID(), current.ID())
	require.Len(t, s.Waiting, 0, "what waited came along")
	submit("c")
	_, err = l.Fold(ctx, old, nil)
	require.ErrorContains(t, err, "it is signed by "+next.Key.ID(), "a rotated key signs no more")
	s = ok[*State](t)(l.Fold(ctx, next, nil))
	require.NoError(t, s.Keys.Trusted([]table.Key{old.Key}), "the old key vouches for the new one")
	require.NoError(t, s.Keys.Trusted([]table.Key{next.Key}))
	require.ErrorContains(t, s.Keys.Trusted([]table.Key{other.Key}), "not signed by")
	root, err := s.Tree.Root(first.Head.Size)
	require.NoError(t, err)
	require.Equal(t, first.Head.Root, root)

	_, err = l.Fold(ctx, next, Revoke(next, other.Key.ID(), "lost"))
	require.ErrorContains(t, err, "no key "+other.Key.ID())
	_, err = l.Fold(ctx, next, Revoke(next, next.Key.ID(), "lost"))
	require.ErrorContains(t, err, "rotate it first")
	s = ok[*State](t)(l.Fold(ctx, next, Revoke(next, old.Key.ID(), "it was in a\nbackup")))
	require.ErrorContains(t, s.Keys.Trusted([]table.Key{old.Key}), "was revoked: it was in a backup")
	require.NoError(t, s.Keys.Trusted([]table.Key{next.Key}))
	_, err = l.Fold(ctx, next, Rotate(next, old))
	require.ErrorContains(t, err, "cannot come back")

	// An expired key signs nothing, and cannot vouch for the next one: who trusts
	// the next one goes on, who trusts only what came before does not.
	c.add(3 * 365 * 24 * time.Hour)
	submit("d")
	_, err = l.Fold(ctx, next, nil)
	require.ErrorContains(t, err, next.Key.ID()+" has expired")
	last := newSigner(t, "releases.example", "2040-01-01")
	_, err = l.Fold(ctx, next, Rotate(next, last))
	require.ErrorContains(t, err, "nobody who may vouches")
	s = ok[*State](t)(l.Fold(ctx, last, Rotate(last, last)))
	require.Error(t, s.Keys.Trusted([]table.Key{next.Key}))
	require.NoError(t, s.Keys.Trusted([]table.Key{last.Key}))
}

func TestKeyFile(t *testing.T) {
	_, file, err := NewKey("releases.example", day("2027-01-01"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "log.key")
	require.NoError(t, WriteKey(path, file))
	require.Error(t, WriteKey(path, file), "never over another key")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	s, err := ReadSigner(path)
	require.NoError(t, err)
	require.Equal(t, "releases.example", s.Key.Origin)
	require.Equal(t, "2027-01-01", s.Key.Until.Format("2006-01-02"))

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = ReadSigner(path)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(path, 0o600))
	for name, content := range map[string]string{
		"cut":   string(file[:40]),
		"other": strings.Fields(string(file))[0] + "\n" + newSigner(t, "releases.example", "2027-01-01").Key.Text,
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err = ReadSigner(path)
		require.ErrorContains(t, err, "not what jetcrate keys new wrote", name)
		require.NotContains(t, err.Error(), "PRIVATE", name)
	}
	_, _, err = NewKey("a log", day("2027-01-01"))
	require.Error(t, err)
}

// Two logs that somebody wrote side by side are a fork: nothing is read.
func TestFork(t *testing.T) {
	ctx := context.Background()
	l, _ := openLedger(t)
	signer := newSigner(t, "releases.example", "2027-01-01")
	ok[string](t)(l.Submit(ctx, item("a", "1", "1", "")))
	base := ok[*State](t)(l.Fold(ctx, signer, nil))
	fork := func(pkg string) *State {
		s := *base
		s.Waiting = []Item{item(pkg, "1", "1", "")}
		ok[string](t)(l.Submit(ctx, s.Waiting[0]))
		next, _, err := l.next(&s, signer, nil)
		require.NoError(t, err)
		return next
	}
	b, c := fork("b"), fork("c")
	require.NoError(t, l.write(ctx, b))
	require.ErrorContains(t, l.write(ctx, c), "another sequencer wrote", "who comes late writes nothing")
	ok[*State](t)(l.Read(ctx))

	// A sequencer that looked before the other wrote, and writes after it.
	require.NoError(t, l.put(ctx, l.headTag(c.Head.Size, c.Head.Root), headType, []byte(c.Signed)))
	var forked *ForkError
	_, err := l.Read(ctx)
	require.ErrorAs(t, err, &forked)
	_, err = l.Fold(ctx, signer, nil)
	require.ErrorAs(t, err, &forked)

	// A person takes one of them away: nothing that was submitted is lost.
	_, err = l.store.Remove(ctx, []string{l.headTag(c.Head.Size, c.Head.Root)})
	require.NoError(t, err)
	s := ok[*State](t)(l.Fold(ctx, signer, nil))
	require.EqualValues(t, 4, s.Head.Size)
	require.Equal(t, "36.4.0/tegra/py3.10/c", s.Items[3].Entry.Cell)

	// A head that is shorter and no beginning of the longer one is found too.
	long, _ := openLedger(t)
	for _, pkg := range []string{"x", "y", "z"} {
		ok[string](t)(long.Submit(ctx, item(pkg, "1", "1", "")))
	}
	ok[*State](t)(long.Fold(ctx, signer, nil))
	require.NoError(t, long.put(ctx, long.headTag(base.Head.Size, base.Head.Root), headType, []byte(base.Signed)))
	_, err = long.Read(ctx)
	require.ErrorAs(t, err, &forked)
}

// Sequencers on machines of their own share a registry and no lock.
func TestLease(t *testing.T) {
	ctx := context.Background()
	reg := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	signer := newSigner(t, "releases.example", "2100-01-01")
	open := func(settle, term time.Duration) *Ledger {
		st, err := store.Open(ctx, store.Options{Location: strings.TrimPrefix(reg.URL, "http://") + "/log"})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		return Open(st, "registry.example/jetson", Options{Shared: true, settle: settle, term: term})
	}
	const settle = 100 * time.Millisecond
	ls := []*Ledger{open(settle, time.Minute), open(settle, time.Minute), open(settle, time.Minute)}
	var wg sync.WaitGroup
	for n, l := range ls {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := l.Submit(ctx, item(fmt.Sprintf("p%d", n), "1", "1", "")); err != nil {
				t.Error(err)
			}
			if _, err := l.Fold(ctx, signer, nil); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	s := ok[*State](t)(ls[0].Read(ctx))
	require.EqualValues(t, 4, s.Head.Size)

	// One that was killed leaves its lease; the next waits for its end.
	dead := open(settle, 700*time.Millisecond)
	require.NoError(t, dead.writeLease(ctx, time.Now().Add(700*time.Millisecond)))
	ok[string](t)(ls[1].Submit(ctx, item("q", "1", "1", "")))
	began := time.Now()
	s = ok[*State](t)(ls[1].Fold(ctx, signer, nil))
	require.EqualValues(t, 5, s.Head.Size)
	require.Greater(t, time.Since(began), 500*time.Millisecond)

	// One that was held up until another took over writes nothing.
	slow := open(settle, 300*time.Millisecond)
	slow.pushed = func() {
		time.Sleep(400 * time.Millisecond)
		ok[*State](t)(ls[2].Fold(ctx, signer, nil))
	}
	ok[string](t)(slow.Submit(ctx, item("r", "1", "1", "")))
	_, err := slow.Fold(ctx, signer, nil)
	require.ErrorContains(t, err, "try again")
	slow.pushed = nil
	s = ok[*State](t)(slow.Fold(ctx, signer, nil))
	require.EqualValues(t, 6, s.Head.Size)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = ls[0].Fold(cancelled, signer, nil)
	require.True(t, errors.Is(err, context.Canceled), err)
}

package table_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"github.com/jetcrate/jetcrate/internal/table"
)

// pen signs for a log.
type pen struct {
	note.Signer
	key table.Key
}

func newPen(t testing.TB, origin, until string) pen {
	t.Helper()
	end, err := time.Parse("2006-01-02", until)
	require.NoError(t, err)
	name, err := table.KeyName(origin, end)
	require.NoError(t, err)
	private, public, err := note.GenerateKey(rand.Reader, name)
	require.NoError(t, err)
	s, err := note.NewSigner(private)
	require.NoError(t, err)
	key, err := table.ParseKey(public)
	require.NoError(t, err)
	return pen{s, key}
}

// logged is a log that grows, and the tables that are folded from it.
type logged struct {
	testing.TB
	rows    []table.Row
	entries []table.Numbered
	tree    table.Tree
	now     time.Time
}

func newLogged(t testing.TB, first pen) *logged {
	l := &logged{TB: t, now: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	l.key(first, first)
	return l
}

func (l *logged) stamp() string { return l.now.Format(time.RFC3339) }

func (l *logged) other(e table.Entry) {
	l.Helper()
	e.Time = l.stamp()
	require.NoError(l, e.Check())
	l.entries = append(l.entries, table.Numbered{Number: l.tree.Size(), Entry: e})
	l.tree.Append(e.Leaf())
}

func (l *logged) key(by, next pen) {
	l.Helper()
	e, err := table.KeyStatement(by, next.key, l.now)
	require.NoError(l, err)
	l.other(e)
}

func (l *logged) publish(r table.Row) {
	r.Published = &table.Published{Entry: l.tree.Size(), Time: l.stamp(), Evidence: digest}
	l.rows = append(l.rows, r)
	l.tree.Append(r.Entry(*r.Published).Leaf())
}

func (l *logged) withdraw(image string) {
	l.other(table.Entry{Type: table.WithdrawnEntry, Image: image, Reason: "it burns"})
}

// table folds what there is, and reads it back from its own bytes.
func (l *logged) table(by pen) *table.Table {
	l.Helper()
	root, err := l.tree.Root(l.tree.Size())
	require.NoError(l, err)
	head, err := table.Head{Origin: by.key.Origin, Size: l.tree.Size(), Root: root, Time: l.now}.Sign(by)
	require.NoError(l, err)
	t := &table.Table{Schema: table.Schema, Rows: append([]table.Row{}, l.rows...), Log: &table.Log{Head: head, Entries: l.entries}}
	t.Rows = append(t.Rows, indexRow("later", "1", "36.4.0", func(r *table.Row) { r.State, r.Image, r.Reason = table.NotBuilt, nil, "it is not published" }))
	table.Settle(t.Rows, l.entries)
	return again(l, t)
}

func again(t testing.TB, tab *table.Table) *table.Table {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, tab.Write(&b))
	out, err := table.Read(&b)
	require.NoError(t, err)
	return out
}

func published(pkg, ver string) table.Row {
	return indexRow(pkg, ver, "36.4.0", func(r *table.Row) {
		r.Image.Digest = table.HashList([]string{pkg, ver})
		r.Evidence = table.Evidence{Passed: 1, Tests: []table.TestResult{{Package: pkg, Name: "works", Status: table.Passed, Environment: "native"}}}
	})
}

func find(t testing.TB, tab *table.Table, target, ver string) *table.Row {
	t.Helper()
	for i := range tab.Rows {
		if p, ok := tab.Rows[i].Package(target); ok && p.Version == ver && tab.Rows[i].Image != nil {
			return &tab.Rows[i]
		}
	}
	t.Fatalf("no row of %s %s", target, ver)
	return nil
}

func TestSignedTable(t *testing.T) {
	p := newPen(t, "releases.example", "2027-01-01")
	l := newLogged(t, p)
	trust := table.Trust{Keys: []table.Key{p.key}, Now: l.now}
	l.publish(published("pytorch", "2.7"))
	first := l.table(p)
	seen, err := first.Verify(trust)
	require.NoError(t, err)
	require.EqualValues(t, 2, seen.Size)

	l.publish(published("pytorch", "2.8"))
	l.publish(published("numpy", "1"))
	l.withdraw(published("numpy", "1").Image.Digest)
	next := l.table(p)
	trust.Seen = &seen
	seen, err = next.Verify(trust)
	require.NoError(t, err, "it goes on from the first")
	require.EqualValues(t, 5, seen.Size)
	require.Equal(t, table.Superseded, find(t, next, "pytorch", "2.7").Status)
	require.Equal(t, table.Current, find(t, next, "pytorch", "2.8").Status)
	taken := find(t, next, "numpy", "1")
	require.Equal(t, table.Withdrawn, taken.Status)
	require.Equal(t, "it burns", taken.Withdrawal.Reason)

	trust.Seen = &seen
	_, err = first.Verify(trust)
	require.ErrorContains(t, err, "it forgets: its log has 2 entries, and one with 5 was seen")
	_, err = next.Verify(trust)
	require.NoError(t, err, "the same one again")

	// The withdrawal of the current one makes the one before it current again.
	l.withdraw(published("pytorch", "2.8").Image.Digest)
	back := l.table(p)
	_, err = back.Verify(trust)
	require.NoError(t, err)
	require.Equal(t, table.Current, find(t, back, "pytorch", "2.7").Status)

	x, _ := indexed(t, back)
	rows, err := x.ByKey("numpy-1-r36.4.0")
	require.NoError(t, err)
	require.Equal(t, "it burns", rows[0].Withdrawal.Reason, "the index keeps it")
}

// Whatever somebody changes without the key is refused.
func TestAlteredTableIsRefused(t *testing.T) {
	p, thief := newPen(t, "releases.example", "2027-01-01"), newPen(t, "releases.example", "2027-01-01")
	l := newLogged(t, p)
	for _, v := range []string{"2.7", "2.8"} {
		l.publish(published("pytorch", v))
	}
	l.publish(published("numpy", "1"))
	l.withdraw(published("numpy", "1").Image.Digest)
	seen, err := l.table(p).Verify(table.Trust{Keys: []table.Key{p.key}, Now: l.now})
	require.NoError(t, err)
	other := newLogged(t, p)
	for _, v := range []string{"2.7", "2.9", "3.0", "3.1"} {
		other.publish(published("pytorch", v))
	}
	stolen := newLogged(t, thief)
	for _, v := range []string{"2.7", "2.8", "2.9", "3.0"} {
		stolen.publish(published("pytorch", v))
	}

	drop := func(tab *table.Table, i int) { tab.Rows = append(tab.Rows[:i:i], tab.Rows[i+1:]...) }
	index := func(tab *table.Table, target, ver string) int {
		row := find(t, tab, target, ver)
		for i := range tab.Rows {
			if &tab.Rows[i] == row {
				return i
			}
		}
		return -1
	}
	for _, c := range []struct {
		name   string
		change func(*table.Table) *table.Table
		want   string
	}{
		{"without a signature", func(tab *table.Table) *table.Table { tab.Log = nil; return tab }, "nobody signed it"},
		{"a row is dropped", func(tab *table.Table) *table.Table { drop(tab, index(tab, "pytorch", "2.7")); return tab }, "forgets or doubles"},
		{"the withdrawal is dropped", func(tab *table.Table) *table.Table {
			tab.Log.Entries = tab.Log.Entries[:1]
			find(t, tab, "numpy", "1").Status, find(t, tab, "numpy", "1").Withdrawal = table.Current, nil
			return tab
		}, "not those that were signed"},
		{"the withdrawn row is current", func(tab *table.Table) *table.Table {
			find(t, tab, "numpy", "1").Status, find(t, tab, "numpy", "1").Withdrawal = table.Current, nil
			return tab
		}, "is current, and the log says withdrawn"},
		{"the withdrawal has another reason", func(tab *table.Table) *table.Table {
			find(t, tab, "numpy", "1").Withdrawal.Reason = "it is slow"
			return tab
		}, "the log says"},
		{"an old row is current", func(tab *table.Table) *table.Table {
			find(t, tab, "pytorch", "2.7").Status, find(t, tab, "pytorch", "2.8").Status = table.Current, table.Superseded
			return tab
		}, "the log says"},
		{"another digest", func(tab *table.Table) *table.Table { find(t, tab, "pytorch", "2.8").Image.Digest = digest; return tab }, "not those that were signed"},
		{"another reference", func(tab *table.Table) *table.Table {
			find(t, tab, "pytorch", "2.8").Image.Reference = "evil.example/x:1"
			return tab
		}, "not those that were signed"},
		{"more hosts", func(tab *table.Table) *table.Table { find(t, tab, "pytorch", "2.8").Hosts = ">=35 <40"; return tab }, "not those that were signed"},
		{"more evidence", func(tab *table.Table) *table.Table {
			e := &find(t, tab, "pytorch", "2.8").Evidence
			e.Tests = append(e.Tests, table.TestResult{Package: "pytorch", Name: "gpu", Status: table.Passed})
			e.Count()
			return tab
		}, "not those that were signed"},
		{"an image beside the log", func(tab *table.Table) *table.Table {
			tab.Rows = append(tab.Rows, published("evil", "1"))
			return tab
		}, "an image that is not in the log"},
		{"a row twice", func(tab *table.Table) *table.Table {
			tab.Rows = append(tab.Rows, *find(t, tab, "pytorch", "2.7"))
			return tab
		}, "forgets or doubles"},
		{"another log of the same key", func(*table.Table) *table.Table { return other.table(p) }, "does not go on from the 5 entries that were seen"},
		{"a log of a thief's key", func(*table.Table) *table.Table { return stolen.table(thief) }, "not signed by"},
		{"the log with a thief's head", func(tab *table.Table) *table.Table {
			tab.Log.Head = l.table(thief).Log.Head
			return tab
		}, "is not signed by"},
		{"an older table", func(*table.Table) *table.Table {
			old := newLogged(t, p)
			old.entries, old.rows, old.tree = l.entries[:1], l.rows[:1], table.Tree{}
			old.tree.Append(l.entries[0].Entry.Leaf())
			old.tree.Append(l.rows[0].Entry(*l.rows[0].Published).Leaf())
			return old.table(p)
		}, "it forgets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := c.change(l.table(p))
			_, err := tab.Verify(table.Trust{Keys: []table.Key{p.key}, Seen: &seen, Now: l.now})
			var refused *table.Refusal
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTrustedKeys(t *testing.T) {
	old, next := newPen(t, "releases.example", "2026-02-01"), newPen(t, "releases.example", "2028-01-01")
	stranger := newPen(t, "releases.example", "2030-01-01")
	l := newLogged(t, old)
	l.publish(published("pytorch", "2.7"))
	before := l.table(old)
	l.now = l.now.AddDate(0, 0, 7)
	l.key(old, next)
	l.publish(published("pytorch", "2.8"))
	after := l.table(next)

	trust := func(now string, keys ...pen) table.Trust {
		at, err := time.Parse("2006-01-02", now)
		require.NoError(t, err)
		tr := table.Trust{Now: at}
		for _, k := range keys {
			tr.Keys = append(tr.Keys, k.key)
		}
		return tr
	}
	verify := func(tab *table.Table, tr table.Trust) error {
		_, err := tab.Verify(tr)
		return err
	}
	require.NoError(t, verify(before, trust("2026-01-03", old)))
	require.ErrorContains(t, verify(before, trust("2026-01-03", next)), "not signed by", "a key that comes later says nothing of what was before")
	require.ErrorContains(t, verify(before, trust("2026-01-03", stranger)), "not signed by")
	require.ErrorContains(t, verify(before, trust("2026-01-03")), "no key is trusted")
	require.ErrorContains(t, verify(before, trust("2026-03-01", old)), "expired: ask for a newer table")

	// The rotated key is vouched for by the old one, which has expired meanwhile.
	require.NoError(t, verify(after, trust("2026-03-01", old)))
	require.NoError(t, verify(after, trust("2026-03-01", next)))
	require.NoError(t, verify(after, trust("2026-03-01", stranger, old)), "one of several is enough")
	after.Log.Head = l.table(old).Log.Head
	require.ErrorContains(t, verify(after, trust("2026-01-10", old)), "not signed by "+next.key.ID(), "the rotated key signs no heads")

	// A table that was accepted stays good on a device that is offline.
	tr := trust("2026-01-03", old)
	seen, err := before.Verify(tr)
	require.NoError(t, err)
	tr = trust("2026-03-01", old)
	tr.Seen = &seen
	require.NoError(t, verify(before, tr))

	for _, text := range []string{"", "x", "releases.example+00000000+AAAA", strings.Replace(old.key.Text, "until", "untie", 1)} {
		_, err := table.ParseKey(text)
		require.Error(t, err, text)
	}
	private, _, err := note.GenerateKey(rand.Reader, "releases.example/until-2027-01-01")
	require.NoError(t, err)
	_, err = table.ParseKey(private)
	require.EqualError(t, err, "reading a public key: this is a private one; jetcrate keys show prints its public half")
}

// A statement that was made for one thing does not do for another.
func TestForgedStatements(t *testing.T) {
	p, thief := newPen(t, "releases.example", "2027-01-01"), newPen(t, "releases.example", "2027-01-01")
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	var keys table.Keys
	genesis, err := table.KeyStatement(p, p.key, at)
	require.NoError(t, err)
	require.NoError(t, keys.Apply(genesis))
	head, err := table.Head{Origin: "releases.example", Size: 1, Time: at}.Sign(p)
	require.NoError(t, err)
	good, err := table.KeyStatement(thief, thief.key, at)
	require.NoError(t, err)
	text, signature, _ := strings.Cut(good.Statement, "\n\n")
	for name, statement := range map[string]string{
		"a head":                       head,
		"unsigned":                     text + "\n",
		"the thief's before a head":    text + "\n\n" + head,
		"signed with nothing":          text + "\n\n",
		"revoked by a thief":           strings.Replace(text, "signs "+thief.key.Text, "revokes "+p.key.ID()+"\nit is ours", 1) + "\n\n" + signature,
		"a revocation of what signs":   "jetcrate key\nreleases.example\n2026-01-02T00:00:00Z\nrevokes " + p.key.ID() + "\n\n" + signature,
		"a time that is none":          strings.Replace(text, "2026-01-02T00:00:00Z", "now", 1) + "\n\n" + signature,
		"the statement of another log": strings.Replace(text, "\nreleases.example\n", "\nother.example\n", 1) + "\n\n" + signature,
	} {
		require.Error(t, keys.Apply(table.Entry{Type: table.KeyEntry, Statement: statement}), name)
	}
	// By itself the thief's key begins anew, and nobody who trusts the first follows.
	require.NoError(t, keys.Apply(good))
	require.ErrorContains(t, keys.Trusted([]table.Key{p.key}), "is not vouched for")
}

func FuzzKeyStatement(f *testing.F) {
	p := newPen(f, "releases.example", "2027-01-01")
	genesis, err := table.KeyStatement(p, p.key, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	require.NoError(f, err)
	f.Add(genesis.Statement)
	f.Add("jetcrate key\no\n2026-01-02T00:00:00Z\nrevokes x\n\n\n")
	f.Fuzz(func(t *testing.T, statement string) {
		var keys table.Keys
		if keys.Apply(table.Entry{Type: table.KeyEntry, Statement: statement}) == nil {
			key, ok := keys.Current()
			require.True(t, ok)
			require.NotEmpty(t, key.Origin)
		}
		_, _ = table.OpenHead(statement, p.key)
	})
}

package jet

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"github.com/jetcrate/jetcrate/internal/table"
)

// releases is a log with one key, as a table's maker keeps it.
type releases struct {
	*testing.T
	signer  note.Signer
	key     table.Key
	rows    []table.Row
	entries []table.Numbered
	leaves  [][]byte
	now     time.Time
}

func newReleases(t *testing.T, until string) *releases {
	end, err := time.Parse("2006-01-02", until)
	require.NoError(t, err)
	name, err := table.KeyName("releases.example", end)
	require.NoError(t, err)
	private, public, err := note.GenerateKey(rand.Reader, name)
	require.NoError(t, err)
	r := &releases{T: t, now: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	r.signer, err = note.NewSigner(private)
	require.NoError(t, err)
	r.key, err = table.ParseKey(public)
	require.NoError(t, err)
	e, err := table.KeyStatement(r.signer, r.key, r.now)
	require.NoError(t, err)
	r.log(e)
	return r
}

func (r *releases) log(e table.Entry) {
	e.Time = r.now.Format(time.RFC3339)
	r.entries = append(r.entries, table.Numbered{Number: int64(len(r.leaves)), Entry: e})
	r.leaves = append(r.leaves, e.Leaf())
}

func (r *releases) publish(version string) string {
	row := table.Row{
		Target: "pytorch", Roots: []string{"pytorch"}, Hosts: ">=36.4 <37", Status: table.Current, State: table.Built,
		Packages: []table.Package{{Name: "pytorch", Version: version}},
		Platform: table.Platform{L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: table.OS{ID: "ubuntu", Version: "22.04"}},
		Image:    &table.Image{Reference: "registry.example/jetson/pytorch:" + version, Digest: table.HashList([]string{version}), Key: version},
		Evidence: table.Evidence{Passed: 1, Tests: []table.TestResult{{Package: "pytorch", Name: "import", Status: table.Passed}}},
	}
	row.Published = &table.Published{Entry: int64(len(r.leaves)), Time: r.now.Format(time.RFC3339), Evidence: table.HashList(nil)}
	r.rows = append(r.rows, row)
	r.leaves = append(r.leaves, row.Entry(*row.Published).Leaf())
	return row.Image.Digest
}

// write writes the table of the log.
func (r *releases) write(path string, change ...func(*table.Table)) {
	r.Helper()
	tree := &table.Tree{}
	for _, leaf := range r.leaves {
		tree.Append(leaf)
	}
	root, err := tree.Root(tree.Size())
	require.NoError(r, err)
	head, err := table.Head{Origin: r.key.Origin, Size: tree.Size(), Root: root, Time: r.now}.Sign(r.signer)
	require.NoError(r, err)
	t := &table.Table{Rows: append([]table.Row{}, r.rows...), Log: &table.Log{Head: head, Entries: r.entries}}
	table.Settle(t.Rows, r.entries)
	current := false
	for _, row := range t.Rows {
		current = current || row.Status == table.Current
	}
	if !current {
		gone := t.Rows[0]
		gone.Status, gone.State, gone.Reason = table.Current, table.NotBuilt, "its image was withdrawn: "+gone.Withdrawal.Reason
		gone.Image, gone.Published, gone.Withdrawal, gone.Evidence = nil, nil, nil, table.Evidence{}
		t.Rows = append(t.Rows, gone)
	}
	for _, c := range change {
		c(t)
	}
	var b bytes.Buffer
	require.NoError(r, t.Write(&b))
	require.NoError(r, os.WriteFile(path, b.Bytes(), 0o644))
}

func TestTrust(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "table.json")
	env := map[string]string{"HOME": home}
	now := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	jet := func(args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		a := &app{stdin: bytes.NewReader(nil), stdout: &out, stderr: &errs, getenv: func(k string) string { return env[k] }, clock: func() time.Time { return now }}
		code = a.run(context.Background(), append(args, "--table", path))
		return out.String(), errs.String(), code
	}
	ask := func() (string, string, int) { return jet("autotag", "pytorch", "--host-l4t", "36.4.3", "--no-local") }

	r := newReleases(t, "2027-01-01")
	bad := r.publish("2.7")
	r.write(path)
	out, _, code := ask()
	require.Zero(t, code, "without a key a table is taken as it is")
	require.Equal(t, "registry.example/jetson/pytorch:2.7\n", out)

	env["JETCRATE_TRUST"] = newReleases(t, "2027-01-01").key.Text
	_, said, code := ask()
	require.Equal(t, exitNo, code)
	require.Contains(t, said, "the table is refused: it is not signed by releases.example/until-2027-01-01+")

	keys := filepath.Join(home, ".config/jetcrate/trusted-keys")
	require.NoError(t, os.MkdirAll(filepath.Dir(keys), 0o755))
	require.NoError(t, os.WriteFile(keys, []byte("# of the releases\n"+r.key.Text+"\n"), 0o644))
	delete(env, "JETCRATE_TRUST")
	for range 2 { // from the table, and from its index
		out, said, code = ask()
		require.Zero(t, code, said)
		require.Equal(t, "registry.example/jetson/pytorch:2.7\n", out)
	}
	out, _, _ = jet("doctor", "--root", home)
	require.Contains(t, out, ", signed for releases.example\n")
	require.NoError(t, os.Rename(path, path+".old"))

	// The next table goes on from it: the image was withdrawn, and jet says why.
	r.log(table.Entry{Type: table.WithdrawnEntry, Image: bad, Reason: "it computes wrong sums"})
	r.write(path)
	_, said, code = ask()
	require.Equal(t, exitNo, code)
	require.Contains(t, said, "its image was withdrawn: it computes wrong sums")
	r.publish("2.8")
	r.write(path)
	out, said, code = ask()
	require.Zero(t, code, said)
	require.Equal(t, "registry.example/jetson/pytorch:2.8\n", out)

	for name, write := range map[string]func(){
		"it forgets": func() { require.NoError(t, os.Rename(path+".old", path)) },
		"nobody signed it": func() {
			r.write(path, func(tab *table.Table) { tab.Log = nil })
		},
		"the log says": func() {
			r.write(path, func(tab *table.Table) {
				for i := range tab.Rows {
					if tab.Rows[i].Status == table.Withdrawn {
						tab.Rows[i].Status, tab.Rows[i].Withdrawal = table.Superseded, nil
					}
				}
			})
		},
		"are not those that were signed": func() {
			r.write(path, func(tab *table.Table) {
				img := *tab.Rows[0].Image
				img.Digest = table.HashList([]string{"evil"})
				tab.Rows[0].Image = &img
			})
		},
	} {
		write()
		_, said, code = ask()
		require.Equal(t, exitNo, code, name)
		require.Contains(t, said, name)
	}

	// An expired key: what was accepted stays good, another table is not accepted.
	r.write(path)
	now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	_, said, code = ask()
	require.Zero(t, code, said)
	r.publish("2.9")
	r.write(path)
	_, said, code = ask()
	require.Equal(t, exitNo, code)
	require.Contains(t, said, "expired: ask for a newer table")

	for text, want := range map[string]string{"no+key": "it is not NAME+HASH+KEY", home + "/nothing": "reading the trusted keys", home + "/empty": "names no key"} {
		require.NoError(t, os.WriteFile(home+"/empty", []byte("# nothing\n"), 0o644))
		env["JETCRATE_TRUST"] = text
		_, said, code = ask()
		require.NotZero(t, code)
		require.Contains(t, said, want)
	}
}

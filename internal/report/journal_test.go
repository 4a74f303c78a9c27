package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/plan"
)

// journal is the journal of run, as execute writes it.
func journal(t *testing.T, log string) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, e := range run() {
		if e.Kind == execute.StepProgress {
			continue
		}
		x := execute.Entry{Event: e}
		switch e.Kind {
		case execute.RunStarted:
			x.Name, x.Jobs = "python-3.10-r36.4.0-py310", 2
		case execute.NodeStarted:
			x.Why = execute.NewKey
		case execute.NodeEnded:
			x.Package, x.Version, x.Line = strings.Fields(e.Name)[0], "1", "36.4"
			if e.Took > 0 {
				x.Began = e.Time.Add(-e.Took)
				x.Engine = "unix:///run/buildkit/buildkitd.sock"
			}
			if e.Node == "w1" {
				x.Attempts, x.Log = 2, log
			}
		case execute.RunEnded:
			x.Reason = "2 failed: numpy 1.26 build, python 3.10 test broken"
			x.Cells = []execute.Outcome{
				{ID: "36.4.0/tegra/py3.10/python", Tag: "python-3.10-r36.4.0-py310", Digest: "sha256:" + strings.Repeat("ab", 32)},
				{ID: "36.4.0/tegra/py3.10/numpy", Tag: "numpy-1.26-r36.4.0-py310"},
			}
		}
		require.NoError(t, enc.Encode(x))
	}
	return out.Bytes()
}

func TestJournals(t *testing.T) {
	log := filepath.Join(t.TempDir(), "w1.log")
	require.NoError(t, os.WriteFile(log, []byte("one\nerror: \x1b[31mno such header `x` </pre><script>alert(1)</script> ]]>\n"), 0o644))
	r, err := Read(bytes.NewReader(journal(t, log)))
	require.NoError(t, err)
	r.ID = 12
	step := plan.Cause{Packages: []string{"python"}, What: "step x/python", Old: "make", New: "make -j \x1b[31m`red`\nmake ``` check"}
	for i, n := range r.Nodes {
		switch n.Key {
		case "w1":
			r.Nodes[i].Causes = []plan.Cause{{Packages: []string{"numpy"}, What: "version", Old: "1.25", New: "1.26"}, step}
		case "p1":
			r.Nodes[i].Causes = []plan.Cause{step}
		}
	}
	for name, write := range map[string]func(io.Writer) error{
		"journal.txt":       func(w io.Writer) error { return r.Text(w, false) },
		"journal.junit.xml": r.JUnit,
		"journal.md":        r.Markdown,
		"journal.html":      r.HTML,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, write(&out))
			require.NotContains(t, out.String(), "\x1b")
			text := strings.ReplaceAll(out.String(), log, "/state/logs/w1.log")
			golden(t, name, []byte(text))
		})
	}
}

func TestHostileNamesInReports(t *testing.T) {
	bad := "a|b`c` <img src=x onerror=alert(1)> ${{ secrets.TOKEN }} ]]> \x00\x1b[2J @octocat\n# heading"
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range []execute.Entry{
		{Event: execute.Event{Time: now, Kind: execute.RunStarted, Name: bad}},
		{Event: execute.Event{Time: now.Add(time.Minute), Kind: execute.NodeEnded, Node: "n", Name: bad, What: "test", Status: execute.Failed, Reason: bad, Took: time.Minute}, Package: bad, Line: bad, Began: now},
		{Event: execute.Event{Time: now.Add(time.Minute), Kind: execute.RunEnded, Reason: bad}, Cells: []execute.Outcome{{Tag: bad}}},
	} {
		require.NoError(t, enc.Encode(e))
	}
	r, err := Read(&out)
	require.NoError(t, err)
	var junit, md, page bytes.Buffer
	require.NoError(t, r.JUnit(&junit))
	require.NoError(t, r.Markdown(&md))
	require.NoError(t, r.HTML(&page))
	var back junitSuites
	require.NoError(t, xml.Unmarshal(junit.Bytes(), &back))
	require.Equal(t, 1, back.Failures)
	for _, text := range []string{md.String(), page.String()} {
		require.NotContains(t, text, "<img")
		require.NotContains(t, text, "\x1b")
		require.NotContains(t, text, "\x00")
	}
	require.NotContains(t, md.String(), "\n# heading")
	require.NotContains(t, md.String(), "a|b")
	require.NotContains(t, md.String(), "@octocat")
}

// A run that was killed lacks its end, and at most its last line is torn.
func TestAJournalOfARunThatWasKilled(t *testing.T) {
	whole := journal(t, "")
	at := bytes.Index(whole, []byte(`"event":"ended","node":"w1"`))
	cut := whole[:at]
	r, err := Read(bytes.NewReader(cut))
	require.NoError(t, err)
	require.Equal(t, Unfinished, r.Outcome)
	last := r.Nodes[len(r.Nodes)-1]
	require.Equal(t, "w1", last.Key)
	require.Empty(t, last.Status)
	var out bytes.Buffer
	require.NoError(t, r.Text(&out, false))
	require.Contains(t, out.String(), "at work")
	for _, write := range []func(io.Writer) error{r.JUnit, r.Markdown, r.HTML} {
		require.NoError(t, write(io.Discard))
	}

	_, err = Read(strings.NewReader("{\"event\":\n{\"event\":\"run-ended\"}\n"))
	require.ErrorContains(t, err, "line 1")
	r, err = Read(strings.NewReader(""))
	require.NoError(t, err)
	require.NoError(t, r.Markdown(io.Discard))
}

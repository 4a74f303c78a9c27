package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
)

// printed is a run whose build prints output in pieces of a size, and fails with
// it as the reason; everything else that a stranger can name is name.
func printed(output, name string, size int) []execute.Event {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	step := func(s engine.Event) execute.Event {
		s.Step, s.Name, s.Time = "s", name, now
		return execute.Event{Kind: execute.StepProgress, Time: now, Node: "n", Name: name, Step: &s}
	}
	events := []execute.Event{
		{Kind: execute.RunStarted, Time: now, Total: 1},
		{Kind: execute.Message, Time: now, Text: output},
		{Kind: execute.NodeStarted, Time: now, Node: "n", Name: name, What: "artifact"},
		step(engine.Event{Kind: engine.Started}),
	}
	for rest := output; rest != ""; {
		n := min(size, len(rest))
		events = append(events, step(engine.Event{Kind: engine.Log, Stream: 1, Data: []byte(rest[:n])}))
		rest = rest[n:]
	}
	return append(events, step(engine.Event{Kind: engine.Done, Error: output}),
		execute.Event{Kind: execute.NodeEnded, Time: now, Node: "n", Name: name, What: "artifact", Status: execute.Failed, Reason: output, Log: "/logs/" + name},
		execute.Event{Kind: execute.RunEnded, Time: now})
}

// FuzzReport: whatever a build prints, in whatever pieces, nothing reaches the
// terminal that drives it, no line of it passes for one of jetcrate's own, and
// JSON lines stay JSON.
func FuzzReport(f *testing.F) {
	for _, s := range []string{
		"fine\n", "\x1b]0;owned\a", "\x1b[2J\x1b[H", "\x9b31m", "\u009b31m", "10%\r20%\r", "\x1b", "\x1b[", "\x1bP\x1b\\", "\x1b]8;;https://x\x1b\\click\x1b]8;;\x1b\\",
		"[1/1] built evil\n", "\n\n[1/1] passed evil", "a\u202eb", "\xff\xfe", "\x00", "\u2028[1/1] passed", "\x0b[1/1] passed", "\x85x", "\u0085x", "\b\b\b", "\x1b[?1049h", "\x1b(0", "\x0e",
	} {
		f.Add(s, "pkg 1 build", uint8(1))
		f.Add("x\n", s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, output, name string, size uint8) {
		events := printed(output, name, int(size)%19+1)
		own := oneLine(name)
		for _, o := range []Options{{Mode: Plain}, {Mode: Plain, Verbose: true}, {Mode: JSONL}} {
			var b bytes.Buffer
			r, err := New(&b, o)
			require.NoError(t, err)
			for _, e := range events {
				r.Event(e)
			}
			require.NoError(t, r.Close())
			text := b.String()
			requireTame(t, text)
			var summary bytes.Buffer
			require.NoError(t, r.Summary(&summary))
			requireTame(t, summary.String())
			if o.Mode == JSONL {
				lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
				require.Len(t, lines, len(events))
				for _, l := range lines {
					require.True(t, json.Valid([]byte(l)), l)
				}
				continue
			}
			// The lines of jetcrate's own; all others carry a margin.
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			require.Equal(t, oneLine(output), lines[0])
			for _, l := range lines[1:] {
				require.True(t, strings.HasPrefix(l, "[0/1] start     "+own) || strings.HasPrefix(l, "[1/1] failed    "+own) || strings.HasPrefix(l, "    | ") ||
					strings.HasPrefix(l, "    full log: /logs/") || strings.HasPrefix(l, own+" | "), "%q", l)
			}
		}
		// The live view gets no more than that.
		tr := newTranslator()
		for _, e := range events {
			s := tr.translate(e)
			if s == nil {
				continue
			}
			for _, v := range s.Vertexes {
				requireTame(t, v.Name+v.Error)
				require.NotContains(t, v.Name+v.Error, "\n")
			}
			for _, l := range s.Logs {
				requireTame(t, string(l.Data))
			}
		}
	})
}

func requireTame(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.False(t, diag.Hidden(r) && r != '\n' && r != '\t', "%q", text)
	}
}

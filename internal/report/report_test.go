package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// run is a run in which something of everything happens.
func run() []execute.Event {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	var out []execute.Event
	add := func(after time.Duration, e execute.Event) {
		now = now.Add(after)
		e.Time = now
		out = append(out, e)
	}
	step := func(node, name string, s engine.Event) {
		s.Time = now
		add(time.Second, execute.Event{Kind: execute.StepProgress, Node: node, Name: name, Step: &s})
	}
	end := func(node, what, name string, status execute.Status, reason string, took time.Duration, size int64) {
		e := execute.Event{Kind: execute.NodeEnded, Node: node, What: what, Name: name, Status: status, Reason: reason, Took: took, Size: size}
		if status != execute.Reused && status != execute.Blocked {
			e.Log = "/state/logs/" + node + ".log"
		}
		add(0, e)
	}
	add(0, execute.Event{Kind: execute.Message, Text: "starting buildkitd"})
	add(time.Second, execute.Event{Kind: execute.RunStarted, Total: 9})
	end("b1", "base", "base ubuntu:22.04", execute.Reused, "", 0, 0)
	add(0, execute.Event{Kind: execute.NodeStarted, Node: "p1", What: "stacked", Name: "python 3.10 layer"})
	step("p1", "python 3.10 layer", engine.Event{Step: "s1", Name: "RUN apt-get install python3", Kind: engine.Started})
	step("p1", "python 3.10 layer", engine.Event{Step: "s1", Name: "RUN apt-get install python3", Kind: engine.Log, Stream: 1, Data: []byte("Reading package lists...\nSetting up \x1b[32mpython3\x1b[0m")})
	step("p1", "python 3.10 layer", engine.Event{Step: "s1", Kind: engine.Log, Stream: 1, Data: []byte(" (3.10)\n10%\r50%\r100%\r\n")})
	step("p1", "python 3.10 layer", engine.Event{Step: "s1", Kind: engine.Done})
	end("p1", "stacked", "python 3.10 layer", execute.Built, "", 12300*time.Millisecond, 4500000)
	add(0, execute.Event{Kind: execute.NodeStarted, Node: "w1", What: "artifact", Name: "numpy 1.26 build"})
	step("w1", "numpy 1.26 build", engine.Event{Step: "s2", Name: "RUN make", Kind: engine.Started})
	for i := range 30 {
		step("w1", "numpy 1.26 build", engine.Event{Step: "s2", Kind: engine.Log, Stream: 2, Data: fmt.Appendf(nil, "line %d\n", i)})
	}
	step("w1", "numpy 1.26 build", engine.Event{Step: "s2", Kind: engine.Log, Stream: 2, Data: []byte("\x1b]0;owned\a\x1b[2Jerror: no such header \x9b31m")})
	step("w1", "numpy 1.26 build", engine.Event{Step: "s2", Kind: engine.Done, Error: "exit code 2"})
	end("w1", "artifact", "numpy 1.26 build", execute.Failed, `step "RUN make" ended with exit code 2`, 33*time.Second, 0)
	end("l1", "linked", "numpy 1.26 linked layer", execute.Blocked, "numpy 1.26 build failed", 0, 0)
	end("i1", "image", "image of python", execute.Assembled, "", 20*time.Millisecond, 0)
	add(0, execute.Event{Kind: execute.NodeStarted, Node: "t1", What: "test", Name: "python 3.10 test import"})
	step("t1", "python 3.10 test import", engine.Event{Step: "test", Name: "test", Kind: engine.Log, Stream: 1, Data: []byte("fine\n")})
	end("t1", "test", "python 3.10 test import", execute.Passed, "", 1500*time.Millisecond, 0)
	end("t2", "test", "python 3.10 test gpu", execute.Skipped, "no GPU", 0, 0)
	end("t3", "test", "python 3.10 test broken", execute.Failed, "exit code 1\nsecond line", 100*time.Millisecond, 0)
	end("t4", "test", "python 3.10 test old", execute.Reused, "", 0, 0)
	add(time.Second, execute.Event{Kind: execute.RunEnded})
	return out
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestModes(t *testing.T) {
	for name, o := range map[string]Options{
		"plain.txt":   {Mode: Plain},
		"auto.txt":    {}, // a buffer is no terminal
		"verbose.txt": {Mode: Plain, Verbose: true},
		"colour.txt":  {Mode: Plain, Colour: true},
		"jsonl.txt":   {Mode: JSONL},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			r, err := New(&b, o)
			require.NoError(t, err)
			for _, e := range run() {
				r.Event(e)
			}
			require.NoError(t, r.Close())
			require.NoError(t, r.Close(), "closing twice")
			b.WriteString("---\n")
			require.NoError(t, r.Summary(&b))
			golden(t, name, b.Bytes())
			if !o.Colour {
				require.NotContains(t, b.String(), "\x1b")
			}
			require.NotContains(t, b.String(), "\x9b")
		})
	}
}

func TestQuiet(t *testing.T) {
	var b, s bytes.Buffer
	r, err := New(&b, Options{Mode: Quiet})
	require.NoError(t, err)
	for _, e := range run() {
		r.Event(e)
	}
	require.NoError(t, r.Close())
	require.Empty(t, b.String())
	require.NoError(t, r.Summary(&s))
	require.Contains(t, s.String(), "1 skipped (no GPU)")
}

func TestEmptySummary(t *testing.T) {
	r, err := New(&bytes.Buffer{}, Options{Mode: Plain})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, r.Summary(&b))
	require.Equal(t, "nothing was to be done\n", b.String())
}

func TestNewRefuses(t *testing.T) {
	_, err := New(&bytes.Buffer{}, Options{Mode: TTY})
	require.ErrorContains(t, err, "needs a terminal")
	_, err = New(&bytes.Buffer{}, Options{Mode: "fancy"})
	require.ErrorContains(t, err, `no report mode "fancy"`)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }

func TestWriterFails(t *testing.T) {
	r, err := New(broken{}, Options{Mode: Plain})
	require.NoError(t, err)
	for _, e := range run() {
		r.Event(e)
	}
	require.EqualError(t, r.Close(), "drawing progress: pipe closed")
}

func TestConcurrentEvents(t *testing.T) {
	var b bytes.Buffer
	r, err := New(&b, Options{Mode: JSONL})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, e := range run() {
				r.Event(e)
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Close())
	r.Event(run()[0]) // late: dropped
	require.Equal(t, 8*len(run()), strings.Count(b.String(), "\n"))
}

// On a terminal the live view is drawn, and what a build printed does not drive it.
func TestTerminal(t *testing.T) {
	master, path, err := console.NewPty()
	if err != nil {
		t.Skipf("no pseudo-terminal is to be had: %v", err)
	}
	defer master.Close()
	terminal, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	drawn := make(chan string)
	go func() {
		all, _ := io.ReadAll(master) // ends with an error when the terminal is closed
		drawn <- string(all)
	}()
	r, err := New(terminal, Options{})
	require.NoError(t, err)
	for _, e := range run() {
		r.Event(e)
	}
	require.NoError(t, r.Close())
	require.NoError(t, terminal.Close())
	got := <-drawn
	require.Contains(t, got, "numpy 1.26 build: RUN make")
	require.Contains(t, got, "CACHED base ubuntu:22.04")
	require.Contains(t, got, "error: no such header")
	require.NotContains(t, got, "owned")
	require.NotContains(t, got, "\x1b[2J")
}

// The live view gets a vertex for each node and step, each started before its
// logs and completed once, and no control characters.
func TestTranslate(t *testing.T) {
	tr := newTranslator()
	last := map[string]*client.Vertex{}
	var order []string
	for _, e := range run() {
		s := tr.translate(e)
		if s == nil {
			continue
		}
		for _, v := range s.Vertexes {
			require.NotNil(t, v.Started)
			if last[v.Digest.String()] == nil {
				order = append(order, v.Digest.String())
			}
			last[v.Digest.String()] = v
		}
		for _, l := range s.Logs {
			require.NotNil(t, last[l.Vertex.String()], "a log needs its vertex")
			require.NotContains(t, string(l.Data), "\x1b")
		}
	}
	var b bytes.Buffer
	for _, id := range order {
		v := last[id]
		fmt.Fprintf(&b, "%s | completed %v | cached %v | %s\n", v.Name, v.Completed != nil, v.Cached, v.Error)
	}
	golden(t, "live.txt", b.Bytes())
}

func TestTailBoundsLines(t *testing.T) {
	tl := tail{most: 3}
	tl.write(bytes.Repeat([]byte("x"), 10*maxLine))
	tl.flush()
	require.Len(t, tl.lines, 3)
	for _, l := range tl.lines {
		require.LessOrEqual(t, len(l), maxLine)
	}
}

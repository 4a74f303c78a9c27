package execute

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/plan"
)

func TestMask(t *testing.T) {
	m := newMask(map[string][]byte{
		"token": []byte("s3cr&t pa'ss\n"), "key": []byte("-----BEGIN-----\nAAAABBBBCCCC\nend\n-----END-----\n"), "short": []byte("abc"), "empty": nil, "twice": []byte("abab"),
	})
	for in, want := range map[string]string{
		"nothing":                  "nothing",
		"it is s3cr&t pa'ss.":      "it is ***.",
		"s3cr&t pa'sss3cr&t pa'ss": "******",
		`+ curl 's3cr&t pa'\''ss'`: "+ curl '***'",
		"https://x/?t=" + url.QueryEscape("s3cr&t pa'ss"):   "https://x/?t=***",
		"https://x/" + url.PathEscape("s3cr&t pa'ss"):       "https://x/***",
		`{"t": ` + strconv.Quote("s3cr&t pa'ss") + `}`:      `{"t": "***"}`,
		"-----BEGIN-----\nAAAABBBBCCCC\nend\n-----END-----": "***",
		"only AAAABBBBCCCC of it":                           "only *** of it",
		"abc is too short":                                  "abc is too short",
		"xababx":                                            "x***x",
		"xabaabab":                                          "xaba***",
		"base64: " + base64.StdEncoding.EncodeToString([]byte("s3cr&t pa'ss")): "base64: " + base64.StdEncoding.EncodeToString([]byte("s3cr&t pa'ss")),
	} {
		require.Equal(t, want, m.text(in))
	}
	cause := errors.New("no such file: /out/s3cr&t pa'ss")
	err := m.err(fmt.Errorf("reading: %w", cause))
	require.EqualError(t, err, "reading: no such file: /out/***")
	require.ErrorIs(t, err, cause)
	require.Equal(t, cause, newMask(nil).err(cause))
	require.Equal(t, "x", newMask(map[string][]byte{"a": []byte("x")}).text("x"))
}

// What a step prints of a secret, and what it does to a terminal, is neither in
// the log nor in the events, in whatever pieces it comes.
func TestLogIsMaskedAndClean(t *testing.T) {
	var events []Event
	r := &run{Options: Options{Logs: t.TempDir(), Events: func(e Event) { events = append(events, e) }}, mask: newMask(map[string][]byte{"t": []byte("swordfish\n")})}
	s := &state{node: &plan.Node{Kind: plan.Artifact, Key: strings.Repeat("a", 64), Package: "p", Version: "1"}}
	l := r.openLog(s)
	l.event(engine.Event{Step: "1", Name: "RUN cat", Kind: engine.Started})
	for _, piece := range []string{"it is sw", "ordfi", "sh\n", "\x1b]0;own", "ed\aswim swor"} {
		l.event(engine.Event{Step: "1", Name: "RUN cat", Kind: engine.Log, Stream: 1, Data: []byte(piece)})
	}
	l.event(engine.Event{Step: "1", Name: "RUN cat", Kind: engine.Log, Stream: 2, Data: []byte("swordfis")})
	l.event(engine.Event{Step: "1", Name: "RUN cat", Kind: engine.Done, Error: "no swordfish"})
	w := l.writer("test", 1)
	_, err := w.Write([]byte("sword"))
	require.NoError(t, err)
	_, err = w.Write([]byte("fishes and sword"))
	require.NoError(t, err)
	l.close(errors.New("failed: \x1b[2J"))

	text := ""
	for _, e := range events {
		if e.Step != nil {
			text += string(e.Step.Data) + e.Step.Error
		}
	}
	require.Equal(t, "it is ***\n\x1b]0;owned\aswim sworswordfisno ******es and sword", text)
	file, err := os.ReadFile(s.result.Log)
	require.NoError(t, err)
	require.NotContains(t, string(file), "swordfish")
	require.NotContains(t, string(file), "\x1b")
	require.NotContains(t, string(file), "\a")
	require.Contains(t, string(file), "==> RUN cat: no ***\n")
}

// FuzzMask: however the output comes in pieces, the secret is not in what is
// told, and what is no secret comes through.
func FuzzMask(f *testing.F) {
	f.Add("hunter2!", "password is hunter2! really", uint8(3))
	f.Add("abab", "xabaabab", uint8(1))
	f.Add("line one\nline two", "a line one\nline two b line two", uint8(4))
	f.Add("*****", "******", uint8(2))
	f.Add("a'b\"c d", `a'\''b"c d a%27b%22c+d`, uint8(5))
	f.Fuzz(func(t *testing.T, secret, output string, size uint8) {
		m := newMask(map[string][]byte{"s": []byte(secret)})
		step := int(size)%17 + 1
		var told, wait []byte
		for rest := output; rest != ""; {
			n := min(step, len(rest))
			var now []byte
			now, wait = m.take(append(wait, rest[:n]...), false)
			told = append(told, now...)
			rest = rest[n:]
		}
		now, wait := m.take(wait, true)
		told = append(told, now...)
		require.Empty(t, wait)
		value := strings.TrimSpace(secret)
		if m == nil || len(value) < shortestValue {
			return
		}
		if !strings.Contains(stars, value) && !strings.Contains(value, "*") {
			require.NotContains(t, string(told), value)
		}
		if !strings.Contains(string(told), stars) {
			require.Equal(t, output, string(told))
		}
	})
}

package execute

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
)

// A secret that a step prints is told as ***: in its log, in events, in what a
// test's evidence keeps and in errors. What is looked for is the value, without
// the newline at its end; each line of one that has several; and both as JSON,
// as a part of an address and as `set -x` write them. Other encodings (base64)
// are left alone, and so are values and lines too short to be told from other
// text.
const (
	stars         = "***"
	shortestValue = 4 // bytes
	shortestLine  = 8
)

// mask knows what must not be told. nil masks nothing.
type mask struct {
	needles [][]byte // longest first
	first   [256]bool
}

func newMask(secrets map[string][]byte) *mask {
	found := map[string]bool{}
	add := func(s string, shortest int) {
		s = strings.TrimSpace(s)
		if len(s) < shortest {
			return
		}
		found[s] = true
		if quoted, err := json.Marshal(s); err == nil {
			found[string(quoted[1:len(quoted)-1])] = true
		}
		var plain bytes.Buffer
		enc := json.NewEncoder(&plain)
		enc.SetEscapeHTML(false)
		if enc.Encode(s) == nil {
			found[strings.TrimSuffix(plain.String(), "\"\n")[1:]] = true
		}
		found[url.QueryEscape(s)] = true
		found[url.PathEscape(s)] = true
		found[strings.ReplaceAll(s, "'", `'\''`)] = true
	}
	for _, value := range secrets {
		text := strings.ReplaceAll(string(value), "\r\n", "\n")
		add(string(value), shortestValue)
		add(text, shortestValue)
		if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) > 1 {
			for _, line := range lines {
				add(line, shortestLine)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	m := &mask{}
	for s := range found {
		m.needles = append(m.needles, []byte(s))
		m.first[s[0]] = true
	}
	slices.SortFunc(m.needles, func(a, b []byte) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return bytes.Compare(a, b)
	})
	return m
}

// take gives what may be told of data, and what has to wait because it may be
// the beginning of a secret. At the end nothing waits.
func (m *mask) take(data []byte, end bool) (told, wait []byte) {
	if m == nil {
		return data, nil
	}
next:
	for i := 0; i < len(data); {
		if m.first[data[i]] {
			rest := data[i:]
			for _, n := range m.needles {
				switch {
				case bytes.HasPrefix(rest, n):
					told = append(told, stars...)
					i += len(n)
					continue next
				case !end && bytes.HasPrefix(n, rest):
					return told, bytes.Clone(rest)
				}
			}
		}
		told = append(told, data[i])
		i++
	}
	return told, nil
}

func (m *mask) text(s string) string {
	if m == nil {
		return s
	}
	told, _ := m.take([]byte(s), true)
	return string(told)
}

// masked lets through what may be told. A tail of it never begins within a secret.
type masked struct {
	mask *mask
	to   io.Writer
	wait []byte
}

func (w *masked) Write(p []byte) (int, error) {
	var told []byte
	told, w.wait = w.mask.take(append(w.wait, p...), false)
	if _, err := w.to.Write(told); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *masked) end() {
	told, _ := w.mask.take(w.wait, true)
	w.wait = nil
	_, _ = w.to.Write(told)
}

// err is an error whose text may be told.
func (m *mask) err(err error) error {
	if err == nil || m == nil {
		return err
	}
	if text := m.text(err.Error()); text != err.Error() {
		return &maskedError{err, text}
	}
	return err
}

type maskedError struct {
	error
	text string
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.error }

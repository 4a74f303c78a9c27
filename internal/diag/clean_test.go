package diag

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":              "plain\ttext\n",
		"\x1b[1;31mred\x1b[0m":       "red",
		"\x1b]0;title\aafter":        "after",
		"\x1b]8;;http://x\x1b\\link": "link",
		"\x1b]never closed\nnext":    "\nnext",
		"\x1bPq\x1b\\x":              "x",
		"\x1b":                       "",
		"\x1b[":                      "",
		"\x1b[3\nx":                  "\nx",
		"\x1b(Bx":                    "(Bx",
		"a\x00\a\b\x7fb":             "ab",
		"a\r\nb\rc":                  "a\nb\nc",
		"\u009b31m":                  "31m",
		"\xff":                       "\uFFFD",
		"\u202eevil":                 "evil",
		"a\u00a0b":                   "a b",
		"ünïcode":                    "ünïcode",
	} {
		require.Equal(t, want, Clean(in), "%q", in)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"\x1b[31m", "\x1b]0;x\a", "\xc2\x9b", "a\rb", "\x1b\x1b[", "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		require.Equal(t, got, Clean(got), "cleaning twice changes nothing")
		for _, r := range got {
			require.False(t, Hidden(r) && r != '\n' && r != '\t', "%q", got)
		}
	})
}

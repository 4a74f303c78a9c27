package page

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain words":                         "plain words",
		" two\nlines\tand a tab ":             "two lines and a tab",
		"a_b *c* `d` [e](f) ~g~ #h $i$":       "a\\_b \\*c\\* \\`d\\` \\[e\\](f) \\~g\\~ \\#h \\$i\\$",
		"<b> & &lt; | \\":                     "&lt;b> &amp; &amp;lt; \\| \\\\",
		"- an item":                           "\\- an item",
		"> a quotation":                       "\\> a quotation",
		"1. first":                            "1\\. first",
		"2.12.0":                              "2.12.0",
		"==":                                  "\\==",
		"see https://example.org/a_b_c?d=e&f": "see https://example.org/a_b_c?d=e&f",
		"https://example.org/[x](y)":          "https://example.org/\\[x\\](y)",
		"red \x1b[31mpage\u202e":              "red page",
		"":                                    "",
	} {
		require.Equal(t, want, text(in), "%q", in)
	}
	require.Equal(t, "`a 'b' || c`", code("a `b`\n|| c"))
	require.Equal(t, "`a \\|\\| c`", cellCode("a || c"))
	require.Equal(t, "<https://example.org/a_b>", link("https://example.org/a_b"))
	require.Equal(t, "https://example.org/a b", link("https://example.org/a b"))
}

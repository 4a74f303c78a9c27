package page

import (
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
)

var (
	address = regexp.MustCompile(`https?://[^\s<>"|\\^*~\[\]` + "`" + `{}]+`)
	opening = regexp.MustCompile(`^([-+>=]|[0-9]+[.)])`) // of a list, a quotation or a rule
)

// text keeps text of a spec or a table on one line of Markdown, as text: no
// markup, no HTML, no control characters. Addresses stay as they are, so that
// they can be followed.
func text(s string) string {
	s = strings.Join(strings.Fields(diag.Clean(s)), " ")
	var b strings.Builder
	from := 0
	for _, at := range address.FindAllStringIndex(s, -1) {
		b.WriteString(plain(s[from:at[0]]))
		b.WriteString(s[at[0]:at[1]])
		from = at[1]
	}
	b.WriteString(plain(s[from:]))
	s = b.String()
	if at := opening.FindStringIndex(s); at != nil && (at[1] == len(s) || at[1] == 1 || s[at[1]] == ' ') {
		s = s[:at[1]-1] + "\\" + s[at[1]-1:]
	}
	return s
}

func plain(s string) string {
	return strings.NewReplacer(
		"\\", "\\\\", "&", "&amp;", "<", "&lt;", "$", "\\$", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "#", "\\#", "~", "\\~",
	).Replace(s)
}

// code is text as code in a line. A backquote would end it.
func code(s string) string {
	s = strings.Join(strings.Fields(diag.Clean(s)), " ")
	return "`" + strings.ReplaceAll(s, "`", "'") + "`"
}

// cellCode is code in a cell, which a bar would end.
func cellCode(s string) string { return strings.ReplaceAll(code(s), "|", "\\|") }

// link is an address of a spec as a link to itself, or text where it is none.
func link(url string) string {
	if address.FindString(url) == url {
		return "<" + url + ">"
	}
	return text(url)
}

// pages links the pages of packages.
func pages(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = page(n)
	}
	return strings.Join(out, ", ")
}

// page links the page of a package; names of packages are plain by their schema.
func page(name string) string { return "[" + plain(name) + "](" + name + ".md)" }

// row is a row of a table.
func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// head is the first row of a table, with the line below it.
func head(cells ...string) string {
	return row(cells...) + "|" + strings.Repeat("---|", len(cells)) + "\n"
}

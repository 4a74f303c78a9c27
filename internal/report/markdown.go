package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/execute"
)

// shownSlow is how many of the slowest nodes a report lists.
const shownSlow = 10

// Markdown writes a run for a step summary of GitHub Actions or a comment: what
// failed and why first, then the cells and what took long.
func (r *Run) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s%s\n\n", r.title(), r.Outcome)
	fmt.Fprintf(&b, "%s: %s\n", plainMarkdown(r.What), plainMarkdown(r.Totals()))
	if failed := r.with(execute.Failed); len(failed) > 0 {
		b.WriteString("\n### What failed\n")
		for _, n := range failed {
			fmt.Fprintf(&b, "\n- **%s** (L4T %s): %s\n", plainMarkdown(n.Name), plainMarkdown(n.Line), plainMarkdown(n.Reason))
			if lines := tailOf(n.Log); len(lines) > 0 {
				b.WriteString("  <details><summary>the last lines of its log</summary>\n\n")
				writeFenced(&b, "text", lines)
				b.WriteString("\n  </details>\n")
			}
		}
	}
	if held := r.with(execute.Blocked, execute.Canceled, ""); len(held) > 0 {
		fmt.Fprintf(&b, "\n%d more did not come about: what they stand on failed, or the run ended.\n", len(held))
	}
	if len(r.Cells) > 0 {
		b.WriteString("\n### Cells\n\n| cell | image | |\n|---|---|---|\n")
		for _, c := range r.Cells {
			good, image := "not good", "none"
			if c.Good {
				good = "good"
			}
			if c.Digest != "" {
				image = "`" + strings.TrimPrefix(c.Digest, "sha256:")[:min(12, len(strings.TrimPrefix(c.Digest, "sha256:")))] + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", plainMarkdown(c.Tag), image, good)
		}
	}
	if changes := r.changes(); len(changes) > 0 {
		b.WriteString("\n### Made again because of\n\n")
		for _, c := range changes {
			fmt.Fprintf(&b, "- %s\n", plainMarkdown(c.title()))
			if lines := c.lines(); len(lines) > 0 {
				b.WriteString("\n")
				writeFenced(&b, "diff", lines)
			}
		}
	}
	if slow := r.slowest(shownSlow); len(slow) > 0 {
		b.WriteString("\n### What took the longest\n\n| | took | why it was made | |\n|---|---:|---|---|\n")
		for _, n := range slow {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", plainMarkdown(n.Name), n.Took.Round(time.Second), plainMarkdown(n.why()), plainMarkdown(n.where()))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFenced writes lines as they are, under an item of a list.
func writeFenced(b *strings.Builder, language string, lines []string) {
	fence := "```"
	for strings.Contains(strings.Join(lines, "\n"), fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "  %s%s\n", fence, language)
	for _, line := range lines {
		fmt.Fprintf(b, "  %s\n", line)
	}
	fmt.Fprintf(b, "  %s\n", fence)
}

// plainMarkdown makes text that no renderer of Markdown or HTML takes for more.
func plainMarkdown(s string) string {
	var b strings.Builder
	for _, r := range oneLine(s) {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '&':
			b.WriteString("&amp;")
		case '@': // names nobody
			b.WriteString("&#64;")
		case '\\', '`', '*', '_', '[', ']', '#', '|', '~', '!':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

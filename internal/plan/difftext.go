package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Title is a cause in a line, without texts of several lines.
func (c Cause) Title() string {
	who := strings.Join(c.Packages, ", ")
	switch {
	case c.What == "version":
		return fmt.Sprintf("%s %s -> %s", who, c.Old, c.New)
	case c.What == layerBelow && c.Old == "":
		return strings.TrimSpace(who+" "+c.New) + " is needed now"
	case c.What == layerBelow:
		return strings.TrimSpace(who+" "+c.Old) + " is needed no more"
	case strings.HasPrefix(c.What, "step ") && who != "":
		return c.What + ", used by " + who
	}
	s := c.What
	if who != "" {
		s = who + ": " + s
	}
	switch {
	case c.Old == "" && c.New == "":
		return s
	case c.lines():
		return s
	case c.Old == "":
		return s + " is new: " + c.New
	case c.New == "":
		return s + " is gone, was " + c.Old
	}
	return s + " " + c.Old + " -> " + c.New
}

// lines reports whether the texts are told as lines below the title.
func (c Cause) lines() bool {
	return strings.Contains(c.What, "step ") || strings.HasPrefix(c.What, "test ") || strings.Contains(c.Old+c.New, "\n") || len(c.Old)+len(c.New) > 200
}

// Lines are the texts of a cause as lines that went and came, "- old", "+ new";
// none where the title says it all. At most as many as given are told.
func (c Cause) Lines(most int) []string {
	if !c.lines() || c.What == "version" || c.What == layerBelow {
		return nil
	}
	var out []string
	for _, side := range []struct{ sign, text string }{{"- ", c.Old}, {"+ ", c.New}} {
		if side.text == "" {
			continue
		}
		all := strings.Split(side.text, "\n")
		for i, l := range all {
			if i == most {
				out = append(out, fmt.Sprintf("%s... %d lines more", side.sign, len(all)-i))
				break
			}
			if r := []rune(l); len(r) > 160 {
				l = string(r[:160]) + "..."
			}
			out = append(out, side.sign+l)
		}
	}
	return out
}

// String is the version that changed, in a line.
func (p PackageChange) String() string {
	switch {
	case p.Old == "":
		return p.Name + " " + p.New + " is new"
	case p.New == "":
		return p.Name + " " + p.Old + " is gone"
	}
	return p.Name + " " + p.Old + " -> " + p.New
}

// Summary is what changes, in a line.
func (c *Changes) Summary() string {
	total := len(c.Changed) + c.Same
	s := fmt.Sprintf("%d of %s", len(c.Changed), count(total, "cell changes", "cells change"))
	if len(c.Changed) == 0 {
		s = "no cell changes"
	}
	if n := len(c.Added); n > 0 {
		s += fmt.Sprintf(", %d new", n)
	}
	if n := len(c.Removed); n > 0 {
		s += fmt.Sprintf(", %d FALL OUT", n)
	}
	var parts []string
	for _, k := range Kinds() {
		if n := c.Make[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	if len(parts) > 0 {
		s += "; to make: " + strings.Join(parts, ", ")
	}
	return s
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// group is cells that change alike.
type group struct {
	cells    []string
	packages []PackageChange
	causes   []int
	nodes    []int
}

// groups puts cells together that change for the same causes, in their order.
func (c *Changes) groups() []*group {
	var out []*group
	byCause := map[string]*group{}
	for _, x := range c.Changed {
		k := fmt.Sprint(x.Causes, x.Packages)
		g := byCause[k]
		if g == nil {
			g = &group{packages: x.Packages, causes: x.Causes}
			byCause[k] = g
			out = append(out, g)
		}
		g.cells = append(g.cells, x.ID)
		g.nodes = merged(g.nodes, x.Nodes)
	}
	return out
}

// again is what a group makes again: artifacts and layers, by what they are.
func (c *Changes) again(g *group) []string {
	var out []string
	at := map[string]int{}
	for _, i := range g.nodes {
		at[c.Nodes[i].Title()]++
	}
	for _, title := range sortedKeys(at) {
		if n := at[title]; n > 1 {
			title += fmt.Sprintf(" (%d)", n)
		}
		out = append(out, title)
	}
	return out
}

// numbers are causes as people count them.
func numbers(causes []int) string {
	var out []string
	for _, i := range causes {
		out = append(out, fmt.Sprint(i+1))
	}
	return strings.Join(out, ", ")
}

// atMost bounds a list for reading, and says how many it leaves out.
func atMost(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("... and %d more", len(list)-most))
}

// Text writes the changes for a terminal: what falls out first.
func (c *Changes) Text(w io.Writer) {
	if len(c.Removed) > 0 {
		fmt.Fprintf(w, "%s:\n", count(len(c.Removed), "CELL FALLS OUT", "CELLS FALL OUT"))
		for _, r := range byReason(c.Removed) {
			fmt.Fprintf(w, "  %s:\n", r.reason)
			for _, id := range r.cells {
				fmt.Fprintf(w, "    %s\n", id)
			}
		}
	}
	if len(c.Added) > 0 {
		fmt.Fprintf(w, "%s:\n", count(len(c.Added), "cell is new", "cells are new"))
		for _, l := range atMost(titles(c.Added), 40) {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	fmt.Fprintln(w, c.Summary())
	for i, r := range c.Causes {
		fmt.Fprintf(w, "\n%d. %s\n", i+1, r.Title())
		for _, l := range r.Lines(12) {
			fmt.Fprintf(w, "   %s\n", l)
		}
		fmt.Fprintf(w, "   %s; %s to make\n", count(r.Cells, "cell", "cells"), count(r.Nodes, "layer or artifact", "layers and artifacts"))
	}
	for _, g := range c.groups() {
		fmt.Fprintf(w, "\n%s because of %s:\n", count(len(g.cells), "cell", "cells"), numbers(g.causes))
		for _, id := range atMost(g.cells, 20) {
			fmt.Fprintf(w, "  %s\n", id)
		}
		for _, p := range g.packages {
			fmt.Fprintf(w, "  %s\n", p)
		}
		if again := c.again(g); len(again) > 0 {
			fmt.Fprintf(w, "  to make: %s\n", strings.Join(atMost(again, 20), ", "))
		}
	}
}

// reasoned is cells that fall out for one reason.
type reasoned struct {
	reason string
	cells  []string
}

func byReason(list []CellChange) []*reasoned {
	var out []*reasoned
	at := map[string]*reasoned{}
	for _, x := range list {
		r := at[x.Reason]
		if r == nil {
			r = &reasoned{reason: x.Reason}
			at[x.Reason] = r
			out = append(out, r)
		}
		r.cells = append(r.cells, x.ID)
	}
	return out
}

func titles(list []CellChange) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.ID
		if x.Reason != "" {
			out[i] += ": " + x.Reason
		}
	}
	return out
}

// Markdown writes the changes as a comment on a pull request. What people wrote
// stands in code alone, so that it cannot become a mention, a link or markup.
func (c *Changes) Markdown(w io.Writer) {
	fmt.Fprintf(w, "### jetcrate: %s\n", c.Summary())
	if len(c.Removed) > 0 {
		fmt.Fprintf(w, "\n> [!WARNING]\n> **%s**\n\n", count(len(c.Removed), "cell falls out", "cells fall out"))
		for _, r := range byReason(c.Removed) {
			fmt.Fprintf(w, "- %s: %s\n", code(clip(r.reason, 300)), code(strings.Join(atMost(r.cells, 12), ", ")))
		}
	}
	if len(c.Added) > 0 {
		fmt.Fprintf(w, "\n**%s**\n\n", count(len(c.Added), "cell is new", "cells are new"))
		for _, l := range atMost(titles(c.Added), 20) {
			fmt.Fprintf(w, "- %s\n", code(l))
		}
	}
	if len(c.Causes) > 0 {
		fmt.Fprintf(w, "\n| | why | cells | layers and artifacts to make |\n|---|---|---:|---:|\n")
	}
	const most = 25
	for i, r := range c.Causes {
		if i == most {
			fmt.Fprintf(w, "| | and %d more | | |\n", len(c.Causes)-i)
			break
		}
		fmt.Fprintf(w, "| %d | %s | %d | %d |\n", i+1, strings.ReplaceAll(code(clip(r.Title(), 300)), "|", `\|`), r.Cells, r.Nodes)
	}
	for i, r := range c.Causes[:min(len(c.Causes), most)] {
		if lines := r.Lines(12); len(lines) > 0 {
			text := strings.Join(lines, "\n")
			fence := strings.Repeat("`", max(3, longestRun(text, '`')+1))
			fmt.Fprintf(w, "\n<details><summary>%d: what changed</summary>\n\n%sdiff\n%s\n%s\n</details>\n", i+1, fence, text, fence)
		}
	}
	groups := c.groups()
	for i, g := range groups {
		if i == most {
			fmt.Fprintf(w, "\nand %d more groups of cells\n", len(groups)-i)
			break
		}
		fmt.Fprintf(w, "\n<details><summary>%s because of %s</summary>\n\n", count(len(g.cells), "cell", "cells"), numbers(g.causes))
		for _, l := range atMost(g.cells, 20) {
			fmt.Fprintf(w, "- %s\n", code(l))
		}
		if again := c.again(g); len(again) > 0 {
			fmt.Fprintf(w, "\nto make: %s\n", code(strings.Join(atMost(again, 20), ", ")))
		}
		fmt.Fprint(w, "\n</details>\n")
	}
}

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// code is a text as a code span of Markdown.
func code(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

func longestRun(s string, of byte) int {
	longest, run := 0, 0
	for i := range len(s) {
		run++
		if s[i] != of {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

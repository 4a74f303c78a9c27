package spec

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/expr"
)

// Lint looks for what is no mistake but does nothing: its list holds warnings.
func Lint(cat *Catalog) diag.List {
	var list diag.List
	for _, name := range sortedKeys(cat.Steps) {
		lintInputs(cat.Steps[name], &list)
	}
	list.Sort()
	return list
}

// lintInputs: every input of a reusable step is read by one of its steps.
func lintInputs(s *StepDef, list *diag.List) {
	read := map[string]bool{}
	all := false
	collect := func(t *expr.Template, err error) {
		if err != nil {
			return // reported while loading
		}
		for _, path := range t.Refs() {
			root, rest, _ := strings.Cut(path, ".")
			if !strings.EqualFold(root, "inputs") {
				continue
			}
			name, _, _ := strings.Cut(rest, ".")
			read[strings.ToLower(name)] = true
			all = all || name == "" // inputs[...] may be any
		}
	}
	var value func(v any)
	value = func(v any) {
		switch v := v.(type) {
		case string:
			collect(expr.Parse(v))
		case []any:
			for _, e := range v {
				value(e)
			}
		}
	}
	for _, st := range s.Steps {
		for _, condition := range []string{st.If, st.Fetch} {
			if condition != "" {
				collect(expr.ParseCondition(condition))
			}
		}
		value(st.Run)
		value(st.WorkingDirectory)
		for _, v := range st.Env {
			value(v)
		}
		for _, v := range st.With {
			value(v)
		}
	}
	for _, name := range sortedKeys(s.Inputs) {
		if !all && !read[strings.ToLower(name)] {
			list.Warnf("unused-input", s.Doc.KeyPos("inputs", name), "no step of %s reads the input %s", s.Name, name)
		}
	}
}

// checkConflicts: what a package cannot be together with exists.
func (c *checker) checkConflicts(p *Package, conflicts []Dependency, at ...any) {
	for i, d := range conflicts {
		if d.Target == "" {
			continue
		}
		where := append(append([]any(nil), at...), i)
		if d.If != "" {
			where = append(where, "package")
		}
		pos := p.Doc.Pos(where...)
		ref, err := ParseDependency(d.Target)
		if err != nil {
			c.reportParse("bad-dependency", pos, "conflicts", err)
			continue
		}
		t, _ := c.cat.Canonical(Target{Name: ref.Name, Version: ref.Version})
		to := c.findPackage(Target{Name: ref.Name, Version: ref.Version}, pos, "conflicts")
		if to == nil {
			continue
		}
		c.checkChoices(to, ref.Options, pos)
		c.checkPin(to, t.Version, pos)
		if ref.Range != "" {
			c.checkNoMatch(to, ref.Range, pos)
		}
	}
}

// ignoring is a comment that silences a warning of its line or, if it stands
// alone, of the next line that is no comment.
type ignoring struct {
	file         string
	at, line     int // of the comment, and that it is about
	col          int
	code, reason string
	used         bool
}

var ignoreComment = regexp.MustCompile(`(?:^|\s)# lint:ignore(?:\s+(\S+))?(?:\s+(\S.*?))?\s*$`)

// Ignore leaves out the warnings that a comment `# lint:ignore CODE reason`
// silences, and reports comments without a reason, those that silence nothing,
// and those that would silence an error. files are the catalog's files. A comment
// may silence nothing under another matrix, where other conditions hold, and
// beside errors, which keep some rules from looking.
func Ignore(files fs.FS, cat *Catalog, list diag.List, ownMatrix bool) diag.List {
	complete := ownMatrix && !list.HasErrors()
	var all []*ignoring
	for _, name := range sourcesOf(cat) {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			continue // reported while loading
		}
		all = append(all, ignores(name, string(data))...)
	}
	var out diag.List
	for _, d := range list {
		i := slices.IndexFunc(all, func(x *ignoring) bool {
			return x.file == d.File && x.line == d.Line && x.code == d.Code && x.reason != ""
		})
		switch {
		case i < 0:
			out = append(out, d)
		case d.Severity == diag.Error:
			all[i].used = true
			out.Errorf("bad-ignore", all[i].pos(), "%s is an error, which no comment silences", d.Code)
			out = append(out, d)
		default:
			all[i].used = true
		}
	}
	for _, x := range all {
		switch {
		case x.code == "" || x.reason == "":
			out.Errorf("bad-ignore", x.pos(), "lint:ignore needs a code and a reason").Hint = "write: # lint:ignore CODE why it is right here"
		case !x.used && complete:
			out.Warnf("unused-ignore", x.pos(), "nothing on line %d says %s", x.line, x.code)
		}
	}
	out.Sort()
	return out
}

func (x *ignoring) pos() diag.Position { return diag.Position{File: x.file, Line: x.at, Col: x.col} }

// sourcesOf names the files that a catalog was read from, sorted.
func sourcesOf(cat *Catalog) []string {
	names := map[string]bool{}
	for _, p := range cat.Packages {
		names[p.Doc.Name] = true
	}
	for _, s := range cat.Steps {
		names[s.Doc.Name] = true
	}
	for i := range cat.Matrix.Platforms {
		names[cat.Matrix.Platforms[i].Pos.Pos().File] = true
	}
	if at := cat.Matrix.Strategy.Pos; at != nil {
		names[at.Pos().File] = true
	}
	return sortedKeys(names)
}

// ignores finds the comments of a file.
func ignores(file, text string) []*ignoring {
	if !strings.Contains(text, "lint:ignore") {
		return nil
	}
	var out []*ignoring
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		m := ignoreComment.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		x := &ignoring{file: file, at: i + 1, line: i + 1, col: strings.Index(line, "# lint:ignore") + 1, code: m[1], reason: m[2]}
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			for x.line++; x.line <= len(lines); x.line++ {
				if next := strings.TrimSpace(lines[x.line-1]); next != "" && next[0] != '#' {
					break
				}
			}
		}
		out = append(out, x)
	}
	return out
}

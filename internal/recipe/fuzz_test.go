package recipe_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/stretchr/testify/require"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/recipe"
	"github.com/jetcrate/jetcrate/internal/solve"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// texts are what a stranger writes into a package. They go past lint: what lint
// would refuse must not become an instruction or a shell word either.
type texts struct {
	env    string // a variable that stays in the image
	path   string // a place that goes in front of PATH
	step   string // a variable of a step, through an input of a reusable step
	dir    string // a working-directory
	script string
	word   string // ${{ }} within a script
	url    string // of an archive
	label  string
}

const sha = "abcabc8c2b26036d62d4c746381a6f7cf60aafcc653198ad678306986b09450d"

// catalog is a package `a` that is built and stacked, with the texts in it.
func (x texts) catalog() (*spec.Catalog, fstest.MapFS) {
	step := spec.Step{
		Uses: "x/run", With: map[string]any{"text": "${{ package.values.step }}"}, Fetch: "package.archive",
		WorkingDirectory: "/w/${{ package.values.dir }}", Secrets: []string{"token"}, Cache: []string{"pip"},
	}
	pkg := &spec.Package{
		Name: "a", Group: "g", Summary: "s", Doc: &spec.Document{Name: "packages/g/a/package.yaml"},
		Env: map[string]string{"NOTE": "${{ package.values.env }}", "PATH": "${{ package.values.path }}"},
		Versions: []spec.Version{{
			Version: "1", Archive: &spec.Archive{SHA256: sha, URLs: []string{x.url, "https://example.org/a.tar.gz"}},
			Values: map[string]string{"env": x.env, "path": x.path, "step": x.step, "dir": x.dir, "word": x.word},
		}},
		Build:   &spec.Build{Steps: []spec.Step{step}},
		Install: &spec.Install{Steps: []spec.Step{{Run: "echo ${{ package.values.word }}"}}},
	}
	cat := &spec.Catalog{
		Packages: map[string]*spec.Package{"a": pkg}, Aliases: map[string]string{}, Lock: &spec.Lock{},
		Steps: map[string]*spec.StepDef{"x/run": {
			Name: "x/run", Doc: &spec.Document{Name: "pipelines/steps/x/run.yaml"},
			Inputs: map[string]spec.Input{"text": {}},
			Steps:  []spec.Step{{Run: x.script, Env: map[string]string{"TEXT": "${{ inputs.text }}"}}},
		}},
		Matrix: &spec.Matrix{Platforms: []spec.Platform{{
			L4T: "36.4.0", Flavour: "tegra", Arch: "arm64", OS: spec.OS{ID: "ubuntu", Version: "22.04"},
			Python: []string{"3.10"}, Base: spec.Base{Image: "ubuntu:22.04"}, Hosts: ">=36",
		}}},
	}
	return cat, fstest.MapFS{"packages/g/a/file": &fstest.MapFile{Data: []byte("x"), Mode: 0o644}}
}

// plan is nil where the texts are refused.
func (x texts) plan(t *testing.T) *plan.Plan {
	cat, files := x.catalog()
	platform, err := solve.Find(cat.Matrix, solve.Choice{L4T: "36.4.0"})
	require.NoError(t, err)
	p, err := plan.New(cat, files, []plan.Request{{Platform: platform, Targets: []spec.Target{{Name: "a"}}}})
	if err != nil && testing.Verbose() {
		t.Log(err)
	}
	if err != nil {
		return nil
	}
	return p
}

// FuzzRender: whatever the texts are, a Dockerfile that is rendered with them
// holds the instructions that were meant, each value is what it was, and a
// script is the one that was written.
func FuzzRender(f *testing.F) {
	plain := texts{"e", "/p", "s", "d", "make\n", "w", "https://example.org/a.tar.gz", "l"}
	add := func(x texts) { f.Add(x.env, x.path, x.step, x.dir, x.script, x.word, x.url, x.label) }
	add(plain)
	for _, s := range []string{
		"a\nRUN evil", "\"; RUN evil", "$(evil)", "`evil`", "${PATH}", "$PATH", `\`, `a\`, `\\"`, "'", `"`, "a b", "--help", "-x",
		"${{ version }}", "JETCRATE", "a\nJETCRATE\nRUN evil", "<<EOF", "# escape=`", "a=b", "~", "*", "é\u202e", "\x00", "\t", "#", "a #b", "!", "{a,b}", "",
	} {
		x := plain
		x.env, x.path, x.step, x.dir, x.word, x.label = s, s, s, s, s, s
		add(x)
		x = plain
		x.script = s + "\n"
		add(x)
	}
	for _, s := range []string{"JETCRATE", " JETCRATE", "JETCRATE2\nJETCRATE", "cat <<JETCRATE\nx\nJETCRATE", "# escape=`\n# syntax=x", "#!/bin/evil", "true \\", "\\", "FROM x\nRUN y"} {
		x := plain
		x.script = s
		add(x)
	}
	for _, s := range []string{"https://example.org/a%0aJETCRATE%0aRUN%20evil", "https://example.org/$(evil)", "https://example.org/--help", "https://x/..", "https://x/'\nevil", "x"} {
		x := plain
		x.url = s
		add(x)
	}
	f.Fuzz(func(t *testing.T, env, path, step, dir, script, word, url, label string) {
		x := texts{env, path, step, dir, script, word, url, label}
		if strings.Contains(script, "${{") {
			return // a template, whose values are what word is about
		}
		p := x.plan(t)
		if p == nil {
			return
		}
		for _, n := range p.Nodes {
			if n.Kind != plan.Source && n.Kind != plan.Artifact && n.Kind != plan.Stacked {
				continue
			}
			r, err := recipe.Render(p, n)
			require.NoError(t, err, "what was planned can be rendered")
			x.check(t, r.Dockerfile, n.Kind, false)
		}
		full, err := recipe.Full(p, p.Node(p.Cells[0].Image), map[string]string{"l": label})
		if err == nil {
			x.check(t, full.Dockerfile, plan.Image, true)
		}
	})
}

// check parses a Dockerfile as BuildKit does and compares what it says.
func (x texts) check(t *testing.T, dockerfile string, kind plan.Kind, full bool) {
	_, _, _, directive := parser.DetectSyntax([]byte(dockerfile))
	require.False(t, directive)
	tree, err := parser.Parse(strings.NewReader(dockerfile))
	require.NoError(t, err, dockerfile)
	require.Equal(t, '\\', tree.EscapeToken)
	stages, args, err := instructions.Parse(tree.AST, nil)
	require.NoError(t, err, dockerfile)
	require.Empty(t, args)
	var got []string
	for _, s := range stages {
		got = append(got, fmt.Sprintf("FROM %s AS %s", s.BaseName, s.Name))
		for _, c := range s.Commands {
			got = append(got, x.command(t, c))
		}
	}
	build := []string{"RUN build token,jobs"}
	layer := []string{"RUN install ", "ENV NOTE", "ENV PATH"}
	const source = "source-abcabc8c2b26"
	var want []string
	switch {
	case full:
		last := "FROM base AS "
		want = append(want, "FROM ubuntu:22.04 AS base", "FROM base AS "+source, "RUN fetch ", "FROM base AS build-a")
		want = append(append(want, build...), last+strings.TrimPrefix(stages[len(stages)-2].Name, ""))
		want = append(append(want, layer...), "FROM "+stages[len(stages)-2].Name+" AS image", "LABEL l")
	case kind == plan.Source:
		want = []string{"FROM below AS fetch", "RUN fetch ", "FROM scratch AS out", "COPY /source/ /"}
	case kind == plan.Artifact:
		want = append([]string{"FROM scratch AS " + source, "COPY sources/abcabc8c2b26/ /source/", "FROM below AS build"}, build...)
		want = append(want, "FROM scratch AS out", "COPY /out/ /")
	case kind == plan.Stacked:
		want = append([]string{"FROM scratch AS build-a", "COPY artifacts/a/ /out/", "FROM below AS layer"}, layer...)
	}
	require.Equal(t, want, got, dockerfile)
}

// command names an instruction, and holds the values in it against the texts.
func (x texts) command(t *testing.T, c instructions.Command) string {
	lex := shell.NewLex('\\')
	text := func(word, want string, env ...string) {
		got, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(env))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	switch c := c.(type) {
	case *instructions.EnvCommand:
		require.Len(t, c.Env, 1)
		switch kv := c.Env[0]; kv.Key {
		case "NOTE":
			text(kv.Value, x.env, "PATH=/evil", "NOTE=evil")
		case "PATH":
			text(kv.Value, x.path+":/usr/bin:/bin", "PATH=/usr/bin:/bin")
			text(kv.Value, x.path)
		}
		return "ENV " + c.Env[0].Key
	case *instructions.LabelCommand:
		require.Len(t, c.Labels, 1)
		text(c.Labels[0].Key, "l")
		text(c.Labels[0].Value, x.label, "PATH=/evil")
		return "LABEL l"
	case *instructions.CopyCommand:
		return "COPY " + strings.Join(c.SourcePaths, " ") + " " + c.DestPath
	case *instructions.RunCommand:
		return "RUN " + x.run(t, c)
	}
	return fmt.Sprintf("%T", c)
}

func (x texts) run(t *testing.T, c *instructions.RunCommand) string {
	require.Len(t, c.Files, 1, "one here-document")
	require.Len(t, c.CmdLine, 1)
	require.Regexp(t, `^<<'?JETCRATE[0-9]*'?$`, c.CmdLine[0])
	require.False(t, c.Files[0].Chomp)
	require.NoError(t, c.Expand(func(word string) (string, error) { return word, nil }))
	var secrets []string
	for _, m := range instructions.GetMounts(c) {
		switch m.Type {
		case instructions.MountTypeSecret:
			secrets = append(secrets, m.CacheID)
			require.Empty(t, m.Target)
			require.Nil(t, m.Env)
		case instructions.MountTypeCache:
			require.Equal(t, "/root/.cache/pip", m.Target)
		case instructions.MountTypeBind:
			require.Contains(t, []string{"/pkg", "/source", "/artifact"}, m.Target)
			require.True(t, m.ReadOnly)
		default:
			t.Fatalf("a mount of the type %s", m.Type)
		}
	}
	body := c.Files[0].Data
	name := "fetch"
	script := ""
	switch {
	case strings.Contains(body, "export OUT=/out"):
		name, script = "build", strings.TrimRight(x.script, "\n")+"\n"
	case !strings.HasPrefix(body, "set -eu\nmkdir -p /source\n"):
		name, script = "install", "echo "+x.word+"\n"
	}
	require.True(t, strings.HasSuffix(body, script), "the script is what was written")
	head := strings.TrimSuffix(body, script)
	if name == "install" {
		head += script // its value is one word
	}
	got := statements(t, head)
	switch name {
	case "fetch":
		require.Len(t, got, 9)
		require.Equal(t, []string{"", "sha256=" + sha}, []string{got[2][:0], got[3]})
		require.Regexp(t, `^file=/source/[A-Za-z0-9][A-Za-z0-9._+~-]*$`, got[2])
	case "build":
		require.Equal(t, []string{
			"set -eu", "mkdir -p /out", "export OUT=/out", "...", "...", "export NOTE=" + x.env, "...", "export TEXT=" + x.step,
			"mkdir -p /w/" + x.dir, "cd /w/" + x.dir,
		}, got)
	case "install":
		require.Equal(t, []string{"set -eu", "export NOTE=" + x.env, "...", strings.TrimRight("echo "+x.word, " ")}, got)
	}
	return name + " " + strings.Join(secrets, ",")
}

// statements are the commands of a script with their words as a shell takes
// them; "..." where a word is not literal, or the command is no simple one.
func statements(t *testing.T, script string) []string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(script), "")
	require.NoError(t, err, script)
	var out []string
	literal := func(w *syntax.Word) (string, bool) {
		dynamic := false
		syntax.Walk(w, func(n syntax.Node) bool {
			switch n.(type) {
			case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst, *syntax.ExtGlob:
				dynamic = true
			}
			return true
		})
		if dynamic {
			return "", false
		}
		fields, err := expand.Fields(&expand.Config{NoUnset: true}, w) // a word that splits or globs shows
		if err != nil || len(fields) != 1 {
			return fmt.Sprintf("(%d words)", len(fields)), true
		}
		return fields[0], true
	}
	for _, s := range file.Stmts {
		var words []string
		known := len(s.Redirs) == 0 && !s.Background && !s.Negated
		add := func(prefix string, w *syntax.Word) {
			text := ""
			if w != nil {
				var ok bool
				text, ok = literal(w)
				known = known && ok
			}
			words = append(words, prefix+text)
		}
		switch c := s.Cmd.(type) {
		case *syntax.CallExpr:
			for _, a := range c.Assigns {
				add(a.Name.Value+"=", a.Value)
			}
			for _, w := range c.Args {
				add("", w)
			}
		case *syntax.DeclClause:
			words = append(words, c.Variant.Value)
			for _, a := range c.Args {
				if a.Naked {
					known = false
					continue
				}
				add(a.Name.Value+"=", a.Value)
			}
		default:
			known = false
		}
		if !known {
			out = append(out, "...")
			continue
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// What is told in docs/security.md of values, by example.
func TestValuesStayValues(t *testing.T) {
	x := texts{env: `$(id) "a" 'b' \ ${HOME}`, path: "/opt/$HOME", step: "`id`; $(id)\n'\"", dir: "a b/$(id)", script: "make\n", word: "1.2", url: "https://example.org/a.tar.gz", label: `"$x"`}
	p := x.plan(t)
	require.NotNil(t, p)
	full, err := recipe.Full(p, p.Node(p.Cells[0].Image), map[string]string{"l": x.label})
	require.NoError(t, err)
	x.check(t, full.Dockerfile, plan.Image, true)

	for _, word := range []string{"$(id)", "a b", "--help", "'", "*", "a;b", "a\nb"} {
		y := x
		y.word = word
		require.Nil(t, y.plan(t), "%q within a script", word)
	}
	x.env = "a\nRUN touch /owned"
	require.Nil(t, x.plan(t))
	_, err = recipe.Full(p, p.Node(p.Cells[0].Image), map[string]string{"l": "a\nRUN touch /owned"})
	require.ErrorContains(t, err, "cannot hold")
}

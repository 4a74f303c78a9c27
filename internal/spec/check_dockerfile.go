package spec

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// checkDockerfile: `dockerfile:` names a file of the package that is laid on
// whatever is below it: ARG BASE_IMAGE, then FROM ${BASE_IMAGE}.
func (c *checker) checkDockerfile(p *Package) {
	if p.Dockerfile == "" {
		return
	}
	pos := p.Doc.Pos("dockerfile")
	if !fs.ValidPath(p.Dockerfile) || p.Dockerfile == "." {
		c.list.Errorf("bad-dockerfile", pos, "%q does not name a file of the package", p.Dockerfile).Hint = "name it relative to the package's folder, without .."
		return
	}
	if hidden(p.Dockerfile) || strings.HasPrefix(p.Dockerfile, "tests/") {
		c.list.Errorf("bad-dockerfile", pos, "%s is not among the files that an engine sees", p.Dockerfile).Hint = "put it beside package.yaml: docs/, tests/ and README are left out"
		return
	}
	name := path.Join(p.Folder(), p.Dockerfile)
	switch info, err := fs.Stat(c.fsys, name); {
	case errors.Is(err, fs.ErrNotExist):
		c.list.Errorf("bad-dockerfile", pos, "the package has no file %s", p.Dockerfile)
		return
	case err == nil && info.IsDir():
		c.list.Errorf("bad-dockerfile", pos, "%s is a folder", p.Dockerfile)
		return
	}
	data, ok := read(c.fsys, name, true, c.list)
	if !ok {
		return
	}
	if len(data) > maxDockerfile {
		c.list.Errorf("file-size", diag.Position{File: name}, "the Dockerfile is larger than %d KiB", maxDockerfile>>10)
		return
	}
	if checkBytes(name, data, c.list) {
		return
	}
	at := func(line int) diag.Position { return diag.Position{File: name, Line: max(1, line), Col: 1} }
	if _, _, where, ok := parser.ParseDirective("syntax", data); ok {
		c.list.Errorf("bad-dockerfile", at(firstLine(where)), "a syntax line fetches another frontend while building").Hint = "remove it: the built-in syntax is what is used"
	}
	tree, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		c.list.Errorf("bad-dockerfile", at(lineOf(err)), "the Dockerfile cannot be parsed: %s", reasonOf(err))
		return
	}
	c.checkBaseImage(tree.AST, at)
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		c.list.Errorf("bad-dockerfile", at(lineOf(err)), "the Dockerfile cannot be used: %s", reasonOf(err))
	}
	for _, s := range stages {
		for _, cmd := range s.Commands {
			if run, ok := cmd.(*instructions.RunCommand); ok && instructions.GetSecurity(run) == instructions.SecurityInsecure {
				c.list.Errorf("bad-dockerfile", at(firstLine(run.Location())), "RUN --security=insecure asks for a privileged container, which no build gets")
			}
		}
	}
}

// checkBaseImage: the first instruction declares BASE_IMAGE, and the last stage
// (which is the image) stands on it. The stages before it are free.
func (c *checker) checkBaseImage(root *parser.Node, at func(int) diag.Position) {
	if len(root.Children) == 0 {
		c.list.Errorf("bad-dockerfile", at(1), "the Dockerfile holds no instruction")
		return
	}
	hint := "begin with ARG BASE_IMAGE and FROM ${BASE_IMAGE}"
	first := root.Children[0]
	if arg := words(first); len(arg) != 2 || arg[0] != "ARG" || strings.SplitN(arg[1], "=", 2)[0] != "BASE_IMAGE" {
		c.list.Errorf("bad-dockerfile", at(first.StartLine), "the first instruction is not ARG BASE_IMAGE").Hint = hint
		return
	}
	var from *parser.Node
	for _, n := range root.Children {
		if strings.EqualFold(n.Value, "FROM") {
			from = n
		}
	}
	if from == nil {
		c.list.Errorf("bad-dockerfile", at(first.StartLine), "the Dockerfile has no FROM").Hint = hint
		return
	}
	if image := words(from); len(image) < 2 || image[1] != "${BASE_IMAGE}" && image[1] != "$BASE_IMAGE" {
		c.list.Errorf("bad-dockerfile", at(from.StartLine), "the image must stand on the packages below: FROM ${BASE_IMAGE}").Hint = hint
	}
}

// words are an instruction and its arguments, the instruction in capitals.
func words(n *parser.Node) []string {
	out := []string{strings.ToUpper(n.Value)}
	for a := n.Next; a != nil; a = a.Next {
		out = append(out, a.Value)
	}
	return out
}

// noise is what BuildKit wraps its reason in: the line, which we have, and a
// suggestion that is drawn from a map and so differs from run to run.
var noise = regexp.MustCompile(`^dockerfile parse error on line \d+: | \(did you mean [^()]*\?\)$`)

func reasonOf(err error) string { return noise.ReplaceAllString(err.Error(), "") }

// lineOf is the line of the file that an error of BuildKit's parser is about.
func lineOf(err error) int {
	var located *parser.LocationError
	if errors.As(err, &located) && len(located.Locations) > 0 {
		return firstLine(located.Locations[0])
	}
	return 1
}

func firstLine(r []parser.Range) int {
	if len(r) == 0 {
		return 1
	}
	return r[0].Start.Line
}

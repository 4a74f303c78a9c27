package jetcrate

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// starter is a package that lints clean and says where to go from there.
const starter = `# yaml-language-server: $schema=../../../schema/package.schema.json
# A package of a jetcrate catalog. docs/steps.md says what a step sees, docs/lint.md what lint says.
name: NAME
group: GROUP
summary: NAME in a line   # what people read in "jetcrate list"
# homepage: https://example.org
# license: Apache-2.0

# What the image must hold below it: name, name>=1.26,<2 or name:2.8+option.
depends: []

# The newest first. Each says where its facts come from, and where it is possible.
versions:
  - version: "1"
    source: this catalog
    # requires: {l4t: ">=36.4 <37", cuda: ">=12.6"}

# Compile in a throw-away stage: what it leaves in /out is the artifact.
# build:
#   depends: [build-essential]
#   steps:
#     - run: make && make install DESTDIR=/out

# What the package adds to the image. Files of this folder lie in /pkg, the artifact in /artifact.
install:
  steps:
    - run: echo 'NAME ${{ version }}' > /etc/NAME

# Each runs in a container of the finished image. gpu: true asks for a GPU.
tests:
  - name: there
    run: test -s /etc/NAME
`

// plainName is the pattern of the schema.
var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// plain refuses a name that would not do for a folder and an image alike.
func plain(what, name string) error {
	if !plainName.MatchString(name) {
		return usage{fmt.Errorf("%s, %q, is not of small letters, digits, . _ and -, beginning with a letter or digit", what, name)}
	}
	return nil
}

func (a *app) newCommand() *cobra.Command {
	var group string
	c := &cobra.Command{
		Use: "new PACKAGE", Short: "Write a commented starter of a package that lints clean",
		Example: "  jetcrate new hello\n  jetcrate new my-driver --group hardware",
		Args:    oneArg("the name of the package", "hello"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			if err := cmp.Or(plain("the name of the package", name), plain("--group", group)); err != nil {
				return err
			}
			cat, _, _, err := a.read()
			if err != nil {
				return err
			}
			if p := cat.Packages[name]; p != nil {
				return usage{fmt.Errorf("the catalog has a package %s: %s", name, p.Doc.Name)}
			}
			if to, ok := cat.Aliases[name]; ok {
				return usage{fmt.Errorf("%s is another name of %s", name, to)}
			}
			dir, err := a.catalogRoot()
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				return fmt.Errorf("opening the catalog: %w", err)
			}
			defer root.Close()
			file := filepath.Join("packages", group, name, "package.yaml")
			if err := root.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("making the package's folder: %w", err)
			}
			f, err := root.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, os.ErrExist) {
				return usage{fmt.Errorf("%s is there already", file)}
			}
			if err != nil {
				return fmt.Errorf("writing %s: %w", file, err)
			}
			_, err = f.WriteString(strings.NewReplacer("NAME", name, "GROUP", group).Replace(starter))
			if err := errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("writing %s: %w", file, err)
			}
			fmt.Fprintln(a.stdout, file)
			fmt.Fprintf(a.stderr, "edit it, then: jetcrate lint && jetcrate build %s --l4t RELEASE\n", name)
			return nil
		},
	}
	c.Flags().StringVar(&group, "group", "tools", "folder below packages/ that it goes to")
	return c
}

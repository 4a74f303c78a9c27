package jetcrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/page"
)

// drift is what pages in a folder and those of the catalog differ in.
type drift struct {
	Pages   int      `json:"pages"`
	Changed []string `json:"changed"` // written anew, or with --check not as they should be
	Removed []string `json:"removed"` // of packages that the catalog no longer has
}

func (a *app) docsCommand() *cobra.Command {
	var out, evidence string
	var check bool
	c := &cobra.Command{
		Use: "docs", Short: "Write a page for each package of the catalog, and their index",
		Long: `Writes docs/packages/<name>.md: what a package is, which of its versions are possible where
or why they are not, what it stands on, what its images hold, how to run it, and what its
tests said. Evidence is that of --table; without one a package is "declared, not tested".

Pages of packages that are gone are removed. --check writes nothing and answers with exit
code 3 where the folder is not what the catalog says.`,
		Example: "  jetcrate docs\n  jetcrate docs --check\n  jetcrate docs --out site/packages --table table.json", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			cat, _, err := a.load()
			if err != nil {
				return err
			}
			dir, root, err := a.pagesAt(out)
			if err != nil {
				return err
			}
			o := page.Options{Root: root}
			if c.Flags().Changed("table") {
				if o.Table, err = readTable(evidence); err != nil {
					return err
				}
			}
			files, err := page.Pages(cat, o)
			if err != nil {
				return err
			}
			d, err := compare(dir, files)
			if err != nil {
				return err
			}
			if !check {
				if err := writePages(dir, files, d); err != nil {
					return err
				}
			}
			return a.sayDrift(d, dir, check)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "folder for the pages (default: docs/packages of the catalog)")
	f.StringVar(&evidence, "table", "", "table.json with the evidence, as jetcrate table writes it")
	f.BoolVar(&check, "check", false, "write nothing, and say what is not as the catalog says")
	return c
}

// pagesAt is the folder of the pages, and how their links reach the catalog.
func (a *app) pagesAt(out string) (dir, root string, err error) {
	catalog, err := a.catalogRoot()
	if err != nil {
		return "", "", err
	}
	dir = out
	if dir == "" {
		dir = filepath.Join(catalog, "docs", "packages")
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return "", "", fmt.Errorf("finding the folder of the pages: %w", err)
	}
	to, err := filepath.Abs(catalog)
	if err != nil {
		return "", "", fmt.Errorf("finding the catalog: %w", err)
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return "", "", fmt.Errorf("finding the way from the pages to the catalog: %w", err)
	}
	return dir, filepath.ToSlash(rel), nil
}

func readTable(file string) (*table.Table, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usage{fmt.Errorf("--table: %w", err)}
	}
	defer f.Close()
	t, err := table.Read(f)
	if err != nil {
		return nil, usage{fmt.Errorf("--table %s: %w", file, err)}
	}
	return t, nil
}

// compare looks at a folder of pages. A file that jetcrate did not write is never
// touched: in the place of a page it is a mistake, elsewhere it stays.
func compare(dir string, files []page.File) (drift, error) {
	d := drift{Pages: len(files), Changed: []string{}, Removed: []string{}}
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
		have, err := os.ReadFile(filepath.Join(dir, f.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return d, fmt.Errorf("reading the pages: %w", err)
		case bytes.Equal(have, f.Content):
			continue
		case !bytes.HasPrefix(have, []byte(page.Mark)):
			return d, usage{fmt.Errorf("%s was not written by jetcrate docs: move it, or name another folder with --out", filepath.Join(dir, f.Name))}
		}
		d.Changed = append(d.Changed, f.Name)
	}
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("reading the pages: %w", err)
	}
	for _, e := range there {
		if names[e.Name()] || !e.Type().IsRegular() || filepath.Ext(e.Name()) != ".md" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return d, fmt.Errorf("reading the pages: %w", err)
		}
		if bytes.HasPrefix(b, []byte(page.Mark)) {
			d.Removed = append(d.Removed, e.Name())
		}
	}
	return d, nil
}

func writePages(dir string, files []page.File, d drift) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the pages: %w", err)
	}
	for _, f := range files {
		if !slices.Contains(d.Changed, f.Name) {
			continue
		}
		if err := renameio.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o644); err != nil {
			return fmt.Errorf("writing the pages: %w", err)
		}
	}
	for _, name := range d.Removed {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing a page: %w", err)
		}
	}
	return nil
}

func (a *app) sayDrift(d drift, dir string, check bool) error {
	clean := len(d.Changed)+len(d.Removed) == 0
	if a.output == "json" {
		if err := a.json(d); err != nil {
			return err
		}
	} else {
		for _, name := range d.Changed {
			fmt.Fprintln(a.stderr, "changed", name)
		}
		for _, name := range d.Removed {
			fmt.Fprintln(a.stderr, "removed", name)
		}
		fmt.Fprintf(a.stdout, "%d pages, %d changed, %d removed: %s\n", d.Pages, len(d.Changed), len(d.Removed), dir)
	}
	if check && !clean {
		if a.output == "text" {
			fmt.Fprintln(a.stderr, "the pages are not what the catalog says; jetcrate docs writes them")
		}
		return said{exitNo}
	}
	return nil
}

package jetcrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/site"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/store"
	"github.com/jetcrate/jetcrate/internal/table"
)

// runsShown is how many of the last runs the site lists.
const runsShown = 20

func (a *app) siteCommand() *cobra.Command {
	var file, title string
	c := &cobra.Command{
		Use: "site DIR", Short: "Write the compatibility table as a web page",
		Long: `Writes a folder of static files for any web server, and for a browser that opens
index.html from a disk: the table as a grid of packages and platforms, and a page for each
package with what to type, why a cell is empty, what there was before and how much disk it
takes. It can be read without JavaScript, and loads nothing from elsewhere.

What a package is and which devices there are comes from the catalog, where one is here;
the last runs come from the store. Files in DIR that the site did not make stay.`,
		Example: "  jetcrate table && jetcrate site public/\n  jetcrate site public/ --table table.json --title 'Our Jetsons'",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage{errors.New("site needs one folder to write to: jetcrate site DIR")}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.formats("text", "json"); err != nil {
				return err
			}
			if file == "" {
				d, err := findDirs()
				if err != nil {
					return err
				}
				file = filepath.Join(d.data, "table.json")
			}
			if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
				return usage{fmt.Errorf("there is no table %s: jetcrate table makes one, or name one with --table", file)}
			}
			t, err := readTable(file)
			if err != nil {
				return err
			}
			o, err := a.siteOptions(c.Context(), title)
			if err != nil {
				return err
			}
			files, err := site.Files(t, o)
			if err != nil {
				return err
			}
			var foreign *site.Foreign
			if err := site.Write(args[0], files); errors.As(err, &foreign) {
				return usage{err}
			} else if err != nil {
				return err
			}
			return a.saySite(args[0], t, files)
		},
	}
	c.Flags().StringVar(&file, "table", "", "table.json to show (default: the one that jetcrate table writes)")
	c.Flags().StringVar(&title, "title", "", "title of the pages (default: jetcrate)")
	return c
}

func (a *app) saySite(dir string, t *table.Table, files []site.File) error {
	bytes := 0
	for _, f := range files {
		bytes += len(f.Content)
	}
	if a.output == "json" {
		return a.json(struct {
			Index string `json:"index"`
			Rows  int    `json:"rows"`
			Files int    `json:"files"`
			Bytes int    `json:"bytes"`
		}{filepath.Join(dir, "index.html"), len(t.Rows), len(files), bytes})
	}
	fmt.Fprintf(a.stdout, "%s, %s, %s: %s\n", count(len(t.Rows), "row"), count(len(files), "file"), size(int64(bytes)), filepath.Join(dir, "index.html"))
	return nil
}

// siteOptions are what the catalog and the store know beyond the table. Neither
// has to be there: a site can be made of a table alone.
func (a *app) siteOptions(ctx context.Context, title string) (site.Options, error) {
	o := site.Options{Title: title, Packages: map[string]site.Package{}}
	cat, _, err := a.load()
	var nowhere usage
	switch {
	case err == nil:
		fromCatalog(&o, cat)
	case a.catalogDir != "" || !errors.As(err, &nowhere):
		return o, err
	}
	d, err := findDirs()
	if err != nil {
		return o, err
	}
	st, err := a.openStore(ctx, d)
	if err != nil {
		return o, err
	}
	defer st.Close()
	o.Runs, err = lastRuns(st)
	return o, err
}

func fromCatalog(o *site.Options, cat *spec.Catalog) {
	for name, p := range cat.Packages {
		s := site.Package{Summary: p.Summary, Homepage: p.Homepage, Licence: p.License}
		if p.Storage != nil {
			s.Image, s.Models = p.Storage.Image, p.Storage.Models
		}
		o.Packages[name] = s
	}
	for _, m := range cat.Matrix.Modules {
		o.Devices = append(o.Devices, site.Device{Name: m.Name, GPU: m.GPU})
	}
}

// lastRuns are those of the store, the newest first.
func lastRuns(st *store.Store) ([]site.Run, error) {
	list, err := st.LastRuns()
	if err != nil {
		return nil, err
	}
	slices.Reverse(list)
	var out []site.Run
	for _, r := range list[:min(len(list), runsShown)] {
		run := site.Run{Name: store.RunName(r.ID), What: r.What, Began: r.Started, State: runState(r)}
		switch took := r.Ended.Sub(r.Started); {
		case r.Ended.IsZero():
		case took < time.Second: // they are kept in seconds
			run.Took = "under 1s"
		default:
			run.Took = took.String()
		}
		out = append(out, run)
	}
	return out, nil
}

// Package site makes a web page of the compatibility table, for people: packages
// down, platforms across, and for each package a page with what to type, why a
// cell is not green, what there was before, and how much disk it takes.
//
// It is a folder of files that any static host serves and that opens from a disk
// too. All of it can be read without JavaScript, which adds filters, the reason
// beside a cell, and copying. Nothing is loaded from elsewhere, and the pages
// forbid it (Content-Security-Policy). What a cell is shows as colour, as symbol
// and as a word.
//
// The pages follow from the table and the options alone. What the table does
// not say, they do not either.
package site

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"time"

	"github.com/jetcrate/jetcrate/internal/table"
)

// Options add to the table what a catalog and a store know.
type Options struct {
	Title    string             // of the site; "" is jetcrate
	Packages map[string]Package // by name; may be nil
	Devices  []Device           // may be nil: then GPU architectures are offered
	Runs     []Run              // the last runs, newest first
}

// Package is what a catalog says of a package beyond the table.
type Package struct {
	Summary  string
	Homepage string
	Licence  string
	Image    string // disk for its image: 9GiB
	Models   string // disk for its models
}

// Device is a module that people know by name.
type Device struct{ Name, GPU string }

// Run is a run of builds and tests.
type Run struct {
	Name  string
	What  string
	State string // good, failed, killed, under way
	Began time.Time
	Took  string // 12m34s; "" is unknown
}

// File is one file of the site; Name has slashes.
type File struct {
	Name    string
	Content []byte
}

//go:embed assets
var assets embed.FS

// policy lets the pages load their own files and nothing else. A style that a
// page sets on an element by script needs no permission.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"

// mark is what every file begins with that may be removed or replaced.
const mark = "made by jetcrate site"

// Files makes the files of the site: in the order in which they are to be
// written, what others link to first.
func Files(t *table.Table, o Options) ([]File, error) {
	if o.Title == "" {
		o.Title = "jetcrate"
	}
	var files []File
	for _, name := range []string{"site.css", "site.js"} {
		b, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		files = append(files, File{name, b})
	}
	tmpl, err := template.New("").Funcs(template.FuncMap{"bytes": humanSize, "date": date, "count": count}).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("reading the templates: %w", err)
	}
	g := newGrid(t, o)
	render := func(name, of string, data any) error {
		var b bytes.Buffer
		if err := tmpl.ExecuteTemplate(&b, of, data); err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		files = append(files, File{name, b.Bytes()})
		return nil
	}
	for _, p := range g.pages(t) {
		if err := render("p/"+p.File+".html", "package.html", p); err != nil {
			return nil, err
		}
		script, err := p.script()
		if err != nil {
			return nil, err
		}
		files = append(files, File{"p/" + p.File + ".js", script})
	}
	if err := render("index.html", "index.html", g); err != nil {
		return nil, err
	}
	return files, nil
}

// script holds what the grid shows beside a cell of the page's targets: it is
// loaded when somebody asks, also from a disk, where pages cannot fetch.
func (p *page) script() ([]byte, error) {
	b, err := json.Marshal(p.Notes) // escapes <, > and & too
	if err != nil {
		return nil, fmt.Errorf("making the notes of %s: %w", p.Name, err)
	}
	name, err := json.Marshal(p.File)
	if err != nil {
		return nil, err
	}
	return []byte("/* " + mark + " */\njetcrateNotes(" + string(name) + "," + string(b) + ");\n"), nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

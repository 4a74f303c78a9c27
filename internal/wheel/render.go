package wheel

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

// Page is a file of the static index: its slash path and content.
type Page struct {
	Path    string
	Content []byte
}

// filePath is where a wheel lies in an index: by its hash, so that what a page
// names never changes, and lines share what is the same.
func filePath(f File) string { return "files/" + f.SHA256[:2] + "/" + f.SHA256 + "/" + f.Name }

// link is a line of a page.
type link struct {
	URL   template.URL
	Text  string
	Attrs []template.HTMLAttr
}

func render(title string, notes []string, links []link) ([]byte, error) {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Title string
		Notes []string
		Links []link
	}{title, notes, links})
	return b.Bytes(), err
}

// attr is an attribute with its value escaped.
func attr(key, value string) template.HTMLAttr {
	return template.HTMLAttr(key + `="` + html.EscapeString(value) + `"`)
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}

// pages renders the pages of the tree: those of the projects first, then the
// list that leads to them.
func (t *Tree) pages() ([]Page, error) {
	var out []Page
	var links []link
	list := jsonPage{Meta: jsonMeta{"1.1"}, Projects: []jsonProject{}}
	simple := t.Line.String() + "/simple/"
	for _, project := range t.Projects() {
		htm, js, err := t.project(project)
		if err != nil {
			return nil, fmt.Errorf("rendering %s%s: %w", simple, project, err)
		}
		out = append(out, Page{simple + project + "/index.html", htm}, Page{simple + project + "/index.json", js})
		links = append(links, link{URL: template.URL(project + "/"), Text: project})
		list.Projects = append(list.Projects, jsonProject{project})
	}
	htm, err := render("Wheels for "+t.Line.String(), nil, links)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", simple, err)
	}
	js, err := marshal(list)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", simple, err)
	}
	return append(out, Page{simple + "index.html", htm}, Page{simple + "index.json", js}), nil
}

// project renders the page of a distribution (PEP 503, 592, 658, 714; PEP 691,
// 700). Links are relative: the tree works wherever it lies.
func (t *Tree) project(project string) (htm, js []byte, err error) {
	doc := jsonPage{Meta: jsonMeta{"1.1"}, Name: project, Files: []jsonFile{}}
	var links []link
	for _, w := range t.of(project) {
		to := "../../../../" + strings.ReplaceAll((&url.URL{Path: filePath(w.File)}).EscapedPath(), "+", "%2B")
		l := link{URL: template.URL(to + "#sha256=" + w.SHA256), Text: w.Name}
		f := jsonFile{Name: w.Name, URL: to, Hashes: map[string]string{"sha256": w.SHA256}, Size: w.Size, RequiresPython: w.RequiresPython}
		if w.RequiresPython != "" {
			l.Attrs = append(l.Attrs, attr("data-requires-python", w.RequiresPython))
		}
		if w.Metadata != "" {
			l.Attrs = append(l.Attrs, attr("data-dist-info-metadata", "sha256="+w.Metadata), attr("data-core-metadata", "sha256="+w.Metadata))
			// Not under its old name as well: pip 22.3 to 23.0 ends with a traceback on
			// hashes there, which is why PEP 714 renamed it.
			f.Core = jsonHashes{is: true, sha256: w.Metadata}
		}
		if w.Yanked {
			l.Attrs = append(l.Attrs, attr("data-yanked", w.Reason))
			f.Yanked = jsonYanked{is: true, reason: w.Reason}
		}
		links, doc.Files = append(links, l), append(doc.Files, f)
		if !slices.Contains(doc.Versions, w.Version) {
			doc.Versions = append(doc.Versions, w.Version)
		}
	}
	if htm, err = render(project+" for "+t.Line.String(), nil, links); err != nil {
		return nil, nil, err
	}
	js, err = marshal(doc)
	return htm, js, err
}

// rootPages list the trees.
func rootPages(trees []*Tree) ([]Page, error) {
	type entry struct {
		Line     Line   `json:"line"`
		URL      string `json:"url"`
		Projects int    `json:"projects"`
		Wheels   int    `json:"wheels"`
		Testbed  bool   `json:"testbed,omitempty"`
	}
	list := []entry{}
	var links []link
	for _, t := range trees {
		e := entry{t.Line, t.Line.String() + "/simple/", len(t.Projects()), len(t.Wheels), t.Testbed}
		list = append(list, e)
		text := fmt.Sprintf("%s (projects: %d, files: %d)", t.Line, e.Projects, e.Wheels)
		if t.Testbed {
			text += ": made on a stand-in for the platform, for checks alone"
		}
		links = append(links, link{URL: template.URL(e.URL), Text: text})
	}
	notes := []string{"There are no wheels yet."}
	if len(trees) > 0 {
		notes = []string{
			"One index for each platform line and CUDA. Name the one of your device, and no other index beside it:",
			"pip install --index-url .../" + trees[len(trees)-1].Line.String() + "/simple NAME",
		}
	}
	htm, err := render("Wheels", notes, links)
	if err != nil {
		return nil, fmt.Errorf("rendering the list of trees: %w", err)
	}
	js, err := marshal(struct {
		Trees []entry `json:"trees"`
	}{list})
	if err != nil {
		return nil, fmt.Errorf("rendering the list of trees: %w", err)
	}
	return []Page{{"index.html", htm}, {"index.json", js}}, nil
}

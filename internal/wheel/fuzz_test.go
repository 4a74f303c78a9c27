package wheel

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a file is called, a name that is taken for a wheel's is safe to put
// into a path, a link and a line of text.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a-1-py3-none-any.whl", "torch-2.8.0+cu126-cp310-cp310-linux_aarch64.whl", "x-1-2b-py2.py3-none-any.whl", "../a-1-py3-none-any.whl", "a-1_x-py3-none-any.whl", "-1-py3-none-any.whl"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			return
		}
		require.NotEmpty(t, n.Tags)
		require.NotEmpty(t, n.Python())
		require.Equal(t, n.Project, Normal(n.Project))
		for _, part := range []string{n.File, n.Project} {
			require.Equal(t, part, path.Base(path.Clean("/"+part)))
			u, err := url.Parse("http://x/" + strings.ReplaceAll((&url.URL{Path: part}).EscapedPath(), "+", "%2B"))
			require.NoError(t, err)
			require.Equal(t, "/"+part, u.Path)
		}
		again, err := ParseName(n.File)
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte("Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Dist: b>=1; extra == 'c'\n\ntext"))
	f.Add([]byte("Name: a\nVersion: 1\nRequires-Dist: b[c\n"))
	f.Add([]byte("Name: a\n Version: 1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseMetadata(raw)
		if err == nil {
			require.NotEmpty(t, m.Name)
			require.NotEmpty(t, m.Version)
		}
	})
}

// Pages of an index are read as they come, and give links that are URLs.
func FuzzPages(f *testing.F) {
	f.Add(`<a href="../../f/a-1-py3-none-any.whl#sha256=aa" data-core-metadata="sha256=bb" data-yanked>a</a>`, false)
	f.Add(`<base href="http://other/"><a href="x">y</a>`, false)
	f.Add(`{"meta":{"api-version":"1.0"},"files":[{"filename":"a","url":"u","hashes":{"sha256":"x"},"yanked":"r","core-metadata":true}]}`, true)
	f.Fuzz(func(t *testing.T, text string, isJSON bool) {
		at, err := url.Parse("http://x/simple/a/")
		require.NoError(t, err)
		read := parseHTML
		if isJSON {
			read = parseJSON
		}
		p, err := read(at, strings.NewReader(text))
		if err != nil {
			return
		}
		for _, x := range p.files {
			_, err := url.Parse(x.URL)
			require.NoError(t, err)
		}
	})
}

// A tree that another wrote becomes no path or link that leads elsewhere.
func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"schema":1,"line":{"jetpack":"jp6","cuda":"cu126"},"wheels":[{"name":"a-1-py3-none-any.whl","project":"a","version":"1","sha256":"` + strings.Repeat("a", 64) + `","metadata":"` + strings.Repeat("b", 64) + `","yanked":true,"reason":"<b>\"'"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tree, err := parseTree(raw, Line{JetPack: "jp6", CUDA: "cu126"})
		if err != nil {
			return
		}
		pages, err := Site{Trees: []*Tree{tree}}.Pages()
		require.NoError(t, err)
		for _, p := range pages {
			require.Equal(t, p.Path, strings.TrimPrefix(path.Clean("/"+p.Path), "/"))
			require.NotContains(t, string(p.Content), "<b>")
		}
	})
}

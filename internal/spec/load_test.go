package spec

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/diag"
)

var update = flag.Bool("update", false, "rewrite golden files")

// catalogOf turns an archive into a catalog. testdata/base.txtar lies below it,
// so that a case holds only what it is about; an empty file removes one.
func catalogOf(t testing.TB, ar *txtar.Archive) fstest.MapFS {
	base, err := txtar.ParseFile("testdata/base.txtar")
	require.NoError(t, err)
	fsys := fstest.MapFS{}
	for _, f := range append(base.Files, ar.Files...) {
		switch target, link := strings.CutPrefix(f.Name, "symlink "); {
		case link:
			fsys[target] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: bytes.TrimSpace(f.Data)}
		case len(f.Data) == 0:
			delete(fsys, f.Name)
		default:
			// What an editor would not keep is written as \xNN on lines that begin with !raw.
			fsys[f.Name] = &fstest.MapFile{Mode: 0o644, Data: raw(f.Data)}
		}
	}
	return fsys
}

var escape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

func raw(data []byte) []byte {
	rest, ok := bytes.CutPrefix(data, []byte("!raw\n"))
	if !ok {
		return data
	}
	return escape.ReplaceAllFunc(rest, func(m []byte) []byte {
		var b byte
		for _, c := range m[2:] {
			b = b<<4 | byte(strings.IndexByte("0123456789abcdef", c))
		}
		return []byte{b}
	})
}

func printed(list diag.List) string {
	var b bytes.Buffer
	_ = diag.WriteText(&b, list, false)
	return b.String()
}

// Each testdata/{ok,err}/*.txtar is a catalog. The comment of the archive says
// what it shows; below the line "want:" stands what Load says.
func TestCatalogs(t *testing.T) {
	for _, kind := range []string{"ok", "err"} {
		cases, err := filepath.Glob("testdata/" + kind + "/*.txtar")
		require.NoError(t, err)
		require.NotEmpty(t, cases)
		for _, file := range cases {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				ar, err := txtar.ParseFile(file)
				require.NoError(t, err)
				about, want, _ := strings.Cut(string(ar.Comment), "want:\n")
				opts := Options{}
				if _, files, ok := strings.Cut(about, "matrix: "); ok {
					line, _, _ := strings.Cut(files, "\n")
					opts.Matrix = strings.Fields(line)
				}
				fsys := catalogOf(t, ar)
				_, list := Load(fsys, opts)
				got := printed(list)
				if *update {
					ar.Comment = []byte(about)
					if got != "" {
						ar.Comment = []byte(about + "want:\n" + got)
					}
					require.NoError(t, os.WriteFile(file, txtar.Format(ar), 0o644))
					return
				}
				require.Equal(t, want, got)
				require.Equal(t, kind == "err", len(list) > 0)
				for range 3 {
					_, again := Load(fsys, opts)
					require.Equal(t, list, again, "the same catalog says the same")
				}
			})
		}
	}
}

// Whatever a file holds, Load ends, says the same twice, and names places that
// exist in the file.
func FuzzLoad(f *testing.F) {
	for _, kind := range []string{"ok", "err"} {
		cases, _ := filepath.Glob("testdata/" + kind + "/*.txtar")
		for _, file := range cases {
			ar, err := txtar.ParseFile(file)
			require.NoError(f, err)
			for _, x := range ar.Files {
				f.Add(raw(x.Data))
			}
		}
	}
	base := catalogOf(f, &txtar.Archive{})
	compiled, err := compile()
	require.NoError(f, err)
	for _, x := range base {
		f.Add(x.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{}
		for name, file := range base {
			fsys[name] = file
		}
		for _, name := range []string{"packages/ml/a/package.yaml", "pipelines/steps/x/y.yaml", "matrix.yaml", "jetcrate.lock", "packages/ml/d/Dockerfile"} {
			fsys[name] = &fstest.MapFile{Data: data}
		}
		fsys["packages/ml/d/package.yaml"] = &fstest.MapFile{Data: []byte("name: d\ngroup: ml\nsummary: d\nversions: [{version: 1}]\ndockerfile: Dockerfile\n")}
		_, list := load(fsys, Options{}, compiled)
		_, again := load(fsys, Options{}, compiled)
		require.Equal(t, list, again)
		lines := bytes.Count(data, []byte("\n")) + 2
		for _, d := range list {
			require.NotEqual(t, "internal", d.Code)
			if file, ok := fsys[d.File]; ok && bytes.Equal(file.Data, data) {
				require.LessOrEqual(t, d.Line, lines, "%v", d)
			}
		}
	})
}

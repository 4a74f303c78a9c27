package internal_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

const module = "github.com/jetcrate/jetcrate"

// rooms are the folders of internal/, lower ones first: imports point from a
// room to those before it. docs/architecture.md says what each is for.
func rooms() []string {
	return strings.Fields(`diag version expr spec matrix solve plan recipe image engine store
		execute attest workflow wheel lock table publish host device resolve site report cli`)
}

// jetReaches are the packages of this module that cmd/jet may hold: it is
// downloaded to small devices. Other packages inside these rooms are not allowed.
func jetReaches() []string {
	return []string{"cmd/jet", "internal/cli/jet", "internal/diag", "internal/version", "internal/table", "internal/host", "internal/image", "internal/resolve"}
}

// jetAvoids are modules that cmd/jet must not hold either.
func jetAvoids() []string {
	return []string{"dagger.io/", "github.com/moby/buildkit/", "github.com/containerd/containerd/", "github.com/olareg/", "github.com/rhysd/actionlint"}
}

// TestImports holds the order of the rooms and what the small client may reach.
func TestImports(t *testing.T) {
	graph := load(t)
	for _, from := range slices.Sorted(maps.Keys(graph)) {
		if !strings.HasPrefix(from, module+"/internal/") {
			continue
		}
		room := roomOf(from)
		if !slices.Contains(rooms(), room) {
			t.Errorf("%s is in no room: internal/ holds %s", short(from), strings.Join(rooms(), " "))
			continue
		}
		for _, to := range graph[from] {
			switch {
			case strings.HasPrefix(to, module+"/cmd/"):
				t.Errorf("%s imports %s", short(from), short(to))
			case strings.HasPrefix(to, module+"/internal/") && slices.Index(rooms(), roomOf(to)) > slices.Index(rooms(), room):
				t.Errorf("%s imports %s, which is a room above it", short(from), short(to))
			}
		}
	}

	came := reach(graph, module+"/cmd/jet")
	for _, to := range slices.Sorted(maps.Keys(came)) {
		inside := to == module || strings.HasPrefix(to, module+"/")
		avoided := slices.ContainsFunc(jetAvoids(), func(prefix string) bool { return strings.HasPrefix(to+"/", prefix) })
		if avoided || inside && !slices.Contains(jetReaches(), short(to)) {
			t.Errorf("cmd/jet must not reach %s: %s", short(to), chain(came, to))
		}
	}
}

// TestMains keeps everything that can be tested out of the main packages.
func TestMains(t *testing.T) {
	files, err := filepath.Glob("../cmd/*/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.Equal(t, "main.go", filepath.Base(file), "a command is its main.go alone; %s belongs into internal/cli", file)
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.LessOrEqual(t, bytes.Count(content, []byte("\n")), 20, "%s is longer than 20 lines", file)
	}
}

// TestArchitecture keeps the list of rooms in docs/architecture.md true, and in
// the order that TestImports holds.
func TestArchitecture(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllSubmatch(page, -1) {
		listed = append(listed, string(row[1]))
	}
	var there []string
	for _, room := range rooms() {
		if info, err := os.Stat(room); err == nil && info.IsDir() {
			there = append(there, room)
		}
	}
	require.Equal(t, there, listed)
}

// load returns what each package of the module, and each below it, imports,
// in alphabetical order. Tests do not count.
func load(t *testing.T) map[string][]string {
	roots, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps, Dir: ".."}, "./...")
	require.NoError(t, err)
	graph := map[string][]string{}
	packages.Visit(roots, nil, func(p *packages.Package) {
		imports := []string{}
		for _, imported := range p.Imports {
			imports = append(imports, imported.PkgPath)
		}
		slices.Sort(imports)
		graph[p.PkgPath] = imports
	})
	require.Contains(t, graph, module+"/cmd/jet")
	return graph
}

// reach returns every package that from reaches, each with the one that first
// imported it on a shortest chain.
func reach(graph map[string][]string, from string) map[string]string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, to := range graph[queue[0]] {
			if _, seen := came[to]; !seen {
				came[to] = queue[0]
				queue = append(queue, to)
			}
		}
	}
	return came
}

// chain writes how a package was reached.
func chain(came map[string]string, to string) string {
	var steps []string
	for at := to; at != ""; at = came[at] {
		steps = append(steps, short(at))
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

func roomOf(path string) string {
	room, _, _ := strings.Cut(strings.TrimPrefix(path, module+"/internal/"), "/")
	return room
}

// TestChain shows that a forbidden import is found and named, so that a green
// TestImports means something.
func TestChain(t *testing.T) {
	graph := map[string][]string{
		module + "/cmd/jet":           {module + "/internal/cli/jet"},
		module + "/internal/cli/jet":  {module + "/internal/resolve"},
		module + "/internal/resolve":  {module + "/internal/table/fold"},
		module + "/internal/version":  nil,
		module + "/internal/cli/make": {module + "/internal/version"},
	}
	came := reach(graph, module+"/cmd/jet")
	require.Equal(t, "cmd/jet -> internal/cli/jet -> internal/resolve -> internal/table/fold", chain(came, module+"/internal/table/fold"))
	require.NotContains(t, came, module+"/internal/version")
	require.NotContains(t, jetReaches(), "internal/table/fold")
	require.Equal(t, "table", roomOf(module+"/internal/table/fold"))
}

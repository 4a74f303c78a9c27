package execute_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/engine"
	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/store"
)

// deb is a paragraph of dpkg's status.
func deb(name, version string) string {
	return "Package: " + name + "\nStatus: install ok installed\nArchitecture: arm64\nVersion: " + version + "\n\n"
}

const toolYAML = `name: tool
group: a
summary: stacked
depends: [python]
versions: [{version: "1"}]
install: {steps: [{uses: apt/install, with: {packages: tool}}]}
`

// A layer must leave what dpkg and Python have below as it is.
func TestLayersThatChangeWhatLiesBelow(t *testing.T) {
	const status = "var/lib/dpkg/status"
	numpy := "usr/lib/python3/dist-packages/numpy-1.24.2.egg-info"
	for name, c := range map[string]struct {
		python, tool map[string]string // what the two layers hold, the second on the first
		want         []string          // in the error; none: it is made
	}{
		"adds": {
			python: map[string]string{status: deb("python3", "3.11.2-1")},
			tool:   map[string]string{status: deb("python3", "3.11.2-1") + deb("tool", "1.0")},
		},
		"no status": {
			python: map[string]string{status: deb("python3", "3.11.2-1")},
			tool:   map[string]string{"opt/tool": "x"},
		},
		"update of the distribution": {
			python: map[string]string{status: deb("libssl3", "3.0.15-1~deb12u1") + deb("python3", "3.11.2-1")},
			tool:   map[string]string{status: deb("libssl3", "3.0.17-1~deb12u2") + deb("python3", "3.11.2-1+deb12u1")},
		},
		"another version": {
			python: map[string]string{status: deb("cudnn9", "9.3.0.75-1")},
			tool:   map[string]string{status: deb("cudnn9", "9.8.0.87-1")},
			want:   []string{"the Debian package cudnn9:arm64 is 9.3.0.75-1 below, from python, and tool brings 9.8.0.87-1", "apt-get install cudnn9=9.3.0.75-1", "jetcrate lock --update apt"},
		},
		"an older version": {
			python: map[string]string{status: deb("python3", "3.11.2-2")},
			tool:   map[string]string{status: deb("python3", "3.11.2-1")},
			want:   []string{"from python, and tool brings 3.11.2-1"},
		},
		"taken away": {
			python: map[string]string{status: deb("python3", "3.11.2-1")},
			tool:   map[string]string{status: deb("tool", "1")},
			want:   []string{"python3:arm64 is 3.11.2-1 below, from python, and tool takes it away"},
		},
		"another distribution of Python": {
			python: map[string]string{numpy: "Metadata-Version: 2.1\nName: numpy\nVersion: 1.24.2\n"},
			tool:   map[string]string{"usr/local/lib/python3.11/dist-packages/numpy-2.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 2.0.0\n"},
			want:   []string{"the Python distribution numpy is 1.24.2 below, from python, and tool brings 2.0.0"},
		},
		"the same distribution of Python": {
			python: map[string]string{numpy: "Metadata-Version: 2.1\nName: numpy\nVersion: 1.24.2\n"},
			tool:   map[string]string{"usr/local/lib/python3.11/dist-packages/numpy-1.24.2.dist-info/METADATA": "Name: NumPy\nVersion: 1.24.2\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.files["packages/a/tool/package.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte(toolYAML)}
			l.engine.Layer = func(b engine.Build) map[string]string {
				if strings.HasPrefix(b.Name, "tool ") {
					return c.tool
				}
				return c.python
			}
			res, err := l.run("tool")
			if len(c.want) > 0 {
				require.Error(t, err)
				reason := ""
				for _, n := range res.Nodes {
					if n.Node.Kind == plan.Stacked && n.Node.Package == "tool" {
						reason = n.Reason
					}
				}
				for _, want := range c.want {
					require.Contains(t, reason, want)
				}
				return
			}
			require.NoError(t, err)
			img, err := l.store.ImageAt(context.Background(), res.Cells[0].Digest)
			require.NoError(t, err)
			set, err := l.store.InstalledIn(context.Background(), img)
			require.NoError(t, err)
			if _, ok := c.tool[status]; ok {
				require.Len(t, set.Dpkg, strings.Count(c.tool[status], "Package:"))
			} else {
				require.Len(t, set.Dpkg, strings.Count(c.python[status], "Package:"))
			}
			list, err := l.store.List(context.Background())
			require.NoError(t, err)
			recorded := 0
			for _, r := range list.Records {
				if r.Kind == store.Packages {
					recorded++
				}
			}
			require.NotZero(t, recorded)
		})
	}
}

package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// expanded is the matrix of a pipeline, a line for each job: its label and its
// values as JSON.
func expanded(t *testing.T, matrix string, needs string) string {
	t.Helper()
	text := "name: x\non: push\njobs:\n"
	if needs != "" {
		text += "  plan: {runs-on: host, outputs: {m: x}, steps: [{run: echo}]}\n"
	}
	text += "  a:\n    runs-on: host\n"
	if needs != "" {
		text += "    needs: plan\n"
	}
	text += "    strategy:\n      matrix:" + strings.ReplaceAll("\n"+strings.TrimSpace(matrix), "\n", "\n        ") + "\n    steps: [{run: echo}]\n"
	w := parsed(t, text)
	c := &contexts{values: map[string]any{"needs": map[string]any{"plan": map[string]any{"outputs": map[string]any{"m": needs}}}}}
	cells, err := w.Jobs["a"].Strategy.Matrix.expand(c)
	if err != nil {
		return err.Error()
	}
	return lines(t, cells)
}

// TestMatrix holds the examples of GitHub's documentation
// (https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations),
// the cases of three issues of nektos/act, and how values compare, which is as in
// MatrixBuilder.cs of actions/runner: with ==, and any part of a map.
func TestMatrix(t *testing.T) {
	for _, tt := range []struct{ name, matrix, needs, want string }{
		{
			name:   "documented: one axis",
			matrix: "version: [10, 12, 14]",
			want:   "10 | {\"version\":10}\n12 | {\"version\":12}\n14 | {\"version\":14}\n",
		},
		{
			name:   "documented: two axes, in the order of the file",
			matrix: "os: [ubuntu-22.04, ubuntu-20.04]\nversion: [10, 12]",
			want: `ubuntu-22.04, 10 | {"os":"ubuntu-22.04","version":10}
ubuntu-22.04, 12 | {"os":"ubuntu-22.04","version":12}
ubuntu-20.04, 10 | {"os":"ubuntu-20.04","version":10}
ubuntu-20.04, 12 | {"os":"ubuntu-20.04","version":12}
`,
		},
		{
			name:   "documented: an axis of maps",
			matrix: "os: [ubuntu-latest, macos-latest]\nnode:\n  - version: 14\n  - version: 20\n    env: NODE_OPTIONS=--openssl-legacy-provider",
			want: `ubuntu-latest, 14 | {"node":{"version":14},"os":"ubuntu-latest"}
ubuntu-latest, 20, NODE_OPTIONS=--openssl-legacy-provider | {"node":{"env":"NODE_OPTIONS=--openssl-legacy-provider","version":20},"os":"ubuntu-latest"}
macos-latest, 14 | {"node":{"version":14},"os":"macos-latest"}
macos-latest, 20, NODE_OPTIONS=--openssl-legacy-provider | {"node":{"env":"NODE_OPTIONS=--openssl-legacy-provider","version":20},"os":"macos-latest"}
`,
		},
		{
			name: "documented: include in every way",
			matrix: `fruit: [apple, pear]
animal: [cat, dog]
include:
  - color: green
  - color: pink
    animal: cat
  - fruit: apple
    shape: circle
  - fruit: banana
  - fruit: banana
    animal: cat`,
			want: `apple, cat | {"animal":"cat","color":"pink","fruit":"apple","shape":"circle"}
apple, dog | {"animal":"dog","color":"green","fruit":"apple","shape":"circle"}
pear, cat | {"animal":"cat","color":"pink","fruit":"pear"}
pear, dog | {"animal":"dog","color":"green","fruit":"pear"}
banana | {"fruit":"banana"}
banana, cat | {"animal":"cat","fruit":"banana"}
`,
		},
		{
			name:   "documented: include expands a configuration",
			matrix: "os: [windows-latest, ubuntu-latest]\nnode: [14, 16]\ninclude:\n  - os: windows-latest\n    node: 16\n    npm: 6",
			want: `windows-latest, 14 | {"node":14,"os":"windows-latest"}
windows-latest, 16 | {"node":16,"npm":6,"os":"windows-latest"}
ubuntu-latest, 14 | {"node":14,"os":"ubuntu-latest"}
ubuntu-latest, 16 | {"node":16,"os":"ubuntu-latest"}
`,
		},
		{
			name:   "documented: include adds a configuration",
			matrix: "os: [macos-latest, windows-latest]\nversion: [12, 14]\ninclude:\n  - os: windows-latest\n    version: 17",
			want: `macos-latest, 12 | {"os":"macos-latest","version":12}
macos-latest, 14 | {"os":"macos-latest","version":14}
windows-latest, 12 | {"os":"windows-latest","version":12}
windows-latest, 14 | {"os":"windows-latest","version":14}
windows-latest, 17 | {"os":"windows-latest","version":17}
`,
		},
		{
			name:   "documented: include alone",
			matrix: "include:\n  - site: production\n    datacenter: site-a\n  - site: staging\n    datacenter: site-b",
			want:   "production, site-a | {\"datacenter\":\"site-a\",\"site\":\"production\"}\nstaging, site-b | {\"datacenter\":\"site-b\",\"site\":\"staging\"}\n",
		},
		{
			name: "documented: exclude",
			matrix: `os: [macos-latest, windows-latest]
version: [12, 14, 16]
environment: [staging, production]
exclude:
  - os: macos-latest
    version: 12
    environment: production
  - os: windows-latest
    version: 16`,
			want: `macos-latest, 12, staging | {"environment":"staging","os":"macos-latest","version":12}
macos-latest, 14, staging | {"environment":"staging","os":"macos-latest","version":14}
macos-latest, 14, production | {"environment":"production","os":"macos-latest","version":14}
macos-latest, 16, staging | {"environment":"staging","os":"macos-latest","version":16}
macos-latest, 16, production | {"environment":"production","os":"macos-latest","version":16}
windows-latest, 12, staging | {"environment":"staging","os":"windows-latest","version":12}
windows-latest, 12, production | {"environment":"production","os":"windows-latest","version":12}
windows-latest, 14, staging | {"environment":"staging","os":"windows-latest","version":14}
windows-latest, 14, production | {"environment":"production","os":"windows-latest","version":14}
`,
		},
		{
			name:   "documented: a matrix out of an output",
			matrix: "${{ fromJSON(needs.plan.outputs.m) }}",
			needs:  `{"include":[{"project":"foo","config":"Debug"},{"project":"bar","config":"Release"}]}`,
			want:   "Debug, foo | {\"config\":\"Debug\",\"project\":\"foo\"}\nRelease, bar | {\"config\":\"Release\",\"project\":\"bar\"}\n",
		},
		{
			name:   "documented: an axis out of an output",
			matrix: "version: ${{ fromJSON(needs.plan.outputs.m) }}\nos: [linux]",
			needs:  `[1, "two"]`,
			want:   "1, linux | {\"os\":\"linux\",\"version\":1}\ntwo, linux | {\"os\":\"linux\",\"version\":\"two\"}\n",
		},
		{
			// https://github.com/nektos/act/issues/996
			name:   "act 996: include without axes makes a job",
			matrix: "include:\n  - foo: a",
			want:   "a | {\"foo\":\"a\"}\n",
		},
		{
			// https://github.com/nektos/act/issues/2220: the entry adds to a combination;
			// it is not a second job beside it.
			name:   "act 2220: an entry with more keys than axes makes no second job",
			matrix: "python: [\"3.10\", \"3.12\"]\nplatform: [ubuntu-latest]\ninclude:\n  - python: \"3.10\"\n    platform: ubuntu-latest\n    distutils: stdlib",
			want: `3.10, ubuntu-latest | {"distutils":"stdlib","platform":"ubuntu-latest","python":"3.10"}
3.12, ubuntu-latest | {"platform":"ubuntu-latest","python":"3.12"}
`,
		},
		{
			// https://github.com/nektos/act/issues/2648 and its pull request 2649: entries
			// without an axis' value go to every combination, in the order of the axes, and
			// a matrix whose axes are all excluded still has what include adds.
			name:   "act 2648: include onto axes that exclude has emptied",
			matrix: "fruit: [apple]\nexclude: [{fruit: apple}]\ninclude:\n  - color: green\n  - fruit: banana",
			want:   "green | {\"color\":\"green\"}\nbanana | {\"fruit\":\"banana\"}\n",
		},
		{
			name:   "values compare as in expressions",
			matrix: "v: [1, \"2\", Three, true, left]\nexclude: [{v: \"1\"}, {v: 2}, {v: THREE}, {v: 1}]",
			want:   "left | {\"v\":\"left\"}\n",
		},
		{
			name:   "a part of a map excludes",
			matrix: "v: [{a: 1, b: 2}, {a: 2, b: 2}]\nexclude: [{v: {A: 1}}]",
			want:   "2, 2 | {\"v\":{\"a\":2,\"b\":2}}\n",
		},
		{
			name:   "keys are the same whatever their case",
			matrix: "OS: [linux, mac]\ninclude: [{os: Linux, extra: 1}]\nexclude: [{Os: MAC}]",
			want:   "linux | {\"OS\":\"linux\",\"extra\":1}\n",
		},
		{
			name:   "lists and nothing as values",
			matrix: "v: [[a, b], null]",
			want:   "a, b | {\"v\":[\"a\",\"b\"]}\n | {\"v\":null}\n",
		},
		{
			name:   "an expression among values",
			matrix: "v: [\"${{ fromJSON(needs.plan.outputs.m).x }}\", plain]",
			needs:  `{"x": [1]}`,
			want:   "1 | {\"v\":[1]}\nplain | {\"v\":\"plain\"}\n",
		},
		{
			name:   "an output that is no matrix",
			matrix: "${{ fromJSON(needs.plan.outputs.m) }}",
			needs:  `[1]`,
			want:   "matrix: the expression gives a list, not a map",
		},
		{
			name:   "an output with an axis that is no list",
			matrix: "${{ fromJSON(needs.plan.outputs.m) }}",
			needs:  `{"a": 1}`,
			want:   "matrix: a is a number, not a list",
		},
		{
			name:   "an output that is no JSON",
			matrix: "${{ fromJSON(needs.plan.outputs.m) }}",
			needs:  `{`,
			want:   "evaluating ${{ fromJSON(needs.plan.outputs.m) }}: fromJSON: ",
		},
		{
			name:   "an output without a job",
			matrix: "${{ fromJSON(needs.plan.outputs.m) }}",
			needs:  `{"include":[]}`,
			want:   "matrix: no combination is left",
		},
		{
			name:   "too many jobs",
			matrix: "a: ${{ fromJSON(needs.plan.outputs.m) }}\nb: [1, 2, 3]",
			needs:  "[" + strings.Repeat("1,", 99) + "1]",
			want:   "matrix: it makes 300 jobs; GitHub's limit is 256",
		},
		{
			name:   "metacharacters stay values",
			matrix: "v: [\"$(touch pwned)\", \"`x`; rm -rf /\", \"a'b\\\"c\"]",
			want:   "$(touch pwned) | {\"v\":\"$(touch pwned)\"}\n`x`; rm -rf / | {\"v\":\"`x`; rm -rf /\"}\na'b\"c | {\"v\":\"a'b\\\"c\"}\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.matrix, "${{") {
				text := "name: x\non: push\njobs:\n  plan: {runs-on: host, outputs: {m: x}, steps: [{run: echo}]}\n" +
					"  a: {runs-on: host, needs: plan, strategy: {matrix: \"" + tt.matrix + "\"}, steps: [{run: echo}]}\n"
				w := parsed(t, text)
				c := &contexts{values: map[string]any{"needs": map[string]any{"plan": map[string]any{"outputs": map[string]any{"m": tt.needs}}}}}
				cells, err := w.Jobs["a"].Strategy.Matrix.expand(c)
				if err != nil {
					require.Contains(t, err.Error(), tt.want)
					return
				}
				require.Equal(t, tt.want, lines(t, cells))
				return
			}
			require.Equal(t, tt.want, expanded(t, tt.matrix, tt.needs))
		})
	}
}

func lines(t *testing.T, cells []cell) string {
	t.Helper()
	var b strings.Builder
	for _, one := range cells {
		values, err := json.Marshal(native(Object(one.values)))
		require.NoError(t, err)
		fmt.Fprintf(&b, "%s | %s\n", one.label, values)
	}
	return b.String()
}

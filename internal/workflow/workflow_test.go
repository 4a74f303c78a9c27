package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/jetcrate/jetcrate/internal/diag"
)

var update = flag.Bool("update", false, "write the golden files")

// actions are stand-ins for those of jetcrate.
func actions() Actions {
	return Actions{
		"jetcrate/echo": {
			Summary: "Says its input",
			Inputs:  map[string]ActionInput{"text": {Summary: "what to say", Required: true}, "fail": {Summary: "whether to fail"}},
			Outputs: map[string]string{"said": "the text"},
			Run: func(_ context.Context, c Call) (map[string]string, error) {
				fmt.Fprintln(c.Stdout, c.With["text"])
				fmt.Fprintf(c.Summary, "said %s\n", c.With["text"])
				if c.With["fail"] == "true" {
					return nil, &Failed{"it was asked to"}
				}
				return map[string]string{"said": c.With["text"]}, nil
			},
		},
		"jetcrate/build": {Inputs: map[string]ActionInput{"filter": {}}, Run: func(context.Context, Call) (map[string]string, error) { return nil, nil }},
	}
}

func load(t *testing.T, text string) (*Workflow, diag.List) {
	t.Helper()
	all, list, err := Load(fstest.MapFS{"pipelines/x.yaml": {Data: []byte(text)}}, actions())
	require.NoError(t, err)
	return Find(all, "x"), list
}

func parsed(t *testing.T, text string) *Workflow {
	t.Helper()
	w, list := load(t, text)
	require.Empty(t, list)
	return w
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run go test ./internal/workflow -update")
}

func TestSchema(t *testing.T) {
	f, err := Format()
	require.NoError(t, err)
	golden(t, "../../schema/pipeline.schema.json", string(f.Schema()))

	// An editor has a validator of its own, and types scalars as YAML does.
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("https://jetcrate.invalid/pipeline.json", bytes.NewReader(f.Schema())))
	editor, err := c.Compile("https://jetcrate.invalid/pipeline.json")
	require.NoError(t, err)
	files, err := filepath.Glob("../../pipelines/*.yaml")
	require.NoError(t, err)
	more, err := filepath.Glob("testdata/ok/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, editor.Validate(asEditor(t, text)), file)
	}
	for _, wrong := range []string{
		"name: x\non: push\njobs: {}\n",
		"name: x\non: pushes\njobs: {a: {runs-on: host, steps: [{run: ls}]}}\n",
		"name: x\non: push\njobs: {a: {run-on: host, steps: [{run: ls}]}}\n",
		"name: x\non: push\njobs: {a: {runs-on: host, steps: [{run: ls, shell: fish}]}}\n",
	} {
		require.Error(t, editor.Validate(asEditor(t, []byte(wrong))), wrong)
	}
}

func asEditor(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal(text, &v))
	data, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

// TestDiagnostics holds what is said of each wrong file of testdata/err.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/err/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			_, list := load(t, string(text))
			require.True(t, list.HasErrors())
			var b bytes.Buffer
			require.NoError(t, diag.WriteText(&b, list, false))
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", b.String())
		})
	}
}

func TestAccepted(t *testing.T) {
	files, err := filepath.Glob("testdata/ok/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			_, list := load(t, string(text))
			require.Empty(t, list)
		})
	}
}

// TestRuns runs each pipeline of testdata/run on this machine and holds how it
// went and what it said. The comment of a script sets options, a line each:
// job, matrix, secret, var, input, event.
func TestRuns(t *testing.T) {
	files, err := filepath.Glob("testdata/run/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			require.NoError(t, err)
			dir := t.TempDir()
			o := Options{Secrets: map[string]string{}, Vars: map[string]string{}, Inputs: map[string]any{}, Matrix: map[string][]string{}}
			event := map[string]any{}
			for line := range strings.Lines(string(a.Comment)) {
				word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				k, v, _ := strings.Cut(rest, "=")
				switch word {
				case "job":
					o.Jobs = append(o.Jobs, rest)
				case "matrix":
					o.Matrix[k] = append(o.Matrix[k], v)
				case "secret":
					o.Secrets[k] = v
				case "var":
					o.Vars[k] = v
				case "input":
					o.Inputs[k] = v
				case "event":
					require.NoError(t, json.Unmarshal([]byte(rest), &event))
				case "dry-run":
					o.DryRun = true
				}
			}
			want := -1
			for i, f := range a.Files {
				switch f.Name {
				case "pipeline.yaml":
					o.Workflow = parsed(t, string(f.Data))
				case "want":
					want = i
				default:
					name := filepath.Join(dir, f.Name)
					require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
					require.NoError(t, os.WriteFile(name, f.Data, 0o644))
				}
			}
			got := runHere(t, dir, event, o)
			if want < 0 {
				a.Files, want = append(a.Files, txtar.File{Name: "want"}), len(a.Files)
			}
			if *update {
				a.Files[want].Data = []byte(got)
				require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o644))
			}
			require.Equal(t, string(a.Files[want].Data), got)
			for _, secret := range o.Secrets {
				require.NotContains(t, got, secret)
			}
		})
	}
}

// runHere runs a pipeline on this machine and describes the run.
func runHere(t *testing.T, dir string, event map[string]any, o Options) string {
	t.Helper()
	o.GitHub = map[string]any{
		"event_name": "push", "sha": strings.Repeat("a", 40), "ref": "refs/heads/main", "ref_name": "main", "ref_type": "branch",
		"repository": "owner/name", "actor": "someone", "event": event, "run_id": "1", "run_number": "1", "token": "",
	}
	o.Actions, o.Workspace = actions(), dir
	o.Machine = hostMachine(t, dir)
	o.Now = time.Now
	said := map[string][]string{}
	o.Events = func(e Event) {
		switch e.Kind {
		case Line:
			said[e.Job] = append(said[e.Job], "      | "+e.Text)
		case Noted:
			said[e.Job] = append(said[e.Job], "      ! "+e.Annotation.String())
		case StepEnded:
			line := fmt.Sprintf("    %s: %s", e.Step, e.StepResult.Conclusion)
			if e.StepResult.Outcome != e.StepResult.Conclusion {
				line += ", outcome " + string(e.StepResult.Outcome)
			}
			if e.StepResult.Reason != "" {
				line += " (" + e.StepResult.Reason + ")"
			}
			for _, k := range sorted(e.StepResult.Outputs) {
				line += fmt.Sprintf("\n      %s=%q", k, e.StepResult.Outputs[k])
			}
			said[e.Job] = append(said[e.Job], line)
		}
	}
	res, err := Run(t.Context(), o)
	require.NoError(t, err)
	var b strings.Builder
	fmt.Fprintln(&b, res.Conclusion)
	for _, j := range res.Jobs {
		fmt.Fprintf(&b, "  %s: %s", j.Name, j.Conclusion)
		if j.Allowed {
			b.WriteString(", allowed")
		}
		if j.Reason != "" {
			fmt.Fprintf(&b, " (%s)", j.Reason)
		}
		b.WriteByte('\n')
		for _, line := range said[j.Name] {
			fmt.Fprintln(&b, line)
		}
		for _, k := range sorted(j.Outputs) {
			fmt.Fprintf(&b, "    output %s=%q\n", k, j.Outputs[k])
		}
		for line := range strings.Lines(j.Summary) {
			fmt.Fprintf(&b, "    summary %s", line)
		}
	}
	return strings.NewReplacer(dir, "DIR", filepath.Join(filepath.Dir(dir)), "TMP").Replace(b.String())
}

// hostMachine gives every job this machine; labels that no runner has give none.
func hostMachine(t *testing.T, dir string) func(context.Context, MachineFor) (Machine, error) {
	return func(_ context.Context, m MachineFor) (Machine, error) {
		if slices.Contains(m.Labels, "jetson") {
			return nil, &NoMachine{"no runner here has the labels " + strings.Join(m.Labels, ", ")}
		}
		if !m.Scripts {
			return nil, nil
		}
		return &Host{Workspace: dir, Temp: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}}, nil
	}
}

func TestCancelled(t *testing.T) {
	w := parsed(t, `
name: x
on: push
jobs:
  a:
    runs-on: host
    steps:
      - run: echo started; sleep 60
      - run: echo never
      - {if: failure(), run: echo not for failure}
      - {if: cancelled(), run: echo cleaning up}
      - {if: always(), run: echo always}
  b:
    needs: a
    runs-on: host
    steps: [{run: echo never}]
`)
	ctx, cancel := context.WithCancelCause(t.Context())
	dir := t.TempDir()
	var said []string
	res, err := Run(ctx, Options{
		Workflow: w, Workspace: dir, Machine: hostMachine(t, dir),
		Events: func(e Event) {
			if e.Kind == Line {
				said = append(said, e.Text)
				if e.Text == "started" {
					cancel(errors.New("enough"))
				}
			}
		},
	})
	require.NoError(t, err)
	require.Equal(t, Cancelled, res.Conclusion)
	require.Equal(t, []string{"started", "cleaning up", "always"}, said)
	require.Equal(t, Cancelled, res.Jobs[0].Conclusion)
	require.Equal(t, "enough", res.Jobs[0].Reason)
	require.Equal(t, Cancelled, res.Jobs[1].Conclusion)
	require.Less(t, res.Duration, 30*time.Second)
}

// TestBackground: what a script leaves running in the background ends with it.
func TestBackground(t *testing.T) {
	dir := t.TempDir()
	h := &Host{Workspace: dir, Temp: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH")}}
	started := time.Now()
	code, _, err := h.Run(t.Context(), Script{Text: "sleep 300 & echo $! > pid\nexit 3\n", Env: map[string]string{}})
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Less(t, time.Since(started), 60*time.Second)
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 10*time.Second, 20*time.Millisecond)
}

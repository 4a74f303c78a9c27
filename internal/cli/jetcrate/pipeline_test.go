package jetcrate

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/workflow"
)

// TestRenderedPipelines: .github/workflows is what the pipelines of this
// repository render to, and the real actionlint has nothing to say of it.
func TestRenderedPipelines(t *testing.T) {
	var out, errs bytes.Buffer
	code := Main([]string{"-C", "../../..", "pipeline", "render", "--check"}, strings.NewReader(""), &out, &errs)
	require.Zero(t, code, "%s%s", out.String(), errs.String())

	all, list, err := workflow.Load(os.DirFS("../../.."), (&app{}).actions(""))
	require.NoError(t, err)
	require.Empty(t, list)
	require.Len(t, all, 4)
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	require.NoError(t, err)
	for _, w := range all {
		data, err := workflow.Render(w)
		require.NoError(t, err)
		again, err := workflow.Render(w)
		require.NoError(t, err)
		require.Equal(t, string(data), string(again))
		mistakes, err := linter.LintFile(filepath.Join("../../../.github/workflows", w.ID+".yml"), nil)
		require.NoError(t, err)
		require.Empty(t, mistakes)
		requirePinned(t, string(data))
	}
}

// requirePinned: what others wrote is named by a commit.
func requirePinned(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if _, uses, ok := strings.Cut(line, "uses: "); ok {
			require.Regexp(t, `^[a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9.]+\n$`, uses)
		}
	}
}

// TestCompositeAction holds action.yml to what the program understands.
func TestCompositeAction(t *testing.T) {
	text, err := os.ReadFile("../../../action.yml")
	require.NoError(t, err)
	requirePinned(t, string(text))
	var a struct {
		Name, Description string
		Inputs            map[string]struct {
			Description string
			Default     string
		}
		Outputs map[string]struct{ Description, Value string }
		Runs    struct {
			Using string
			Steps []struct {
				ID, Name, Run, Uses, Shell string
				Env                        map[string]string
				WorkingDirectory           string `yaml:"working-directory"`
			}
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	require.NoError(t, dec.Decode(&a))
	require.Equal(t, "composite", a.Runs.Using)
	require.Contains(t, (&app{}).actions(""), a.Inputs["action"].Default)
	given := map[string]bool{}
	for _, st := range a.Runs.Steps {
		require.NotContains(t, st.Run, "${{", "values reach scripts as variables")
		require.Equal(t, st.Run != "", st.Shell != "", "a script of a composite action names its shell")
		for name, value := range st.Env {
			if input, ok := strings.CutPrefix(value, "${{ inputs."); ok {
				given[strings.TrimSuffix(input, " }}")] = true
				_ = name
			}
		}
	}
	for name := range a.Inputs {
		require.True(t, given[name], "the input %s is used", name)
	}
}

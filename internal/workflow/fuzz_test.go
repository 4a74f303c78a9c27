package workflow

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// FuzzPipeline: no file makes Load panic, and one without mistakes renders, to a
// file that reads the same when it is rendered again.
func FuzzPipeline(f *testing.F) {
	for _, pattern := range []string{"testdata/ok/*.yaml", "testdata/err/*.yaml", "../../pipelines/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(text)
		}
	}
	format, err := Format()
	require.NoError(f, err)
	known := actions()
	f.Fuzz(func(t *testing.T, text []byte) {
		all, list, err := loadWith(format, fstest.MapFS{"pipelines/x.yaml": {Data: text}}, known)
		require.NoError(t, err)
		if list.HasErrors() || len(all) == 0 {
			return
		}
		first, err := Render(all[0])
		require.NoError(t, err)
		again, err := Render(all[0])
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
		require.NotEmpty(t, all[0].Waves())
	})
}

// FuzzStepFiles: what a step writes to its files and its output is never more
// than settings, folders and commands.
func FuzzStepFiles(f *testing.F) {
	f.Add("a=1\nb<<E\nx\ny\nE\n", "::error file=a,line=1::text%0A")
	f.Add("<<\n=\n", "::::")
	f.Add("a<<\r\n", ":: x::y")
	f.Fuzz(func(t *testing.T, file, line string) {
		settings, err := parseSettings("GITHUB_OUTPUT", []byte(file))
		if err == nil {
			for _, s := range settings {
				require.Regexp(t, settingName, s.name)
			}
		}
		_, _ = parsePath([]byte(file))
		if c, ok := parseCommand(line); ok {
			require.NotEmpty(t, c.name)
			_ = c.annotation().String()
		}
	})
}

package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func sample() List {
	var l List
	l.Warnf("unused-alias", Position{File: "packages/ml/b/package.yaml", Line: 2, Col: 1}, "alias %q is the package's own name", "b")
	d := l.Errorf("unknown-key", Position{File: "packages/ml/a/package.yaml", Line: 4, Col: 3}, "unknown key %s", "\"dep\x1b[31m\nz\"")
	d.Allowed = []string{"depends", "env"}
	d.Hint = `did you mean "depends"?`
	l.Errorf("no-matrix", Position{File: "matrix.yaml"}, "there is no matrix.yaml")
	return l
}

func TestWriteText(t *testing.T) {
	l := sample()
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, l, false))
	require.Equal(t, `matrix.yaml: error: there is no matrix.yaml [no-matrix]
packages/ml/a/package.yaml:4:3: error: unknown key "dep\x1b[31m\nz" [unknown-key]
    allowed: depends, env
    hint: did you mean "depends"?
packages/ml/b/package.yaml:2:1: warning: alias "b" is the package's own name [unused-alias]
`, b.String())
	require.Equal(t, "unused-alias", l[0].Code, "printing leaves the caller's order alone")

	b.Reset()
	require.NoError(t, WriteText(&b, l[2:], true))
	require.Equal(t, "\x1b[1mmatrix.yaml:\x1b[0m \x1b[1;31merror:\x1b[0m there is no matrix.yaml \x1b[2m[no-matrix]\x1b[0m\n", b.String())
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, nil))
	require.Equal(t, "[]\n", b.String())

	b.Reset()
	require.NoError(t, WriteJSON(&b, sample()))
	var back List
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	want := sample()
	want.Sort()
	require.Equal(t, want, back)
}

func TestWriteSARIF(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteSARIF(&b, sample()))
	var log sarifLog
	require.NoError(t, json.Unmarshal(b.Bytes(), &log))
	require.Equal(t, "2.1.0", log.Version)
	run := log.Runs[0]
	require.Equal(t, []sarifRule{{"no-matrix"}, {"unknown-key"}, {"unused-alias"}}, run.Tool.Driver.Rules)
	require.Len(t, run.Results, 3)
	require.Nil(t, run.Results[0].Locations[0].Physical.Region)
	require.Equal(t, &sarifRegion{StartLine: 4, StartColumn: 3}, run.Results[1].Locations[0].Physical.Region)
	require.Equal(t, `unknown key "dep\x1b[31m\nz"; allowed: depends, env; did you mean "depends"?`, run.Results[1].Message.Text)
	require.Equal(t, "warning", run.Results[2].Level)
	for _, r := range run.Results {
		require.Equal(t, r.RuleID, run.Tool.Driver.Rules[r.RuleIndex].ID)
	}
}

func TestSuggest(t *testing.T) {
	for _, tc := range []struct {
		name       string
		candidates []string
		want       string
	}{
		{"pytroch", []string{"opencv", "pytorch", "python"}, "pytorch"},
		{"dependz", []string{"default", "depends"}, "depends"},
		{"NumPy", []string{"numpy"}, "numpy"},
		{"l4", []string{"l4t", "os"}, "l4t"},
		{"gpu", []string{"sql", "cpu"}, "cpu"},
		{"cuda", []string{"opencv", "ros2"}, ""},
		{"x", []string{"y", "z"}, ""},
		{"ab", []string{"ac", "aa"}, "aa"},
		{"dri", []string{"dir", "dry"}, "dry"},
		{"dri", []string{"dir"}, "dir"},
		{"same", []string{"same"}, ""},
		{"", []string{"a"}, ""},
		{"name", nil, ""},
	} {
		require.Equal(t, tc.want, Suggest(tc.name, tc.candidates), tc.name)
	}
	require.Equal(t, `did you mean "pytorch"?`, DidYouMean("pytroch", []string{"pytorch"}))
	require.Empty(t, DidYouMean("zzzz", []string{"pytorch"}))
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢":      "plain é 漢",
		"a\x00b":         `a\x00b`,
		"\x1b]0;t\a":     `\x1b]0;t\a`,
		"a\u202eb":       `a\u202eb`,
		"bad \xff":       `bad \xff`,
		"tab\tnewline\n": `tab\tnewline\n`,
	} {
		require.Equal(t, want, Escape(in))
	}
}

func TestErrors(t *testing.T) {
	require.NoError(t, List{}.Err())
	var warnings List
	warnings.Warnf("w", Position{}, "only a warning")
	require.NoError(t, warnings.Err())

	err := fmt.Errorf("loading: %w", sample().Err())
	list, ok := From(err)
	require.True(t, ok)
	require.Len(t, list, 3)
	require.Equal(t, "no-matrix", list[0].Code)
	_, ok = From(errors.New("disk full"))
	require.False(t, ok)
}

func TestHidden(t *testing.T) {
	for _, r := range "\x00\n\t\x1b\x7f\u009b\u00a0\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u2028\u202e\u2066\u2800\u3000\u3164\ufe0f\ufeff\U000e0041\ue000" {
		require.True(t, Hidden(r), "%U", r)
	}
	for _, r := range " aé漢µ→“e\u0301\ufffd🙂" {
		require.False(t, Hidden(r), "%U", r)
	}
	require.Equal(t, `a\u3164b\ufe0fc`, Escape("a\u3164b\ufe0fc"))
}

// JSON that is written with Visible means the same and shows everything.
func TestVisible(t *testing.T) {
	in := map[string]string{"a": "\x1b]0;x\a\u009b\u202e\U000e0041\u00a0é\n"}
	var b bytes.Buffer
	enc := json.NewEncoder(Visible(&b))
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(in))
	for _, r := range b.String() {
		require.False(t, Hidden(r) && r != '\n', "%q", &b)
	}
	var back map[string]string
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	require.Equal(t, in, back)
}

func TestDistinct(t *testing.T) {
	var l List
	for i := range MaxOfFile + 50 {
		for range 2 {
			l.Errorf("c", Position{File: "a", Line: MaxOfFile + 50 - i}, "m")
		}
	}
	l.Errorf("c", Position{File: "b"}, "m")
	got := l.Distinct()
	require.Len(t, got, MaxOfFile+2)
	require.Equal(t, Diagnostic{Code: "more-mistakes", Severity: Error, Position: Position{File: "a", Line: MaxOfFile + 1}, Message: "50 more mistakes in this file begin here"}, got[MaxOfFile])
	require.Equal(t, "b", got[MaxOfFile+1].File)
	require.Empty(t, List{}.Distinct())

	l = nil
	for i := range MaxOfFile + 50 {
		l.Warnf("w", Position{File: "a", Line: i + 1}, "m")
	}
	require.False(t, l.Distinct().HasErrors())
	l.Errorf("e", Position{File: "a", Line: 1000}, "m")
	require.True(t, l.Distinct().HasErrors(), "what is cut off counts")
}

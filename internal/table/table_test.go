package table_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	generate "github.com/invopop/jsonschema"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/santhosh-tekuri/jsonschema/v5"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files and the schema")

const schemaFile = "../../schema/table.schema.json"

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func readOK(t *testing.T, path string) *table.Table {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	tab, err := table.Read(bytes.NewReader(data))
	require.NoError(t, err)
	return tab
}

func TestSchemaIsUpToDate(t *testing.T) {
	r := &generate.Reflector{ExpandedStruct: true}
	s := r.Reflect(table.Table{})
	s.ID = "table.schema.json"
	s.Title = "jetcrate compatibility table"
	data, err := json.MarshalIndent(s, "", "  ")
	require.NoError(t, err)
	golden(t, schemaFile, append(data, '\n'))
}

// The files of testdata/ok are valid by the schema and by Read, and Write gives
// them back byte for byte. Beside each lies its Markdown.
func TestOK(t *testing.T) {
	schema, err := jsonschema.Compile(schemaFile)
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/ok/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			var v any
			require.NoError(t, json.Unmarshal(data, &v))
			require.NoError(t, schema.Validate(v))

			tab := readOK(t, path)
			var out, md bytes.Buffer
			require.NoError(t, tab.Write(&out))
			require.Equal(t, string(data), out.String())
			require.NoError(t, tab.Markdown(&md))
			golden(t, strings.TrimSuffix(path, ".json")+".md", md.Bytes())
		})
	}
}

func TestWriteOrdersRows(t *testing.T) {
	tab := readOK(t, "testdata/ok/small.json")
	var want, got bytes.Buffer
	require.NoError(t, tab.Write(&want))
	slices.Reverse(tab.Rows)
	first := tab.Rows[0].Target
	require.NoError(t, tab.Write(&got))
	require.Equal(t, want.String(), got.String())
	require.Equal(t, first, tab.Rows[0].Target, "Write leaves the caller's rows alone")
}

func TestWriteEmpty(t *testing.T) {
	var out, md bytes.Buffer
	require.NoError(t, (&table.Table{}).Write(&out))
	require.Equal(t, "{\n  \"schema\": 1,\n  \"rows\": []\n}\n", out.String())
	require.NoError(t, (&table.Table{}).Markdown(&md))
	require.Contains(t, md.String(), "no rows")
}

// Each case breaks one thing of a good table.
func TestReadRefuses(t *testing.T) {
	good, err := os.ReadFile("testdata/ok/small.json")
	require.NoError(t, err)
	cases := []struct{ name, old, new, want string }{
		{"newer schema", `"schema": 1`, `"schema": 2`, "schema version 2, this program reads 1: update it"},
		{"older schema", `"schema": 1`, `"schema": 0`, "make the table again"},
		{"no schema", `"schema": 1,`, ``, "no schema version"},
		{"not JSON", `"schema": 1,`, `"schema": 1`, "line 3, column"},
		{"wrong type", `"size": 1234567`, `"size": "big"`, "cannot unmarshal string"},
		{"unknown field", `"size": 1234567`, `"sise": 1234567`, `unknown field "sise"`},
		{"digest", `"digest": "sha256:1111`, `"digest": "sha256:111G`, "64 hexadecimal digits"},
		{"digest too short", `"digest": "sha256:1111`, `"digest": "sha256:111`, "64 hexadecimal digits"},
		{"reference without host", `"registry.example/jetcrate:pytorch-1111"`, `"jetcrate"`, "is not host/repo:tag"},
		{"reference with an option", `"registry.example/jetcrate:pytorch-1111"`, `"--privileged"`, "is not host/repo:tag"},
		{"reference with an option before a host", `"registry.example/jetcrate:pytorch-1111"`, `"-v.example/etc:pytorch"`, "is not host/repo:tag"},
		{"hosts", `">=36.4 <37"`, `">=36.4 <thirty"`, "hosts:"},
		{"empty hosts", `">=36.4 <37"`, `""`, "hosts:"},
		{"release", `"l4t": "36.4.0"`, `"l4t": "newest"`, "platform:"},
		{"flavour", `"flavour": "tegra",`, `"flavour": "desktop",`, `flavour "desktop"`},
		{"status", `"status": "current"`, `"status": "fine"`, `status "fine"`},
		{"state", `"state": "built"`, `"state": "finished"`, `state "finished"`},
		{"image where nothing was built", `"state": "built"`, `"state": "not built"`, "but has an image"},
		{"no reason", `"reason": "no run has built it yet",`, ``, "without a reason"},
		{"negative size", `1234567`, `-1`, "negative"},
		{"counts", `"passed": 1`, `"passed": 2`, "counts differ"},
		{"test status", `"status": "passed",`, `"status": "ok",`, `status "ok"`},
		{"skipped without a reason", `"reason": "no GPU",`, ``, "skipped without a reason"},
		{"package twice", `"name": "python"`, `"name": "pytorch"`, "holds pytorch twice"},
		{"root that is not there", `"name": "pytorch",
          "version"`, `"name": "pytorch2",
          "version"`, "does not hold pytorch"},
		{"trailing data", "  ]\n}\n", "  ]\n}\n{}\n", "invalid character"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(string(good), c.old, c.new, 1)
			require.NotEqual(t, string(good), bad, "the case must change the table")
			_, err := table.Read(strings.NewReader(bad))
			require.ErrorContains(t, err, c.want)
		})
	}
	t.Run("two current rows of one cell", func(t *testing.T) {
		tab := readOK(t, "testdata/ok/small.json")
		tab.Rows = append(tab.Rows, tab.Rows[1])
		require.ErrorContains(t, tab.Validate(), "row 2 is already the current one")
	})
	t.Run("schema error can be told apart", func(t *testing.T) {
		_, err := table.Read(strings.NewReader(`{"schema": 7, "cells": []}`))
		var se *table.SchemaError
		require.True(t, errors.As(err, &se))
		require.Equal(t, 7, se.Found)
	})
	t.Run("all mistakes at once", func(t *testing.T) {
		bad := strings.NewReplacer(`">=36.4 <37"`, `"x"`, `"state": "built"`, `"state": "y"`).Replace(string(good))
		_, err := table.Read(strings.NewReader(bad))
		require.ErrorContains(t, err, "hosts:")
		require.ErrorContains(t, err, `state "y"`)
	})
	t.Run("too large", func(t *testing.T) {
		_, err := table.Read(&endless{})
		require.ErrorContains(t, err, "larger than 64 MiB")
	})
}

// endless is a table that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestPinned(t *testing.T) {
	for reference, want := range map[string]string{
		"h.example/r:t":      "h.example/r@sha256:1",
		"h.example:5000/r:t": "h.example:5000/r@sha256:1",
		"h.example:5000/a/b": "h.example:5000/a/b@sha256:1",
	} {
		require.Equal(t, want, table.Image{Reference: reference, Digest: "sha256:1"}.Pinned())
	}
}

func TestMarkdownEscapes(t *testing.T) {
	tab := readOK(t, "testdata/ok/small.json")
	tab.Rows[0].Reason = "a|b <script> \x1b[31m\n# heading"
	var md bytes.Buffer
	require.NoError(t, tab.Markdown(&md))
	require.NotContains(t, md.String(), "<script>")
	require.NotContains(t, md.String(), "\x1b")
	require.NotContains(t, md.String(), "\n# heading")
}

// Whatever Read accepts, Write gives back to Read, unchanged.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/ok/*.json"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, path := range files {
			data, err := os.ReadFile(path)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Add([]byte(`{"schema":1,"rows":null}`))
	f.Add([]byte(`{"schema":1e0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tab, err := table.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		require.NoError(t, tab.Write(&first))
		again, err := table.Read(bytes.NewReader(first.Bytes()))
		require.NoError(t, err)
		require.NoError(t, again.Write(&second))
		require.Equal(t, first.String(), second.String())
		require.NoError(t, tab.Markdown(&second))
	})
}

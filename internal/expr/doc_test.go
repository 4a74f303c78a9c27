package expr_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/expr"
)

// TestDocument evaluates every example of docs/expressions.md.
func TestDocument(t *testing.T) {
	content, err := os.ReadFile("../../docs/expressions.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```(json|text)\n(.*?)```").FindAllStringSubmatch(string(content), -1)
	var values map[string]any
	examples := 0
	for _, block := range blocks {
		if block[1] == "json" {
			require.NoError(t, json.Unmarshal([]byte(block[2]), &values))
			continue
		}
		for _, line := range strings.Split(strings.TrimSpace(block[2]), "\n") {
			source, want, found := strings.Cut(line, "=>")
			require.True(t, found, line)
			source = strings.TrimSpace(source)
			template, err := expr.Parse(source)
			require.NoError(t, err, source)
			got, err := template.Eval(values)
			require.NoError(t, err, source)
			text, err := json.Marshal(got)
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(want), string(text), source)
			examples++
		}
	}
	require.Greater(t, examples, 30)
}

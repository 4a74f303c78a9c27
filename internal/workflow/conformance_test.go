package workflow

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExpressions holds what GitHub says of expressions
// (https://docs.github.com/en/actions/reference/workflows-and-actions/expressions),
// in the words of a pipeline: literals, operators and their order, coercion,
// comparison, functions. internal/expr has the parser's own tests.
func TestExpressions(t *testing.T) {
	c := &contexts{values: map[string]any{
		"github": map[string]any{"ref": "refs/heads/Main", "event": map[string]any{"labels": []any{
			map[string]any{"name": "bug"}, map[string]any{"name": "Urgent"},
		}, "nothing": nil, "count": 3.0}},
		"env":    map[string]any{"EMPTY": "", "NUMBER": "2.10", "HEX": "0x10"},
		"matrix": map[string]any{"os": "linux", "list": []any{"a", 1.0, true, nil}},
		"inputs": map[string]any{"yes": true, "no": false},
	}}
	for _, tt := range []struct {
		src  string
		want any
	}{
		// literals
		{"${{ null }}", nil},
		{"${{ false }}", false},
		{"${{ 711 }}", 711.0},
		{"${{ -9.2 }}", -9.2},
		{"${{ 0xff }}", 255.0},
		{"${{ -2.99e-2 }}", -0.0299},
		{"${{ 'It''s open source!' }}", "It's open source!"},
		// truth
		{"${{ !null }}", true},
		{"${{ !0 }}", true},
		{"${{ !-0 }}", true},
		{"${{ !'' }}", true},
		{"${{ !'0' }}", false},
		{"${{ !'false' }}", false},
		{"${{ !matrix.list }}", false},
		{"${{ !NaN }}", true},
		// the value of && and ||, as in a ternary
		{"${{ inputs.yes && 'a' || 'b' }}", "a"},
		{"${{ inputs.no && 'a' || 'b' }}", "b"},
		{"${{ inputs.yes && '' || 'b' }}", "b"},
		{"${{ env.NONE || env.EMPTY || 'default' }}", "default"},
		// the order of operators
		{"${{ true || false && false }}", true},
		{"${{ !true == false }}", true},
		{"${{ 1 < 2 == true }}", true},
		{"${{ (true || false) && false }}", false},
		// coercion of different types to numbers
		{"${{ null == 0 }}", true},
		{"${{ null == '' }}", true},
		{"${{ true == 1 }}", true},
		{"${{ true == '1' }}", true},
		{"${{ true == 'true' }}", false},
		{"${{ false == '' }}", true},
		{"${{ env.NUMBER == 2.1 }}", true},
		{"${{ env.HEX == 16 }}", true},
		{"${{ 'abc' == 0 }}", false},
		{"${{ '' == 0 }}", true},
		{"${{ ' 3 ' == 3 }}", true},
		{"${{ github.event.count > '2' }}", true},
		// NaN is never equal, nor less, nor more
		{"${{ NaN == NaN }}", false},
		{"${{ NaN != NaN }}", true},
		{"${{ 'x' < 1 }}", false},
		{"${{ 'x' >= 1 }}", false},
		{"${{ matrix.list == 1 }}", false},
		// texts without regard to case
		{"${{ 'ABC' == 'abc' }}", true},
		{"${{ 'ABC' != 'abd' }}", true},
		{"${{ 'a' < 'B' }}", true},
		{"${{ github.ref == 'refs/heads/main' }}", true},
		// lists and maps are equal only where they are the same one
		{"${{ matrix.list == matrix.list }}", true},
		{"${{ fromJSON('[1]') == fromJSON('[1]') }}", false},
		// properties
		{"${{ github.event.nothing.at.all }}", nil},
		{"${{ github['ref'] }}", "refs/heads/Main"},
		{"${{ GitHub.REF }}", "refs/heads/Main"},
		{"${{ matrix.list[1] }}", 1.0},
		{"${{ matrix.list[9] }}", nil},
		{"${{ join(github.event.labels.*.name, ', ') }}", "bug, Urgent"},
		{"${{ github.event.labels.*.none }}", []any{}},
		// functions
		{"${{ contains('Hello world', 'LLO') }}", true},
		{"${{ contains(fromJSON('[\"push\", \"pull_request\"]'), 'PUSH') }}", true},
		{"${{ contains(matrix.list, 1) }}", true},
		{"${{ contains(github.event.labels.*.name, 'urgent') }}", true},
		{"${{ startsWith('Hello world', 'he') }}", true},
		{"${{ endsWith('Hello world', 'LD') }}", true},
		{"${{ format('Hello {0} {1} {2}', 'Mona', 'the', 'Octocat') }}", "Hello Mona the Octocat"},
		{"${{ format('{{Hello {0} {1} {2}!}}', 'Mona', 'the', 'Octocat') }}", "{Hello Mona the Octocat!}"},
		{"${{ join(matrix.list) }}", "a,1,true,"},
		{"${{ fromJSON('{\"a\": [1, {\"b\": null}]}').a[0] }}", 1.0},
		{"${{ fromJSON('true') && 'yes' }}", "yes"},
		{"${{ toJSON('a\"b') }}", `"a\"b"`},
		// values in text
		{"n=${{ github.event.count }} t=${{ inputs.yes }} z=${{ null }} f=${{ 1.50 }}", "n=3 t=true z= f=1.5"},
	} {
		t.Run(tt.src, func(t *testing.T) {
			got, err := c.value(tt.src)
			require.NoError(t, err)
			if want, ok := tt.want.(float64); ok && math.IsNaN(want) {
				require.True(t, math.IsNaN(got.(float64)))
				return
			}
			require.Equal(t, tt.want, got)
		})
	}
	for _, src := range []string{
		"list ${{ matrix.list }}", "${{ fromJSON('{') }}", "${{ format('{1}', 'a') }}", "${{ nothing() }}", "${{ 'open }}",
	} {
		_, err := c.value(src)
		require.Error(t, err, src)
	}
}

// TestConditions holds what an `if` means: with or without ${{ }}, and success()
// in front of one that asks for no status.
func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		condition string
		holds     map[Conclusion]bool
	}{
		{"", map[Conclusion]bool{Success: true}},
		{"true", map[Conclusion]bool{Success: true}},
		{"${{ 1 == 1 }}", map[Conclusion]bool{Success: true}},
		{"'false'", map[Conclusion]bool{Success: true}},
		{"false", map[Conclusion]bool{}},
		{"success()", map[Conclusion]bool{Success: true}},
		{"failure()", map[Conclusion]bool{Failure: true}},
		{"cancelled()", map[Conclusion]bool{Cancelled: true}},
		{"always()", map[Conclusion]bool{Success: true, Failure: true, Cancelled: true, Skipped: true}},
		{"!cancelled()", map[Conclusion]bool{Success: true, Failure: true, Skipped: true}},
		{"success() || failure()", map[Conclusion]bool{Success: true, Failure: true}},
		{"failure() && false", map[Conclusion]bool{}},
		{"ALWAYS()", map[Conclusion]bool{Success: true, Failure: true, Cancelled: true, Skipped: true}},
	} {
		t.Run(tt.condition, func(t *testing.T) {
			for _, state := range []Conclusion{Success, Failure, Cancelled, Skipped} {
				c := &contexts{functions: statusFunctions(func() Conclusion { return state })}
				got, err := c.condition(tt.condition)
				require.NoError(t, err)
				require.Equal(t, tt.holds[state], got, state)
			}
		})
	}
}

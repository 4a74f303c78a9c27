package expr_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/expr"
)

func parse(t testing.TB, src string) *expr.Template {
	t.Helper()
	template, err := expr.Parse(src)
	require.NoError(t, err, src)
	return template
}

func TestParts(t *testing.T) {
	template := parse(t, "a ${{ b }}${{'}}'}} ${{\nc\n}}$ {{ d }}")
	require.Equal(t, []expr.Part{
		{Text: "a ", Offset: 0},
		{Text: "b", Expr: true, Offset: 6},
		{Text: "'}}'", Expr: true, Offset: 13},
		{Text: " ", Offset: 19},
		{Text: "c", Expr: true, Offset: 24},
		{Text: "$ {{ d }}", Offset: 28},
	}, template.Parts())
	require.False(t, template.Literal())
	require.True(t, parse(t, "").Literal())
	require.True(t, parse(t, "plain }} text {{").Literal())

	values, err := template.EvalParts(map[string]any{"b": "x y", "c": 3})
	require.NoError(t, err)
	require.Equal(t, []expr.PartValue{
		{Text: "a "}, {Text: "x y", IsValue: true}, {Text: "}}", IsValue: true},
		{Text: " "}, {Text: "3", IsValue: true}, {Text: "$ {{ d }}"},
	}, values)
	text, err := template.String(map[string]any{"b": "x y", "c": 3})
	require.NoError(t, err)
	require.Equal(t, "a x y}} 3$ {{ d }}", text)
}

func TestRefs(t *testing.T) {
	template := parse(t, `${{ platform.cuda.version }} ${{ env['MAX_JOBS'] || env.Other }} ${{ join(platform.gpu.sm.*, inputs[version]) }}
		${{ platform.gpu.sm[0] == options.a-b.c[platform.l4t] }} ${{ 'no.name' }} ${{ platform.cuda.version }}`)
	require.Equal(t, []string{
		"env.MAX_JOBS", "env.Other", "inputs", "options.a-b.c", "platform.cuda.version", "platform.gpu.sm", "platform.l4t", "version",
	}, template.Refs())
	require.Empty(t, parse(t, "text").Refs())
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		src, message string
		offset       int
	}{
		{"ab ${{ version", `"${{" without "}}" behind it`, 6},
		{"${{ }}", "the expression is empty", 3},
		{"${{ 'abc }}", "the string literal has no closing '", 11},
		{`${{ "abc" }}`, "strings are written in single quotes: 'text', not \"text\"", 4},
		{"${{ a b }}", "parser did not reach end of input", 6},
		{"${{ a == }}", "unexpected end of input", 9},
		{"${{ a + 1 }}", "got unexpected character '+'", 6},
		{"${{ a[1 }}", "closing bracket ']'", 8},
		{"${{ a } }}", "end marker }}", 7},
		{"${{ a.1 }}", "property dereference", 6},
		{"${{ \x00 }}", "NUL", 4},
		{"${{ \xff }}", "UTF-8", 4},
		{"${{\ufeff'a' }}", "byte order mark", 3},
		{"${{ 99999999999 }}", "invalid integer literal", 4},
		{"${{ " + strings.Repeat("a||", 8000) + "a }}", "the expression is longer than 21000 bytes", 3},
		{"${{ " + strings.Repeat("!", 60) + "a }}", "the expression is nested 61 deep; 50 is the limit", 3},
	} {
		t.Run(tt.src[:min(len(tt.src), 20)], func(t *testing.T) {
			_, err := expr.Parse(tt.src)
			var syntax *expr.SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.Contains(t, syntax.Message, tt.message)
			require.Equal(t, tt.offset, syntax.Offset)
		})
	}
}

func TestConditions(t *testing.T) {
	values := map[string]any{"version": "2.8.0", "options": map[string]any{"cuda": true}}
	for src, want := range map[string]bool{
		"options.cuda":                        true,
		" ${{ options.cuda }} ":               true,
		"${{ !options.cuda }}":                false,
		"options.cuda && version == '2.8.0'":  true,
		"contains('${{', '{') && options.off": false,
	} {
		template, err := expr.ParseCondition(src)
		require.NoError(t, err, src)
		got, err := template.Eval(values)
		require.NoError(t, err, src)
		require.Equal(t, want, expr.Truthy(got), src)
	}
	for _, tt := range []struct {
		src, message string
		offset       int
	}{
		{"", "the condition is empty", 0},
		{"  ", "the condition is empty", 0},
		{"${{ a }} && b", "a condition is one expression", 8},
		{"a && ${{ b }}", "a condition is one expression", 5},
		{"${{ a }}${{ b }}", "a condition is one expression", 12},
		{" a }} b", `the condition has "}}" without "${{"`, 3},
		{" a == ", "unexpected end of input", 5},
		{"'a", "the string literal has no closing '", 2},
	} {
		_, err := expr.ParseCondition(tt.src)
		var syntax *expr.SyntaxError
		require.ErrorAs(t, err, &syntax, tt.src)
		require.Contains(t, syntax.Message, tt.message, tt.src)
		require.Equal(t, tt.offset, syntax.Offset, tt.src)
	}
}

func TestEval(t *testing.T) {
	values := map[string]any{
		"s": "Text", "n": 3, "list": []string{"a", "B"}, "map": map[string]string{"k": "v", "K2": "w"}, "other": []string{"a", "B"},
		"deep": map[string]any{"x": []any{map[string]any{"y": []any{1, 2}}, map[string]any{"y": []any{3}, "Z": nil}, "scalar"}},
	}
	for _, tt := range []struct {
		src  string
		want any
	}{
		// precedence and grouping
		{"1 < 2 == true", true},
		{"true == 1 < 2", true},
		{"3 > 2 > 1", false}, // (3 > 2) > 1
		{"3 > (2 > 1)", true},
		{"1 == 1 == 2", false},
		{"2 == (1 == 1)", false},
		{"1 == (1) == 1", true},
		{"(1 == 1) == (2 == 2)", true},
		{"0 == (deep.x == 1).y == 1", true},
		{"!false == true", true},
		{"true || false && false", true},
		{"!(true && false)", true},
		{"false || 0 || '' || null", nil},
		{"1 && 'x' && 2", 2.0},
		{"1 && '' && 2", ""},
		// coercion
		{"'TEXT' == s", true},
		{"'3' == n", true},
		{"'0x1f' == 31", true},
		{"' 3.0 ' == 3", true},
		{"'1_0' == 10", false},
		{"'inf' == Infinity", false},
		{"'-Infinity' < 0", true},
		{"'' == 0", true},
		{"null == ''", true},
		{"null >= 0", true},
		{"true == '1'", true},
		{"true == 'true'", false},
		{"true > false", true},
		{"'b' > 'A'", true},
		{"NaN == NaN", false},
		{"NaN != NaN", true},
		{"NaN < 1 || NaN > 1 || NaN <= NaN", false},
		{"'abc' < 1 || 'abc' >= 1", false},
		{"list == list", true},
		{"list == other", false},
		{"list == 'Array'", false},
		{"map != map", false},
		{"list < 1", false},
		// properties
		{"map.k", "v"},
		{"MAP.k2", "w"},
		{"map['k']", "v"},
		{"map[format('{0}', 'k')]", "v"},
		{"map.none", nil},
		{"map.none.deeper", nil},
		{"none.at.all", nil},
		{"s.length", nil},
		{"list[1]", "B"},
		{"list['1']", "B"},
		{"list[1.9]", "B"},
		{"list[2]", nil},
		{"list[-1]", nil},
		{"list['x']", nil},
		{"list[list]", nil},
		{"deep.x.*.y", []any{[]any{1.0, 2.0}, []any{3.0}}},
		{"deep.x.*.y.*", []any{1.0, 2.0, 3.0}},
		{"deep.x.*.y[0]", []any{1.0, 3.0}},
		{"deep.x.*.z", []any{nil}},
		{"map.*", []any{"w", "v"}},
		{"s.*", []any{}},
		// functions
		{"contains(list, 'b')", true},
		{"contains(list, 'c')", false},
		{"contains('Hello', 'ELL')", true},
		{"contains(123, 2)", true},
		{"contains(map, 'k')", false},
		{"contains(deep.x.*.y.*, '3')", true},
		{"STARTSWITH(s, 'te')", true},
		{"endsWith('abc', '')", true},
		{"startsWith(list, 'a')", false},
		{"format('{0} {{0}} {1}{0}', 1.5, null)", "1.5 {0} 1.5"},
		{"join(list)", "a,B"},
		{"join(list, '; ')", "a; B"},
		{"join('x', ';')", "x"},
		{"join(fromJSON('[]'))", ""},
		{"toJSON(map)", "{\n  \"K2\": \"w\",\n  \"k\": \"v\"\n}"},
		{"toJSON(fromJSON('[]'))", "[]"},
		{"toJSON('<&>')", `"<&>"`},
		{"toJSON(0.1)", "0.1"},
		{"fromJSON('{\"a\": [1, null, true]}').a", []any{1.0, nil, true}},
	} {
		t.Run(tt.src, func(t *testing.T) {
			got, err := parse(t, "${{ "+tt.src+" }}").Eval(values)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestNumberText(t *testing.T) {
	for src, want := range map[string]string{
		"1": "1", "-0": "0", "1.50": "1.5", "0.1": "0.1", "1e14": "100000000000000", "1e15": "1E+15", "1e-5": "1E-05", "0.0001": "0.0001",
		"123456789.123456789": "123456789.123457", "NaN": "NaN", "Infinity": "Infinity",
	} {
		got, err := parse(t, "<${{ "+src+" }}>").Eval(nil)
		require.NoError(t, err)
		require.Equal(t, "<"+want+">", got, src)
	}
}

func TestEvalErrors(t *testing.T) {
	values := map[string]any{"list": []string{"a"}, "map": map[string]any{}, "bad": struct{}{}, "long": strings.Repeat("x", 1<<20)}
	for _, tt := range []struct{ src, message string }{
		{"x ${{ list }}", "evaluating ${{ list }}: a list cannot be text; use join(...) or toJSON(...)"},
		{"x ${{ map }}", "a map cannot be text; use toJSON(...), or one of its properties"},
		{"${{ join(fromJSON('[[1]]')) }}", "join: a list cannot be text"},
		{"${{ format('{0}', list) }}", "format: a list cannot be text"},
		{"${{ format('{1}', 1) }}", "format: {1} has no argument: there are 1 behind the text"},
		{"${{ format('{') }}", "format: a single {: write {{ for the character"},
		{"${{ format('a}') }}", "format: a single }: write }} for the character"},
		{"${{ format('{x}') }}", "format: {x} is not the number of an argument"},
		{"${{ fromJSON('') }}", "fromJSON: the JSON ends too early"},
		{"${{ fromJSON('{\"a\"') }}", "fromJSON: the JSON ends too early"},
		{"${{ fromJSON('1 2') }}", "fromJSON: there is text behind the JSON value"},
		{"${{ fromJSON('" + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "') }}", "a value is nested more than 50 deep"},
		{"${{ toJSON(NaN) }}", "toJSON: json: unsupported value: NaN"},
		{"${{ nope(1) }}", "there is no function nope"},
		{"${{ join() }}", "join takes 1 or 2 arguments, not 0"},
		{"${{ bad }}", "a value of type struct {} cannot be used in an expression"},
		{"${{ format('{0}{0}', long) }}", "format: the result is longer than 1048576 bytes"},
		{"${{ toJSON(toJSON(long)) }}", "toJSON: the result is longer than 1048576 bytes"},
	} {
		_, err := parse(t, tt.src).Eval(values)
		require.ErrorContains(t, err, tt.message, tt.src)
	}
}

func TestTruthy(t *testing.T) {
	for _, v := range []any{nil, false, 0.0, "", math.NaN(), math.Copysign(0, -1)} {
		require.False(t, expr.Truthy(v), "%v", v)
	}
	for _, v := range []any{true, 1.0, "false", "0", []any{}, map[string]any{}} {
		require.True(t, expr.Truthy(v), "%v", v)
	}
}

// Values that are put together do not grow without end.
func TestTextIsBounded(t *testing.T) {
	tmpl, err := expr.Parse(strings.Repeat("${{ env.A }}", 3))
	require.NoError(t, err)
	_, err = tmpl.String(map[string]any{"env": map[string]string{"A": strings.Repeat("x", 400<<10)}})
	require.ErrorContains(t, err, "longer than 1048576 bytes together")
}

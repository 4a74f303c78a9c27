package expr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/expr"
)

// scope is a small version of what specs read.
func scope() expr.Scope {
	text := &expr.Type{Kind: expr.String}
	list := &expr.Type{Kind: expr.Array, Elem: text}
	return expr.Scope{
		"version": text,
		"platform": {Kind: expr.Object, Fields: map[string]*expr.Type{
			"l4t": text, "python": text,
			"cuda": {Kind: expr.Object, Fields: map[string]*expr.Type{"version": text, "cudnn": text}},
			"gpu":  {Kind: expr.Object, Fields: map[string]*expr.Type{"sm": list, "compute": list}},
		}},
		"env":    {Kind: expr.Object, Open: true, Elem: text},
		"inputs": {Kind: expr.Object, Fields: map[string]*expr.Type{"source": nil, "jobs": {Kind: expr.Number}, "shared": {Kind: expr.Bool}}},
	}
}

func TestCheckAccepts(t *testing.T) {
	for _, src := range []string{
		"no expression",
		"v${{ version }} ${{ PLATFORM.Cuda.Version }} ${{ env.ANY_NAME }}",
		"${{ platform.gpu.sm }}",
		"${{ platform }}",
		"${{ platform.gpu.sm[0] }}-${{ platform.gpu['compute'][1] }}",
		"${{ join(platform.gpu.compute, ';') }}",
		"${{ join(platform.gpu.*.*) }}",
		"${{ join(platform.cuda.*) }}",
		"${{ contains(platform.gpu.sm, 'sm_87') && 'ON' || 'OFF' }}",
		"${{ inputs.source.any.thing[0].*.x }}",
		"${{ inputs.jobs > 1 || inputs.shared }}",
		"${{ format('{0} {1}', version, inputs.jobs) }}",
		"${{ fromJSON(env.LIST)[0].a }}",
		"${{ toJSON(platform) }}",
		"${{ platform[env.KEY] }}",
		"${{ null }} ${{ NaN }}",
	} {
		require.Empty(t, parse(t, src).Check(scope()), src)
	}
}

func TestCheckProblems(t *testing.T) {
	for _, tt := range []struct {
		src  string
		want []expr.Problem
	}{
		{"a ${{ versoin }}", []expr.Problem{{Offset: 6, Message: `there is no "versoin" here`, Hint: `did you mean "version"?`, Allowed: []string{"env", "inputs", "platform", "version"}}}},
		{"${{ platform.cuda.cudn }}", []expr.Problem{{Offset: 18, Message: `platform.cuda has no "cudn"`, Hint: `did you mean "cudnn"?`, Allowed: []string{"cudnn", "version"}}}},
		{"${{ platform['pithon'] }}", []expr.Problem{{Offset: 13, Message: `platform has no "pithon"`, Hint: `did you mean "python"?`, Allowed: []string{"cuda", "gpu", "l4t", "python"}}}},
		{"${{ version.major }}", []expr.Problem{{Offset: 12, Message: "version is a string and has no properties"}}},
		{"${{ inputs.jobs.* }}", []expr.Problem{{Offset: 4, Message: "inputs.jobs is a number and has no elements"}}},
		{"${{ platform.gpu.sm.first }}", []expr.Problem{{Offset: 20, Message: `platform.gpu.sm is a list and has no property "first"`, Hint: "use [0] for an element, or .* for all"}}},
		{"-D${{ platform.gpu.sm }}", []expr.Problem{{Offset: 6, Message: "platform.gpu.sm is a list and cannot be used in text", Hint: "use join(...) or toJSON(...)"}}},
		{"-D${{ platform }}", []expr.Problem{{Offset: 6, Message: "platform is a map and cannot be used in text", Hint: "use toJSON(...), or one of its properties"}}},
		{"${{ joinn(platform.gpu.sm) }}", []expr.Problem{{Offset: 4, Message: `there is no function "joinn"`, Hint: `did you mean "join"?`, Allowed: []string{"contains", "endsWith", "format", "fromJSON", "join", "startsWith", "toJSON"}}}},
		{"${{ hashFiles('x') }}", []expr.Problem{{Offset: 4, Message: "hashFiles is answered by a running workflow, not here", Allowed: []string{"contains", "endsWith", "format", "fromJSON", "join", "startsWith", "toJSON"}}}},
		{"${{ contains(version) }}", []expr.Problem{{Offset: 4, Message: "contains takes 2 arguments, not 1"}}},
		{"${{ toJSON() }}", []expr.Problem{{Offset: 4, Message: "toJSON takes 1 argument, not 0"}}},
		{"${{ format() }}", []expr.Problem{{Offset: 4, Message: "format takes 1 or more arguments, not 0"}}},
		{"${{ startsWith(platform.gpu.sm, 'sm') }}", []expr.Problem{{Offset: 15, Message: "platform.gpu.sm is a list and cannot be used as an argument of startsWith", Hint: "use join(...) or toJSON(...)"}}},
		{"${{ format('{2}', version) }}", []expr.Problem{{Offset: 11, Message: "format: {2} has no argument: there are 1 behind the text"}}},
		{"${{ format('{', version) }}", []expr.Problem{{Offset: 11, Message: "format: a single {: write {{ for the character"}}},
		{"${{ join(platform.cuda) }}", []expr.Problem{{Offset: 9, Message: "platform.cuda is a map and cannot be joined", Hint: "use .* for a list of its values"}}},
		{"${{ platform.gpu.sm == 'sm_87' }}", []expr.Problem{{Offset: 4, Message: "platform.gpu.sm is a list and cannot be compared", Hint: "use contains(...), or one of its values"}}},
		{"${{ a }} ${{ b.c }}", []expr.Problem{
			{Offset: 4, Message: `there is no "a" here`, Allowed: []string{"env", "inputs", "platform", "version"}},
			{Offset: 13, Message: `there is no "b" here`, Allowed: []string{"env", "inputs", "platform", "version"}},
		}},
	} {
		t.Run(tt.src, func(t *testing.T) {
			require.Equal(t, tt.want, parse(t, tt.src).Check(scope()))
		})
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"v${{ version }}", "${{ platform.gpu.sm.*.x[0] == (1 < 2) == !true }}", "${{ (a) == b == (c == d).e }}", "${{ format('{0}{{', 'a', 1e5) }}",
		"${{ fromJSON('{\"a\":[1]}').a[0] }}", "${{ toJSON(env) }}${{", "${{ 'it''s' }}", "${{\ufeff1}}", "${{ NaN }}", "a && b || ${{ c }}", "${{ -0x1 }}", "}}",
	} {
		f.Add(s)
	}
	values := map[string]any{
		"version": "2.8.0", "platform": map[string]any{"l4t": "36.4.0", "gpu": map[string]any{"sm": []string{"sm_87"}}},
		"env": map[string]string{"A": "1", "a": "2"}, "inputs": map[string]any{"jobs": 3, "source": nil},
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, read := range []func(string) (*expr.Template, error){expr.Parse, expr.ParseCondition} {
			template, err := read(src)
			if err != nil {
				var syntax *expr.SyntaxError
				require.ErrorAs(t, err, &syntax)
				require.True(t, syntax.Offset >= 0 && syntax.Offset <= len(src), "offset %d of %q", syntax.Offset, src)
				continue
			}
			for _, p := range template.Check(scope()) {
				require.True(t, p.Offset >= 0 && p.Offset < len(src), "offset %d of %q", p.Offset, src)
				require.NotEmpty(t, p.Message)
			}
			for _, p := range template.Parts() {
				require.Equal(t, p.Text, src[p.Offset:p.Offset+len(p.Text)])
			}
			_ = template.Refs()
			first, firstErr := template.String(values)
			again, againErr := template.String(values)
			require.Equal(t, first, again)
			require.Equal(t, firstErr, againErr)
			if v, err := template.Eval(values); err == nil {
				_ = expr.Truthy(v)
			}
			require.LessOrEqual(t, len(first), len(src)+1<<20)
			if template.Literal() {
				require.Equal(t, src, first)
			}
		}
	})
}

package workflow

import (
	"strings"

	"github.com/jetcrate/jetcrate/internal/expr"
)

// contexts evaluates expressions at one place of a run.
type contexts struct {
	values    map[string]any
	functions []expr.Function
}

// with is the same with other contexts added or replaced.
func (c *contexts) with(more map[string]any) *contexts {
	out := &contexts{values: map[string]any{}, functions: c.functions}
	for k, v := range c.values {
		out.values[k] = v
	}
	for k, v := range more {
		out.values[k] = v
	}
	return out
}

// value evaluates a text that may be one expression, whose value it is then.
func (c *contexts) value(s string) (any, error) {
	if !strings.Contains(s, "${{") {
		return s, nil
	}
	t, err := expr.Parse(s)
	if err != nil {
		return nil, err
	}
	return t.EvalWith(c.values, c.functions)
}

// text evaluates a text.
func (c *contexts) text(s string) (string, error) {
	if !strings.Contains(s, "${{") {
		return s, nil
	}
	t, err := expr.Parse(s)
	if err != nil {
		return "", err
	}
	return t.StringWith(c.values, c.functions)
}

// texts evaluates the values of a map.
func (c *contexts) texts(m map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, k := range sorted(m) {
		v, err := c.text(m[k])
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

// condition evaluates an `if:`. One that calls no status function holds only
// after success.
func (c *contexts) condition(s string) (bool, error) {
	if strings.TrimSpace(s) == "" {
		s = "success()"
	}
	t, err := expr.ParseCondition(s)
	if err != nil {
		return false, err
	}
	if !asksStatus(t) {
		ok, err := c.condition("success()")
		if err != nil || !ok {
			return false, err
		}
	}
	v, err := t.EvalWith(c.values, c.functions)
	return expr.Truthy(v), err
}

func asksStatus(t *expr.Template) bool {
	for _, f := range t.Calls() {
		switch f {
		case "success", "failure", "always", "cancelled":
			return true
		}
	}
	return false
}

// statusFunctions are those that ask how the run stands. state gives success,
// failure or cancelled.
func statusFunctions(state func() Conclusion) []expr.Function {
	is := func(name string, want func(Conclusion) bool) expr.Function {
		return expr.Function{Name: name, Result: expr.Bool, Run: func([]any) (any, error) {
			return want(state()), nil
		}}
	}
	return []expr.Function{
		is("success", func(c Conclusion) bool { return c == Success }),
		is("failure", func(c Conclusion) bool { return c == Failure }),
		is("cancelled", func(c Conclusion) bool { return c == Cancelled }),
		is("always", func(Conclusion) bool { return true }),
	}
}

// Conclusion is how a job or a step ended.
type Conclusion string

// The conclusions, in GitHub's words.
const (
	Success   Conclusion = "success"
	Failure   Conclusion = "failure"
	Cancelled Conclusion = "cancelled"
	Skipped   Conclusion = "skipped"
)

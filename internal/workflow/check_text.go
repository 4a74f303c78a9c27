package workflow

import (
	"errors"
	"strconv"
	"strings"

	"github.com/jetcrate/jetcrate/internal/expr"
)

func (c *checker) concurrency(s scopes, key string, k *Concurrency, at []any) {
	if k != nil {
		c.text(s, key, k.Group, join(at, "group"))
		c.boolean(s, key, k.CancelInProgress, join(at, "cancel-in-progress"))
	}
}

func (c *checker) texts(s scopes, key string, m map[string]string, at []any) {
	for _, name := range sorted(m) {
		c.text(s, key, m[name], join(at, name))
	}
}

// text checks the expressions of a text. No key means that there can be none.
func (c *checker) text(s scopes, key, text string, at []any) {
	t, err := expr.Parse(text)
	if err != nil {
		c.syntax(err, at)
		return
	}
	c.template(s, key, t, at)
}

func (c *checker) condition(s scopes, key, text string, at []any) {
	if text == "" {
		return
	}
	t, err := expr.ParseCondition(text)
	if err != nil {
		c.syntax(err, at)
		return
	}
	c.template(s, key, t, at)
}

func (c *checker) syntax(err error, at []any) {
	var e *expr.SyntaxError
	if errors.As(err, &e) {
		c.list.Errorf("expression-syntax", c.w.Doc.PosAt(e.Offset, at...), "expression: %s", e.Message)
	}
}

func (c *checker) template(s scopes, key string, t *expr.Template, at []any) {
	scope, functions := s.at(key)
	for _, p := range t.CheckWith(scope, functions) {
		d := c.list.Errorf("bad-expression", c.w.Doc.PosAt(p.Offset, at...), "%s", p.Message)
		d.Allowed, d.Hint = p.Allowed, p.Hint
	}
}

// number checks a text that must be a positive number, or an expression.
func (c *checker) number(s scopes, key, text string, at []any) {
	c.text(s, key, text, at)
	if n, err := strconv.ParseFloat(text, 64); text != "" && !strings.Contains(text, "${{") && (err != nil || n <= 0 || n > maxMinutes) {
		c.report("bad-value", nil, "", at, "%s must be a number above 0 and up to %d, found %q", at[len(at)-1], maxMinutes, text)
	}
}

// maxMinutes is GitHub's longest timeout: 35 days of a self-hosted runner.
const maxMinutes = 50400

// boolean checks a text that must be true, false or an expression.
func (c *checker) boolean(s scopes, key, text string, at []any) {
	c.text(s, key, text, at)
	if text != "" && text != "true" && text != "false" && !strings.Contains(text, "${{") {
		c.report("bad-value", []string{"true", "false"}, "", at, "%s cannot be %q", at[len(at)-1], text)
	}
}

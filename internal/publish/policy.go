package publish

import (
	"fmt"
	"slices"

	"github.com/jetcrate/jetcrate/internal/execute"
	"github.com/jetcrate/jetcrate/internal/spec"
	"github.com/jetcrate/jetcrate/internal/table"
	"github.com/jetcrate/jetcrate/internal/table/fold"
)

// Judge says why an image may not go to a place; nothing means that it may.
func Judge(c fold.Cell, rules spec.Repository) []string {
	var why []string
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if c.Row.Platform.Testbed && !rules.Testbed {
		add("r%s is a stand-in for checks (testbed), and no release may hold it", c.Row.Platform.L4T)
	}
	matched := map[string]bool{}
	passed := 0
	for _, t := range c.Tests {
		name := t.Package + "/" + t.Name
		verdict := ran(t)
		if verdict == "" {
			passed++
		}
		required := !t.GPU && len(rules.Tests) == 0 || t.GPU && rules.GPURequired()
		for _, want := range []string{t.Name, name} {
			if slices.Contains(rules.Tests, want) {
				matched[want], required = true, true
			}
		}
		switch {
		case t.Evidence.Status == execute.Failed:
			add("the test %s failed%s", name, because(t.Evidence.Reason))
		case verdict != "" && required:
			add("the test %s %s", name, verdict)
		}
	}
	for _, want := range rules.Tests {
		if !matched[want] {
			add("it has no test %s, which %s requires", want, rules.Repository)
		}
	}
	if passed == 0 && len(why) == 0 {
		add("no test of it has passed")
	}
	return why
}

// ran says what is wrong with the evidence of a test; "" is nothing: it passed.
func ran(t fold.Test) string {
	e := t.Evidence
	switch {
	case t.Record == "":
		return "was never run on this image"
	case e.Package != t.Package || e.Test != t.Name || e.GPU != t.GPU:
		return "has evidence that is of another test"
	case e.Status == execute.Passed && e.ExitCode == 0:
		return ""
	case e.Status == execute.Status(table.Simulated):
		return "was only simulated" + because(e.Reason)
	}
	return "was " + string(e.Status) + because(e.Reason)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

package workflow

import (
	"github.com/invopop/jsonschema"

	"github.com/jetcrate/jetcrate/internal/spec"
)

// Format is that of pipelines/*.yaml.
func Format() (*spec.Format, error) {
	return spec.NewFormat("pipeline", "pipelines/<name>.yaml: a pipeline of a jetcrate catalog, in the syntax of a GitHub workflow", Workflow{})
}

// Events are those that can start a pipeline.
func Events() []string {
	return []string{"pull_request", "push", "release", "schedule", "workflow_dispatch"}
}

func text() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }

func anyOf(all ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: all} }

// or is a text in place of what a type's own schema says.
func or(s, alone *jsonschema.Schema) {
	own := *s
	*s = *anyOf(alone, &own)
}

// JSONSchema allows a text in place of a list.
func (Names) JSONSchema() *jsonschema.Schema {
	return anyOf(text(), &jsonschema.Schema{Type: "array", Items: text()})
}

// JSONSchemaExtend allows the image alone.
func (Container) JSONSchemaExtend(s *jsonschema.Schema) { or(s, text()) }

// JSONSchemaExtend allows the group alone.
func (Concurrency) JSONSchemaExtend(s *jsonschema.Schema) { or(s, text()) }

// JSONSchema names the events, each with what it can be filtered by.
func (Triggers) JSONSchema() *jsonschema.Schema {
	event := text()
	for _, e := range Events() {
		event.Enum = append(event.Enum, e)
	}
	list := func() *jsonschema.Schema { return &jsonschema.Schema{Type: "array", Items: text()} }
	object := func(keys ...string) *jsonschema.Schema {
		s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
		for _, k := range keys {
			s.Properties.Set(k, list())
		}
		return s
	}
	optional := func(s *jsonschema.Schema) *jsonschema.Schema { return anyOf(&jsonschema.Schema{Type: "null"}, s) }
	all := object()
	all.Properties.Set("push", optional(object("branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore")))
	all.Properties.Set("pull_request", optional(object("types", "branches", "branches-ignore", "paths", "paths-ignore")))
	all.Properties.Set("release", optional(object("types")))
	at := object()
	at.Properties.Set("cron", text())
	at.Required = []string{"cron"}
	all.Properties.Set("schedule", &jsonschema.Schema{Type: "array", Items: at})
	input := object()
	input.Properties.Set("description", text())
	input.Properties.Set("required", &jsonschema.Schema{Type: "boolean"})
	input.Properties.Set("default", anyOf(&jsonschema.Schema{Type: "boolean"}, text()))
	kind := text()
	kind.Enum = []any{"string", "boolean", "number", "choice"}
	input.Properties.Set("type", kind)
	input.Properties.Set("options", list())
	dispatch := object()
	dispatch.Properties.Set("inputs", &jsonschema.Schema{Type: "object", AdditionalProperties: optional(input), PropertyNames: identifier()})
	all.Properties.Set("workflow_dispatch", optional(dispatch))
	eventList := &jsonschema.Schema{Type: "array", Items: event}
	return anyOf(event, eventList, all)
}

// JSONSchema is open: what an axis holds is any value.
func (Matrix) JSONSchema() *jsonschema.Schema {
	entries := func() *jsonschema.Schema {
		return anyOf(text(), &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "object"}})
	}
	object := &jsonschema.Schema{
		Type: "object", Properties: jsonschema.NewProperties(), PropertyNames: identifier(),
		AdditionalProperties: anyOf(text(), &jsonschema.Schema{Type: "array", Items: jsonschema.TrueSchema}),
	}
	object.Properties.Set("include", entries())
	object.Properties.Set("exclude", entries())
	return anyOf(text(), object)
}

// JSONSchemaExtend restricts the names that are keys, and asks for a job.
func (Workflow) JSONSchemaExtend(s *jsonschema.Schema) {
	names(s, "env", variable())
	names(s, "jobs", identifier())
	jobs, _ := s.Properties.Get("jobs")
	one := uint64(1)
	jobs.MinProperties = &one
	permissions(s)
}

// JSONSchemaExtend restricts the names that are keys.
func (Job) JSONSchemaExtend(s *jsonschema.Schema) {
	names(s, "env", variable())
	names(s, "outputs", identifier())
	permissions(s)
}

// JSONSchemaExtend restricts the names that are keys.
func (Step) JSONSchemaExtend(s *jsonschema.Schema) {
	names(s, "env", variable())
	names(s, "with", identifier())
	id, _ := s.Properties.Get("id")
	id.Pattern = identifier().Pattern
}

func names(s *jsonschema.Schema, property string, pattern *jsonschema.Schema) {
	p, _ := s.Properties.Get(property)
	p.PropertyNames = pattern
}

// permissions names what GitHub's token can be given.
func permissions(s *jsonschema.Schema) {
	p, _ := s.Properties.Get("permissions")
	level := text()
	level.Enum = []any{"read", "write", "none"}
	p.AdditionalProperties = jsonschema.FalseSchema
	p.Properties = jsonschema.NewProperties()
	for _, scope := range []string{"actions", "attestations", "checks", "contents", "deployments", "id-token", "issues", "packages", "pages", "pull-requests", "security-events", "statuses"} {
		p.Properties.Set(scope, level)
	}
}

func variable() *jsonschema.Schema {
	return &jsonschema.Schema{Pattern: "^[A-Za-z_][A-Za-z0-9_]*$"}
}

func identifier() *jsonschema.Schema {
	return &jsonschema.Schema{Pattern: "^[A-Za-z_][A-Za-z0-9_-]*$"}
}

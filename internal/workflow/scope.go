package workflow

import (
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/jetcrate/jetcrate/internal/expr"
)

func kind(k expr.Kind) *expr.Type { return &expr.Type{Kind: k} }

func openMap(elem *expr.Type) *expr.Type {
	return &expr.Type{Kind: expr.Object, Open: true, Elem: elem}
}

func fields(of map[string]*expr.Type) *expr.Type {
	return &expr.Type{Kind: expr.Object, Fields: of}
}

func textFields(names ...string) *expr.Type {
	of := map[string]*expr.Type{}
	for _, n := range names {
		of[n] = kind(expr.String)
	}
	return fields(of)
}

// githubFields are the texts of the context github; event and what is in it are
// as the event has them.
func githubFields() []string {
	return strings.Fields(`action actor api_url base_ref event_name head_ref job ref ref_name ref_type repository
		repository_owner run_attempt run_id run_number server_url sha token triggering_actor workflow workspace`)
}

// scopes makes the scope of each place of a pipeline.
type scopes struct{ all expr.Scope }

// workflowScopes are the contexts that all jobs share.
func workflowScopes(w *Workflow) scopes {
	github := textFields(githubFields()...)
	github.Fields["event"] = nil
	inputs := map[string]*expr.Type{}
	if t := w.On["workflow_dispatch"]; t != nil {
		for name, in := range t.Inputs {
			inputs[name] = kind(expr.String)
			if in != nil {
				inputs[name] = kind(map[string]expr.Kind{"boolean": expr.Bool, "number": expr.Number}[in.Type])
				if in.Type == "" || in.Type == "string" || in.Type == "choice" {
					inputs[name] = kind(expr.String)
				}
			}
		}
	}
	return scopes{expr.Scope{
		"github": github, "inputs": fields(inputs),
		"env": openMap(kind(expr.String)), "vars": openMap(kind(expr.String)), "secrets": openMap(kind(expr.String)),
	}}
}

// job adds the contexts of a job.
func (s scopes) job(w *Workflow, j *Job) scopes {
	out := s.clone()
	out["runner"] = textFields("arch", "environment", "name", "os", "temp", "tool_cache")
	out["job"] = textFields("status")
	out["strategy"] = fields(map[string]*expr.Type{
		"fail-fast": kind(expr.Bool), "job-index": kind(expr.Number), "job-total": kind(expr.Number), "max-parallel": kind(expr.Number),
	})
	out["matrix"] = matrixType(j)
	needs := map[string]*expr.Type{}
	for _, id := range j.Needs {
		if n := w.Jobs[id]; n != nil {
			outputs := map[string]*expr.Type{}
			for name := range n.Outputs {
				outputs[name] = kind(expr.String)
			}
			needs[id] = fields(map[string]*expr.Type{"result": kind(expr.String), "outputs": fields(outputs)})
		}
	}
	out["needs"] = fields(needs)
	out["steps"] = fields(map[string]*expr.Type{})
	return scopes{out}
}

// step adds the outputs of the steps so far.
func (s scopes) after(steps []*Step, actions Actions) scopes {
	out := s.clone()
	of := map[string]*expr.Type{}
	for _, st := range steps {
		if st.ID == "" {
			continue
		}
		outputs := openMap(kind(expr.String))
		if a, ok := actions[st.Uses]; ok {
			outputs = textFields(sorted(a.Outputs)...)
		}
		of[st.ID] = fields(map[string]*expr.Type{"outputs": outputs, "conclusion": kind(expr.String), "outcome": kind(expr.String)})
	}
	out["steps"] = fields(of)
	return scopes{out}
}

func (s scopes) clone() expr.Scope {
	out := expr.Scope{}
	for k, v := range s.all {
		out[k] = v
	}
	return out
}

// matrixType is what is known of the context matrix.
func matrixType(j *Job) *expr.Type {
	if j.Strategy == nil || j.Strategy.Matrix == nil {
		return fields(map[string]*expr.Type{})
	}
	m := j.Strategy.Matrix
	of := map[string]*expr.Type{}
	for _, a := range m.Axes {
		of[a.Name] = nil
	}
	open := m.Expr != ""
	if m.Include != nil {
		open = open || m.Include.Expr != ""
		for _, v := range m.Include.Values {
			o, _ := v.(Object)
			for _, e := range o {
				of[e.Name] = nil
			}
		}
	}
	return &expr.Type{Kind: expr.Object, Fields: of, Open: open}
}

// at is the scope of a key of GitHub's syntax, and the functions that only a
// running workflow answers: which contexts and functions exist where is GitHub's
// table (https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#context-availability).
func (s scopes) at(key string) (expr.Scope, []expr.Function) {
	names, special := actionlint.WorkflowKeyAvailability(key)
	scope := expr.Scope{}
	for _, n := range names {
		if t, ok := s.all[n]; ok {
			scope[n] = t
		}
	}
	var functions []expr.Function
	for _, n := range special {
		f := expr.Function{Name: n, Result: expr.Bool}
		if n == "hashfiles" {
			f = expr.Function{Name: "hashFiles", Min: 1, Max: maxPatterns, Result: expr.String}
		}
		functions = append(functions, f)
	}
	return scope, functions
}

// maxPatterns is how many patterns hashFiles takes.
const maxPatterns = 255

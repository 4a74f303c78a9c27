package plan

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ArgoOptions are what the pods of an Argo workflow need.
type ArgoOptions struct {
	Image  string   // with jetcrate, and the catalog at /catalog
	Engine string   // BuildKit that the pods reach
	Store  string   // registry that the pods reach
	CPUs   int      // of a pod; 0 is 4
	Waves  int      // as the plan was cut with
	Args   []string // what the plan was asked for, for jetcrate build
}

// The parts of an Argo Workflow that are written, as its schema names them:
// https://github.com/argoproj/argo-workflows/blob/v3.6.5/api/jsonschema/schema.json
type (
	argoWorkflow struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Metadata   argoMeta `yaml:"metadata"`
		Spec       argoSpec `yaml:"spec"`
	}
	argoMeta struct {
		GenerateName string            `yaml:"generateName"`
		Labels       map[string]string `yaml:"labels,omitempty"`
	}
	argoSpec struct {
		Entrypoint string            `yaml:"entrypoint"`
		Arguments  argoArguments     `yaml:"arguments"`
		Selector   map[string]string `yaml:"nodeSelector"`
		Templates  []argoTemplate    `yaml:"templates"`
	}
	argoArguments struct {
		Parameters []argoParameter `yaml:"parameters,omitempty"`
	}
	argoParameter struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value,omitempty"`
	}
	argoTemplate struct {
		Name      string            `yaml:"name"`
		Inputs    *argoArguments    `yaml:"inputs,omitempty"`
		DAG       *argoDAG          `yaml:"dag,omitempty"`
		Selector  map[string]string `yaml:"nodeSelector,omitempty"`
		Retry     *argoRetry        `yaml:"retryStrategy,omitempty"`
		Container *argoContainer    `yaml:"container,omitempty"`
	}
	argoDAG struct {
		FailFast bool       `yaml:"failFast"`
		Tasks    []argoTask `yaml:"tasks"`
	}
	argoTask struct {
		Name         string        `yaml:"name"`
		Template     string        `yaml:"template"`
		Dependencies []string      `yaml:"dependencies,omitempty,flow"`
		Arguments    argoArguments `yaml:"arguments,omitempty"`
	}
	argoRetry struct {
		Limit      string      `yaml:"limit"`
		Policy     string      `yaml:"retryPolicy"`
		Expression string      `yaml:"expression"`
		Backoff    argoBackoff `yaml:"backoff"`
	}
	argoBackoff struct {
		Duration    string `yaml:"duration"`
		Factor      string `yaml:"factor"`
		MaxDuration string `yaml:"maxDuration"`
	}
	argoContainer struct {
		Image      string        `yaml:"image"`
		Command    []string      `yaml:"command,flow"`
		Args       []string      `yaml:"args,flow"`
		WorkingDir string        `yaml:"workingDir"`
		Resources  argoResources `yaml:"resources"`
	}
	argoResources struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits,omitempty"`
	}
)

// minMemory is what a pod asks for where no build says that it needs more.
const minMemory = 4 << 30

// Argo gives the shards as a Workflow: a DAG of pods on ARM64 nodes, each after
// those that make what it stands on; tests that need a GPU run on nodes with the
// label jetcrate.dev/l4t of their L4T release. A pod is tried again when it is lost
// or its surroundings failed (exit code 2), and not when a step or a test did.
func (s Shards) Argo(o ArgoOptions) ([]byte, error) {
	if o.CPUs <= 0 {
		o.CPUs = 4
	}
	arm := map[string]string{"kubernetes.io/arch": "arm64"}
	dag := &argoDAG{}
	w := argoWorkflow{
		APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow",
		Metadata: argoMeta{GenerateName: "jetcrate-", Labels: map[string]string{"jetcrate.dev/shard-plan": s.ID}},
		Spec: argoSpec{
			Entrypoint: "shards", Selector: arm,
			Arguments: argoArguments{[]argoParameter{{"image", o.Image}, {"engine", o.Engine}, {"store", o.Store}}},
			Templates: []argoTemplate{{Name: "shards", DAG: dag}},
		},
	}
	template := func(x Shard) argoTemplate {
		memory := max(minMemory, x.memory*int64(o.CPUs))
		args := append([]string{"build"}, o.Args...)
		args = append(args, s.Args(x, o.Waves)...)
		args[indexOf(args, x.Name)] = "{{inputs.parameters.shard}}"
		args = append(args, "--engine", "{{workflow.parameters.engine}}", "--store", "{{workflow.parameters.store}}", "--progress", "plain")
		t := argoTemplate{
			Name:   fmt.Sprintf("build-%dgi", memory>>30),
			Inputs: &argoArguments{[]argoParameter{{Name: "shard"}}},
			Retry: &argoRetry{
				Limit: "3", Policy: "Always", Expression: "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 2",
				Backoff: argoBackoff{Duration: "30s", Factor: "2", MaxDuration: "10m"},
			},
			Container: &argoContainer{
				Image: "{{workflow.parameters.image}}", Command: []string{"jetcrate"}, Args: args, WorkingDir: "/catalog",
				Resources: argoResources{Requests: map[string]string{"cpu": fmt.Sprint(o.CPUs), "memory": fmt.Sprintf("%dGi", memory>>30)}},
			},
		}
		if x.Device != "" {
			t.Name = "jetson-" + strings.ReplaceAll(x.Device, ".", "-")
			t.Selector = map[string]string{"kubernetes.io/arch": "arm64", "jetcrate.dev/l4t": x.Device}
			t.Container.Args[0] = "test"
			t.Container.Args = append(t.Container.Args, "--gpu")
		}
		return t
	}
	made := map[string]bool{}
	for _, wave := range s.Waves {
		for _, x := range wave {
			t := template(x)
			if !made[t.Name] {
				made[t.Name] = true
				w.Spec.Templates = append(w.Spec.Templates, t)
			}
			task := argoTask{Name: argoName(x.Name), Template: t.Name, Arguments: argoArguments{[]argoParameter{{"shard", x.Name}}}}
			for _, n := range x.Needs {
				task.Dependencies = append(task.Dependencies, argoName(n))
			}
			dag.Tasks = append(dag.Tasks, task)
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(w); err != nil {
		return nil, fmt.Errorf("writing the Argo workflow: %w", err)
	}
	return out.Bytes(), nil
}

// argoName is a shard's name as Kubernetes allows it.
func argoName(shard string) string { return "shard-" + strings.ReplaceAll(shard, "/", "-") }

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

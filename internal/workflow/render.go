package workflow

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// HostRunner is the GitHub runner that stands for runs-on: host: ARM64, so that
// nothing is emulated.
const HostRunner = "ubuntu-24.04-arm"

// Render writes a pipeline as a GitHub workflow. The tree of its file is kept,
// comments too; changed is what GitHub does not know:
//
//   - runs-on: host is HostRunner;
//   - an action is the command `jetcrate pipeline action`, with its inputs as
//     variables, so that no value becomes code;
//   - a job begins with the checkout; one with actions builds jetcrate and, where
//     it may write packages, logs in to the store's registry;
//   - without permissions the token may read the repository, and no more; without
//     concurrency one run per branch is at work.
func Render(w *Workflow) ([]byte, error) {
	root := clone(w.Doc.Root)
	if len(root.Content) > 0 { // the schema that an editor is told
		lines := strings.SplitAfter(root.Content[0].HeadComment, "\n")
		lines = slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, "yaml-language-server") })
		root.Content[0].HeadComment = strings.Join(lines, "")
	}
	if child(root, "permissions") == nil {
		after(root, "on", "permissions", mustParse("{contents: read}"))
	}
	if child(root, "concurrency") == nil {
		after(root, "permissions", "concurrency", mustParse(`{group: "${{ github.workflow }}-${{ github.ref }}"}`))
	}
	jobs := child(root, "jobs")
	for _, id := range w.Order {
		renderJob(w.Jobs[id], child(jobs, id))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Rendered from %s by `jetcrate pipeline render`. Change that file, not this one.\n", w.Doc.Name)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", w.Doc.Name, err)
	}
	return b.Bytes(), nil
}

func renderJob(j *Job, n *yaml.Node) {
	on := child(n, "runs-on")
	for _, label := range append([]*yaml.Node{on}, on.Content...) {
		if label.Kind == yaml.ScalarNode && label.Value == HostLabel {
			label.Value = HostRunner
		}
	}
	steps := child(n, "steps")
	steps.Style = 0
	acts := false
	for i, st := range j.Steps {
		if st.Uses != "" {
			acts = true
			renderAction(steps.Content[i])
		}
		blockStyle(steps.Content[i])
	}
	blockStyle(n)
	before := checkout()
	if acts {
		before = append(before, setup()...)
	}
	if acts && j.Permissions["packages"] == "write" {
		before = append(before, login()...)
	}
	steps.Content = append(before, steps.Content...)
}

// renderAction turns `uses` and `with` into a command and variables.
func renderAction(step *yaml.Node) {
	for i := 0; i+1 < len(step.Content); i += 2 {
		if step.Content[i].Value == "uses" {
			step.Content[i].Value = "run"
			step.Content[i+1].Value = "jetcrate pipeline action " + step.Content[i+1].Value
			step.Content[i+1].Style = 0
		}
	}
	with := child(step, "with")
	if with == nil {
		return
	}
	remove(step, "with")
	env := child(step, "env")
	if env == nil {
		env = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		after(step, "run", "env", env)
	}
	for i := 0; i+1 < len(with.Content); i += 2 {
		key := clone(with.Content[i])
		key.Value = InputVariable(key.Value)
		env.Content = append(env.Content, key, with.Content[i+1])
	}
}

// InputVariable is the variable that carries an input of an action.
func InputVariable(input string) string {
	return "INPUT_" + strings.ToUpper(strings.ReplaceAll(input, "-", "_"))
}

// The actions of others that rendered workflows use, by commit. docs/pipelines.md
// says where the commits come from.
const (
	checkoutAction = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"
	checkoutNote   = "v4.2.2"
	goAction       = "actions/setup-go@d35c59abb061a4a6fb18e82ac0862c26744d6ab5"
	goNote         = "v5.5.0"
)

func checkout() []*yaml.Node {
	return mustParse(`
- name: Check out
  uses: ` + checkoutAction + ` # ` + checkoutNote + `
  with: {fetch-depth: 0, persist-credentials: false}
`).Content
}

func setup() []*yaml.Node {
	return mustParse(`
- name: Set up Go
  uses: ` + goAction + ` # ` + goNote + `
  with: {go-version-file: go.mod}
- name: Build jetcrate
  run: |
    make build
    echo "$PWD/bin" >> "$GITHUB_PATH"
`).Content
}

// login lets jetcrate write to the store with the job's own token.
func login() []*yaml.Node {
	return mustParse(`
- name: Log in to the store
  if: env.JETCRATE_STORE != ''
  env:
    TOKEN: ${{ github.token }}
    ACTOR: ${{ github.actor }}
  run: echo "$TOKEN" | docker login "${JETCRATE_STORE%%/*}" --username "$ACTOR" --password-stdin
`).Content
}

// mustParse reads YAML of this file.
func mustParse(text string) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		panic(err)
	}
	return n.Content[0]
}

func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = clone(n.Content[i])
	}
	return &c
}

// after puts a key behind another one, or at the end.
func after(m *yaml.Node, behind, key string, value *yaml.Node) {
	at := len(m.Content)
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == behind {
			at = i + 2
		}
	}
	m.Content = slices.Insert(m.Content, at, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

func remove(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = slices.Delete(m.Content, i, i+2)
			return
		}
	}
}

// blockStyle writes a map over several lines.
func blockStyle(n *yaml.Node) { n.Style &^= yaml.FlowStyle }

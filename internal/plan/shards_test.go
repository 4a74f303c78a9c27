package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/jetcrate/jetcrate/internal/plan"
	"github.com/jetcrate/jetcrate/internal/spec"
)

// realPlan is the plan of every package of this repository, on two platforms.
func realPlan(t testing.TB) *plan.Plan {
	t.Helper()
	root := os.DirFS("../..")
	cat, list := spec.Load(root, spec.Options{})
	require.NoError(t, list.Err())
	var reqs []plan.Request
	for _, r := range wholly(cat) {
		if r.Platform.L4T == "36.4.0" || r.Platform.L4T == "35.4.1" {
			reqs = append(reqs, r)
		}
	}
	p, err := plan.New(cat, root, reqs)
	require.NoError(t, err)
	return p
}

// recorded gives durations in the shape of real ones.
func recorded(p *plan.Plan) map[string]time.Duration {
	rng := rand.New(rand.NewPCG(1, 2))
	out := p.Estimates(nil)
	for _, n := range p.Nodes {
		out[n.Key] = time.Duration(float64(out[n.Key]) * (0.2 + 1.6*rng.Float64()))
	}
	return out
}

// checkShards holds that every node is in one shard, and what it stands on in an
// earlier wave or the same shard; it gives the time that all takes, and all work.
func checkShards(t *testing.T, p *plan.Plan, s plan.Shards, took map[string]time.Duration) (makespan, work time.Duration) {
	t.Helper()
	wave, shard := map[string]int{}, map[string]string{}
	for i, w := range s.Waves {
		longest := time.Duration(0)
		for j, x := range w {
			require.Equal(t, fmt.Sprintf("%d/%d", i+1, j+1), x.Name)
			require.NotEmpty(t, x.Nodes)
			sum := time.Duration(0)
			for _, k := range x.Nodes {
				require.Empty(t, shard[k], "%s is in two shards", k)
				wave[k], shard[k] = i, x.Name
				sum += took[k]
			}
			require.Equal(t, sum, x.Took)
			work += sum
			longest = max(longest, sum)
		}
		makespan += longest
	}
	require.Len(t, shard, len(p.Nodes))
	for _, n := range p.Nodes {
		for _, k := range append(append([]string(nil), n.Needs...), n.Gates...) {
			if shard[k] != shard[n.Key] && wave[k] >= wave[n.Key] {
				t.Fatalf("%s (%s) waits for %s (%s)", n.Title(), shard[n.Key], p.Node(k).Title(), shard[k])
			}
		}
	}
	return makespan, work
}

func TestShardsOfTheCatalog(t *testing.T) {
	p := realPlan(t)
	took := recorded(p)
	for _, count := range []int{1, 4, 16} {
		for _, devices := range []bool{false, true} {
			began := time.Now()
			o := plan.ShardOptions{Count: count, Took: took, Devices: devices}
			s := p.Shard(o)
			cutting := time.Since(began)
			makespan, work := checkShards(t, p, s, took)
			again := p.Shard(o)
			require.Equal(t, s, again)
			if !devices {
				require.LessOrEqual(t, len(s.Waves), 4)
				ideal := work / time.Duration(count)
				t.Logf("%2d shards: %d waves, %v, at best %v: %.2f; cut in %v", count, len(s.Waves), makespan.Round(time.Minute), ideal.Round(time.Minute), float64(makespan)/float64(ideal), cutting)
			}
			for _, w := range s.Waves {
				for _, x := range w {
					for _, k := range x.Nodes {
						n := p.Node(k)
						gpu := n.Kind == plan.Test && n.Test.GPU
						require.Equal(t, devices && gpu, x.Device != "", "%s in %s", n.Title(), x.Name)
					}
				}
			}
		}
	}
}

// What several cells need is cut on its own: all of that, with all it stands on.
func TestShardsOfWhatCellsShare(t *testing.T) {
	p := realPlan(t)
	s := p.Shard(plan.ShardOptions{Count: 4, MaxWaves: 2, Shared: true, Took: p.Estimates(nil)})
	require.LessOrEqual(t, len(s.Waves), 2)
	users := map[string]map[string]bool{}
	var mark func(key, cell string)
	mark = func(key, cell string) {
		if users[key] == nil {
			users[key] = map[string]bool{}
		}
		if users[key][cell] {
			return
		}
		users[key][cell] = true
		n := p.Node(key)
		for _, k := range append(append([]string(nil), n.Needs...), n.Gates...) {
			mark(k, cell)
		}
	}
	for _, c := range p.Possible() {
		for _, k := range append(append([]string{c.Image}, c.Tests...), c.Gates...) {
			mark(k, c.ID)
		}
	}
	shared := map[string]bool{}
	for _, w := range s.Waves {
		for _, x := range w {
			for _, k := range x.Nodes {
				require.Greater(t, len(users[k]), 1, p.Node(k).Title())
				require.False(t, shared[k], "once")
				shared[k] = true
			}
		}
	}
	for k, cells := range users {
		require.Equal(t, len(cells) > 1, shared[k], p.Node(k).Title())
	}
	require.NotEmpty(t, shared)
	x := s.Waves[0][0]
	require.Equal(t, []string{"--shard", "1/1", "--shards", "4", "--waves", "2", "--shard-plan", s.ID, "--shared"}, s.Args(x, 2))
}

// Two plans made apart, as by two jobs, are cut the same way.
func TestShardsAreAFunction(t *testing.T) {
	cat, files, reqs := synthetic{packages: 40, versions: 2, platforms: 3, stacks: 1}.load(t)
	var first []byte
	for range 25 {
		p, err := plan.New(cat, files, reqs)
		require.NoError(t, err)
		s := p.Shard(plan.ShardOptions{Count: 5, Took: p.Estimates(nil)})
		b, err := json.Marshal(s)
		require.NoError(t, err)
		if first == nil {
			first = b
			checkShards(t, p, s, p.Estimates(nil))
		}
		require.Equal(t, string(first), string(b))
	}
}

func TestDurations(t *testing.T) {
	p := realPlan(t)
	lines := p.Lines()
	d := &plan.Durations{}
	for _, n := range p.Nodes {
		if n.Kind == plan.Artifact && n.Package == "pytorch" {
			d.Note(plan.DurationName(n, lines[n.Key]), 2*time.Hour)
			d.Note(plan.DurationName(n, lines[n.Key]), time.Hour)
		}
	}
	b, err := d.Write()
	require.NoError(t, err)
	read, err := plan.ReadDurations(b)
	require.NoError(t, err)
	got := p.Estimates(read)
	for _, n := range p.Nodes {
		switch {
		case n.Kind == plan.Artifact && n.Package == "pytorch":
			require.GreaterOrEqual(t, got[n.Key], time.Hour)
			require.LessOrEqual(t, got[n.Key], 2*time.Hour)
		case n.Kind == plan.Artifact:
			require.Less(t, got[n.Key], time.Hour, "what is known of one package says nothing of another's builds")
		}
		require.Positive(t, got[n.Key])
		require.NotEmpty(t, lines[n.Key])
	}
	_, err = plan.ReadDurations([]byte(`{"schema": 2}`))
	require.ErrorContains(t, err, "schema 2")
	_, err = plan.ReadDurations([]byte(`{"schema": 1, "took": {"a": {"seconds": -1}}}`))
	require.ErrorContains(t, err, "-1 seconds")
}

// smallPlan is a plan of a few cells, for outputs that people read.
func smallPlan(t *testing.T) *plan.Plan {
	t.Helper()
	cat, files, reqs := synthetic{packages: 30, versions: 1, platforms: 2, stacks: 1}.load(t)
	p, err := plan.New(cat, files, reqs[len(reqs)/2-4:len(reqs)/2+4])
	require.NoError(t, err)
	return p
}

func TestShardsForGitHub(t *testing.T) {
	p := smallPlan(t)
	s := p.Shard(plan.ShardOptions{Count: 3, Took: p.Estimates(nil), Devices: true})
	b, err := s.GitHub(6, []string{"ubuntu-24.04-arm"})
	require.NoError(t, err)
	jobs, waves := map[string]bool{}, 0
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, "every line is NAME=VALUE")
		if !strings.HasPrefix(name, "wave") || name == "waves" {
			continue
		}
		waves++
		var m struct {
			Include []struct {
				Shard, Args, Device string
				RunsOn              []string `json:"runs-on"`
				Nodes               int
			}
		}
		require.NoError(t, json.Unmarshal([]byte(value), &m))
		for _, j := range m.Include {
			jobs[j.Shard] = true
			x, err := s.Find(j.Shard)
			require.NoError(t, err)
			require.Len(t, x.Nodes, j.Nodes)
			require.Contains(t, j.Args, "--shard "+j.Shard+" --shards 3 --waves 6 --shard-plan "+s.ID+" --devices")
			want := []string{"ubuntu-24.04-arm"}
			if x.Device != "" {
				want = []string{"self-hosted", "jetson", "l4t-" + x.Device}
			}
			require.Equal(t, want, j.RunsOn)
		}
	}
	require.Equal(t, max(6, len(s.Waves)), waves)
	for _, w := range s.Waves {
		for _, x := range w {
			require.True(t, jobs[x.Name])
		}
	}
	_, err = s.Find("9/9")
	require.ErrorContains(t, err, "there are 1/1, ")
}

// Argo's own schema of a Workflow, made strict about keys, takes what TestShardsForArgo finds.
func TestArgoAcceptsShards(t *testing.T) {
	download := exec.Command("go", "mod", "download", "-json", "github.com/argoproj/argo-workflows/v3@v3.6.5")
	download.Dir = t.TempDir()
	out, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	require.NoError(t, json.Unmarshal(out, &module), "%v", err)
	if module.Error != "" {
		t.Skip("Argo's module cannot be downloaded here")
	}
	require.Equal(t, "h1:0dvQr+CrhYgCc7ZJ4ZxusLVL/LKwHnpkT1lw/BP4+W4=", module.Sum)
	raw, err := os.ReadFile(filepath.Join(module.Dir, "api/jsonschema/schema.json"))
	require.NoError(t, err)
	var argo struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	require.NoError(t, json.Unmarshal(raw, &argo))
	for _, d := range argo.Definitions {
		if d["properties"] != nil && d["additionalProperties"] == nil {
			d["additionalProperties"] = false
		}
	}
	raw, err = json.Marshal(argo)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("argo.json", bytes.NewReader(raw)))
	schema, err := c.Compile("argo.json#/definitions/io.argoproj.workflow.v1alpha1.Workflow")
	require.NoError(t, err)

	b, err := os.ReadFile("testdata/argo.yaml")
	require.NoError(t, err)
	accepts := func(text string) error {
		var doc any
		require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
		return schema.Validate(doc)
	}
	require.NoError(t, accepts(string(b)))
	for _, wrong := range [][2]string{{"entrypoint:", "entrypiont:"}, {"retryPolicy: Always", "retryPolicy: [Always]"}, {"dependencies:", "dependsOn:"}} {
		text := strings.Replace(string(b), wrong[0], wrong[1], 1)
		require.NotEqual(t, string(b), text, wrong[0])
		require.Error(t, accepts(text), wrong[1])
	}
}

func TestShardsForArgo(t *testing.T) {
	p := smallPlan(t)
	s := p.Shard(plan.ShardOptions{Count: 3, Took: p.Estimates(nil), Devices: true})
	b, err := s.Argo(plan.ArgoOptions{Image: "registry.example/jetcrate:1", Engine: "tcp://buildkitd:1234", Store: "registry.example/store", Waves: 4, Args: []string{"--all"}})
	require.NoError(t, err)
	file := "testdata/argo.yaml"
	if *update {
		require.NoError(t, os.WriteFile(file, b, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(b))

	var w struct {
		Spec struct {
			Entrypoint string
			Templates  []struct {
				Name         string
				NodeSelector map[string]string `yaml:"nodeSelector"`
				DAG          *struct {
					Tasks []struct {
						Name, Template string
						Dependencies   []string
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(b, &w))
	templates := map[string]map[string]string{}
	for _, x := range w.Spec.Templates {
		templates[x.Name] = x.NodeSelector
	}
	require.Contains(t, templates, w.Spec.Entrypoint)
	done, jetsons := map[string]bool{}, 0
	for _, task := range w.Spec.Templates[0].DAG.Tasks {
		for _, d := range task.Dependencies {
			require.True(t, done[d], "%s comes before %s", d, task.Name)
		}
		done[task.Name] = true
		x, err := s.Find(strings.Replace(strings.TrimPrefix(task.Name, "shard-"), "-", "/", 1))
		require.NoError(t, err)
		selector, ok := templates[task.Template]
		require.True(t, ok)
		if x.Device != "" {
			jetsons++
			require.Equal(t, map[string]string{"kubernetes.io/arch": "arm64", "jetcrate.dev/l4t": x.Device}, selector)
		}
	}
	require.Positive(t, jetsons)
}

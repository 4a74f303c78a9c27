package jetcrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/plan"
)

// durationsFile is the catalog's own record of how long nodes take: being the same
// for all jobs of a commit, it makes them cut a plan the same way.
const durationsFile = "durations.json"

// cutFlags say how a plan is cut into shards.
type cutFlags struct {
	shards  int
	waves   int
	devices bool
	shared  bool
}

func (f *cutFlags) flags(c *cobra.Command, text string) {
	c.Flags().IntVar(&f.shards, "shards", 0, text)
	c.Flags().IntVar(&f.waves, "waves", 4, "waves of shards, at most, where no --devices ask for more")
	c.Flags().BoolVar(&f.devices, "devices", false, "shards of their own, on Jetsons, for tests that need a GPU")
	c.Flags().BoolVar(&f.shared, "shared", false, "shards of what more than one cell needs, and of nothing else")
}

// cut cuts a plan, by the durations that lie in the catalog.
func (f *cutFlags) cut(p *plan.Plan, files fs.FS) (plan.Shards, error) {
	if f.shards < 1 || f.waves < 1 {
		return plan.Shards{}, usage{errors.New("--shards and --waves are 1 or more")}
	}
	if f.devices && f.shared {
		return plan.Shards{}, usage{errors.New("--devices and --shared: name one of them")}
	}
	d := &plan.Durations{}
	b, err := fs.ReadFile(files, path.Clean(durationsFile))
	if err == nil {
		d, err = plan.ReadDurations(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plan.Shards{}, usage{fmt.Errorf("%s: %w", durationsFile, err)}
	}
	return p.Shard(plan.ShardOptions{Count: f.shards, MaxWaves: f.waves, Devices: f.devices, Shared: f.shared, Took: p.Estimates(d)}), nil
}

// partFlags say how much of a plan a run makes.
type partFlags struct {
	cutFlags
	shard     string
	shardPlan string
	failFast  bool
	keepGoing bool
}

func (f *partFlags) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.failFast, "fail-fast", false, "cancel the rest when something fails")
	c.Flags().BoolVar(&f.keepGoing, "keep-going", false, "go on with what does not stand on what failed (the default)")
	c.Flags().StringVar(&f.shard, "shard", "", "make only the nodes of this shard (WAVE/NUMBER) of plan --shards; the store has what earlier waves made")
	f.cutFlags.flags(c, "how many shards a wave was cut into (with --shard)")
	c.Flags().StringVar(&f.shardPlan, "shard-plan", "", "refuse a shard of another plan than this one of plan --shards")
}

// only gives the keys of the nodes that may be made; nil is all.
func (f *partFlags) only(p *plan.Plan, files fs.FS) (map[string]bool, error) {
	if f.failFast && f.keepGoing {
		return nil, usage{errors.New("--fail-fast and --keep-going: name one of them")}
	}
	if f.shard == "" {
		if f.shards != 0 || f.shardPlan != "" || f.devices || f.shared {
			return nil, usage{errors.New("--shards, --devices, --shared and --shard-plan belong to --shard")}
		}
		return nil, nil
	}
	s, err := f.cut(p, files)
	if err != nil {
		return nil, err
	}
	if f.shardPlan != "" && f.shardPlan != s.ID {
		return nil, usage{fmt.Errorf("this catalog with these flags is cut as %s, not as %s: take the same commit, targets and --shards as the job that made the plan", s.ID, f.shardPlan)}
	}
	x, err := s.Find(f.shard)
	if err != nil {
		return nil, usage{err}
	}
	only := make(map[string]bool, len(x.Nodes))
	for _, k := range x.Nodes {
		only[k] = true
	}
	return only, nil
}

// shardFlags are those of plan.
type shardFlags struct {
	cutFlags
	runsOn []string
	argo   plan.ArgoOptions
}

func (f *shardFlags) flags(c *cobra.Command) {
	f.cutFlags.flags(c, "cut the plan into jobs, so many at a time, that exchange all through the store")
	c.Flags().StringSliceVar(&f.runsOn, "runs-on", []string{"ubuntu-24.04-arm"}, "labels of GitHub's runners (-o github)")
	c.Flags().StringVar(&f.argo.Image, "argo-image", "", "image with jetcrate and the catalog at /catalog (-o argo)")
	c.Flags().StringVar(&f.argo.Engine, "argo-engine", "tcp://buildkitd:1234", "engine of the pods (-o argo)")
	c.Flags().IntVar(&f.argo.CPUs, "argo-cpus", 4, "processors of a pod (-o argo)")
}

// print prints the plan cut.
func (f *shardFlags) print(a *app, p *plan.Plan, files fs.FS, whole bool, args []string) error {
	if whole {
		return usage{errors.New("--shards cuts what jetcrate build can make: name targets or --cells")}
	}
	s, err := f.cut(p, files)
	if err != nil {
		return err
	}
	switch a.output {
	case "json":
		return a.json(s)
	case "github":
		b, err := s.GitHub(f.waves, f.runsOn)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	case "argo":
		if f.argo.Image == "" || a.storeAt == "" {
			return usage{errors.New("-o argo needs --argo-image and --store, a registry that all pods reach")}
		}
		f.argo.Store, f.argo.Waves, f.argo.Args = a.storeAt, f.waves, args
		b, err := s.Argo(f.argo)
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	}
	return a.buffered(func(w io.Writer) { printShards(w, s) })
}

func printShards(w io.Writer, s plan.Shards) {
	jobs, nodes := 0, 0
	var all, longest time.Duration
	for i, wave := range s.Waves {
		var wait time.Duration
		for _, x := range wave {
			jobs, nodes, all = jobs+1, nodes+len(x.Nodes), all+x.Took
			wait = max(wait, x.Took)
		}
		longest += wait
		fmt.Fprintf(w, "wave %d: %v\n", i+1, wait.Round(time.Second))
		for _, x := range wave {
			where := ""
			if x.Device != "" {
				where = ", on a Jetson with L4T " + x.Device
			}
			fmt.Fprintf(w, "  %-6s %4d nodes, %v%s", x.Name, len(x.Nodes), x.Took.Round(time.Second), where)
			if len(x.Needs) > 0 {
				fmt.Fprintf(w, ", after %s", strings.Join(x.Needs, " "))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "%s: %d nodes in %s, %d waves; expected: %v of work in %v\n",
		s.ID, nodes, count(jobs, "job"), len(s.Waves), all.Round(time.Second), longest.Round(time.Second))
}

// again gives the arguments with which jetcrate build is asked for the same.
func (s *selection) again(args []string) []string {
	out := append([]string(nil), args...)
	for _, f := range []struct{ name, value string }{
		{"--l4t", s.l4t}, {"--flavour", s.flavour}, {"--cuda", s.cuda}, {"--python", s.python}, {"--name", s.name},
	} {
		if f.value != "" {
			out = append(out, f.name, f.value)
		}
	}
	if s.all {
		out = append(out, "--all")
	}
	for _, f := range s.filter {
		out = append(out, "--filter", f)
	}
	return out
}

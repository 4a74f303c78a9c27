package plan

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shards are a plan cut into jobs for many machines. The jobs of a wave run at the
// same time; what a node is made of is made in its own shard or in an earlier
// wave, so that the store is all that jobs exchange. Every node is in one shard, or
// every one that cells share.
type Shards struct {
	ID      string    `json:"id"`    // 12 hex digits: two that are equal cut equally
	Count   int       `json:"count"` // shards of a wave, at most, beside those of devices
	Devices bool      `json:"devices,omitempty"`
	Shared  bool      `json:"shared,omitempty"`
	Waves   [][]Shard `json:"waves"`
}

// Shard is one job.
type Shard struct {
	Name    string        `json:"name"`             // WAVE/NUMBER
	Device  string        `json:"device,omitempty"` // L4T release of the Jetson that it needs
	Nodes   []string      `json:"nodes"`            // keys, in the order of the plan
	Cells   []string      `json:"cells,omitempty"`  // tags of those whose image it makes
	Needs   []string      `json:"needs,omitempty"`  // names of the shards that make what it stands on
	Took    time.Duration `json:"took"`             // expected, nanoseconds
	Memory  string        `json:"memory,omitempty"` // of the hungriest compile job
	memory  int64
	members []int
}

// ShardOptions say how to cut.
type ShardOptions struct {
	Count    int                      // shards of a wave; below 1 is 1
	MaxWaves int                      // 0 is 4
	Took     map[string]time.Duration // expected, by key; see Estimates
	Devices  bool                     // tests that need a GPU get shards of their own, by L4T release
	Shared   bool                     // only what several cells need: made first, it is made once though each cell has a job of its own
}

// waveCost is what a wave costs beside its work: jobs start, and fetch what they
// need from the store. A guess; it decides how many waves are worth having.
const waveCost = time.Minute

// Shard cuts the plan. It is a pure function: the same plan, options and durations
// give the same shards on every machine.
//
// Nodes go to the shard with the least work that may have them, the beginnings of
// the longest paths first. When shards have nothing to do because what is left
// stands on another's work, a wave ends; how long they wait before that is tried
// out, and the cut that ends first is taken.
func (p *Plan) Shard(o ShardOptions) Shards {
	o.Count = max(1, o.Count)
	if o.Shared {
		p = p.shared()
	}
	if o.MaxWaves <= 0 {
		o.MaxWaves = 4
	}
	c := newCutter(p, o)
	var best [][]Shard
	var least time.Duration
	for patience := waveCost; ; patience *= 4 {
		waves, waited := c.cut(patience)
		if took := makespan(waves); best == nil || took < least {
			best, least = waves, took
		}
		if !waited { // nor will it with more patience
			break
		}
	}
	return c.finish(best)
}

func makespan(waves [][]Shard) time.Duration {
	var all time.Duration
	for _, w := range waves {
		all += waveCost
		longest := time.Duration(0)
		for _, s := range w {
			longest = max(longest, s.Took)
		}
		all += longest
	}
	return all
}

// cutter holds the plan as indexes.
type cutter struct {
	plan    *Plan
	options ShardOptions
	below   [][]int
	above   [][]int
	took    []time.Duration
	rank    []time.Duration // to the end of the longest path
	class   []int           // of shards that may have it: 0, or a device's
	devices []string        // by class, less one
}

func newCutter(p *Plan, o ShardOptions) *cutter {
	n := len(p.Nodes)
	c := &cutter{
		plan: p, options: o, below: make([][]int, n), above: make([][]int, n),
		took: make([]time.Duration, n), rank: make([]time.Duration, n), class: make([]int, n),
	}
	index := make(map[string]int, n)
	for i, x := range p.Nodes {
		index[x.Key] = i
	}
	for i, x := range p.Nodes {
		c.took[i] = o.Took[x.Key]
		for _, list := range [][]string{x.Needs, x.Gates} {
			for _, k := range list {
				if d, ok := index[k]; ok {
					c.below[i] = append(c.below[i], d)
				}
			}
		}
		slices.Sort(c.below[i])
		c.below[i] = slices.Compact(c.below[i])
		for _, d := range c.below[i] {
			c.above[d] = append(c.above[d], i)
		}
	}
	for i := n - 1; i >= 0; i-- {
		for _, a := range c.above[i] {
			c.rank[i] = max(c.rank[i], c.rank[a])
		}
		c.rank[i] += c.took[i]
	}
	if o.Devices {
		c.classify(index)
	}
	return c
}

// classify gives tests that need a GPU the device of their cell; one that several
// releases share goes to the first.
func (c *cutter) classify(index map[string]int) {
	releases := map[int]string{}
	for _, cell := range c.plan.Cells {
		for _, list := range [][]string{cell.Tests, cell.Gates} {
			for _, k := range list {
				i := index[k]
				if have, ok := releases[i]; c.plan.Nodes[i].Test.GPU && (!ok || cell.Platform.L4T < have) {
					releases[i] = cell.Platform.L4T
				}
			}
		}
	}
	for _, r := range releases {
		if !slices.Contains(c.devices, r) {
			c.devices = append(c.devices, r)
		}
	}
	slices.Sort(c.devices)
	for i, r := range releases {
		c.class[i] = 1 + slices.Index(c.devices, r)
	}
}

// urgency orders nodes, the first first.
func (c *cutter) urgency(a, b int) int {
	return cmp.Or(cmp.Compare(c.rank[b], c.rank[a]), cmp.Compare(a, b))
}

// cut makes waves, each ended when its idle shards have waited for so long; waited
// says whether one was.
func (c *cutter) cut(patience time.Duration) (waves [][]Shard, waited bool) {
	missing := make([]int, len(c.below)) // of what each node stands on
	for i, b := range c.below {
		missing[i] = len(b)
	}
	placed := make([]bool, len(c.below))
	for left := len(c.below); left > 0; {
		var w []Shard
		if len(waves) == c.options.MaxWaves-1 && len(c.devices) == 0 {
			w = c.rest(placed)
		} else {
			var ended bool
			w, ended = c.wave(placed, missing, patience)
			waited = waited || ended
		}
		for _, s := range w {
			left -= len(s.members)
		}
		waves = append(waves, w)
	}
	return waves, waited
}

// urgent is a heap of nodes.
type urgent struct {
	nodes []int
	c     *cutter
}

func (u *urgent) Len() int           { return len(u.nodes) }
func (u *urgent) Less(i, j int) bool { return u.c.urgency(u.nodes[i], u.nodes[j]) < 0 }
func (u *urgent) Swap(i, j int)      { u.nodes[i], u.nodes[j] = u.nodes[j], u.nodes[i] }
func (u *urgent) Push(x any)         { u.nodes = append(u.nodes, x.(int)) }
func (u *urgent) Pop() any {
	last := len(u.nodes) - 1
	n := u.nodes[last]
	u.nodes = u.nodes[:last]
	return n
}

// none and several are what a node's inputs of this wave are in, if not one shard.
const (
	none    = -1
	several = -2
)

// wave fills one wave; waited says that it ended because shards had to wait.
func (c *cutter) wave(placed []bool, missing []int, patience time.Duration) (shards []Shard, waited bool) {
	shards = make([]Shard, c.options.Count+len(c.devices))
	class := func(s int) int { return max(0, s-c.options.Count+1) }
	open := make([]urgent, 1+len(c.devices)) // what stands on earlier waves alone, by class
	own := make([]urgent, len(shards))       // what stands on this shard too
	for i := range open {
		open[i].c = c
	}
	for i := range own {
		own[i].c = c
	}
	where := make([]int, len(c.below))
	for i := range c.below {
		where[i] = none
		if !placed[i] && missing[i] == 0 {
			open[c.class[i]].nodes = append(open[c.class[i]].nodes, i)
		}
	}
	for i := range open {
		heap.Init(&open[i])
	}
	for {
		s, begin := -1, time.Duration(0)
		for i := range shards {
			if (own[i].Len() > 0 || open[class(i)].Len() > 0) && (s < 0 || shards[i].Took < begin) {
				s, begin = i, shards[i].Took
			}
		}
		if s < 0 {
			return shards, false
		}
		var idle time.Duration
		for i := range c.options.Count {
			if own[i].Len() == 0 && open[0].Len() == 0 && shards[i].Took < begin {
				idle += begin - shards[i].Took
			}
		}
		if idle > patience {
			return shards, true
		}
		from := &open[class(s)]
		if from.Len() == 0 || own[s].Len() > 0 && c.urgency(own[s].nodes[0], from.nodes[0]) < 0 {
			from = &own[s]
		}
		n := heap.Pop(from).(int)
		placed[n] = true
		shards[s].members = append(shards[s].members, n)
		shards[s].Took += c.took[n]
		for _, a := range c.above[n] {
			missing[a]--
			switch where[a] {
			case none:
				where[a] = s
			case s:
			default:
				where[a] = several
			}
			if missing[a] == 0 && where[a] == s && c.class[a] == class(s) {
				heap.Push(&own[s], a)
			}
		}
	}
}

// rest puts what is left into one wave: what hangs together stays together.
func (c *cutter) rest(placed []bool) []Shard {
	of := make([]int, len(c.below))
	for i := range of {
		of[i] = i
	}
	var find func(int) int
	find = func(i int) int {
		if of[i] != i {
			of[i] = find(of[i])
		}
		return of[i]
	}
	for i, b := range c.below {
		for _, d := range b {
			if !placed[i] && !placed[d] {
				of[find(i)] = find(d)
			}
		}
	}
	parts := map[int]*Shard{}
	var order []*Shard
	for i := range c.below {
		if placed[i] {
			continue
		}
		s := parts[find(i)]
		if s == nil {
			s = &Shard{}
			parts[find(i)], order = s, append(order, s)
		}
		s.members = append(s.members, i)
		s.Took += c.took[i]
		placed[i] = true
	}
	slices.SortStableFunc(order, func(a, b *Shard) int { return cmp.Compare(b.Took, a.Took) })
	shards := make([]Shard, c.options.Count)
	for _, s := range order {
		least := 0
		for i := range shards {
			if shards[i].Took < shards[least].Took {
				least = i
			}
		}
		shards[least].members = append(shards[least].members, s.members...)
		shards[least].Took += s.Took
	}
	return shards
}

// finish names the shards that have something to do.
func (c *cutter) finish(waves [][]Shard) Shards {
	out := Shards{Count: c.options.Count, Devices: c.options.Devices, Shared: c.options.Shared, Waves: [][]Shard{}}
	of := make([]string, len(c.below))
	tags := map[string][]string{}
	for _, cell := range c.plan.Cells {
		if cell.Impossible == nil {
			tags[cell.Image] = append(tags[cell.Image], cell.Tag)
		}
	}
	h := sha256.New()
	for _, w := range waves {
		wave := []Shard{}
		for at, s := range w {
			if len(s.members) == 0 {
				continue
			}
			s.Name = fmt.Sprintf("%d/%d", len(out.Waves)+1, len(wave)+1)
			if at >= c.options.Count {
				s.Device = c.devices[at-c.options.Count]
			}
			slices.Sort(s.members)
			for _, i := range s.members {
				n := c.plan.Nodes[i]
				of[i] = s.Name
				s.Nodes = append(s.Nodes, n.Key)
				s.Cells = append(s.Cells, tags[n.Key]...)
				if n.Making != nil && n.Resources != nil {
					if m := bytesOf(n.Resources.MemoryPerJob); m > s.memory {
						s.memory, s.Memory = m, n.Resources.MemoryPerJob
					}
				}
			}
			needs := map[string]bool{}
			for _, i := range s.members {
				for _, d := range c.below[i] {
					if of[d] != s.Name {
						needs[of[d]] = true
					}
				}
			}
			s.Needs = sortedNames(needs)
			fmt.Fprintf(h, "%s %s\n%s\n", s.Name, s.Device, strings.Join(s.Nodes, "\n"))
			wave = append(wave, s)
		}
		if len(wave) > 0 {
			out.Waves = append(out.Waves, wave)
		}
	}
	out.ID = hex.EncodeToString(h.Sum(nil))[:12]
	return out
}

func sortedNames(set map[string]bool) []string {
	var out []string
	for n := range set {
		out = append(out, n)
	}
	number := func(name string) int {
		wave, at, _ := strings.Cut(name, "/")
		a, _ := strconv.Atoi(wave)
		b, _ := strconv.Atoi(at)
		return a<<20 + b
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	return out
}

// Find gives the shard of a name, such as 2/1.
func (s Shards) Find(name string) (Shard, error) {
	var names []string
	for _, w := range s.Waves {
		for _, x := range w {
			if x.Name == name {
				return x, nil
			}
			names = append(names, x.Name)
		}
	}
	return Shard{}, fmt.Errorf("no shard %q; there are %s", name, strings.Join(names, ", "))
}

// bytesOf reads 4GiB; 0 is none. The schema lets nothing else through.
func bytesOf(s string) int64 {
	for _, unit := range []struct {
		suffix string
		bytes  int64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if v, ok := strings.CutSuffix(s, unit.suffix); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n * unit.bytes
		}
	}
	return 0
}

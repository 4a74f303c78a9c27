package schedule_test

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jetcrate/jetcrate/internal/execute/schedule"
)

func TestTheLongestPathGoesFirst(t *testing.T) {
	q := schedule.New([]schedule.Task{
		{Took: 3 * time.Minute},
		{Took: time.Minute},
		{Took: time.Hour, Needs: []int{1}},
		{Took: 2 * time.Minute},
	}, schedule.Room{Workers: 2})
	require.Equal(t, []int{1, 0}, given(q))
	q.Done(1)
	require.Equal(t, []int{2}, given(q))
	q.Done(0)
	require.Equal(t, []int{3}, given(q))
	require.Equal(t, 2, q.Left())
}

func TestMemoryIsSharedOut(t *testing.T) {
	const gib = 1 << 30
	q := schedule.New([]schedule.Task{
		{Took: 9, Memory: 6 * gib},
		{Took: 8, Memory: 6 * gib}, // waits for the first, and what it needs is left to it
		{Took: 7, Memory: 3 * gib}, // would fit now, but not beside the second
		{Took: 6, Memory: 2 * gib},
		{Took: 5},
	}, schedule.Room{Workers: 10, Memory: 8 * gib})
	require.Equal(t, []int{0, 3, 4}, given(q))
	q.Done(3)
	require.Empty(t, given(q))
	q.Done(0)
	require.Equal(t, []int{1}, given(q))
	q.Done(1)
	require.Equal(t, []int{2}, given(q))
}

func TestMoreThanThereIsGoesAlone(t *testing.T) {
	q := schedule.New([]schedule.Task{{Took: 2, Memory: 1}, {Took: 1, Memory: 100}, {}}, schedule.Room{Workers: 3, Memory: 10})
	require.Equal(t, []int{0, 2}, given(q))
	q.Done(0)
	require.Equal(t, []int{1}, given(q))
}

func TestAParkedTaskTakesNoRoom(t *testing.T) {
	q := schedule.New([]schedule.Task{{Took: 2, Memory: 8}, {Took: 1, Memory: 8}}, schedule.Room{Workers: 1, Memory: 8})
	require.Equal(t, []int{0}, given(q))
	q.Park(0)
	require.Equal(t, []int{1}, given(q))
	q.Ready(0)
	q.Done(1)
	require.Equal(t, []int{0}, given(q))
	q.Done(0)
	require.Zero(t, q.Left())
}

func given(q *schedule.Queue) []int {
	var out []int
	for {
		i, ok := q.Next()
		if !ok {
			return out
		}
		out = append(out, i)
	}
}

// dag is work in the shape of a plan: bases, then packages whose builds, layers
// and tests stand on those of other packages, on several platforms. Durations are
// log-normal, as those of real builds: most take seconds, a few take an hour.
func dag(n int, seed uint64) []schedule.Task {
	rng := rand.New(rand.NewPCG(seed, 3))
	took := func(median time.Duration) time.Duration {
		return max(time.Millisecond, time.Duration(float64(median)*math.Exp(1.3*rng.NormFloat64())))
	}
	var out []schedule.Task
	add := func(median time.Duration, memory int64, needs ...int) int {
		out = append(out, schedule.Task{Needs: needs, Took: took(median), Memory: memory})
		return len(out) - 1
	}
	const platforms = 12
	layers := make([][]int, platforms)
	for p := range platforms {
		layers[p] = []int{add(2*time.Minute, 0)}
	}
	for len(out)+4 <= n {
		p := rng.IntN(platforms)
		below := layers[p]
		needs := []int{below[0]}
		for range rng.IntN(4) { // packages stand on older, more basic ones
			needs = append(needs, below[int(float64(len(below))*math.Pow(rng.Float64(), 3))])
		}
		needs = distinct(needs)
		build := add(90*time.Second, int64(1+rng.IntN(4))<<30, needs...)
		layer := add(10*time.Second, 0, append([]int{build}, needs...)...)
		image := add(100*time.Millisecond, 0, layer)
		add(8*time.Second, 0, image)
		layers[p] = append(layers[p], layer)
	}
	for len(out) < n {
		add(time.Second, 0, layers[0][0])
	}
	return out
}

func distinct(in []int) (out []int) {
	seen := map[int]bool{}
	for _, i := range in {
		if !seen[i] {
			out = append(out, i)
		}
		seen[i] = true
	}
	return out
}

// simulation runs a queue on workers with a clock of its own. Workers die at
// random: what they were at is given out again.
type simulation struct {
	q       *schedule.Queue
	tasks   []schedule.Task
	workers int
	rng     *rand.Rand
	dies    float64 // chance that a worker dies at a task

	now    time.Duration
	events events
	done   []int // how often each task ended
	lost   time.Duration
	deaths int
	memory int64 // the most that was held
}

type event struct {
	at   time.Duration
	task int
	dies bool
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].task < e[j].task
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func simulate(tasks []schedule.Task, room schedule.Room, dies float64, actual func(int) time.Duration) *simulation {
	s := &simulation{
		q: schedule.New(tasks, room), tasks: tasks, workers: room.Workers, rng: rand.New(rand.NewPCG(5, 5)),
		dies: dies, done: make([]int, len(tasks)),
	}
	var held int64
	for {
		for {
			i, ok := s.q.Next()
			if !ok {
				break
			}
			held += tasks[i].Memory
			s.memory = max(s.memory, held)
			took := actual(i)
			e := event{s.now + took, i, false}
			if s.rng.Float64() < s.dies {
				part := time.Duration(s.rng.Float64() * float64(took))
				e = event{s.now + part, i, true}
				s.lost += part
				s.deaths++
			}
			heap.Push(&s.events, e)
		}
		if len(s.events) == 0 {
			return s
		}
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		held -= tasks[e.task].Memory
		if e.dies {
			s.q.Park(e.task)
			s.q.Ready(e.task)
			continue
		}
		s.done[e.task]++
		s.q.Done(e.task)
	}
}

func (s *simulation) everyTaskOnce(t *testing.T) {
	t.Helper()
	require.Zero(t, s.q.Left())
	for i, n := range s.done {
		require.Equal(t, 1, n, "task %d", i)
	}
}

// The time that all takes is within a tenth of what no schedule can beat.
func TestMakespan(t *testing.T) {
	for seed := range uint64(2) {
		tasks := dag(5000, seed)
		for workers := 1; workers <= 64; workers++ {
			s := simulate(tasks, schedule.Room{Workers: workers}, 0, func(i int) time.Duration { return tasks[i].Took })
			s.everyTaskOnce(t)
			bound := schedule.Bound(tasks, workers)
			ratio := float64(s.now) / float64(bound)
			require.LessOrEqual(t, ratio, 1.1, "seed %d, %d workers: %v, at best %v", seed, workers, s.now, bound)
			if seed == 0 && workers&(workers-1) == 0 {
				t.Logf("%2d workers: %v, at best %v: %.3f", workers, s.now.Round(time.Minute), bound.Round(time.Minute), ratio)
			}
		}
	}
}

// Estimates are wrong by up to a factor of two, either way, and it matters little.
func TestMakespanWithWrongEstimates(t *testing.T) {
	tasks := dag(5000, 9)
	rng := rand.New(rand.NewPCG(1, 1))
	actual := make([]schedule.Task, len(tasks))
	for i, x := range tasks {
		actual[i] = schedule.Task{Needs: x.Needs, Took: time.Duration(float64(x.Took) * math.Exp2(2*rng.Float64()-1))}
	}
	for _, workers := range []int{1, 4, 16, 64} {
		s := simulate(tasks, schedule.Room{Workers: workers}, 0, func(i int) time.Duration { return actual[i].Took })
		s.everyTaskOnce(t)
		require.LessOrEqual(t, float64(s.now)/float64(schedule.Bound(actual, workers)), 1.15, "%d workers", workers)
	}
}

// Workers that die lose what they were at and nothing else.
func TestWorkersThatDie(t *testing.T) {
	for _, workers := range []int{1, 3, 16, 64} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			tasks := dag(5000, 7)
			s := simulate(tasks, schedule.Room{Workers: workers}, 0.05, func(i int) time.Duration { return tasks[i].Took })
			s.everyTaskOnce(t)
			require.Greater(t, s.deaths, 100)
			again := schedule.Bound(append(append([]schedule.Task(nil), tasks...), schedule.Task{Took: s.lost}), workers)
			require.LessOrEqual(t, s.now, again*13/10, "%d deaths", s.deaths)
		})
	}
}

// Memory is never given out twice.
func TestMemoryIsNeverOvercommitted(t *testing.T) {
	const total = 8 << 30
	tasks := dag(5000, 2)
	for _, workers := range []int{1, 8, 64} {
		s := simulate(tasks, schedule.Room{Workers: workers, Memory: total}, 0.01, func(i int) time.Duration { return tasks[i].Took })
		s.everyTaskOnce(t)
		require.LessOrEqual(t, s.memory, int64(total))
		var work float64 // bytes x time
		for _, x := range tasks {
			work += float64(x.Memory) * x.Took.Seconds()
		}
		bound := max(schedule.Bound(tasks, workers).Seconds(), work/total)
		t.Logf("%d workers: %.2f of the bound", workers, s.now.Seconds()/bound)
		require.LessOrEqual(t, s.now.Seconds(), 1.3*bound+s.lost.Seconds())
	}
}

func BenchmarkQueue(b *testing.B) {
	tasks := dag(5000, 1)
	b.ReportAllocs()
	for b.Loop() {
		simulate(tasks, schedule.Room{Workers: 16, Memory: 32 << 30}, 0, func(i int) time.Duration { return tasks[i].Took })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(tasks)), "ns/node")
}

// Package schedule decides which task goes to work next. It is a pure policy: it
// knows no clock, no goroutine and no engine, so that a run and a simulation
// use the same one.
//
// A task is ready when all that it needs has ended. Of the ready ones that goes
// first which begins the longest path to the end (critical path first). There is
// room for so many tasks at once, and for so much memory. A task that does not
// fit waits, and while it is the first of those that wait, no other may take
// memory that it needs: it is never starved by smaller ones. One that wants more
// memory than there is goes when nothing else holds any.
package schedule

import (
	"cmp"
	"slices"
	"time"
)

// Task is one thing to do.
type Task struct {
	Needs  []int         // tasks that must have ended, by their index
	Took   time.Duration // how long it is expected to take
	Memory int64         // bytes that it holds while at work; 0 is too little to count
}

// Room is what there is for tasks at work.
type Room struct {
	Workers int   // tasks at once; below 1 is 1
	Memory  int64 // bytes for all of them; 0 is unknown, and nothing is weighed
}

// Queue is what is left to do. It is not safe for concurrent use.
type Queue struct {
	tasks   []Task
	after   [][]int // tasks that need this one
	waits   []int   // how many of its needs have not ended
	rank    []time.Duration
	state   []state
	ready   []int // by urgency, the first first
	room    Room
	working []int
	held    int64
	left    int
}

type state byte

const (
	waiting state = iota
	ready
	working
	parked
	done
)

// New orders tasks. Those of a cycle, and what needs them, are never given out.
func New(tasks []Task, room Room) *Queue {
	room.Workers = max(1, room.Workers)
	q := &Queue{
		tasks: tasks, room: room, left: len(tasks), after: make([][]int, len(tasks)),
		waits: make([]int, len(tasks)), state: make([]state, len(tasks)),
	}
	for i, t := range tasks {
		q.waits[i] = len(t.Needs)
		for _, n := range t.Needs {
			q.after[n] = append(q.after[n], i)
		}
	}
	q.rank = q.ranks()
	for i := range tasks {
		if q.waits[i] == 0 {
			q.Ready(i)
		}
	}
	return q
}

// ranks is how long it takes from the beginning of each task to the end of the
// longest path that it begins.
func (q *Queue) ranks() []time.Duration {
	rank := make([]time.Duration, len(q.tasks))
	order := make([]int, 0, len(q.tasks))
	waits := slices.Clone(q.waits)
	for i, n := range waits {
		if n == 0 {
			order = append(order, i)
		}
	}
	for at := 0; at < len(order); at++ {
		for _, above := range q.after[order[at]] {
			if waits[above]--; waits[above] == 0 {
				order = append(order, above)
			}
		}
	}
	for _, i := range slices.Backward(order) {
		for _, above := range q.after[i] {
			rank[i] = max(rank[i], rank[above])
		}
		rank[i] += q.tasks[i].Took
	}
	return rank
}

// urgency orders tasks, the first first.
func (q *Queue) urgency(a, b int) int {
	return cmp.Or(cmp.Compare(q.rank[b], q.rank[a]), cmp.Compare(a, b))
}

// Next gives the task to begin now; ok is false where none is ready or fits.
func (q *Queue) Next() (task int, ok bool) {
	if len(q.working) >= q.room.Workers {
		return 0, false
	}
	free := max(0, q.room.Memory-q.held)
	for at, i := range q.ready {
		need := q.weight(i)
		if need <= free {
			q.ready = slices.Delete(q.ready, at, at+1)
			q.state[i] = working
			q.working = append(q.working, i)
			q.held += need
			return i, true
		}
		if at == 0 { // what is behind it leaves it what it needs
			behind := q.room.Memory - need
			for _, w := range q.working {
				if q.urgency(i, w) < 0 {
					behind -= q.weight(w)
				}
			}
			free = max(0, min(free, behind))
		}
	}
	return 0, false
}

// weight is how much of the memory a task holds.
func (q *Queue) weight(i int) int64 {
	if q.room.Memory <= 0 {
		return 0
	}
	return min(q.tasks[i].Memory, q.room.Memory)
}

// Done says that a task at work has ended.
func (q *Queue) Done(task int) {
	q.leave(task, done)
	q.left--
	for _, above := range q.after[task] {
		if q.waits[above]--; q.waits[above] == 0 {
			q.Ready(above)
		}
	}
}

// Park says that a task is not at work any more and has not ended: it takes no
// room, and is not given out again before Ready.
func (q *Queue) Park(task int) { q.leave(task, parked) }

// Ready makes a task that is parked one to be given out.
func (q *Queue) Ready(task int) {
	at, _ := slices.BinarySearchFunc(q.ready, task, q.urgency)
	q.ready = slices.Insert(q.ready, at, task)
	q.state[task] = ready
}

func (q *Queue) leave(task int, to state) {
	if q.state[task] != working {
		panic("schedule: a task that is not at work has ended")
	}
	q.state[task] = to
	q.working = slices.DeleteFunc(q.working, func(i int) bool { return i == task })
	q.held -= q.weight(task)
}

// Left is how many tasks have not ended.
func (q *Queue) Left() int { return q.left }

// Working is how many tasks are at work.
func (q *Queue) Working() int { return len(q.working) }

// Bound is the least time in which workers can do the tasks: the longest path,
// or all the work shared out evenly.
func Bound(tasks []Task, workers int) time.Duration {
	var longest, all time.Duration
	for i, rank := range New(tasks, Room{}).rank {
		longest = max(longest, rank)
		all += tasks[i].Took
	}
	return max(longest, all/time.Duration(max(1, workers)))
}

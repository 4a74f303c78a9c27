package execute

import (
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Event is what a run tells while it goes on: report draws it, and -o jsonl
// prints it. Every node of the plan that is needed starts once and ends once;
// engine events of its steps come in between.
type Event struct {
	Time   time.Time     `json:"time"`
	Kind   EventKind     `json:"event"`
	Node   string        `json:"node,omitempty"`    // key of the node (short form is its first 12 digits)
	Name   string        `json:"name,omitempty"`    // for people: "pytorch 2.8.0 layer"
	What   string        `json:"kind,omitempty"`    // base, source, artifact, layer, image, test
	Status Status        `json:"status,omitempty"`  // of a node that ended
	Reason string        `json:"reason,omitempty"`  // why it failed or was skipped
	Took   time.Duration `json:"took,omitempty"`    // nanoseconds
	Size   int64         `json:"size,omitempty"`    // bytes added, compressed
	Digest string        `json:"digest,omitempty"`  // of what was made
	Log    string        `json:"log,omitempty"`     // file that holds the full log of its steps
	Step   *engine.Event `json:"-"`                 // progress of a step of the node (Kind == StepProgress)
	Total  int           `json:"total,omitempty"`   // nodes of the run (Kind == RunStarted)
	Text   string        `json:"message,omitempty"` // Kind == Message
	Why    string        `json:"why,omitempty"`     // why it is made (Kind == NodeStarted)
	Engine string        `json:"engine,omitempty"`  // address of the engine that a node ended on
	Jobs   int           `json:"jobs,omitempty"`    // nodes at work at once (Kind == RunStarted)
	// Attempts is how often a node was begun; more than once where its surroundings failed.
	Attempts int `json:"attempts,omitempty"`
}

// EventKind tells what an Event says.
type EventKind string

const (
	RunStarted   EventKind = "run-started"
	NodeStarted  EventKind = "started"
	StepProgress EventKind = "step"
	NodeEnded    EventKind = "ended"
	Message      EventKind = "message" // something that takes a while before or after the nodes
	RunEnded     EventKind = "run-ended"
)

// Status is how a node ended.
type Status string

const (
	Reused    Status = "reused"    // the store had it
	Built     Status = "built"     // an engine made it
	Assembled Status = "assembled" // put together without an engine
	Passed    Status = "passed"    // test
	Failed    Status = "failed"
	Skipped   Status = "skipped"   // with a reason: no GPU
	Simulated Status = "simulated" // a GPU test that passed on a device without a driver
	Blocked   Status = "blocked"   // something below it failed
	Canceled  Status = "canceled"  // interrupted
)

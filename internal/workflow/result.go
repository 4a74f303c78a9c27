package workflow

import "time"

// Result is how a run went.
type Result struct {
	Pipeline   string        `json:"pipeline"`
	Conclusion Conclusion    `json:"conclusion"`
	Jobs       []*JobResult  `json:"jobs"`     // in the order of the file, then of the matrix
	Duration   time.Duration `json:"duration"` // nanoseconds, as all of them
}

// JobResult is how one job of a matrix, or a job without one, went.
type JobResult struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Matrix      map[string]any    `json:"matrix,omitempty"`
	Conclusion  Conclusion        `json:"conclusion"`
	Reason      string            `json:"reason,omitempty"`  // why it was skipped or could not run
	Allowed     bool              `json:"allowed,omitempty"` // it failed, and may: continue-on-error
	Outputs     map[string]string `json:"outputs,omitempty"`
	Steps       []*StepResult     `json:"steps,omitempty"`
	Annotations []Annotation      `json:"annotations,omitempty"`
	Summary     string            `json:"summary,omitempty"` // GITHUB_STEP_SUMMARY of its steps
	Duration    time.Duration     `json:"duration"`
}

// StepResult is how a step went.
type StepResult struct {
	Name       string            `json:"name"`
	Outcome    Conclusion        `json:"outcome"` // before continue-on-error
	Conclusion Conclusion        `json:"conclusion"`
	Reason     string            `json:"reason,omitempty"`
	Outputs    map[string]string `json:"outputs,omitempty"`
	Duration   time.Duration     `json:"duration"`
}

// Event is progress of a run.
type Event struct {
	Kind       EventKind
	Time       time.Time
	Job        string
	Step       string
	Text       string // Line
	Annotation *Annotation
	Result     *JobResult  // JobEnded
	StepResult *StepResult // StepEnded
}

// EventKind tells what an Event says.
type EventKind int

// The kinds of events.
const (
	JobStarted EventKind = iota
	JobEnded
	StepStarted
	StepEnded
	Line
	Noted
)

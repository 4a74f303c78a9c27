package workflow

import "time"

// Result is how a run went.
type Result struct {
	Pipeline   string
	Conclusion Conclusion
	Jobs       []*JobResult // in the order of the file, then of the matrix
	Duration   time.Duration
}

// JobResult is how one job of a matrix, or a job without one, went.
type JobResult struct {
	ID          string
	Name        string
	Matrix      map[string]any
	Conclusion  Conclusion
	Reason      string // why it was skipped or could not run
	Allowed     bool   // it failed, and may: continue-on-error
	Outputs     map[string]string
	Steps       []*StepResult
	Annotations []Annotation
	Summary     string // GITHUB_STEP_SUMMARY of its steps
	Duration    time.Duration
}

// StepResult is how a step went.
type StepResult struct {
	Name       string
	Outcome    Conclusion // before continue-on-error
	Conclusion Conclusion
	Reason     string
	Outputs    map[string]string
	Duration   time.Duration
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

package execute

import (
	"context"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/engine"
)

// Device runs the tests that need a GPU, one at a time. It is room device's;
// without one these tests are skipped.
type Device interface {
	Facts() DeviceFacts
	// Fetch makes an image of the store ready to run; no test's time runs meanwhile.
	Fetch(ctx context.Context, digest, platform string) error
	// Run runs a command in a container of an image of the store.
	Run(ctx context.Context, digest string, r engine.Run) (engine.Exit, error)
}

// DeviceFacts is where a GPU test ran. What is unknown is empty.
type DeviceFacts struct {
	Module    string `json:"module,omitempty"`    // Jetson Orin Nano
	L4T       string `json:"l4t,omitempty"`       // 36.4.3
	Driver    string `json:"driver,omitempty"`    // 540.4.0
	PowerMode string `json:"powerMode,omitempty"` // MAXN
	Access    string `json:"access"`              // what handed the GPU over: "docker, runtime"
	// Simulated is set where nothing shows that there is a driver: then a test
	// that passes proves nothing, and its evidence says simulated.
	Simulated bool `json:"simulated,omitempty"`
}

// String says it for people: "Jetson Orin Nano, L4T 36.4.3, MAXN".
func (f DeviceFacts) String() string {
	var parts []string
	for _, p := range []struct{ before, value string }{{"", f.Module}, {"L4T ", f.L4T}, {"driver ", f.Driver}, {"", f.PowerMode}} {
		if p.value != "" {
			parts = append(parts, p.before+p.value)
		}
	}
	if f.Simulated {
		parts = append(parts, "a device without a driver")
	}
	return strings.Join(parts, ", ")
}

// runOnDevice runs a GPU test on the device.
func (r *run) runOnDevice(ctx context.Context, s *state, digest string, call engine.Run, e *Evidence) (engine.Exit, error) {
	r.deviceTurn.Lock()
	defer r.deviceTurn.Unlock()
	facts := r.Device.Facts()
	e.Environment.Device, e.Environment.Engine, e.Environment.Machine = &facts, facts.Access, "device"
	if err := r.Device.Fetch(ctx, digest, call.Platform); err != nil {
		return engine.Exit{}, err
	}
	limited, cancel := context.WithTimeout(ctx, limitOf(s.node))
	defer cancel()
	started := time.Now()
	exit, err := r.Device.Run(limited, digest, call)
	e.Seconds = time.Since(started).Round(time.Millisecond).Seconds()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return engine.Exit{TimedOut: true}, nil
	}
	return exit, err
}

// counts tells whether evidence stands for a test in this run, and what it
// says then. What failed is tried again, and what was skipped or simulated where
// a GPU could be had. Without a GPU, a failure on a device stays what is known.
func (r *run) counts(e Evidence) (bool, Status, string) {
	switch {
	case e.Status == Passed:
		return true, Reused, ""
	case e.GPU && r.Device == nil && e.Status == Failed:
		on := "a device"
		if e.Environment.Device != nil {
			on = e.Environment.Device.String()
		}
		return true, Skipped, "no GPU; on " + on + " it failed: " + e.Reason
	case e.GPU && r.Device != nil && !(e.Status == Simulated && r.Device.Facts().Simulated):
		return false, "", ""
	case e.Status == Skipped || e.Status == Simulated:
		return true, e.Status, e.Reason
	}
	return false, "", ""
}

package jet

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/jetcrate/jetcrate/internal/diag"
	"github.com/jetcrate/jetcrate/internal/host"
)

func (a *app) doctorCommand() *cobra.Command {
	q := &question{app: a}
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what images need of this device, and say how to mend it",
		Long: `Checks the device, Docker, the NVIDIA runtime, disks and the table. Each check
passes, warns or fails; what does not pass says what to do, as a command where one
mends it. Nothing is changed.

Exit code 3 says that a check failed.`,
		Example: `  jet doctor
  jet doctor -o json
  jet doctor --root /mnt/other-jetson`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			report, err := q.examine(cmd.Context())
			if err != nil {
				return err
			}
			return a.diagnosis(report, output)
		},
	}
	q.hostFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// checkStatus is how a check ended.
type checkStatus string

const (
	pass checkStatus = "pass"
	warn checkStatus = "warn"
	fail checkStatus = "fail"
)

// check is one thing that was looked at.
type check struct {
	Name    string      `json:"name"`
	Status  checkStatus `json:"status"`
	Message string      `json:"message"`
	Fix     string      `json:"fix,omitempty"` // a command
}

type checkup struct {
	Status checkStatus `json:"status"` // the worst of all
	Checks []check     `json:"checks"`
	Host   host.Device `json:"host"`
}

func (c *checkup) add(name string, status checkStatus, fix, format string, args ...any) {
	c.Checks = append(c.Checks, check{Name: name, Status: status, Message: fmt.Sprintf(format, args...), Fix: fix})
	if status == fail || status == warn && c.Status == pass {
		c.Status = status
	}
}

// examine runs all checks.
func (q *question) examine(ctx context.Context) (*checkup, error) {
	fsys, err := q.fs()
	if err != nil {
		return nil, err
	}
	c := &checkup{Status: pass, Host: host.Inspect(fsys)}
	c.checkRelease(q.hostL4T)
	if err := q.checkTable(c); err != nil {
		return nil, err
	}
	d := q.daemon()
	defer d.close()
	var engine *engineFacts
	if d.Client != nil {
		if facts, err := d.facts(ctx); err == nil {
			engine = &facts
		}
	}
	q.checkDocker(ctx, c, d, engine)
	c.checkGPU(engine)
	c.checkRawTable(engine)
	q.checkDisk(c, fsys, engine)
	c.checkMemory()
	c.checkPower()
	return c, nil
}

func (a *app) diagnosis(c *checkup, output string) error {
	if output == "json" {
		if err := a.json(c); err != nil {
			return err
		}
	} else {
		for _, k := range c.Checks {
			text := fmt.Sprintf("%-4s  %-13s %s", k.Status, k.Name, fold(diag.Escape(k.Message), a.width-messageColumn))
			if k.Fix != "" { // on one line, however long: it is copied
				text += "\n" + strings.Repeat(" ", messageColumn) + "fix: " + diag.Escape(k.Fix)
			}
			if err := a.line(text); err != nil {
				return err
			}
		}
	}
	if c.Status == fail {
		return &no{[]string{"a check failed"}}
	}
	return nil
}

// messageColumn is where the messages of checks begin.
const messageColumn = 20

// fold breaks a message between words so that its lines have at most width
// letters; without room for any it stays as it is.
func fold(message string, width int) string {
	if width <= 0 {
		return message
	}
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(message) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", messageColumn))
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

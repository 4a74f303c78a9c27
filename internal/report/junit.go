package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jetcrate/jetcrate/internal/execute"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// JUnit writes a run as JUnit XML: a suite of what was built and one of the tests,
// a case per node. What was blocked, canceled or at work when the run was killed
// counts as skipped.
func (r *Run) JUnit(w io.Writer) error {
	builds, tests := junitSuite{Name: "builds"}, junitSuite{Name: "tests"}
	var took [2]time.Duration
	for _, n := range r.Nodes {
		s, t := &builds, &took[0]
		if n.Kind == "test" {
			s, t = &tests, &took[1]
		}
		c := junitCase{Name: n.Name, Class: strings.Trim(n.Package+"."+n.Line, "."), Time: inSeconds(n.Took)}
		if c.Class == "" {
			c.Class = n.Kind
		}
		switch n.Status {
		case execute.Failed:
			c.Failure = &junitFailure{Message: n.Reason, Text: strings.Join(tailOf(n.Log), "\n")}
			s.Failures++
		case execute.Skipped, execute.Blocked, execute.Canceled, "":
			c.Skipped = &junitSkipped{Message: strings.TrimSuffix(fmt.Sprintf("%s: %s", orAtWork(n.Status), n.Reason), ": ")}
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
		s.Tests++
		*t += n.Took
	}
	out := junitSuites{Name: "jetcrate " + strings.TrimSuffix(r.title(), ": "), Time: inSeconds(r.Ended.Sub(r.Started))}
	out.Name = strings.TrimSpace(out.Name)
	for i, s := range []junitSuite{builds, tests} {
		s.Time, s.Timestamp = inSeconds(took[i]), r.Started.UTC().Format("2006-01-02T15:04:05")
		out.Tests, out.Failures, out.Skipped = out.Tests+s.Tests, out.Failures+s.Failures, out.Skipped+s.Skipped
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func orAtWork(s execute.Status) string {
	if s == "" {
		return "at work when the run ended"
	}
	return string(s)
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

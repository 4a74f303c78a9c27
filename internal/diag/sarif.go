package diag

import (
	"encoding/json"
	"io"
	"net/url"
	"sort"
	"strings"
)

// The part of SARIF 2.1.0 that code scanning services read. Source:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// WriteSARIF prints the sorted list as a SARIF 2.1.0 log with one run. Files
// are relative to %SRCROOT%, the catalog's root.
func WriteSARIF(w io.Writer, list List) error {
	l := sorted(list)
	index := map[string]int{}
	rules := []sarifRule{}
	for _, d := range l {
		if _, ok := index[d.Code]; !ok {
			index[d.Code] = 0
			rules = append(rules, sarifRule{ID: d.Code})
		}
	}
	sort.Slice(rules, func(i, j int) bool { return rules[i].ID < rules[j].ID })
	for i, r := range rules {
		index[r.ID] = i
	}
	run := sarifRun{
		Tool:       sarifTool{Driver: sarifDriver{Name: "jetcrate", Rules: rules}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	for _, d := range l {
		r := sarifResult{RuleID: d.Code, RuleIndex: index[d.Code], Level: string(d.Severity), Message: sarifMessage{Text: sarifText(d)}}
		if d.File != "" {
			loc := sarifPhysical{Artifact: sarifArtifact{URI: (&url.URL{Path: d.File}).EscapedPath(), Base: "%SRCROOT%"}}
			if d.Line > 0 {
				loc.Region = &sarifRegion{StartLine: d.Line, StartColumn: d.Col}
			}
			r.Locations = []sarifLocation{{Physical: loc}}
		}
		run.Results = append(run.Results, r)
	}
	enc := json.NewEncoder(Visible(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

// sarifText folds what is allowed and the hint into the message, because SARIF
// has no field for them.
func sarifText(d Diagnostic) string {
	s := Escape(d.Message)
	if len(d.Allowed) > 0 {
		s += "; allowed: " + Escape(strings.Join(d.Allowed, ", "))
	}
	if d.Hint != "" {
		s += "; " + Escape(d.Hint)
	}
	return s
}
